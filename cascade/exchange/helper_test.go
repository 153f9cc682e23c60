package exchange

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

// entries is a Sink that renders each entry as a line.
type entries struct{ list []string }

func (e *entries) Context(c cascade.Context) error {
	e.list = append(e.list, fmt.Sprintf("context %d %q enabled=%t %q", c.ID, c.Name, c.Enabled, c.Tags))
	return nil
}

func (e *entries) User(u cascade.User) error {
	e.list = append(e.list, fmt.Sprintf("user %d/%d enabled=%t %q", u.Context, u.ID, u.Enabled, u.Permissions))
	return nil
}

func (e *entries) Override(o cascade.Override) error {
	s := fmt.Sprintf("override %d/%d %q=%q", o.Context, o.User, o.Property, o.Value)
	if o.Final != "" {
		s += " final=" + o.Final
	}
	if o.Protected {
		s += " protected"
	}
	if o.Reason+o.Actor != "" {
		s += fmt.Sprintf(" reason=%q actor=%q", o.Reason, o.Actor)
	}
	for _, t := range []time.Time{o.Time, o.Expires} {
		if !t.IsZero() {
			s += " " + t.UTC().Format(time.RFC3339Nano)
		}
	}
	e.list = append(e.list, s)
	return nil
}

// brief renders findings as `path:line:col severity code`.
func brief(fs []finding.Finding) (list []string) {
	for _, f := range fs {
		list = append(list, fmt.Sprintf("%s:%d:%d %s %s", f.Path, f.Line, f.Col, f.Severity, f.Code))
	}
	return list
}

// checkFindings holds what is true of every finding.
func checkFindings(t *testing.T, fs []finding.Finding) {
	t.Helper()
	for _, f := range fs {
		if f.Path == "" || f.Code == "" || f.Text == "" || f.Line < 0 || f.Col < 0 || strings.Contains(f.Text, "%!") ||
			strings.ContainsAny(f.Text, "\n\r\x00\x1b") || len(f.Text) > 4*finding.MaxQuote {
			t.Errorf("unfit finding %+v", f)
		}
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s:\n%s\nwant:\n%s", what, g, w)
	}
}

// readTSV reads texts as files named 1.tsv, 2.tsv and so on.
func readTSV(t *testing.T, texts ...string) (list, findings []string) {
	t.Helper()
	var inputs []Input
	for i, s := range texts {
		inputs = append(inputs, Input{fmt.Sprintf("%d.tsv", i+1), strings.NewReader(s)})
	}
	e := &entries{}
	fs, err := ReadTSV(nil, e, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	checkFindings(t, fs)
	return e.list, brief(fs)
}
