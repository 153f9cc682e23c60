package cascade

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/propfile"
	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

const (
	// maxSourceLines bounds the findings whose lines are shown: more than anybody
	// corrects at once.
	maxSourceLines = 200
	// maxSourceLine bounds a line that is shown, in bytes. A longer one is not: a
	// part of it may mean something else.
	maxSourceLine = 1000
)

// SourceLine is a line of a file as it stands on disk now, with secrets masked.
type SourceLine struct {
	Path string `json:"path"`
	Line int    `json:"line"`
	Text string `json:"text"`
	// Corrected is the line as the finding wants it, where there is one answer.
	Corrected string `json:"corrected,omitempty"`
}

// keyLine is a line with a key and a value; what is none of these is part of a
// value, which may be a secret.
var (
	propertiesLine = regexp.MustCompile(`^[ \t\f]*((?:[^\\=: \t\f]|\\.)+)[ \t\f]*[=: \t\f][ \t\f]*(.*)$`)
	yamlLine       = regexp.MustCompile(`^[ \t]*(?:- +)?["']?([^"':#\s][^"':#]*)["']?[ \t]*:(?:[ \t]+(.*))?$`)
)

// SourceLines are the lines that findings of files below the roots are about.
func (sn *Snapshot) SourceLines(roots []string) []SourceLine {
	read, list := map[string][]string{}, []SourceLine{}
	for _, f := range sn.Findings() {
		if f.Path == "" || f.Line < 1 || len(list) == maxSourceLines {
			continue
		}
		lines, known := read[f.Path]
		if !known {
			lines = sourceOf(roots, f.Path)
			read[f.Path] = lines
		}
		if f.Line > len(lines) {
			continue // it was shortened since, or cannot be read
		}
		if l, ok := sn.sourceLine(f, lines); ok {
			list = append(list, l)
		}
	}
	return list
}

// SourceLineAt is a line of a file that was loaded from the roots; not ok is one
// that is not there, or that is not shown: it is too long, or a part of a value.
func (sn *Snapshot) SourceLineAt(roots []string, path string, line int) (l SourceLine, ok bool) {
	lines := sourceOf(roots, path)
	if line < 1 || line > len(lines) {
		return l, false
	}
	return sn.sourceLine(finding.Finding{Path: path, Line: line}, lines)
}

// sourceOf reads a file where the last root that has it has it.
func sourceOf(roots []string, path string) []string {
	for i := len(roots) - 1; i >= 0; i-- {
		data, _, err := tree.ReadFile(filepath.Join(roots[i], filepath.FromSlash(path)), max(propfile.MaxFileBytes, yamlfile.MaxFile))
		if err == nil {
			return strings.Split(strings.ToValidUTF8(string(data), "\ufffd"), "\n")
		}
	}
	return nil
}

func (sn *Snapshot) sourceLine(f finding.Finding, lines []string) (l SourceLine, ok bool) {
	text := strings.TrimSuffix(lines[f.Line-1], "\r")
	if len(text) > maxSourceLine {
		return l, false
	}
	form := yamlLine
	if strings.HasSuffix(f.Path, ".properties") {
		form = propertiesLine
		before := ""
		if f.Line > 1 {
			before = strings.TrimSuffix(lines[f.Line-2], "\r")
		}
		if (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1 {
			return l, false // it goes on with the value of the line before
		}
	}
	m := form.FindStringSubmatch(text)
	if m == nil {
		return l, false
	}
	l = SourceLine{Path: f.Path, Line: f.Line, Text: text}
	if key, value := m[1], m[2]; sn.schema.Masks(key, value) || form == yamlLine && sn.inSecret(lines, f.Line-1) {
		l.Text = strings.TrimSuffix(text, value) + Mask
		return l, true
	}
	l.Corrected = corrected(f, text, m[2])
	return l, true
}

// inSecret reports whether a line of a YAML file is, by its indentation, part of
// what a secret is set to, or of a collection that began on a line before.
func (sn *Snapshot) inSecret(lines []string, at int) bool {
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }
	depth := indent(lines[at])
	for i, first := at-1, true; i >= 0 && depth > 0; i-- {
		line := strings.TrimRight(lines[i], " \t\r")
		if line == "" {
			continue
		}
		if first && strings.ContainsAny(line[len(line)-1:], "{[,") {
			return true
		}
		first = false
		if d := indent(line); d < depth {
			depth = d
			if m := yamlLine.FindStringSubmatch(line); m != nil && sn.schema.Masks(m[1], "x") {
				return true
			}
		}
	}
	return false
}

var (
	suggested = regexp.MustCompile(`did you mean "([^"]+)"\?`)
	readings  = regexp.MustCompile(`the existing system reads ("(?:[^"\\]|\\.)*")`)
	word      = regexp.MustCompile(`[\w.-]+`)
)

// corrected is the line with what the finding proposes; "" where it leaves more
// than one way.
func corrected(f finding.Finding, text, value string) string {
	if m := suggested.FindStringSubmatchIndex(f.Text); m != nil {
		wrong := ""
		for _, w := range word.FindAllString(text, -1) {
			if len(w) > len(wrong) && strings.Contains(f.Text[:m[0]], w) {
				wrong = w
			}
		}
		if wrong != "" {
			return strings.Replace(text, wrong, f.Text[m[2]:m[3]], 1)
		}
	}
	if value == "" {
		return ""
	}
	head := strings.TrimSuffix(text, value)
	switch f.Code {
	case yamlfile.CodeAmbiguous:
		// As it counts now: whoever means the other reading changes the meaning.
		if m := readings.FindStringSubmatch(f.Text); m != nil {
			return head + m[1]
		}
	case yamlfile.CodeTrailingBlanks:
		return strings.TrimRight(text, " ")
	}
	return ""
}
