package yamlfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade/finding"
)

// brief renders findings as `line:col severity code`, joined by "; ".
func brief(fs []finding.Finding) string {
	var s []string
	for _, f := range fs {
		s = append(s, fmt.Sprintf("%d:%d %s %s", f.Line, f.Col, f.Severity, f.Code))
	}
	return strings.Join(s, "; ")
}

// show renders a value: its text, ~ if undefined, ! if invalid, a trailing *
// if it holds a token.
func show(v Value) string {
	switch {
	case v.Invalid:
		return "!"
	case !v.Defined:
		return "~"
	case v.Token:
		return v.Text + "*"
	}
	return v.Text
}

func showAll(ps []Property) string {
	var s []string
	for _, p := range ps {
		s = append(s, p.Name+"="+show(p.Value))
	}
	return strings.Join(s, " ")
}

// showBlock renders a block as name[expression]{properties}, with its tags and
// priority if any, and ! in front if it is invalid.
func showBlock(b Block) string {
	s := b.Name
	if b.Invalid {
		s = "!" + s
	}
	switch {
	case b.Expr != nil:
		s += "[" + b.Expr.String() + "]"
	case b.With.Token:
		s += "[*" + b.With.Text + "]"
	}
	if len(b.AddTags) > 0 {
		s += "+" + strings.Join(b.AddTags, ",")
	}
	if b.AddText.Token {
		s += "+*" + b.AddText.Text
	}
	if b.Priority != 0 {
		s += fmt.Sprintf("@%d", b.Priority)
	}
	return s + "{" + showAll(b.Properties) + "}"
}

func checkTexts(t *testing.T, in string, fs []finding.Finding) {
	t.Helper()
	for _, f := range fs {
		if f.Text == "" || f.Path != "p.yml" || strings.Contains(f.Text, "%!") || len(f.Text) > 4*finding.MaxQuote || strings.Contains(f.Text, "\n") {
			t.Errorf("%.60q: unfit finding %+v", in, f)
		}
	}
}

func sets(t *testing.T, in string) (string, []finding.Finding, bool) {
	t.Helper()
	blocks, fs, ok := ParseSets("p.yml", []byte(in))
	checkTexts(t, in, fs)
	if !ok && (len(blocks) != 0 || !finding.HasErrors(fs)) {
		t.Errorf("%.60q: a file error with %d blocks and findings %v", in, len(blocks), fs)
	}
	var s []string
	for _, b := range blocks {
		s = append(s, showBlock(b))
	}
	return strings.Join(s, " "), fs, ok
}
