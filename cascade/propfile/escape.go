package propfile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// escaper writes keys and values so that Parse reads them back, and otherwise
// as plainly as it can.
type escaper struct {
	latin1     bool // the file holds characters up to U+00FF only
	ascii      bool // write all others as \uXXXX
	afterBlank bool // a blank is the separator: a leading = or : would become one
}

func (e escaper) key(key string) string {
	var b strings.Builder
	for i, r := range key {
		switch r {
		case ' ', '=', ':':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '#', '!':
			if i == 0 {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		default:
			e.char(&b, r)
		}
	}
	return b.String()
}

func (e escaper) value(value string) string {
	var b strings.Builder
	for i, r := range value {
		if i == 0 && e.afterBlank && (r == '=' || r == ':') {
			b.WriteByte('\\')
		}
		e.char(&b, r)
	}
	return b.String()
}

func (e escaper) char(b *strings.Builder, r rune) {
	switch {
	case r == '\\':
		b.WriteString(`\\`)
	case r == '\t':
		b.WriteString(`\t`)
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\f':
		b.WriteString(`\f`)
	case r == '\r':
		b.WriteString(`\r`)
	case r < 0x7f:
		b.WriteRune(r)
	case e.ascii, e.latin1 && r > 0xff, unseen(r):
		if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
			fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
		} else {
			fmt.Fprintf(b, `\u%04x`, r)
		}
	default:
		b.WriteRune(r)
	}
}

// unseen tells the characters that an editor shows as nothing, as a blank, or
// out of order. A byte order mark is one of them, and would be stripped at the
// start of a file.
func unseen(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.IsControl(r) || unicode.IsSpace(r)
}
