package propfile

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
)

// What is legal to Java, and hardly ever meant: lines of other kinds of files,
// keys that a colon has cut, and values that go on where they should have ended.

// aKey is a property's name as the existing platform writes them: of several
// parts.
const aKey = `[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){2,}`

var (
	// swallowed is a natural line that looks like an entry of its own.
	swallowed = regexp.MustCompile(`^[ \t\f]*` + aKey + `[ \t]*=`)
	// cutRest is what stands behind a colon that has cut a key.
	cutRest = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]*[ \t]*=`)
	longKey = regexp.MustCompile(`^` + aKey + `$`)
	section = regexp.MustCompile(`^\[[A-Za-z0-9_. -]+\]$`)
)

// mistakes warns of an entry that is probably not what its writer meant.
func (p *parser) mistakes(l *logicalLine, key, value string) {
	keyEnd, _, _ := l.split()
	warn := func(code, format string, args ...any) {
		if p.warnable() {
			p.warn(l.keyLine, p.lines.column(l.keyAt), code, fmt.Sprintf(format, args...))
		}
	}
	switch {
	case key == "export" && strings.Contains(value, "="):
		name, _, _ := strings.Cut(value, "=")
		warn(codeOtherSyntax, "this sets a property called export, not %s: leave out export", finding.Quote(trim(name)))
		return
	case value == "" && section.MatchString(key):
		warn(codeOtherSyntax, "%s begins no section, it is a property without a value: properties files have no sections, remove the line", finding.Quote(key))
		return
	case key == "-" && value != "":
		warn(codeOtherSyntax, "this sets a property called -, it is no item of a list: write key=value, with commas between values")
		return
	}
	if keyEnd < len(l.text) && l.text[keyEnd] == ':' && longKey.MatchString(key) && cutRest.MatchString(value) {
		// What follows may be a secret, and is not repeated.
		warn(codeCutKey, `the colon ends the key %s, and what follows is its value, with an = in it: where the colon belongs to the key, write \:`, finding.Quote(key))
	}
	if key, line := p.swallowed(l); key != "" {
		warn(codeSwallowedLine, "the backslash at the end of line %d makes the next line, which begins with %s, a part of this value: remove the backslash", line, finding.Quote(key))
	}
}

// swallowed finds a continuation line that looks like an entry, and the line
// before it.
func (p *parser) swallowed(l *logicalLine) (key string, line int) {
	written := p.lines.src.text[l.start:l.end]
	if strings.IndexByte(written, '\\') < 0 {
		return "", 0
	}
	for i, natural := range strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(written), "\n") {
		if at := l.keyLine + i; i > 0 && swallowed.MatchString(natural) {
			name, _, _ := strings.Cut(natural, "=")
			return trim(name), at - 1
		}
	}
	return "", 0
}
