package yamlfile

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Placeholders stand for tokens while the file is parsed: a letter that the
// file does not use, four letters that number the token, and as many more as
// make it as long as the token, so that every column stays what it was.
const (
	placeholderDigits = 4 // the shortest token, {{A}}, has five characters
	placeholderBase   = 'z' - 'a' + 1
	placeholderFill   = 'x'
	// maxTokens is what the digits can number; a file of MaxFile bytes holds
	// fewer.
	maxTokens = placeholderBase * placeholderBase * placeholderBase * placeholderBase
)

// markerRanges are letters that configuration files hardly ever hold. A
// hostile file can use up the first range, but not both within MaxFile bytes
// (the second needs 170 KiB, and no \U escape of it).
var markerRanges = [][2]rune{{0xa000, 0xa48c}, {0x20000, 0x2a6df}}

// mask is the text of a file with its tokens replaced by placeholders.
type mask struct {
	text   string
	marker rune
	tokens []string
}

// maskTokens replaces the tokens of a text; a token lies within one line. It
// fails if the text uses every letter that could mark a placeholder.
func maskTokens(text string) (mask, bool) {
	if !HasToken(text) {
		return mask{text: text}, true
	}
	marker, ok := freeLetter(text)
	if !ok {
		return mask{}, false
	}
	m := mask{marker: marker}
	var b strings.Builder
	b.Grow(len(text))
	for line := range strings.Lines(text) {
		done := 0
		eachToken(line, func(t token) bool {
			if len(m.tokens) == maxTokens {
				return false
			}
			b.WriteString(line[done:t.start])
			m.placeholder(&b, line[t.start:t.end])
			done = t.end
			return true
		})
		b.WriteString(line[done:])
	}
	m.text = b.String()
	return m, true
}

func (m *mask) placeholder(b *strings.Builder, raw string) {
	b.WriteRune(m.marker)
	n := len(m.tokens)
	for range placeholderDigits {
		b.WriteByte(byte('a' + n%placeholderBase))
		n /= placeholderBase
	}
	for range utf8.RuneCountInString(raw) - 1 - placeholderDigits {
		b.WriteByte(placeholderFill)
	}
	m.tokens = append(m.tokens, raw)
}

// restore puts the tokens back into a part of the masked text.
func (m *mask) restore(s string) string {
	if len(m.tokens) == 0 || !strings.ContainsRune(s, m.marker) {
		return s
	}
	var b strings.Builder
	for {
		i := strings.IndexRune(s, m.marker)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		raw, size := m.read(s[i:])
		b.WriteString(raw)
		s = s[i+size:]
	}
}

// read returns the token whose placeholder s starts with, and the length of
// the placeholder. Anything else that starts with the marker stands for itself.
func (m *mask) read(s string) (string, int) {
	size := utf8.RuneLen(m.marker)
	if len(s) < size+placeholderDigits {
		return s[:size], size
	}
	n := 0
	for i := placeholderDigits - 1; i >= 0; i-- {
		n = n*placeholderBase + int(s[size+i]) - 'a'
	}
	if n < 0 || n >= len(m.tokens) {
		return s[:size], size
	}
	raw := m.tokens[n]
	return raw, min(len(s), size+utf8.RuneCountInString(raw)-1)
}

// freeLetter finds a letter that occurs neither as such nor as an escape in a
// quoted scalar.
func freeLetter(text string) (rune, bool) {
	used := map[rune]bool{}
	for i, r := range text {
		if r >= markerRanges[0][0] {
			used[r] = true
		}
		if r == '\\' {
			used[escaped(text[i+1:])] = true
		}
	}
	for _, span := range markerRanges {
		for r := span[0]; r <= span[1]; r++ {
			if !used[r] {
				return r, true
			}
		}
	}
	return 0, false
}

// escaped reads what follows a backslash as uXXXX or UXXXXXXXX.
func escaped(s string) rune {
	digits := 0
	switch {
	case strings.HasPrefix(s, "u"):
		digits = 4
	case strings.HasPrefix(s, "U"):
		digits = 8
	}
	if digits == 0 || len(s) <= digits {
		return 0
	}
	n, err := strconv.ParseUint(s[1:1+digits], 16, 31)
	if err != nil {
		return 0
	}
	return rune(n)
}
