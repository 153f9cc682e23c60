package cascade

import (
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
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
			dir = mkdir(t, in(dir, "etc"))
			write(t, dir, "p.properties", "a=0\n")
			shell(c.before+"\n")(t, dir)
			w := watching(t, dir)
			shell(c.change+"\ntouch end.properties")(t, dir)
			within(t, saveLimit, "the last event", func() bool { return w.put(in(dir, "end.properties"), nil) })
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
	shell(`echo > .p.swp; echo > 4913; rm 4913; echo >> .p.swp; echo > p.properties~; mkdir .git; rm -r .git .p.swp; mv p.properties~ p.bak`)(t, dir)
	// Events come in order: with the last one, the others came through.
	shell(`mv p.bak q.properties`)(t, dir)
	within(t, saveLimit, "the last event", func() bool { return w.put(in(dir, "q.properties"), nil) })
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
	within(t, saveLimit, "the marker's event", w.caughtUp)
	w.mark.at = time.Time{}
	old := w.mark
	must(t, w.fs.Remove(old.path)) // as if its event were late
	if w.caughtUp() {
		t.Error("caught up without an event")
	}
	if w.mark == old {
		t.Error("the same marker again")
	}
	within(t, saveLimit, "the event of another marker", w.caughtUp)
}

// TestPutQuiet is how long after which events everything is read.
func TestPutQuiet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   time.Duration
	}{
		"renamed over":                   {`echo a=1 > p.new; mv p.new p.properties`, putQuiet},
		"written":                        {`echo a=1 > p.properties`, quietTime},
		"renamed over, and one written":  {`echo a=1 > p.new; mv p.new p.properties; echo a=1 > q.properties`, quietTime},
		"a folder moved in":              {`mkdir .new; mv .new new`, quietTime},
		"removed":                        {`rm p.properties`, quietTime},
		"removed, and another put there": {`echo a=1 > p.new; rm p.properties; mv p.new p.properties`, putQuiet},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			write(t, dir, "p.properties", "a=0\n")
			w := watching(t, dir)
			w.nextBurst()
			shell(c.change)(t, dir)
			within(t, saveLimit, "the quiet time", func() bool { return len(w.kicks) == 1 && w.quiet() == c.want })
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
		"just now":              {stamp{size: 1, names: 1, ctime: at}, 0, whole, putQuiet},
		"a while ago":           {stamp{size: 1, names: 1, ctime: at}, putQuiet, whole, 0},
		"written":               {stamp{size: 1, names: 1, ctime: at}, putQuiet, func(string, []string) bool { return false }, settleAge},
		"nobody watches":        {stamp{size: 1, names: 1, ctime: at}, putQuiet, nil, settleAge},
		"empty":                 {stamp{names: 1, ctime: at}, putQuiet, whole, settleAge},
		"with another name":     {stamp{size: 1, names: 2, ctime: at}, putQuiet, whole, settleAge},
		"no time of its change": {stamp{size: 1, names: 1}, putQuiet, whole, settleAge},
		"a clock that was set":  {stamp{size: 1, names: 1, ctime: at}, -1, whole, settleAge},
	} {
		fs := newFileSet(nil)
		fs.now, fs.whole = func() time.Time { return time.Unix(0, at).Add(c.age) }, c.whole
		if got := fs.putLeft(&treeFile{}, c.st); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// watching watches a root until the test ends.
func watching(t *testing.T, root string) *watcher {
	t.Helper()
	set := newFileSet([]string{root})
	set.scan(true)
	var mode atomic.Pointer[WatchMode]
	mode.Store(&WatchMode{Mode: WatchOff})
	w := newWatcher(set.roots, &mode, slog.New(slog.DiscardHandler))
	t.Cleanup(w.close)
	dirs, links, _ := set.watched()
	w.sync(dirs, append(links, waysTo(set.roots)...))
	return w
}
