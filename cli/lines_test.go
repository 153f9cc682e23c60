package cli

import (
	"slices"
	"strings"
	"testing"
)

// patched applies hunks, and fails where they do not fit.
func patched(t *testing.T, before []string, hs []hunk) []string {
	t.Helper()
	var out []string
	at := 0
	for _, h := range hs {
		out = append(out, before[at:h.before-1]...)
		at = h.before - 1
		if len(out)+1 != h.after {
			t.Errorf("%s: the hunk begins at line %d after the edit", h.header(), len(out)+1)
		}
		if got := before[at : at+len(h.removed)]; !slices.Equal(got, h.removed) {
			t.Errorf("%s removes %q, and there is %q", h.header(), h.removed, got)
		}
		at += len(h.removed)
		out = append(out, h.added...)
	}
	return append(out, before[at:]...)
}

func TestHunks(t *testing.T) {
	for _, c := range []struct{ name, before, after, headers string }{
		{"nothing", "abc", "abc", ""},
		{"a line replaced", "abc", "axc", "@@ -2 +2 @@"},
		{"a line of more lines", "abcd", "axd", "@@ -2,2 +2 @@"},
		{"a line added at the end", "ab", "abc", "@@ -2,0 +3 @@"},
		{"a new file", "", "a", "@@ -0,0 +1 @@"},
		{"the first removed", "abc", "bc", "@@ -1 +0,0 @@"},
		{"several removed", "akbkc", "abc", "@@ -2 +1,0 @@ @@ -4 +2,0 @@"},
		{"equal neighbours removed", "akkb", "ab", "@@ -2,2 +1,0 @@"},
		{"the last left", "kak", "a", "@@ -1 +0,0 @@ @@ -3 +1,0 @@"},
		{"everything", "ab", "", "@@ -1,2 +0,0 @@"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := strings.Split(c.before, ""), strings.Split(c.after, "")
			hs := hunks(before, after)
			var headers []string
			for _, h := range hs {
				headers = append(headers, h.header())
			}
			if got := strings.Join(headers, " "); got != c.headers {
				t.Errorf("headers %q, want %q", got, c.headers)
			}
			if got := patched(t, before, hs); !slices.Equal(got, after) {
				t.Errorf("the hunks give %q, want %q", got, after)
			}
		})
	}
}

// TestLines ends lines where Java does, so that no shown line holds two keys.
func TestLines(t *testing.T) {
	for text, want := range map[string][]string{
		"":                  nil,
		"a":                 {"a"},
		"a\n":               {"a"},
		"a\r\nb\r\n":        {"a", "b"},
		"a=1\rpassword=x\r": {"a=1", "password=x"},
		"a\n\nb":            {"a", "", "b"},
	} {
		if got := lines([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("lines(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"Größe 日本 a\tb": "Größe 日本 a\tb",
		"\x1b[31m":      `\x1b[31m`,
		"a\nb":          `a\nb`,
		"\u009b\u202e":  `\u009b\u202e`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}
