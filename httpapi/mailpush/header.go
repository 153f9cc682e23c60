package mailpush

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
)

// encodedWord is one of RFC 2047, with the language of RFC 2231, as lenient as
// mail programs are: blanks in the text are taken for the text's own.
var encodedWord = regexp.MustCompile(`=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=`)

// between is what RFC 2047 drops between two encoded words.
var between = regexp.MustCompile(`^[ \t\r\n]*$`)

// DecodeHeader returns what a person reads of a raw header value: encoded words
// decoded, also where a character is split over two of them (which RFC 2047
// forbids and mail programs send), folds as blanks, control characters gone.
// Text in a charset that is unknown, or that it is not in, is read as UTF-8
// where it is valid, else as Windows-1252. The result is valid UTF-8.
func DecodeHeader(raw string) string {
	var out strings.Builder
	var word []byte // bytes of adjacent words of one charset
	label := ""
	flush := func() {
		out.WriteString(decodeCharset(label, word))
		word = nil
	}
	rest := raw
	for {
		m := encodedWord.FindStringSubmatchIndex(rest)
		if m == nil {
			break
		}
		text, name := rest[:m[0]], strings.ToLower(rest[m[2]:m[3]])
		b, ok := decodeWord(rest[m[4]:m[5]], rest[m[6]:m[7]])
		if !ok {
			b, name = []byte(rest[m[0]:m[1]]), "utf-8" // as it stands
		}
		if word == nil || !between.MatchString(text) {
			flush()
			out.WriteString(text)
		} else if name != label {
			flush()
		}
		word, label = append(word, b...), name
		rest = rest[m[1]:]
	}
	flush()
	out.WriteString(rest)
	return clean(out.String())
}

// decodeWord undoes the transfer encoding of a word.
func decodeWord(encoding, text string) ([]byte, bool) {
	if encoding == "b" || encoding == "B" {
		text = strings.TrimRight(strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, text), "=")
		b, err := base64.RawStdEncoding.DecodeString(text)
		return b, err == nil
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			b = append(b, ' ')
		case c == '=' && i+2 < len(text) && hex(text[i+1]) >= 0 && hex(text[i+2]) >= 0:
			b = append(b, byte(hex(text[i+1])<<4|hex(text[i+2])))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b, true
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// decodeCharset reads bytes as text.
func decodeCharset(label string, b []byte) string {
	if len(b) == 0 {
		return ""
	}
	switch label {
	case "utf-8", "utf8", "us-ascii", "ascii":
		if utf8.Valid(b) {
			return string(b)
		}
	default:
		if r, err := charset.Reader(label, bytes.NewReader(b)); err == nil {
			if s, err := io.ReadAll(r); err == nil && (!bytes.ContainsRune(s, utf8.RuneError) || !utf8.Valid(b)) {
				return string(s)
			}
		}
		if utf8.Valid(b) {
			return string(b)
		}
	}
	r, err := charset.Reader("windows-1252", bytes.NewReader(b))
	if err == nil {
		if s, err := io.ReadAll(r); err == nil {
			return string(s)
		}
	}
	return strings.ToValidUTF8(string(b), string(utf8.RuneError))
}

// clean undoes folding and takes control characters out: a fold and a tab are a
// blank each.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r == '\n':
			return -1 // the blank that follows a fold stays
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	return strings.TrimSpace(s)
}

// escaped stands for the beginning of an encoded word while the addresses are
// told apart: their parser would decode each word by itself.
const escaped = "\ue000?"

// ParseFrom returns the first mailbox of a raw From header. Where there is none
// that can be read, the address is the whole header as a person reads it.
func ParseFrom(raw string) (address, name string) {
	masked := strings.ReplaceAll(strings.ReplaceAll(raw, "\n", ""), "=?", escaped)
	list, err := (&mail.AddressParser{}).ParseList(strings.ReplaceAll(masked, "\r", ""))
	if err != nil || len(list) == 0 {
		return DecodeHeader(raw), ""
	}
	unmask := func(s string) string { return DecodeHeader(strings.ReplaceAll(s, escaped, "=?")) }
	return unmask(list[0].Address), unmask(list[0].Name)
}

// Cut shortens s to at most limit bytes at the boundary of a character.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
