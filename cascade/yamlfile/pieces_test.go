package yamlfile

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// large is a directory file above wholeBelow, with something put at the end of some
// contexts.
func large(indent string, odd func(context int) string) string {
	var b strings.Builder
	b.WriteString("# a directory\n\ncontexts: \n")
	for c := 1; b.Len() < wholeBelow+pieceBytes; c++ {
		fmt.Fprintf(&b, "%s- id: %d\n%[1]s  name: it's \"%[2]d\" é\n%[1]s  tags: [webmail, de]\n%[1]s  users:\n", indent, c)
		for u := range 4 {
			fmt.Fprintf(&b, "%s  - id: %d\n%[1]s    displayName: 'O''Brien %[2]d'\n%[1]s    mail: [a%[2]d@example.com]\n%[1]s    config:\n%[1]s      com.example.a: |\n%[1]s        - id: 1\n%[1]s        # none\n", indent, u+1)
		}
		b.WriteString(odd(c))
	}
	return b.String()
}

// What is read in pieces is what is read at once, with its lines and warnings; what
// cannot be is read at once.
func TestPieces(t *testing.T) {
	at := func(n int, text string) func(int) string {
		return func(c int) string {
			if c == n {
				return text
			}
			return ""
		}
	}
	for _, c := range []struct {
		name, indent string
		odd          func(int) string
		pieces       bool
	}{
		{"usual", "  ", at(0, ""), true},
		{"dashes in the first column", "", at(0, ""), true},
		{"a warning", "  ", func(c int) string { return fmt.Sprintf("    config: {com.example.n: 0%d}\n", c) }, true},
		{"comments between", "  ", at(40, "# comment\n\n  # another\n"), true},
		{"no id", "  ", at(40, "  - name: x\n"), false},
		{"an id twice, far away", "  ", at(60, "  - id: 1\n"), false},
		{"a bad id", "  ", at(40, "  - id: x\n"), false},
		{"a syntax error", "  ", at(40, "  - id: [\n"), false},
		{"an item in another column", "  ", at(40, "   - id: 900\n"), false},
		{"a list that ends", "  ", at(40, "other: 1\n"), false},
		{"a second document", "  ", at(40, "---\ncontexts: []\n"), false},
		{"an alias to an earlier piece", "  ", func(c int) string {
			return map[int]string{1: "    logins: &l [a, b]\n", 70: "    logins: *l\n"}[c]
		}, false},
		{"an alias within a piece", "  ", at(40, "    logins: &l [a, b]\n    config: {com.example.b: &x y, com.example.c: *x}\n"), false},
		{"a tab", "  ", at(40, "    config: {com.example.b:\ty}\n"), true},
		{"a text over items", "  ", func(c int) string {
			return map[int]string{40: "    config: {com.example.b: \"x\n", 70: "  y\"}\n"}[c]
		}, false},
		{"a flow over items", "  ", func(c int) string {
			return map[int]string{40: "    logins: [x,\n", 41: "  y]\n"}[c]
		}, false},
		{"a tag", "  ", at(40, "    name: !x a\n"), false},
		{"a carriage return", "  ", at(40, "    logins: [a]\r\n"), false},
	} {
		text := large(c.indent, c.odd)
		want, wantFindings, wantOK := wholeDirectory("d.yml", []byte(text))
		if _, _, in := directoryInPieces("d.yml", []byte(text)); in != c.pieces {
			t.Errorf("%s: read in pieces: %v", c.name, in)
		}
		got, findings, ok := ParseDirectory("d.yml", []byte(text))
		if ok != wantOK || !reflect.DeepEqual(findings, wantFindings) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d contexts, %v, %v; at once %d, %v, %v", c.name, len(got), findings, ok, len(want), wantFindings, wantOK)
		}
		if c.pieces && len(got) < 50 {
			t.Errorf("%s: only %d contexts", c.name, len(got))
		}
	}
	// Whatever stands between two items, both readings agree.
	for i, odd := range []string{"'", "\"", "|", ">-", "[", "{", "]", "- - -", "? x", ": y", "&a", "*a", "...", "%x", "\t", "#", "<<: {a: b}", "key", "  - id: 5000", "- id: 5001", "\u0085", "!", "! x"} {
		for _, text := range []string{large("  ", at(33, "    "+odd+"\n")), large("  ", at(33, odd+"\n")), large("", at(33, "  config: {a.b: x "+odd+"\n")), large("  ", at(33, "    name: "+odd+"\n"))} {
			want, wantFindings, wantOK := wholeDirectory("d.yml", []byte(text))
			got, findings, ok := ParseDirectory("d.yml", []byte(text))
			if ok != wantOK || !reflect.DeepEqual(findings, wantFindings) || !reflect.DeepEqual(got, want) {
				t.Errorf("%d: %q: %d contexts, %.300v, %v; at once %d, %.300v, %v", i, odd, len(got), findings, ok, len(want), wantFindings, wantOK)
			}
		}
	}
}
