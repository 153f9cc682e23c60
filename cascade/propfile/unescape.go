package propfile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// escapeLen is the length of \uXXXX.
const escapeLen = 6

// unescape reads l.text[from:to] as Java's loadConvert does and reports what
// is wrong with it. A pair of surrogates becomes one character, a lone one
// U+FFFD, since neither UTF-8 nor JSON can carry it.
func (p *parser) unescape(l *logicalLine, from, to int) string {
	raw := l.text[from:to]
	slash := strings.IndexByte(raw, '\\')
	if slash < 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for at := 0; at < len(raw); {
		if slash < 0 {
			out = append(out, raw[at:]...)
			break
		}
		out = append(out, raw[at:at+slash]...)
		at += slash
		r, n, problem := readEscape(raw[at:])
		switch problem {
		case codeBadEscape:
			line, col := p.lines.locate(l, from+at)
			p.fail(line, col, problem, `\u must be followed by four hexadecimal digits; `+
				`write \\u for a backslash and a u, as in Windows paths`)
			return ""
		case codeControlCharacter:
			line, col := p.lines.locate(l, from+at)
			p.fail(line, col, problem, fmt.Sprintf(
				"the escape means the control character %s, which no value may hold; remove it", quoteRune(r)))
			return ""
		case codeLoneSurrogate:
			if !p.warnable() {
				break
			}
			line, col := p.lines.locate(l, from+at)
			p.warn(line, col, problem, fmt.Sprintf(
				"%s is half of a surrogate pair and is read as U+FFFD; write both halves, or the character itself",
				raw[at:at+escapeLen]))
		}
		if n == 2*escapeLen {
			l.pairs = true
		}
		out = utf8.AppendRune(out, r)
		at += n
		slash = strings.IndexByte(raw[at:], '\\')
	}
	return string(out)
}

// Unescape reads a text that is escaped like a value of a file, as the
// databases of the existing system hold them: a backslash at the end is
// dropped, half of a surrogate pair is U+FFFD. It returns false if \u is not
// followed by four hexadecimal digits, which Java cannot read either. Unlike in
// files, control characters are text.
func Unescape(s string) (string, bool) {
	slash := strings.IndexByte(s, '\\')
	if slash < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for ; slash >= 0; slash = strings.IndexByte(s, '\\') {
		out = append(out, s[:slash]...)
		if s = s[slash:]; len(s) == 1 {
			return string(out), true
		}
		r, n, problem := readEscape(s)
		if problem == codeBadEscape {
			return "", false
		}
		out = utf8.AppendRune(out, r)
		s = s[n:]
	}
	return string(append(out, s...)), true
}

// readEscape reads the escape at the start of s, which begins with a backslash
// that something follows. problem is a finding's code, or "".
func readEscape(s string) (r rune, n int, problem string) {
	switch s[1] {
	case 't':
		return '\t', 2, ""
	case 'n':
		return '\n', 2, ""
	case 'r':
		return '\r', 2, ""
	case 'f':
		return '\f', 2, ""
	case 'u':
		r, ok := readUnicodeEscape(s)
		if !ok {
			return 0, 2, codeBadEscape
		}
		if isControl(r) {
			return r, escapeLen, codeControlCharacter
		}
		if !utf16.IsSurrogate(r) {
			return r, escapeLen, ""
		}
		if low, ok := readUnicodeEscape(s[escapeLen:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 2 * escapeLen, ""
			}
		}
		return utf8.RuneError, escapeLen, codeLoneSurrogate
	}
	r, n = utf8.DecodeRuneInString(s[1:])
	return r, n + 1, ""
}

func readUnicodeEscape(s string) (r rune, ok bool) {
	if len(s) < escapeLen || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(s[2:escapeLen]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// oddInKeys are printable characters that no key of the platform uses and that
// JSON, shell scripts and misplaced tokens bring along.
const oddInKeys = "{}\"'`$;<>()|&"

// oddCharacters names the characters of a key that a reader cannot see, or
// takes for others: anything but printable ASCII, and oddInKeys. A homoglyph
// makes a property that looks right and has no effect.
func oddCharacters(key string) string {
	plain := true
	for i := range len(key) {
		plain = plain && !isOdd(rune(key[i]))
	}
	if plain {
		return ""
	}
	const shown = 5 // enough to recognise the script
	var names []string
	seen := map[rune]bool{}
	for _, r := range key {
		if !isOdd(r) || seen[r] {
			continue
		}
		seen[r] = true
		if len(names) == shown {
			names = append(names, "others")
			break
		}
		name := quoteRune(r)
		if unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			name += " '" + string(r) + "'"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func isOdd(r rune) bool {
	return r < ' ' || r >= 0x7f || odd[r]
}

var odd = func() (table [0x7f]bool) {
	for _, r := range oddInKeys {
		table[r] = true
	}
	return table
}()
