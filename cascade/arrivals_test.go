package cascade

import (
	"fmt"
	"os"
	"path/filepath"
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
			e := openEngine(t, Options{Roots: []string{dir}})
			w := newWatcher(e)
			defer w.close()
			w.sync(e.watchDirs())
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
	e := openEngine(t, Options{Roots: []string{dir}})
	w := newWatcher(e)
	defer w.close()
	w.sync(e.watchDirs())
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
	e := openEngine(t, Options{Roots: []string{t.TempDir()}})
	w := newWatcher(e)
	defer w.close()
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
			e := openEngine(t, Options{Roots: []string{dir}})
			w := newWatcher(e)
			defer w.close()
			w.sync(e.watchDirs())
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

// TestBurstOfRenames replaces a file 50 times, 5 ms apart: one reload follows.
func TestBurstOfRenames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := in(dir, "p.properties")
	rewrite(t, path, "a=start\n")
	e := running(t, Options{Roots: []string{dir}})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for try := range 20 {
		before := e.Snapshot().Generation()
		last, gap := time.Now(), time.Duration(0)
		for n := range 50 {
			<-tick.C
			rewrite(t, path, fmt.Sprintf("a=%d.%d\n", try, n))
			gap, last = max(gap, time.Since(last)), time.Now()
		}
		within(t, saveLimit, "the last of them", func() bool { return text(e.Snapshot(), "a") == fmt.Sprintf("%d.49", try) })
		if gap >= putQuiet/2 {
			continue // a machine this busy makes several bursts of one
		}
		if g := e.Snapshot().Generation(); g != before+1 {
			t.Errorf("%d reloads of one burst, whose longest gap is %v", g-before, gap)
		}
		return
	}
	t.Log("the machine is too busy for renames 5 ms apart")
}

// TestPutThenWritten moves a file in and goes on writing it through the
// descriptor that is still open: half of it never counts.
func TestPutThenWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "p.properties", manyKeys(4, "0"))
	e := running(t, Options{Roots: []string{dir}})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 1; n <= rounds(5, 200); n++ {
		f, err := os.Create(in(dir, "next"))
		must(t, err)
		must(t, os.Rename(in(dir, "next"), in(dir, "p.properties")))
		last, gap := time.Now(), time.Duration(0)
		for k := range 4 {
			for range 4 {
				<-tick.C
			}
			_, err := fmt.Fprintf(f, "key%d=%d\n", k, n)
			must(t, err)
			gap, last = max(gap, time.Since(last)), time.Now()
			if got := text(e.Snapshot(), "key3"); got != fmt.Sprint(n-1) && gap < settleAge*9/10 {
				t.Fatalf("round %d, after %d lines: key3 is %s", n, k+1, got)
			}
		}
		must(t, f.Close())
		within(t, saveLimit, "the whole file", func() bool { return text(e.Snapshot(), "key3") == fmt.Sprint(n) })
	}
}
