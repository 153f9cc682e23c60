package yamlfile

import (
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	errorForm  = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	anchorForm = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// maxLocate is the size of a file, in bytes, up to which a syntax error is
// looked for a second time to find its line.
const maxLocate = 4 << 20

// hints say in plain words what the parser's terse messages mean and what to
// do; the first whose key is part of the message applies.
var hints = []struct{ message, text string }{
	{"tab character", "a tab indents this line; YAML allows blanks only"},
	{"cannot start any token", "a value cannot start with this character (a tab, @, ` or %); put the value in quotes"},
	{"mapping values are not allowed", "a colon followed by a blank stands inside a value, or the line is indented wrongly; quote the value or align the line with the one above"},
	{"unexpected end of stream", "a quoted text that starts here is not closed; add the closing quote"},
	{"did not find expected ',' or", "a [ or { is not closed, or a comma is missing"},
	{"could not find expected ':'", "a colon is missing after a key, or a quoted text runs over the line"},
	{"did not find expected key", "a key is expected here; check the indentation and quote values that hold special characters"},
	{"did not find expected '-' indicator", "an item of a list is expected here; align the line with the items above"},
	{"did not find expected node content", "a value is expected here"},
	{"did not find expected comment or line break", "text after | or > at the start of a value; quote the value"},
	{"did not find expected alphabetic or numeric character", "a value cannot start with & or *; put the value in quotes"},
	{"escape", "an escape that YAML does not know in a double-quoted text; use single quotes or double the backslash"},
	{"exceeded max depth", "lists and maps are nested too deep"},
	{"directive", "a line that starts with % is a YAML directive; quote the value or remove the line"},
	{"document start", "text stands where only a new document could start; check the lines above"},
	{"tag", "a word with ! in front is a YAML tag; put the value in quotes"},
}

func (d *document) syntaxError(err error) {
	m := errorForm.FindStringSubmatch(err.Error())
	if m == nil {
		d.errorf(0, 0, CodeSyntax, "the file is not valid YAML; check its last change")
		return
	}
	if a := anchorForm.FindStringSubmatch(m[2]); a != nil {
		line, col := 0, 0
		if i := strings.Index(d.text, "*"+a[1]); i >= 0 {
			line, col = d.place(i)
		}
		d.errorf(line, col, CodeAlias, "there is no anchor of this name above this alias; put a value that starts with * in quotes")
		return
	}
	line, since := 1, 0
	if m[1] != "" {
		line, _ = strconv.Atoi(m[1])
	}
	if strings.Contains(m[2], "did not find expected") && !strings.Contains(m[2], "comment or") && !strings.Contains(m[2], "character") {
		// These name the line above the start of the list or map at fault.
		if m[1] != "" {
			line++
		}
		since, line = line, max(line, d.locate(m[2]))
	}
	if strings.Contains(m[2], "end of stream") && !strings.ContainsAny(d.line(line), `"'`) {
		// For a text that starts in the first line the parser names the end of
		// the file instead.
		line = 1
	}
	if strings.Contains(m[2], "tab character") && !strings.Contains(d.line(line), "\t") && strings.Contains(d.line(line+1), "\t") {
		line++
	}
	last, _ := d.place(len(strings.TrimRight(d.text, " \t\r\n")))
	line = min(max(line, 1), last)
	text := "not valid YAML; check this line and the one above"
	for _, h := range hints {
		if strings.Contains(m[2], h.message) {
			text = h.text
			break
		}
	}
	if indent := d.line(line); strings.Contains(indent[:len(indent)-len(strings.TrimLeft(indent, blanks))], "\t") && strings.Contains(m[2], "cannot start any token") {
		text = hints[0].text
	}
	if since > 0 && since < line {
		text += " (in the list or map that starts in line " + strconv.Itoa(since) + ")"
	}
	if d.expressionLooksBare(line) {
		text = "an expression that starts with !, &, * or | must stand in quotes"
	}
	d.errorf(line, d.tabColumn(line, m[2]), CodeSyntax, "%s", text)
}

var bareExpression = regexp.MustCompile(`^\s*["']?withTags["']?\s*:\s*[!&*|]`)

func (d *document) expressionLooksBare(line int) bool {
	return bareExpression.MatchString(d.line(line))
}

// tabColumn is the place of a tab if the error is about one, else 0: the
// parser names no columns.
func (d *document) tabColumn(line int, message string) int {
	if i := strings.IndexByte(d.line(line), '\t'); i >= 0 && (strings.Contains(message, "tab character") || strings.Contains(message, "cannot start any token")) {
		_, col := d.place(d.lines()[line-1] + i)
		return col
	}
	return 0
}

// locate finds the line of a broken list or map at which the parser fails; the
// parser itself names only where the list or map starts. It parses again, byte
// by byte, to see how far the parser gets, and goes back while the lines up to
// there fail alike without those after them: the parser looks ahead.
func (d *document) locate(message string) int {
	if len(d.text) > maxLocate {
		return 0
	}
	in := &byteReader{text: d.text}
	_ = firstError(in)
	line, _ := d.place(len(strings.TrimRight(d.text[:max(in.at-1, 0)], " \t\r\n")))
	for range maxStepsBack {
		if line < 2 {
			break
		}
		err := firstError(strings.NewReader(d.text[:d.lines()[line-1]]))
		if err == nil || !strings.HasSuffix(err.Error(), message) {
			break
		}
		line--
	}
	return line
}

// maxStepsBack bounds the parses of locate.
const maxStepsBack = 5

// firstError is the error with which a parse of all documents ends, nil if
// none.
func firstError(in io.Reader) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the parser gave up")
		}
	}()
	dec := yaml.NewDecoder(in)
	for {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// byteReader hands out one byte at a time.
type byteReader struct {
	text string
	at   int
}

func (r *byteReader) Read(p []byte) (int, error) {
	if r.at == len(r.text) {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1)], r.text[r.at:])
	r.at += n
	return n, nil
}
