package auth

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseTokens(t *testing.T) {
	text := NewTokenText()
	hash := HashToken(text)
	hashed := "sha256:" + hex.EncodeToString(hash[:])
	other := NewTokenText()
	for _, c := range []struct {
		name, file string
		tokens     string   // NAME ROLE EXPIRES, joined
		bad        []string // file:line:col and code
	}{
		{"plain and hashed", "a viewer " + text + "\nb editor sha256:" + strings.Repeat("Ab", 32) + "\n", "a viewer|b editor", nil},
		{"expires", "a operator " + hashed + "\t2030-12-31T23:59:59+01:00", "a operator 2030-12-31T22:59:59Z", nil},
		{"comments and blanks", "\ufeff# a viewer x\n\n  # b\n \t a\tviewer  " + text + " \r\n", "a viewer", nil},
		{"empty", "", "", nil},
		{"too few fields", "a viewer\na viewer " + text, "a viewer", []string{"f:1:1 token-line"}},
		{"too many fields", "a viewer " + text + " 2030-12-31T23:59:59Z # mine", "", []string{"f:1:1 token-line"}},
		{"role", "a admin " + text, "", []string{"f:1:3 token-role"}},
		{"role in capitals", "a Viewer " + text, "", []string{"f:1:3 token-role"}},
		{"columns exchanged", text + " viewer a", "", []string{"f:1:1 token-name"}},
		{"columns exchanged again", "a " + text + " viewer", "", []string{"f:1:3 token-role"}},
		{
			"name", "a:b viewer " + text + "\n-a viewer " + text + "\n\u00e4 viewer " + text, "",
			[]string{"f:1:1 token-name", "f:2:1 token-name", "f:3:1 token-name"},
		},
		{"short token", "  a viewer " + text[:46], "", []string{"f:1:12 token-text"}},
		{"a password", "a viewer hunter2", "", []string{"f:1:10 token-text"}},
		{"short hash", "a viewer " + hashed[:70], "", []string{"f:1:10 token-text"}},
		{"no hash", "a viewer sha256:" + strings.Repeat("x", 64), "", []string{"f:1:10 token-text"}},
		{"hash in capitals", "a viewer SHA256:" + hashed[7:], "", []string{"f:1:10 token-text"}},
		{"time", "a viewer " + text + " tomorrow", "", []string{"f:1:58 token-expires"}},
		{"name twice", "a viewer " + text + "\na editor " + other, "a viewer", []string{"f:2:1 token-repeated"}},
		{"token twice", "a viewer " + text + "\nb editor " + hashed, "a viewer", []string{"f:2:10 token-repeated"}},
		{"NUL", "a\x00 viewer " + text, "", []string{"f:1:1 token-name"}},
		{"no UTF-8", "\xff viewer " + text, "", []string{"f:1:1 token-name"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokens, bad := parseTokens("f", []byte(c.file))
			var got, where []string
			for _, tok := range tokens {
				line := tok.Name + " " + tok.Role.String()
				if !tok.Expires.IsZero() {
					line += " " + tok.Expires.UTC().Format(time.RFC3339)
				}
				got = append(got, line)
			}
			for _, b := range bad {
				where = append(where, fmt.Sprintf("%s:%d:%d %s", b.Path, b.Line, b.Col, b.Code))
			}
			if strings.Join(got, "|") != c.tokens || strings.Join(where, "|") != strings.Join(c.bad, "|") {
				t.Errorf("tokens %q, findings %q", got, where)
			}
		})
	}
	if tokens, _ := parseTokens("f", []byte("a viewer "+text)); tokens[0].Hash != hash {
		t.Error("the hash of a token is another one than that of its text")
	}
}

func TestParseManyTokens(t *testing.T) {
	var b strings.Builder
	for i := range MaxTokens + 5 {
		fmt.Fprintf(&b, "t%d viewer %s\n", i, NewTokenText())
	}
	if b.Len() > MaxTokenFile {
		t.Errorf("%d tokens have %d bytes, and a file may have %d", MaxTokens, b.Len(), MaxTokenFile)
	}
	tokens, bad := parseTokens("f", []byte(b.String()))
	if len(tokens) != MaxTokens || len(bad) != 1 || bad[0].Line != MaxTokens+1 || bad[0].Code != "token-many" {
		t.Errorf("%d tokens, %v", len(tokens), bad)
	}
}

// FuzzTokenFile: whatever a file holds, each line is a token, nothing, or one
// finding that does not repeat it, and a good line beside it counts.
func FuzzTokenFile(f *testing.F) {
	text := NewTokenText()
	f.Add([]byte("a viewer " + text + "\n"))
	f.Add([]byte("a editor sha256:" + strings.Repeat("0", 64) + " 2030-12-31T23:59:59Z\r\n# x\n"))
	f.Add([]byte(text + " viewer a\n\xff\x00\t\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tokens, bad := parseTokens("f", data)
		lines := strings.Count(string(data), "\n") + 1
		if len(tokens)+len(bad) > lines {
			t.Fatalf("%d tokens and %d findings in %d lines", len(tokens), len(bad), lines)
		}
		for _, tok := range tokens {
			if CheckTokenName(tok.Name) != nil || tok.Role < Viewer || tok.Role > Editor {
				t.Fatalf("token %+v", tok)
			}
		}
		for _, b := range bad {
			if b.Line < 1 || b.Line > lines || b.Col < 1 || strings.ContainsAny(b.Text, "\n\r\x00") || strings.Contains(b.Text, text) {
				t.Fatalf("finding %s", b)
			}
		}
		if len(tokens) > MaxTokens-1 {
			return
		}
		const name = "the-neighbour"
		more, _ := parseTokens("f", []byte(name+" viewer "+text+"\n"+string(data)))
		if len(more) == 0 || more[0].Name != name {
			t.Fatalf("a good line does not count: %v", more)
		}
	})
}
