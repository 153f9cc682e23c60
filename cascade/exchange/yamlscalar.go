package exchange

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxSimpleKey is the length of a key in characters up to which it stands in
// front of its colon; YAML allows 1024, and a longer one is written with `? `.
const maxSimpleKey = 512

// notText are the words that YAML 1.1 takes for something else, in lower case.
var notText = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

// plain tells a text that needs no quotes, to any YAML, in any place.
func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && !strings.ContainsRune("._-/", rune(c))) {
			return false
		}
	}
	return s != "" && !slices.Contains(notText, strings.ToLower(s))
}

// scalar writes a text that is valid UTF-8.
func scalar(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + len(`""`))
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
