// Package propfile reads and edits Java properties files.
//
// # Rules
//
// A file means what java.util.Properties.load(Reader) makes of its text, with
// keys and values then trimmed of all characters up to U+0020, as the
// middleware does. Text is UTF-8; a file that is not valid UTF-8 is read as
// ISO-8859-1, with a warning. Stricter than Java, on purpose: control
// characters, empty keys, conflict markers, web pages and sizes over the
// limits below are file errors, because each of them is a broken deployment
// that Java would serve in silence.
//
// # How
//
// The text is parsed by github.com/magiconair/properties. A scan before it
// numbers and checks the lines, and writes each entry on one line in the form
// that the library reads as Java would; afterwards both readings must agree.
//
// Tokens such as {{env NAME}} are plain text here.
package propfile

import (
	"fmt"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Limits. Over one of them is a file error that names the limit.
const (
	// MaxFileBytes is the size of a file. The largest file of the existing
	// product is below 100 KiB; 4 MiB still parses in well under a second.
	MaxFileBytes = 4 << 20

	// MaxKeys is the number of entries of a file, duplicates included: above
	// it a generated file went wrong, and each key costs memory for good.
	MaxKeys = 100_000

	// MaxKeyBytes is the length of a key in UTF-8: keys become index entries,
	// log fields and URL paths.
	MaxKeyBytes = 512

	// MaxValueBytes is the length of a value in UTF-8. It is the bus payload
	// limit, the smallest pipe that a value must fit through.
	MaxValueBytes = 256 << 10

	// MaxLineBytes is the length of a line in bytes of the file, both as
	// written and with its continuation lines joined (without line ends,
	// joining backslashes and indentation). It keeps a file without line ends
	// from becoming one key.
	MaxLineBytes = 256 << 10

	// MaxErrors and MaxWarnings bound the findings of one file, so that a
	// wrong file cannot flood the log; the first few name the cause.
	MaxErrors   = 20
	MaxWarnings = 100
)

// Entry is one key of a file with its value, both unescaped and trimmed of all
// characters up to U+0020 at both ends. Key is never empty; both are valid
// UTF-8. Line is the line of the key's first character, from 1; lines end in
// LF, CR or CRLF.
type Entry struct {
	Key, Value string
	Line       int
}

// File is what a file says. Entries holds every occurrence of every key in the
// order of the file: the last one of a key counts. Latin1 tells that the file
// was read as ISO-8859-1.
type File struct {
	Entries []Entry
	Latin1  bool
}

// Codes of the findings. They are stable: scripts and the status page match
// on them.
const (
	codeBadEscape         = "bad-escape"
	codeConflictMarker    = "conflict-marker"
	codeCutKey            = "cut-key"
	codeControlCharacter  = "control-character"
	codeEmptyKey          = "empty-key"
	codeEncoding          = "encoding"
	codeHTML              = "html"
	codeDisagreement      = "internal-disagreement"
	codeKeyTooLong        = "key-too-long"
	codeLineTooLong       = "line-too-long"
	codeLoneSurrogate     = "lone-surrogate"
	codeMoreWarnings      = "more-warnings"
	codeOtherSyntax       = "other-syntax"
	codeSuspiciousKey     = "suspicious-key"
	codeSwallowedLine     = "swallowed-line"
	codeTooLarge          = "too-large"
	codeTooManyKeys       = "too-many-keys"
	codeTrailingBackslash = "trailing-backslash"
	codeValueTooLong      = "value-too-long"
)

// Parse reads a properties file; path only names it in findings. A nil File
// means a file error: nothing of the file counts, and at least one finding is
// an Error. Otherwise all findings are Warnings. Findings come as
// finding.Sort orders them, at most MaxErrors errors and MaxWarnings+1
// warnings.
func Parse(path string, data []byte) (*File, []finding.Finding) {
	rep := &report{path: path}
	file := parse(rep, data, false)
	rep.closeWarnings()
	finding.Sort(rep.findings)
	if rep.errors > 0 {
		return nil, rep.findings
	}
	return file, rep.findings
}

// parse asks the library where ask says so, or the text is not unambiguous.
func parse(rep *report, data []byte, ask bool) *File {
	src, ok := decode(rep, data)
	if !ok {
		return nil
	}
	p := &parser{
		report: rep,
		lines:  newLineScanner(src, rep),
		plain:  !ask && unambiguous(src.text),
	}
	if n := min(strings.Count(src.text, "="), MaxKeys); n > 0 {
		p.entries = make([]Entry, 0, n)
		if !p.plain {
			p.raw = make([]rawEntry, 0, n)
		}
	}
	p.readAll()
	if rep.errors == 0 && !p.plain {
		p.askLibrary()
	}
	return &File{Entries: p.entries, Latin1: src.latin1}
}

// parser turns logical lines into entries and, in the same pass, into the text
// for the library.
type parser struct {
	*report
	lines    lineScanner
	entries  []Entry
	raw      []rawEntry // the entries before trimming
	prepared []byte
	plain    bool // the library is not asked
}

type rawEntry struct{ key, value string }

func (p *parser) readAll() {
	var l logicalLine
	for p.lines.next(&l) {
		if len(p.entries) >= MaxKeys {
			p.fail(l.keyLine, 1, codeTooManyKeys, fmt.Sprintf(
				"more than %d keys; split the file", MaxKeys))
			return
		}
		if p.entry(&l) && !p.plain {
			p.prepare(&l)
		}
		if p.full() {
			return
		}
	}
}

// entry reads one logical line and reports whether it is free of errors.
func (p *parser) entry(l *logicalLine) bool {
	keyEnd, valueStart, _ := l.split()
	before := p.errors
	rawKey := p.unescape(l, 0, keyEnd)
	rawValue := p.unescape(l, valueStart, len(l.text))
	if p.errors > before {
		return false
	}
	key, value := trim(rawKey), trim(rawValue)
	if key == "" {
		text := "the line has no key before its separator; write key=value, or put # in front of a comment"
		if l.text == "" {
			text = "a backslash alone at the end of the file is an entry without a key; remove it"
		}
		p.fail(l.keyLine, p.lines.column(l.keyAt), codeEmptyKey, text)
		return false
	}
	if len(key) > MaxKeyBytes {
		p.fail(l.keyLine, p.lines.column(l.keyAt), codeKeyTooLong, fmt.Sprintf(
			"the key has %d bytes, the limit is %d; is a separator missing?", len(key), MaxKeyBytes))
	}
	if len(value) > MaxValueBytes {
		p.fail(l.keyLine, 1, codeValueTooLong, fmt.Sprintf(
			"the value of %s has %d bytes, the limit is %d; shorten it",
			finding.Quote(key), len(value), MaxValueBytes))
	}
	if p.errors > before {
		return false
	}
	if odd := oddCharacters(key); odd != "" && p.warnable() {
		p.warn(l.keyLine, p.lines.column(l.keyAt), codeSuspiciousKey, fmt.Sprintf(
			"the key %s contains %s; is that meant?", finding.Quote(key), odd))
	}
	p.mistakes(l, key, value)
	if !p.plain {
		p.raw = append(p.raw, rawEntry{rawKey, rawValue})
	}
	p.entries = append(p.entries, Entry{Key: key, Value: value, Line: l.keyLine})
	return true
}

// trim is Java's String.trim.
func trim(s string) string {
	for s != "" && s[0] <= ' ' {
		s = s[1:]
	}
	for s != "" && s[len(s)-1] <= ' ' {
		s = s[:len(s)-1]
	}
	return s
}

// report collects the findings of one file.
type report struct {
	path             string
	findings         []finding.Finding
	errors, warnings int
}

func (r *report) fail(line, col int, code, text string) {
	if r.full() {
		return
	}
	r.errors++
	r.findings = append(r.findings, finding.Finding{
		Path: r.path, Line: line, Col: col, Severity: finding.Error, Code: code, Text: text,
	})
}

func (r *report) warn(line, col int, code, text string) {
	r.warnings++
	if r.warnings > MaxWarnings {
		return
	}
	r.findings = append(r.findings, finding.Finding{
		Path: r.path, Line: line, Col: col, Severity: finding.Warning, Code: code, Text: text,
	})
}

// warnable counts a warning and reports whether it will be shown: finding the
// place of one costs a walk over its line.
func (r *report) warnable() bool {
	if r.warnings < MaxWarnings {
		return true
	}
	r.warnings++
	return false
}

// closeWarnings says how many warnings the limit has hidden.
func (r *report) closeWarnings() {
	if hidden := r.warnings - MaxWarnings; hidden > 0 {
		r.findings = append(r.findings, finding.Finding{
			Path: r.path, Severity: finding.Warning, Code: codeMoreWarnings,
			Text: fmt.Sprintf("the file has %d more warnings, which are not shown; start with the others", hidden),
		})
	}
}

func (r *report) full() bool { return r.errors >= MaxErrors }

// quoteRune names a character for people who cannot see it.
func quoteRune(r rune) string {
	return fmt.Sprintf("%U", r)
}
