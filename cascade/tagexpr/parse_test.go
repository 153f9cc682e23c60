package tagexpr

import (
	"strings"
	"testing"
)

func tags(list string) func(string) bool {
	set := map[string]bool{}
	for _, t := range strings.Fields(list) {
		set[t] = true
	}
	return func(t string) bool { return set[t] }
}

func mustParse(t *testing.T, text string) *Expr {
	t.Helper()
	e, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return e
}

// TestConformance holds the 22 rows of
// docs/reference/cascade.md#conformance-of-expressions.
func TestConformance(t *testing.T) {
	const nested = `!(blue | green) & (breatharian | ( fluffy & vegetarian ))`
	rows := []struct {
		text, tags string
		want       bool
	}{
		{"green", "green fluffy vegetarian", true},
		{"green", "blue fluffy vegetarian", false},
		{"fluffy & vegetarian", "green fluffy vegetarian", true},
		{"fluffy & vegetarian", "blue scaly vegetarian", false},
		{"fluffy & vegetarian & green", "green fluffy vegetarian", true},
		{"fluffy & vegetarian & green", "blue fluffy vegetarian", false},
		{"green | blue", "green fluffy vegetarian", true},
		{"green | blue", "blue fluffy breatharian", true},
		{"green | blue", "red fluffy breatharian", false},
		{"!blue", "green fluffy vegetarian", true},
		{"!blue", "blue fluffy breatharian", false},
		{"(blue | green) & !breatharian", "green fluffy vegetarian", true},
		{"(blue | green) & !breatharian", "blue fluffy breatharian", false},
		{"(blue | green) & !breatharian", "blue fluffy omnivore", true},
		{"blue | (green & !breatharian)", "green fluffy vegetarian", true},
		{"blue | (green & !breatharian)", "blue fluffy breatharian", true},
		{"blue | (green & !breatharian)", "green fluffy breatharian", false},
		{nested, "green fluffy vegetarian", false},
		{nested, "red fluffy breatharian", true},
		{nested, "blue soft breatharian", false},
		{nested, "red fluffy vegetarian", true},
		{nested, "red soft vegetarian", false},
	}
	for i, r := range rows {
		e := mustParse(t, r.text)
		if e.Ambiguity() != nil {
			t.Errorf("row %d: %q counts as ambiguous", i+1, r.text)
		}
		if got := e.Match(tags(r.tags)); got != r.want {
			t.Errorf("row %d: %q with %s = %v, want %v", i+1, r.text, r.tags, got, r.want)
		}
	}
}

func TestMalformed(t *testing.T) {
	rows := []struct {
		text string
		col  int
		code string
	}{
		{"", 1, CodeEmpty},
		{" \t ", 1, CodeEmpty},
		{"a &", 4, CodeMissingOperand},
		{"a & ", 5, CodeMissingOperand},
		{"& a", 1, CodeMissingOperand},
		{"a | | b", 5, CodeMissingOperand},
		{"a || b", 4, CodeMissingOperand},
		{"a && b", 4, CodeMissingOperand},
		{"a &| b", 4, CodeMissingOperand},
		{"a b", 3, CodeMissingOperator},
		{"a and b", 3, CodeMissingOperator},
		{"a OR b", 3, CodeMissingOperator},
		{"a !b", 3, CodeMissingOperator},
		{"a (b)", 3, CodeMissingOperator},
		{"(a) b", 5, CodeMissingOperator},
		{"(a)(b)", 4, CodeMissingOperator},
		{"a)", 2, CodeStrayBracket},
		{"(a))", 4, CodeStrayBracket},
		{")", 1, CodeMissingOperand},
		{"()", 1, CodeEmptyBrackets},
		{"a & ( )", 5, CodeEmptyBrackets},
		{"(a", 3, CodeMissingBracket},
		{"(a & (b | c)", 13, CodeMissingBracket},
		{"(a &)", 5, CodeMissingOperand},
		{"(", 2, CodeMissingOperand},
		{"!", 2, CodeMissingOperand},
		{"! & a", 3, CodeMissingOperand},
		{"!!a", 2, CodeDoubleNegation},
		{"! !a", 3, CodeDoubleNegation},
		{"a & !!b", 6, CodeDoubleNegation},
		{"é b", 3, CodeMissingOperator},
		{"a\x00", 2, CodeBadCharacter},
		{"ab\x1b", 3, CodeBadCharacter},
		{"é\xff", 2, CodeBadCharacter},
		{"a\ufffd\xff", 3, CodeBadCharacter},
		{strings.Repeat("a", MaxText+1), 1, CodeTooLong},
		{strings.Repeat("(", MaxDepth+1), MaxDepth + 1, CodeTooDeep},
		{strings.Repeat("(", MaxText), MaxDepth + 1, CodeTooDeep},
		{strings.Repeat("!", MaxText), 2, CodeDoubleNegation},
		{strings.Repeat("a|", MaxNodes/2) + "a", MaxNodes + 1, CodeTooLarge},
	}
	for _, r := range rows {
		e, err := Parse(r.text)
		if err == nil {
			t.Errorf("Parse(%.40q) = %s, want an error", r.text, e)
			continue
		}
		if err.Col != r.col || err.Code != r.code {
			t.Errorf("Parse(%.40q) = %d %s (%s), want %d %s", r.text, err.Col, err.Code, err.Text, r.col, r.code)
		}
		if err.Text == "" {
			t.Errorf("Parse(%.40q): the error has no text", r.text)
		}
	}
}

func TestLimitsAreReachable(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a", MaxText),
		strings.Repeat("(", MaxDepth) + "a" + strings.Repeat(")", MaxDepth),
		strings.Repeat("a|", MaxNodes/2-1) + "a",
	} {
		mustParse(t, text)
	}
}

func TestTagCharacters(t *testing.T) {
	for _, tag := range []string{"a,b", "*", "-", "a.b/c:d", "'x'", `"`, "é", "日本", "\U0001f600", "a\u00a0b", "a\u200bb", "#", "{}"} {
		if e := mustParse(t, tag); len(e.Tags()) != 1 || e.Tags()[0] != tag || !ValidTag(tag) {
			t.Errorf("%q is not read as one tag: %q", tag, e.Tags())
		}
	}
	for _, text := range []string{"", " a", "a ", "a b", "a&b", "!a", "(a)", "a\u3000b", "\x01", "\xff"} {
		if ValidTag(text) {
			t.Errorf("%q counts as a tag", text)
		}
	}
}

func TestShow(t *testing.T) {
	for in, want := range map[string]string{
		"webmail": "webmail", "web\u200bmail": `web\u200bmail`, "\u202ea": `\u202ea`, "a\u00a0": `a\u00a0`, "\U000e0001": `\U000e0001`,
		strings.Repeat("x", 70): strings.Repeat("x", maxShownTag) + "…",
	} {
		if got := Show(in); got != want {
			t.Errorf("Show(%q) = %s, want %s", in, got, want)
		}
		if wantOdd := strings.Contains(want, `\`); Suspicious(in) != wantOdd {
			t.Errorf("Suspicious(%q) = %v", in, !wantOdd)
		}
	}
}
