package cascade

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/tree"
)

func manyKeys(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key%d=%s\n", i, value)
	}
	return b.String()
}

// TestRemovalHold removes a file: it counts after tree.RemoveHold, not before, and a
// file that comes back in time was never gone.
func TestRemovalHold(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"for good": false, "for a second": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "a.properties", "a=1\n")
			write(t, dir, "b.properties", "b=1\n")
			e := running(t, Options{Roots: []string{dir}})
			calls := 0
			cancel := e.Subscribe([]string{"a", "b"}, func([]EffectiveChange) { calls++ })
			must(t, os.Rename(in(dir, "a.properties"), in(dir, "a.properties~")))
			gone := time.Now()
			within(t, time.Second, "reported as missing", func() bool { return status(e, "a.properties") == FileMissing })
			span := tree.RemoveHold - 200*time.Millisecond
			if back {
				span = tree.RemoveHold / 2
			}
			throughout(t, time.Until(gone.Add(span)), "served while missing", func() bool {
				return text(e.Snapshot(), "a") == "1"
			})
			if back {
				must(t, os.Rename(in(dir, "a.properties~"), in(dir, "a.properties")))
				within(t, time.Second, "good again", func() bool { return status(e, "a.properties") == FileOK })
				throughout(t, tree.RemoveHold, "served", func() bool { return text(e.Snapshot(), "a") == "1" })
				cancel()
				if calls != 0 {
					t.Errorf("%d calls although nothing happened", calls)
				}
				return
			}
			within(t, 2*time.Second, "removed", func() bool { return text(e.Snapshot(), "a") == "(undefined)" })
			if text(e.Snapshot(), "b") != "1" {
				t.Error("the neighbour is gone too")
			}
			if s := e.Status(); len(s.Files) != 1 || s.Status != "ok" {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestRemovalHoldStartsOver removes a file twice, with a second between.
func TestRemovalHoldStartsOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "a=1\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	now := time.Now()
	e.set.Now = func() time.Time { return now }
	step := func(d time.Duration, present bool) string {
		now = now.Add(d)
		if present {
			// Young, and other than before: not read to its end yet.
			write(t, dir, "a.properties", "a=2\n")
			must(t, os.Chtimes(in(dir, "a.properties"), now, now))
		} else {
			must(t, os.RemoveAll(in(dir, "a.properties")))
		}
		e.reload(false, false)
		return text(e.Snapshot(), "a")
	}
	for i, s := range []struct {
		wait    time.Duration
		present bool
		want    string
	}{
		{0, false, "1"},
		{1900 * time.Millisecond, true, "1"},
		{1900 * time.Millisecond, false, "1"},
		{1900 * time.Millisecond, false, "1"},
		{200 * time.Millisecond, false, "(undefined)"},
	} {
		if got := step(s.wait, s.present); got != s.want {
			t.Errorf("step %d: a is %s, want %s", i, got, s.want)
		}
	}
}

// TestShrinkHold empties files and cuts them: that counts after the hold, which
// is itself a property of the tree.
func TestShrinkHold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string
		held          bool
	}{
		"to nothing":            {manyKeys(2, "1"), "", true},
		"to a tenth":            {manyKeys(100, "1"), manyKeys(10, "1"), true},
		"to less than half":     {manyKeys(10, "1"), manyKeys(4, "1"), true},
		"to half":               {manyKeys(10, "1"), manyKeys(5, "1"), false},
		"few keys":              {manyKeys(9, "1"), manyKeys(1, "1"), false},
		"comments only":         {"# nothing yet\n", "", true},
		"every key commented":   {manyKeys(20, "1"), "#" + strings.ReplaceAll(manyKeys(20, "1"), "\n", "\n#"), true},
		"as large, other keys ": {manyKeys(20, "1"), strings.ReplaceAll(manyKeys(20, "1"), "key", "yek"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "a.properties", c.before)
			write(t, dir, "b.properties", PropShrinkHold+"=1s\nb=1\n")
			e := running(t, Options{Roots: []string{dir}})
			before := e.Snapshot().Digest()
			write(t, dir, "a.properties", c.after)
			saved := time.Now()
			if !c.held {
				within(t, time.Second, "in force", func() bool { return e.Snapshot().Digest() != before })
				if s := status(e, "a.properties"); s != FileOK {
					t.Errorf("status %s", s)
				}
				return
			}
			within(t, time.Second, "reported as held", func() bool { return status(e, "a.properties") == FileHeld })
			if fs := report(e, "a.properties").Errors; len(fs) != 1 || fs[0].Code != "held" || !strings.Contains(fs[0].Text, "1s") {
				t.Errorf("findings %v", fs)
			}
			throughout(t, time.Until(saved.Add(900*time.Millisecond)), "last good contents", func() bool { return e.Snapshot().Digest() == before })
			within(t, time.Second, "released", func() bool { return e.Snapshot().Digest() != before && status(e, "a.properties") == FileOK })
		})
	}
}

// TestHeldFileRecovers refills a file in time: what is in force never changed.
func TestHeldFileRecovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", manyKeys(20, "1"))
	e := running(t, Options{Roots: []string{dir}})
	before := e.Snapshot().Digest()
	write(t, dir, "a.properties", "")
	within(t, time.Second, "held", func() bool { return status(e, "a.properties") == FileHeld })
	write(t, dir, "a.properties", manyKeys(20, "1"))
	within(t, saveLimit, "good again", func() bool { return status(e, "a.properties") == FileOK && e.Snapshot().Digest() == before })
}

// TestReloadSkipsHolds asks for a reload: it takes everything as it is.
func TestReloadSkipsHolds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", manyKeys(20, "1"))
	write(t, dir, "b.properties", "b=1\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	write(t, dir, "a.properties", "")
	must(t, os.Remove(in(dir, "b.properties")))
	if _, again := e.reload(false, false); again == 0 || text(e.Snapshot(), "key1") != "1" || text(e.Snapshot(), "b") != "1" {
		t.Fatalf("not held: key1 is %s, b is %s", text(e.Snapshot(), "key1"), text(e.Snapshot(), "b"))
	}
	r := reload(t, e)
	if text(e.Snapshot(), "key1") != "(undefined)" || text(e.Snapshot(), "b") != "(undefined)" {
		t.Errorf("key1 is %s, b is %s", text(e.Snapshot(), "key1"), text(e.Snapshot(), "b"))
	}
	if len(r.Changed) != 21 || r.BadFiles != 0 {
		t.Errorf("%d changes, %d bad files", len(r.Changed), r.BadFiles)
	}
}

// TestDirectoryFileHold empties the directory file: it is held as any file, for
// as long as the tree says.
func TestDirectoryFileHold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := mkdir(t, in(dir, "etc"))
	write(t, root, "a.properties", PropShrinkHold+"=1s\n")
	write(t, dir, "directory.yml", "contexts:\n  - id: 1\n    config: {p: \"1\"}\n")
	e := running(t, Options{Roots: []string{root}, Source: NewDirectoryFile(in(dir, "directory.yml"))})
	get := func() string { v, _ := e.Snapshot().Get(Subject{Context: 1}, "p"); return v.Text }
	write(t, dir, "directory.yml", "contexts:\n  - id: 1\n    config: {p: \"2\"}\n")
	within(t, saveLimit, "the new value", func() bool { return get() == "2" })
	write(t, dir, "directory.yml", "")
	saved := time.Now()
	within(t, time.Second, "held", func() bool { return status(e, in(dir, "directory.yml")) == FileHeld })
	throughout(t, time.Until(saved.Add(900*time.Millisecond)), "served", func() bool { return get() == "2" })
	within(t, time.Second, "released", func() bool { return get() == "" })
	must(t, os.Remove(in(dir, "directory.yml")))
	within(t, time.Second, "failed", func() bool { return status(e, in(dir, "directory.yml")) == FileFailed })
}

// TestRootGone takes roots away in every way: what they held stays in force
// until somebody says otherwise.
func TestRootGone(t *testing.T) {
	t.Parallel()
	const refill = `mkdir -p $R; printf 'a=2\nb=1\n' > $R/a.properties`
	for name, c := range map[string]struct {
		away, back string
		limit      time.Duration
	}{
		"removed":              {away: `rm -r $R`},
		"renamed":              {away: `mv $R away`},
		"with its parents":     {away: `rm -r up`},
		"replaced by a file":   {away: `rm -r $R; echo > $R`, back: `rm $R; ` + refill},
		"replaced by an empty": {away: `rm -r $R; mkdir $R`},
		"a dangling link":      {away: `mv $R away; ln -s nowhere $R`, back: `rm $R; ` + refill},
		// A mount makes no event, so only the next scan finds it.
		"a volume unmounted": {away: `umount $R`, back: `mount -t tmpfs none $R; ` + refill, limit: tree.FallbackScan + saveLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			root := mkdir(t, top+"/up/dir/etc")
			sh := func(script string) { command(t, top, "sh", "-ec", "R=up/dir/etc; "+script) }
			if strings.Contains(c.away, "umount") {
				sh("mount -t tmpfs none $R")
				t.Cleanup(func() { sh("umount $R") })
			}
			write(t, root, "a.properties", "a=1\nb=1\n")
			e := running(t, Options{Roots: []string{root}})
			sh(c.away)
			within(t, saveLimit, "degraded", func() bool { return e.Status().Status == "degraded" })
			throughout(t, tree.RemoveHold+500*time.Millisecond, "served", func() bool { return text(e.Snapshot(), "a") == "1" })
			if c.back == "" {
				c.back = refill
			}
			sh(c.back)
			within(t, max(c.limit, saveLimit), "the new value", func() bool { return text(e.Snapshot(), "a") == "2" })
			within(t, saveLimit, "ok again", func() bool { return e.Status().Status == "ok" })
		})
	}
}

// TestRootEmptiedOnPurpose tells the engine that an empty root is meant.
func TestRootEmptiedOnPurpose(t *testing.T) {
	t.Parallel()
	root := in(t.TempDir(), "etc")
	write(t, root, "a.properties", "a=1\n")
	e := openEngine(t, Options{Roots: []string{root}})
	must(t, os.RemoveAll(root))
	must(t, os.Mkdir(root, 0o755))
	if e.reload(false, false); text(e.Snapshot(), "a") != "1" || e.Status().Status != "degraded" {
		t.Fatalf("a is %s, status %s", text(e.Snapshot(), "a"), e.Status().Status)
	}
	if reload(t, e); text(e.Snapshot(), "a") != "(undefined)" || e.Status().Status != "ok" {
		t.Errorf("a is %s, status %+v", text(e.Snapshot(), "a"), e.Status())
	}
}

// TestMissingRoot does not start without a root.
func TestMissingRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "file", "")
	for _, root := range []string{"gone", "file", "file/x"} {
		if _, err := Open(Options{Roots: []string{in(dir, root)}, Schema: testSchema(t)}); err == nil || !strings.Contains(err.Error(), "correct --etc") {
			t.Errorf("%s: %v", root, err)
		}
	}
}

// TestNeverSettles writes a file all the time: it is reported, and what it held
// before stays.
func TestNeverSettles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "a=1\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	now := time.Now()
	e.set.Now = func() time.Time { return now }
	for i := range 130 {
		now = now.Add(100 * time.Millisecond)
		write(t, dir, "a.properties", fmt.Sprintf("a=%d\n", i+2))
		must(t, os.Chtimes(in(dir, "a.properties"), now, now))
		e.reload(false, false)
		if held := status(e, "a.properties") == FileHeld; held != (i > 100) && i != 100 {
			t.Fatalf("round %d: status %s", i, status(e, "a.properties"))
		}
	}
	if got := text(e.Snapshot(), "a"); got != "1" {
		t.Errorf("a is %s", got)
	}
	now = now.Add(200 * time.Millisecond)
	if e.reload(false, false); text(e.Snapshot(), "a") != "131" || e.Snapshot().Generation() != 3 {
		t.Errorf("a is %s in generation %d", text(e.Snapshot(), "a"), e.Snapshot().Generation())
	}
}

// TestRescanFindsSilentChanges writes through a mapping, of which the kernel
// tells nobody.
func TestRescanFindsSilentChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "a=old\n")
	write(t, dir, "b.properties", PropRescan+"=1s\n")
	path := in(dir, "a.properties")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	m, err := syscall.Mmap(int(f.Fd()), 0, 6, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(t, err)
	e := running(t, Options{Roots: []string{dir}})
	throughout(t, 300*time.Millisecond, "quiet", func() bool { return e.Snapshot().Generation() == 1 })
	copy(m[2:], "new")
	within(t, 3*time.Second, "the mapped write", func() bool { return text(e.Snapshot(), "a") == "new" })
	must(t, syscall.Munmap(m))
}

// TestRescanFindsLowerChanges changes the lower folder of an overlay, of which
// inotify tells nothing.
func TestRescanFindsLowerChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// The upper folder cannot be on an overlay itself.
	mkdir(t, in(dir, "t"))
	command(t, dir, "mount", "-t", "tmpfs", "none", "t")
	t.Cleanup(func() { command(t, dir, "umount", "t") })
	command(t, in(dir, "t"), "sh", "-ec", `mkdir lower upper work merged; echo a=old > lower/a.properties
		mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged`)
	t.Cleanup(func() { command(t, in(dir, "t"), "umount", "merged") })
	write(t, in(dir, "t/merged"), "b.properties", PropRescan+"=1s\n")
	e := running(t, Options{Roots: []string{in(dir, "t/merged")}})
	write(t, dir, "t/lower/a.properties", "a=new\n")
	within(t, 4*time.Second, "the change below", func() bool { return text(e.Snapshot(), "a") == "new" })
}
