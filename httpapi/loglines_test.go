package httpapi

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// The last lines are kept, within bounds, and all are passed on.
func TestLogLines(t *testing.T) {
	for _, c := range []struct {
		name        string
		lines       int
		line        string // %d is its number
		kept        int
		first, last string
	}{
		{"few", 3, "line %d", 3, "line 0", "line 2"},
		{"many", logLines + 7, "line %d", logLines, "line 7", fmt.Sprintf("line %d", logLines+6)},
		{"long ones", 300, "%d " + strings.Repeat("x", maxLogLine-10), 0, "", ""},
		{"longer than a line may be", 1, "%d" + strings.Repeat("ü", maxLogLine), 1, "0" + strings.Repeat("ü", maxLogLine/2-1) + "...", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var to bytes.Buffer
			l := NewLogLines(&to)
			written := 0
			for i := range c.lines {
				n, err := fmt.Fprintf(l, c.line+"\n", i)
				must(t, err)
				written += n
			}
			if to.Len() != written {
				t.Errorf("%d of %d bytes were passed on", to.Len(), written)
			}
			got := strings.Split(strings.TrimSuffix(string(l.Last()), "\n"), "\n")
			if c.kept == 0 {
				if size := len(l.Last()); size > logBytes+len(got) || size < logBytes-2*maxLogLine {
					t.Errorf("%d bytes are kept, want some %d", size, logBytes)
				}
				return
			}
			if len(got) != c.kept || got[0] != c.first || c.last != "" && got[len(got)-1] != c.last {
				t.Errorf("%d lines are kept, from %.40q to %.40q", len(got), got[0], got[len(got)-1])
			}
		})
	}
}
