package tagexpr

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestReadings holds the table of docs/reference/cascade.md#tag-expressions and
// the cases around it. An empty existing reading means "the same".
func TestReadings(t *testing.T) {
	rows := []struct{ text, standard, existing string }{
		{"a & b | c", "(a & b) | c", "a & (b | c)"},
		{"a | b & c", "a | (b & c)", ""},
		{"a & b | c & d", "(a & b) | (c & d)", "a & (b | (c & d))"},
		{"!a | !b & c", "!a | (!b & c)", "(!a | !b) & c"},
		{"a | !b & c", "a | (!b & c)", "(a | !b) & c"},
		{"(a | b) & c | d", "((a | b) & c) | d", "(a | b) & (c | d)"},
		{"a & (b) | c", "(a & b) | c", ""},

		{"a", "a", ""},
		{"((a))", "a", ""},
		{"!a", "!a", ""},
		{"!(!a)", "!(!a)", ""},
		{"a & b & c", "a & b & c", ""},
		{"(a & b) & c", "a & b & c", ""},
		{"a & (b & c)", "a & b & c", ""},
		{"a | b | c | d", "a | b | c | d", ""},
		{"a & !b | c", "(a & !b) | c", ""},
		{"a&b|(c)", "(a & b) | c", "a & (b | c)"},
		{"(a & b | c)", "(a & b) | c", "a & (b | c)"},
		{"!(a & b | c)", "!((a & b) | c)", "!(a & (b | c))"},
		{"x | (a & b | c)", "x | (a & b) | c", "x | (a & (b | c))"},
		{"x | a & (b | c & d)", "x | (a & (b | (c & d)))", ""},
		{"(a) & (b) | (c) & (d)", "(a & b) | (c & d)", "((a & b) | c) & d"},
		// Different trees that agree on every assignment are no ambiguity; the
		// standard form is shown.
		{"a & b | a", "(a & b) | a", ""},
		{"!a & b | !a", "(!a & b) | !a", ""},
		{"a & a | a", "(a & a) | a", ""},
		{"a | !a & a", "a | (!a & a)", ""},
	}
	for _, r := range rows {
		e := mustParse(t, r.text)
		a := e.Ambiguity()
		if r.existing == "" {
			if a != nil {
				t.Errorf("%s: ambiguous: %+v", r.text, *a)
			}
			if got := e.String(); got != r.standard {
				t.Errorf("%s reads as %s, want %s", r.text, got, r.standard)
			}
			if e.Effective() != e {
				t.Errorf("%s: Effective is another expression", r.text)
			}
			continue
		}
		if a == nil {
			t.Errorf("%s: not ambiguous, want %s or %s", r.text, r.standard, r.existing)
			continue
		}
		if *a != (Ambiguity{r.standard, r.existing}) {
			t.Errorf("%s: %+v, want %s and %s", r.text, *a, r.standard, r.existing)
		}
		if e.String() != r.existing || e.Effective().String() != r.existing || e.Effective().Ambiguity() != nil {
			t.Errorf("%s: the reading that counts is %s, want %s", r.text, e, r.existing)
		}
		for _, form := range []string{a.Standard, a.Existing} {
			if again := mustParse(t, form); again.Ambiguity() != nil || again.String() != form {
				t.Errorf("%s: the bracketed form %s is not stable: %s", r.text, form, again)
			}
		}
	}
}

func TestAmbiguityBeyondTruthTable(t *testing.T) {
	names := func(n int) []string {
		var s []string
		for i := range n {
			s = append(s, fmt.Sprintf("t%02d", i))
		}
		return s
	}
	// Both readings agree; whether that is found out depends on the number of
	// tags.
	same := func(n int) string { return "z & z | z & (" + strings.Join(names(n-1), " & ") + ")" }
	at, over := mustParse(t, same(maxTruthTags)), mustParse(t, same(maxTruthTags+1))
	if len(at.Tags()) != maxTruthTags || len(over.Tags()) != maxTruthTags+1 {
		t.Fatalf("tags: %d and %d", len(at.Tags()), len(over.Tags()))
	}
	if at.Ambiguity() != nil {
		t.Errorf("%+v", at.Ambiguity())
	}
	if over.Ambiguity() == nil {
		t.Errorf("more than %d tags and two trees must count as ambiguous", maxTruthTags)
	}
}

// TestComparisonIsBounded takes the largest expression that needs a truth
// table of all 16 tags.
func TestComparisonIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range MaxNodes/2 - 1 {
		fmt.Fprintf(&b, "t%x&", i%maxTruthTags)
	}
	text := strings.TrimSuffix(b.String(), "&") + "|t0"
	start := time.Now()
	mustParse(t, text)
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func TestTags(t *testing.T) {
	if got := strings.Join(mustParse(t, "b & (a | !b) | C & a").Tags(), " "); got != "C a b" {
		t.Errorf("tags: %s", got)
	}
}

func TestBecause(t *testing.T) {
	rows := []struct{ text, tags, want string }{
		{"webmail", "webmail", "webmail is set"},
		{"webmail", "", "webmail is not set"},
		{"webmail & !beta", "webmail", "webmail is set and beta is not"},
		{"webmail & !beta", "webmail beta", "beta is set"},
		{"webmail & !beta", "", "webmail is not set"},
		{"webmail & !beta", "beta", "webmail is not set"},
		{"de | fr", "", "neither de nor fr is set"},
		{"de | fr", "fr de", "de is set"},
		{"de | fr", "fr", "fr is set"},
		{"de | fr | it", "", "none of de, fr and it is set"},
		{"a & b", "a b", "a and b are set"},
		{"a & b & c", "a b c", "a, b and c are set"},
		{"a & b & !c", "a b", "a and b are set and c is not"},
		{"a & !(b | c)", "a", "a is set and neither b nor c is"},
		{"a & !b & !c & !d", "a", "a is set and none of b, c and d is"},
		{"(a & b) | c", "a", "neither b nor c is set"},
		{"a & a", "a", "a is set"},
		{"(a & b) | (c & d & e)", "a b c d e", "a and b are set"},
		{"a|b|c|d|e|f|g", "", "none of a, b, c, d, e and 2 more is set"},
		{"a&b&c&d&e&f&g", "a b c d e f g", "a, b, c, d, e and 2 more are set"},
		{"a & b | c", "c", "a is not set"}, // as the existing system reads it
		{"web\u200bmail", "", `web\u200bmail is not set`},
	}
	for _, r := range rows {
		if got := mustParse(t, r.text).Because(tags(r.tags)); got != r.want {
			t.Errorf("%s with [%s]: %q, want %q", r.text, r.tags, got, r.want)
		}
	}
}
