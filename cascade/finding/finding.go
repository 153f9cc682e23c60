// Package finding holds the one shape in which every reader of the tree
// reports what is wrong with a file: where, how bad, and what to do about it.
package finding

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity tells an error, which makes check exit 1 and the status degraded,
// from a warning, which does neither.
type Severity string

// The two severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one error or warning. Line and Col count from 1, Col in
// characters; 0 means that the finding concerns the whole file or line.
type Finding struct {
	Path     string   `json:"path,omitempty"` // slash path relative to its root
	Line     int      `json:"line"`
	Col      int      `json:"col"`
	Severity Severity `json:"severity"`
	Code     string   `json:"code"` // stable, kebab-case
	Text     string   `json:"text"` // what is wrong and what to do next; no file content beyond MaxQuote
}

// MaxQuote is the number of bytes of input that a finding may repeat, so that
// a log line stays a line whatever the file holds.
const MaxQuote = 200

// Quote renders input for a finding's text: escaped, and cut at MaxQuote bytes.
func Quote(s string) string {
	if len(s) > MaxQuote {
		return fmt.Sprintf("%q…", s[:MaxQuote])
	}
	return fmt.Sprintf("%q", s)
}

// String is the form that check prints: file:line:col: severity: text [code].
// A finding about a whole file or line points at its start, so that editors
// and scripts can rely on both numbers.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s [%s]", f.Path, max(f.Line, 1), max(f.Col, 1), f.Severity, f.Text, f.Code)
}

// Sort orders findings by path, place and code, so that output is the same on
// every run.
func Sort(fs []Finding) {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Col, b.Col), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
	})
}

// HasErrors reports whether any finding is an error.
func HasErrors(fs []Finding) bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return f.Severity == Error })
}
