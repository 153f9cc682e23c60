package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// results remembers that a result did not get out: a script that reads an
// empty file must not be told that all is well.
type results struct {
	w   io.Writer
	mu  sync.Mutex // the demo prints while its server runs
	err error
}

func (r *results) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.w.Write(p)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}

func (r *results) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// printJSON prints a value as people and scripts read it: indented, and with
// & < > as they are.
func (a *app) printJSON(v any) error {
	w := bufio.NewWriter(a.stdout)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	return w.Flush()
}

// maxColumn is the width in characters up to which a cell widens its column:
// one long value must not push the next column of all other rows away.
const maxColumn = 60

// table prints rows in columns; a first row of headings belongs to rows.
func (a *app) table(indent string, rows [][]string) {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if n := utf8.RuneCountInString(cell); n <= maxColumn {
				widths[i] = max(widths[i], n)
			}
		}
	}
	w := bufio.NewWriter(a.stdout)
	for _, r := range rows {
		line := indent
		for i, cell := range r {
			line += cell
			if i < len(r)-1 {
				line += strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(cell), 0)+2)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	_ = w.Flush() // Run tells of what did not get out
}

// oneLine shows a value on one line.
func oneLine(v string) string {
	if v == "" {
		return `""`
	}
	if strings.ContainsFunc(v, hidden) {
		return strconv.QuoteToGraphic(v)
	}
	return v
}

// hidden reports whether a terminal would act on a character instead of
// showing it: controls of both sets, and what turns the direction of text.
func hidden(r rune) bool { return !unicode.IsGraphic(r) }

// printable shows text from a tree, such as the name of a context set, as far
// as it is text: a file must not be able to steer the terminal of its reader.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return hidden(r) && r != '\t' }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) && r != '\t' {
			q := strconv.QuoteRuneToGraphic(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
