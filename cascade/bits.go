package cascade

import "strings"

// The two bits beside every stored value, so that a boolean is resolved
// without touching its text.
const (
	bitTrue  = 1
	bitFalse = 2
	bitsMask = 3
)

// boolBits reads a boolean; 0 is neither.
func boolBits(raw string) uint32 {
	v := trim(raw)
	switch {
	case len(v) == 4 && strings.EqualFold(v, "true"):
		return bitTrue
	case len(v) == 5 && strings.EqualFold(v, "false"):
		return bitFalse
	}
	return 0
}

// trim drops what Java's String.trim drops: every character up to U+0020.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}
