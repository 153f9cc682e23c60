package tree

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// TestWhole tells files that were put into place from those that are written,
// by the events that real changes make.
func TestWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, change string
		file           string // "": p.properties
		links          []string
		want           bool
	}{
		"nothing happened":                    {change: `echo a=1 > q.properties`},
		"renamed over":                        {change: `echo a=1 > p.new; mv p.new p.properties`, want: true},
		"moved in from outside":               {change: `echo a=1 > ../p; mv ../p p.properties`, want: true},
		"moved in, then written":              {change: `echo a=1 > ../p; mv ../p p.properties; echo a=2 >> p.properties`},
		"made and written":                    {change: `echo a=1 > r.properties`, file: "r.properties"},
		"written in place":                    {change: `echo a=1 > p.properties`},
		"written, then renamed over":          {change: `echo a=1 > p.properties; echo a=2 > p.new; mv p.new p.properties`, want: true},
		"moved away and back":                 {change: `mv p.properties away; mv away p.properties`, want: true},
		"gone":                                {change: `echo a=1 > p.new; mv p.new p.properties; rm p.properties`},
		"a link swapped":                      {before: `mkdir ..1 ..2; ln -s ..1 ..data; ln -s ..data/l l.properties; echo a=1 > ..1/l; echo a=1 > ..2/l`, change: `ln -s ..2 ..t; mv -T ..t ..data`, file: "l.properties", links: []string{"..data", "..2/l"}, want: true},
		"a link swapped to one being written": {before: `mkdir ..1 ..2; ln -s ..1 ..data; ln -s ..data/l l.properties; echo a=1 > ..1/l`, change: `ln -s ..2 ..t; mv -T ..t ..data; echo a=1 >> p.properties`, file: "l.properties", links: []string{"..data", "p.properties"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			dir = in(dir, "etc")
			must(t, os.Mkdir(dir, 0o755))
			write(t, dir, "p.properties", "a=0\n")
			shell(t, dir, c.before+"\n")
			w := watching(t, dir)
			shell(t, dir, c.change+"\ntouch end.properties")
			testkit.Poll(t, "the last event", func() bool { return w.put(in(dir, "end.properties"), nil) })
			if c.file == "" {
				c.file = "p.properties"
			}
			for i, l := range c.links {
				c.links[i] = in(dir, l)
			}
			if got := w.put(in(dir, c.file), c.links); got != c.want {
				t.Errorf("put into place: %t", got)
			}
		})
	}
}

// TestUnrelatedEvents makes, writes and removes what is not of the tree, as
// editors do: nothing is read again.
func TestUnrelatedEvents(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	write(t, dir, "p.properties", "a=0\n")
	w := watching(t, dir)
	shell(t, dir, `echo > .p.swp; echo > 4913; rm 4913; echo >> .p.swp; echo > p.properties~; mkdir .git; rm -r .git .p.swp; mv p.properties~ p.bak`)
	// Events come in order: with the last one, the others came through.
	shell(t, dir, `mv p.bak q.properties`)
	testkit.Poll(t, "the last event", func() bool { return w.put(in(dir, "q.properties"), nil) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen.rested() || len(w.seen.came) != 1 {
		t.Errorf("what is no part of the tree counts: %+v", w.seen)
	}
}

// TestCaughtUp waits for the events up to now, and makes another marker where
// they do not come.
func TestCaughtUp(t *testing.T) {
	t.Parallel()
	w := watching(t, t.TempDir())
	testkit.Poll(t, "the marker's event", w.caughtUp)
	w.mark.at = time.Time{}
	old := w.mark
	must(t, w.fs.Remove(old.path)) // as if its event were late
	if w.caughtUp() {
		t.Error("caught up without an event")
	}
	if w.mark == old {
		t.Error("the same marker again")
	}
	testkit.Poll(t, "the event of another marker", w.caughtUp)
}

// TestPutQuiet is how long after which events everything is read.
func TestPutQuiet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   time.Duration
	}{
		"renamed over":                   {`echo a=1 > p.new; mv p.new p.properties`, PutQuiet},
		"written":                        {`echo a=1 > p.properties`, QuietTime},
		"renamed over, and one written":  {`echo a=1 > p.new; mv p.new p.properties; echo a=1 > q.properties`, QuietTime},
		"a folder moved in":              {`mkdir .new; mv .new new`, QuietTime},
		"removed":                        {`rm p.properties`, QuietTime},
		"removed, and another put there": {`echo a=1 > p.new; rm p.properties; mv p.new p.properties`, PutQuiet},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			write(t, dir, "p.properties", "a=0\n")
			w := watching(t, dir)
			w.NextBurst()
			shell(t, dir, c.change)
			testkit.Poll(t, "the quiet time", func() bool { return len(w.Kicks) == 1 && w.Quiet() == c.want })
		})
	}
}

// TestPutLeft looks at a young file that was put into place.
func TestPutLeft(t *testing.T) {
	t.Parallel()
	whole := func(string, []string) bool { return true }
	const at = int64(1_000_000_000_000)
	for name, c := range map[string]struct {
		st    stamp
		age   time.Duration
		whole func(string, []string) bool
		want  time.Duration
	}{
		"just now":              {stamp{size: 1, names: 1, ctime: at}, 0, whole, PutQuiet},
		"a while ago":           {stamp{size: 1, names: 1, ctime: at}, PutQuiet, whole, 0},
		"written":               {stamp{size: 1, names: 1, ctime: at}, PutQuiet, func(string, []string) bool { return false }, SettleAge},
		"nobody watches":        {stamp{size: 1, names: 1, ctime: at}, PutQuiet, nil, SettleAge},
		"empty":                 {stamp{names: 1, ctime: at}, PutQuiet, whole, SettleAge},
		"with another name":     {stamp{size: 1, names: 2, ctime: at}, PutQuiet, whole, SettleAge},
		"no time of its change": {stamp{size: 1, names: 1}, PutQuiet, whole, SettleAge},
		"a clock that was set":  {stamp{size: 1, names: 1, ctime: at}, -1, whole, SettleAge},
	} {
		fs := NewSet(nil)
		fs.Now, fs.Whole = func() time.Time { return time.Unix(0, at).Add(c.age) }, c.whole
		if got := fs.putLeft(&File{}, c.st); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// watching watches a root until the test ends.
func watching(t *testing.T, root string) *Watcher {
	t.Helper()
	set := NewSet([]string{root})
	set.Scan(true)
	var mode atomic.Pointer[WatchMode]
	mode.Store(&WatchMode{Mode: WatchOff})
	w := NewWatcher(set.Roots, &mode, slog.New(slog.DiscardHandler))
	t.Cleanup(w.Close)
	dirs, links, _ := set.Watched()
	w.Sync(dirs, append(links, WaysTo(set.Roots)...))
	return w
}
