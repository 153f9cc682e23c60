package cli

import (
	"fmt"
	"strings"
)

// hunk is one run of lines that an edit removed and what it put there. Before
// and After are the numbers of the first line on each side, from 1.
type hunk struct {
	before, after  int
	removed, added []string
}

// hunks compares a file before and after an edit. They hold changed lines
// only: what stands around or between them may be somebody's secret.
//
// An edit replaces one run of lines, adds one, or removes a few, so that this
// needs no general diff: between the equal head and tail either nothing but
// removals is left, or everything is one change.
func hunks(before, after []string) []hunk {
	head := 0
	for head < min(len(before), len(after)) && before[head] == after[head] {
		head++
	}
	tail := 0
	for tail < min(len(before), len(after))-head && before[len(before)-1-tail] == after[len(after)-1-tail] {
		tail++
	}
	b, a := before[head:len(before)-tail], after[head:len(after)-tail]
	if len(b) == 0 && len(a) == 0 {
		return nil
	}
	if removed := removals(b, a, head+1); removed != nil {
		return removed
	}
	return []hunk{{head + 1, head + 1, b, a}}
}

// removals are the hunks where after is before without some lines, else nil.
func removals(before, after []string, first int) []hunk {
	var out []hunk
	i, j := 0, 0
	for i < len(before) {
		from := i
		for i < len(before) && (j == len(after) || before[i] != after[j]) {
			i++
		}
		if i > from {
			out = append(out, hunk{before: first + from, after: first + j, removed: before[from:i]})
		}
		if i < len(before) {
			i, j = i+1, j+1
		}
	}
	if j < len(after) {
		return nil
	}
	return out
}

// header is the line of a unified diff without context before the lines of a
// hunk.
func (h hunk) header() string {
	return fmt.Sprintf("@@ -%s +%s @@", span(h.before, len(h.removed)), span(h.after, len(h.added)))
}

// span is a side of a header. One without lines names the line before it.
func span(first, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", first-1)
	case 1:
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d,%d", first, n)
}

// lines splits a file where Java ends lines: LF, CR LF, or CR alone.
func lines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(b))
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
