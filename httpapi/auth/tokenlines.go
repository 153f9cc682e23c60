package auth

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// tokenHash marks a field that is the hash of a token in hexadecimal digits.
const tokenHash = "sha256:"

// field is one of a line, and where it begins, in bytes from 1.
type field struct {
	text string
	col  int
}

func fields(line string) (list []field) {
	for at := 0; at < len(line); {
		rest := strings.TrimLeft(line[at:], " \t")
		at = len(line) - len(rest)
		if rest == "" {
			break
		}
		end := strings.IndexAny(rest, " \t")
		if end < 0 {
			end = len(rest)
		}
		list = append(list, field{rest[:end], at + 1})
		at += end
	}
	return list
}

// parseTokens reads a file of tokens: one a line, NAME ROLE TOKEN and perhaps
// the time at which it expires. A line that is wrong counts for nothing and
// takes no other with it. No finding repeats what stands in the file: any field
// may be a token.
func parseTokens(path string, data []byte) (tokens []Token, bad []finding.Finding) {
	report := func(line, col int, code, format string, args ...any) {
		bad = append(bad, finding.Finding{Path: path, Line: line, Col: col, Severity: finding.Error, Code: code, Text: fmt.Sprintf(format, args...)})
	}
	names, hashes := map[string]int{}, map[[len(Token{}.Hash)]byte]int{}
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		number++
		fs := fields(strings.TrimRight(string(line), "\r\n"))
		if len(fs) == 0 || strings.HasPrefix(fs[0].text, "#") {
			continue
		}
		if len(fs) < 3 || len(fs) > 4 {
			report(number, 1, "token-line", "a line has 3 or 4 fields, and this one %d: write NAME ROLE TOKEN [EXPIRES]", len(fs))
			continue
		}
		t := Token{Name: fs[0].text}
		if err := CheckTokenName(t.Name); err != nil {
			report(number, fs[0].col, "token-name", "%s", err)
			continue
		}
		var err error
		if t.Role, err = ParseRole(fs[1].text); err != nil {
			report(number, fs[1].col, "token-role", "%s", err)
			continue
		}
		if t.Hash, err = parseTokenField(fs[2].text); err != nil {
			report(number, fs[2].col, "token-text", "%s", err)
			continue
		}
		if len(fs) == 4 {
			if t.Expires, err = time.Parse(time.RFC3339, fs[3].text); err != nil {
				report(number, fs[3].col, "token-expires", "the time at which the token expires is none: write it as 2030-12-31T23:59:59Z")
				continue
			}
		}
		if first := names[t.Name]; first > 0 {
			report(number, fs[0].col, "token-repeated", "line %d has a token of this name: give each its own", first)
			continue
		}
		if first := hashes[t.Hash]; first > 0 {
			report(number, fs[2].col, "token-repeated", "line %d has the same token: make another one", first)
			continue
		}
		if len(tokens) == MaxTokens {
			report(number, 1, "token-many", "the tokens from here on do not count: a file has at most %d", MaxTokens)
			break
		}
		names[t.Name], hashes[t.Hash] = number, number
		tokens = append(tokens, t)
	}
	return tokens, bad
}

func parseTokenField(text string) (hash [len(Token{}.Hash)]byte, err error) {
	digits, ok := strings.CutPrefix(text, tokenHash)
	switch {
	case !ok && tokenText.MatchString(text):
		return HashToken(text), nil
	case !ok:
		return hash, fmt.Errorf("this is no token: write one as `sluice token create` makes it, or %s and the 64 hexadecimal digits of its hash", tokenHash)
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(hash) {
		return hash, fmt.Errorf("the hash is not %d hexadecimal digits: write what `printf %%s TOKEN | sha256sum` prints", 2*len(hash))
	}
	copy(hash[:], b)
	return hash, nil
}
