package tables

import "strings"

// The two bits beside every stored value, so that a boolean is resolved
// without touching its text.
const (
	BitTrue  = 1
	BitFalse = 2
	bitsMask = 3
)

// BoolBits reads a boolean; 0 is neither.
func BoolBits(raw string) uint32 {
	v := Trim(raw)
	switch {
	case len(v) == 4 && strings.EqualFold(v, "true"):
		return BitTrue
	case len(v) == 5 && strings.EqualFold(v, "false"):
		return BitFalse
	}
	return 0
}

// Trim drops what Java's String.trim drops: every character up to U+0020.
func Trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}
