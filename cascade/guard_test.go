package cascade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/tree"
)

const (
	ruleFile = "contextSets/off.yml"
	rule     = "away:\n  withTags: \"7\"\n  com.openexchange.websockets.enabled: false\n  rule: \"off\"\n"
)

// errorAt reports whether the status has an error at a path.
func errorAt(e *Engine, path, text string) bool {
	for _, f := range e.Snapshot().Findings() {
		if f.Path == path && strings.Contains(f.Text, text) && f.Severity == "error" {
			return true
		}
	}
	return false
}

// TestFolderLostAtStart starts where a folder that held files is empty, missing
// or unreadable: with a last good tree its rules stay in force, without one
// nothing starts.
func TestFolderLostAtStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose, back, path, text string
		first                  bool   // a first start is refused, too
		from                   string // where back runs, beside the root
	}{
		"empty":           {`mv contextSets/off.yml ..`, `mv ../off.yml contextSets`, "contextSets", "is empty", false, "etc"},
		"missing":         {`mv contextSets ..`, `mv ../contextSets .`, "contextSets", "is missing", false, "etc"},
		"a dangling link": {`mv contextSets ..; ln -s /nowhere/contextSets contextSets`, `rm contextSets; mv ../contextSets .`, "contextSets", "leads to nothing", true, "etc"},
		"an empty root":   {`mkdir ../all; mv * ../all`, `mv ../all/* .`, "", "is empty", false, "etc"},
		"no root":         {`mv ../etc ../all`, `mv all etc`, "", "this root cannot be read", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newLastGoodTree(t)
			write(t, k.dir, "a.properties", "a=1\n")
			write(t, k.dir, ruleFile, rule)
			k.open()
			command(t, k.dir, "sh", "-ec", c.lose)
			if c.first {
				if _, err := Open(Options{Roots: []string{k.dir}, Schema: testSchema(t)}); err == nil {
					t.Error("a first start is not refused")
				}
			}
			for range 2 {
				e := k.open()
				k.want(e, Subject{Context: 7}, "rule", "off")
				path := c.path
				if path == "" {
					path = k.dir
				}
				if s := e.Status(); s.Status != "degraded" || !errorAt(e, path, c.text) {
					t.Errorf("status %s, findings %v", s.Status, e.Snapshot().Findings())
				}
				if !strings.Contains(k.log.String(), "configuration error") {
					t.Errorf("the start logs\n%s", k.log.String())
				}
				// A reload is no consent.
				reload(t, e)
				k.want(e, Subject{Context: 7}, "rule", "off")
				e.lastGood.Write()
			}
			e := k.open()
			command(t, filepath.Join(k.dir, "..", c.from), "sh", "-ec", c.back)
			reload(t, e)
			k.want(e, Subject{Context: 7}, "rule", "off")
			if s := e.Status(); s.Status != "ok" {
				t.Errorf("with the folder back: %s, %v", s.Status, e.Snapshot().Findings())
			}
		})
	}
}

// TestAccept takes an empty folder as it is, for good.
func TestAccept(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", "a=1\n")
	write(t, k.dir, ruleFile, rule)
	k.open()
	must(t, os.Remove(in(k.dir, ruleFile)))
	e := k.open()
	k.want(e, Subject{Context: 7}, "rule", "off")
	if _, err := e.Accept(context.Background()); err != nil {
		t.Fatal(err)
	}
	k.want(e, Subject{Context: 7}, "rule", "")
	if s := e.Status(); s.Status != "ok" {
		t.Errorf("%s, %v", s.Status, e.Snapshot().Findings())
	}
	e.lastGood.Write()
	k.want(k.open(), Subject{Context: 7}, "rule", "")
}

// TestFirstStartEmpty warns of a root without files, and does not refuse it.
func TestFirstStartEmpty(t *testing.T) {
	t.Parallel()
	e := openEngine(t, Options{Roots: []string{t.TempDir()}})
	if fs := e.Snapshot().Findings(); len(fs) != 1 || fs[0].Code != "empty-root" || e.Status().Status != "ok" {
		t.Errorf("%v", fs)
	}
}

// TestBadFilesText is what a refused start says: a line for each file.
func TestBadFilesText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "com.openexchange.websockets.count=3\n")
	write(t, dir, "b.properties", "com.openexchange.websockets.count=4\nx=\\u12\n")
	write(t, dir, "contextSets/c.yml", "c:\n\twithTags: x\n\tcom.openexchange.websockets.enabled: false\n")
	must(t, os.Symlink("/nowhere/meta", in(dir, "meta")))
	_, err := Open(Options{Roots: []string{dir}, Schema: testSchema(t)})
	var bad *BadFilesError
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	const want = `not started: files that never were good: 3
  b.properties:2:3: \u must be followed by four hexadecimal digits; write \\u for a backslash and a u, as in Windows paths; without it none of its values counts: com.openexchange.websockets.count is "3" (a.properties:1); correct it, or ` + "`sluice serve --tolerate-bad-files`" + ` starts without it
  contextSets/c.yml:2:1: a tab indents this line; YAML allows blanks only; without it its context sets apply to nobody: com.openexchange.websockets.enabled is "true" (the default); correct it, or ` + "`sluice serve --tolerate-bad-files`" + ` starts without it
  meta:1:1: the folder cannot be read (this link leads to nothing); mount what it leads to, or remove the link; without it nothing of what it holds counts, whoever it switches off; correct it, or ` + "`sluice serve --tolerate-bad-files`" + ` starts without it`
	if got := err.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	e := openEngine(t, Options{Roots: []string{dir}, TolerateBadFiles: true})
	if got := text(e.Snapshot(), "com.openexchange.websockets.count"); got != "3" {
		t.Errorf("count is %s", got)
	}
}

// TestTornOnCoarseVolume writes a file slowly where time stamps have whole
// seconds: no half of it is ever in force.
func TestTornOnCoarseVolume(t *testing.T) {
	t.Parallel()
	dir := mkdir(t, in(t.TempDir(), "etc"))
	image := in(t.TempDir(), "image")
	command(t, "/", "sh", "-ec", fmt.Sprintf("truncate -s 4M %s; PATH=$PATH:/sbin mkfs.ext4 -q -I 128 %s; mount -o loop %s %s", image, image, image, dir))
	t.Cleanup(func() { command(t, "/", "umount", "-l", dir) })
	write(t, dir, "a.properties", "first=1\nlast=1\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	now := time.Now().Add(10 * time.Second) // every stamp is old
	e.set.Now = func() time.Time { return now }
	look := func() string {
		e.reload(false, false)
		return text(e.Snapshot(), "first") + text(e.Snapshot(), "last")
	}
	f, err := os.Create(in(dir, "a.properties"))
	must(t, err)
	defer f.Close()
	for _, part := range []string{"first=2\n", "middle=1\n", "last=2\n"} {
		_, err := f.WriteString(part)
		must(t, err)
		now = now.Add(tree.SettleAge)
		if got := look(); got != "11" {
			t.Fatalf("after %q: %s", part, got)
		}
	}
	now = now.Add(tree.SettleAge - time.Millisecond)
	if got := look(); got != "11" {
		t.Errorf("too early: %s", got)
	}
	now = now.Add(time.Millisecond)
	if got := look(); got != "22" {
		t.Errorf("when it is quiet: %s", got)
	}
}

// TestGrowingFile cuts a file and writes it again slowly: it counts when it is
// whole and quiet, not when it has more than half of its keys.
func TestGrowingFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", manyKeys(20, "1"))
	e := openEngine(t, Options{Roots: []string{dir}})
	now := time.Now()
	e.set.Now = func() time.Time { return now }
	value := "2"
	step := func(after time.Duration, keys int) string {
		now = now.Add(after)
		write(t, dir, "a.properties", manyKeys(keys, value))
		must(t, os.Chtimes(in(dir, "a.properties"), now.Add(-time.Second), now.Add(-time.Second)))
		e.reload(false, false)
		return text(e.Snapshot(), "key0")
	}
	for i, s := range []struct {
		after time.Duration
		keys  int
		want  string
	}{
		{0, 3, "1"}, {2 * time.Second, 9, "1"}, {2 * time.Second, 15, "1"}, {900 * time.Millisecond, 18, "1"}, {900 * time.Millisecond, 20, "1"}, {time.Second, 20, "2"},
	} {
		if got := step(s.after, s.keys); got != s.want {
			t.Errorf("step %d: key0 is %s, want %s", i, got, s.want)
		}
	}
	// One that never is quiet counts in the end.
	value = "3"
	step(0, 2)
	for i := range 60 {
		if step(900*time.Millisecond, 3+i) == "3" {
			if held := time.Duration(i+1) * 900 * time.Millisecond; held < tree.GrowMax {
				t.Errorf("taken after %s", held)
			}
			return
		}
	}
	t.Error("held for ever")
}

// TestMountedOver mounts a folder over one of the tree, and a file over a file,
// and unmounts them: no file event tells of it.
func TestMountedOver(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := mkdir(t, in(top, "etc"))
	write(t, dir, "a.properties", "a=below\n")
	write(t, dir, "sub/b.properties", "b=below\n")
	write(t, top, "file", "a=above\n")
	write(t, top, "folder/b.properties", "b=above\n")
	e := running(t, Options{Roots: []string{dir}})
	within(t, saveLimit, "inotify", func() bool { return e.Status().Watch.Mode == WatchInotify })
	command(t, top, "mount", "--bind", in(top, "file"), in(dir, "a.properties"))
	command(t, top, "mount", "--bind", in(top, "folder"), in(dir, "sub"))
	t.Cleanup(func() {
		command(t, top, "sh", "-c", "umount -l "+in(dir, "a.properties")+" "+in(dir, "sub")+" 2>/dev/null; true")
	})
	within(t, saveLimit, "the mounts", func() bool { return text(e.Snapshot(), "a") == "above" && text(e.Snapshot(), "b") == "above" })
	write(t, top, "file", "a=written\n")
	within(t, saveLimit, "a write to the file that is mounted", func() bool { return text(e.Snapshot(), "a") == "written" })
	command(t, top, "umount", in(dir, "a.properties"), in(dir, "sub"))
	within(t, saveLimit, "without the mounts", func() bool { return text(e.Snapshot(), "a") == "below" && text(e.Snapshot(), "b") == "below" })
}

// TestUnmounted unmounts a root, and a folder of one: what they held stays in
// force, and the status says so at once.
func TestUnmounted(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{"the root": ".", "a folder": "contextSets"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := mkdir(t, in(t.TempDir(), "etc"))
			mkdir(t, in(dir, at))
			command(t, dir, "mount", "-t", "tmpfs", "none", in(dir, at))
			t.Cleanup(func() { command(t, "/", "sh", "-c", "umount -l "+in(dir, at)+" 2>/dev/null; true") })
			write(t, dir, ruleFile, rule)
			if at != "." {
				write(t, dir, "a.properties", "a=1\n")
			}
			e := running(t, Options{Roots: []string{dir}})
			get := func() string {
				v, _ := e.Snapshot().Get(Subject{Context: 7}, "rule")
				return v.Text
			}
			within(t, saveLimit, "inotify", func() bool { return e.Status().Watch.Mode == WatchInotify })
			command(t, "/", "umount", "-l", in(dir, at))
			within(t, saveLimit, "degraded", func() bool { return e.Status().Status == "degraded" })
			throughout(t, tree.RemoveHold+time.Second, "in force", func() bool { return get() == "off" })
			command(t, dir, "mount", "-t", "tmpfs", "none", in(dir, at))
			write(t, dir, ruleFile, rule)
			within(t, saveLimit+tree.RemoveHold, "ok", func() bool { return e.Status().Status == "ok" && get() == "off" })
		})
	}
}
