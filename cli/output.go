package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// printJSON prints a value as people and scripts read it: indented, and with
// & < > as they are.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table prints rows in columns; a first row of headings belongs to rows.
func (a *app) table(indent string, rows [][]string) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.TrimRight(indent+strings.Join(r, "\t"), "\t"))
	}
	_ = w.Flush() // a closed pipe is no error of the command
}

// oneLine shows a value on one line.
func oneLine(v string) string {
	if v == "" {
		return `""`
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' }) {
		return fmt.Sprintf("%q", v)
	}
	return v
}
