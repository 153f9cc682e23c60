package tagexpr

import (
	"fmt"
	"strings"
	"unicode"
)

// The space-like characters that Java does not count as white space. In the
// existing system they are part of the tag next to them, so they are here.
const (
	nextLine       = '\u0085'
	noBreakSpace   = '\u00a0'
	figureSpace    = '\u2007'
	narrowNoBreak  = '\u202f'
	maxShownTag    = 64 // characters of one tag in a sentence, so that it stays a sentence
	operatorsOfTag = "&|!()"
)

func isSpace(r rune) bool {
	switch r {
	case nextLine, noBreakSpace, figureSpace, narrowNoBreak:
		return false
	}
	return unicode.IsSpace(r)
}

func isTagChar(r rune) bool {
	return !isSpace(r) && !strings.ContainsRune(operatorsOfTag, r)
}

// ValidTag reports whether text is one legal tag: not empty, no white space,
// no operator, no bracket, no control character, valid UTF-8.
func ValidTag(text string) bool {
	e, err := Parse(text)
	return err == nil && e.tree.op == opTag && e.tree.tag == text
}

// Suspicious reports whether a tag holds characters that a reader cannot see:
// zero-width, bidirectional and other unprintable ones, and odd spaces. Such a
// tag looks like another one and never matches it.
func Suspicious(tag string) bool {
	return strings.ContainsFunc(tag, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Show renders a tag for people: characters that cannot be seen as escaped
// code points (such as \u200b), long tags cut.
func Show(tag string) string {
	var b strings.Builder
	n := 0
	for _, r := range tag {
		if n++; n > maxShownTag {
			b.WriteString("…")
			break
		}
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}
