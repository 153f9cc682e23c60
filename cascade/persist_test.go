package cascade

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/testkit"
)

// keptTree is a tree with a state folder, opened again and again as by
// restarts of a process that was killed.
type lastGoodTree struct {
	t          *testing.T
	dir, state string
	log        testkit.Log
}

func newLastGoodTree(t *testing.T) *lastGoodTree {
	return &lastGoodTree{t: t, dir: mkdir(t, in(t.TempDir(), "etc")), state: in(t.TempDir(), "state")}
}

func (k *lastGoodTree) open() *Engine {
	k.t.Helper()
	k.log.Reset()
	return openEngine(k.t, Options{Roots: []string{k.dir}, State: k.state, Logger: slog.New(slog.NewTextHandler(&k.log, nil))})
}

func (k *lastGoodTree) want(e *Engine, su Subject, name, value string) {
	k.t.Helper()
	v, ok := e.Snapshot().Get(su, name)
	if got := fmt.Sprint(v.Effective); !v.Declared {
		if ok && v.Text != value || !ok && value != "" {
			k.t.Errorf("%s is %q for %v, want %q", name, v.Text, su, value)
		}
	} else if got != value {
		k.t.Errorf("%s is %s for %v, want %s", name, got, su, value)
	}
}

// TestKilledBesideBadFile kills a server, and starts one beside a file that is
// bad by then: it serves what was served, where without a state folder nothing
// starts.
func TestKilledBesideBadFile(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", "a=1\n")
	write(t, k.dir, "gone.properties", "gone=1\n")
	write(t, k.dir, "contextSets/c.yml", "c:\n  withTags: \"7\"\n  c: 1\n")
	c := startChild(t, k.dir, k.state)
	if c.get("a") != "1" {
		t.Fatal(c.stderr.String())
	}
	before, err := os.ReadFile(in(k.state, "lastgood/manifest"))
	must(t, err)
	write(t, k.dir, "a.properties", "a=2\n")
	within(t, saveLimit, "the new value", func() bool { return c.get("a") == "2" })
	within(t, saveLimit, "the new manifest", func() bool {
		b, err := os.ReadFile(in(k.state, "lastgood/manifest"))
		return err == nil && string(b) != string(before)
	})
	c.kill()
	write(t, k.dir, "a.properties", "a=\\u12\n")
	write(t, k.dir, "contextSets/c.yml", "c: [\n")
	must(t, os.Remove(in(k.dir, "gone.properties")))
	e := k.open()
	k.want(e, Subject{}, "a", "2")
	k.want(e, Subject{Context: 7}, "c", "1")
	k.want(e, Subject{}, "gone", "")
	if e.Status().Status != "degraded" || status(e, "a.properties") != FileFailed || report(e, "a.properties").Digest == "" {
		t.Errorf("status %+v", e.Status())
	}
	bad := (*BadFilesError)(nil)
	if _, err := Open(Options{Roots: []string{k.dir}, Schema: testSchema(t)}); !errors.As(err, &bad) || !strings.Contains(err.Error(), "never were good: 2") {
		t.Errorf("without a state folder: %v", err)
	}
	// Once more, and then a file that was deleted meanwhile stays deleted.
	k.want(k.open(), Subject{}, "a", "2")
	must(t, os.Remove(in(k.dir, "a.properties")))
	k.want(k.open(), Subject{}, "a", "")
	write(t, k.dir, "a.properties", "a=\\u12\n")
	if _, err := Open(Options{Roots: []string{k.dir}, Schema: testSchema(t), State: k.state}); !errors.As(err, &bad) {
		t.Errorf("a file that was deleted came back: %v", err)
	}
}

// TestEntriesAfterRestart breaks entries of each kind: before and after a
// restart, and after another, their last good form is in force, and the rest
// of their files is what it says now.
func TestEntriesAfterRestart(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", "com.openexchange.websockets.count=5\nother=1\n")
	write(t, k.dir, "meta/m.yml", "lock: {final: server}\n")
	write(t, k.dir, "l.properties", "lock=server\n")
	write(t, k.dir, "contextSets/s.yml", "one:\n  withTags: \"7\"\n  lock: set\n  one: good\n  com.openexchange.websockets.count: 6\ntwo:\n  withTags: \"7\"\n  two: good\n")
	e := k.open()
	write(t, k.dir, "a.properties", "com.openexchange.websockets.count=many\nother=2\n")
	write(t, k.dir, "meta/m.yml", "lock: {final: sever}\n")
	write(t, k.dir, "contextSets/s.yml", "one:\n  withTags: \"7 &\"\n  lock: set\n  one: bad\n  com.openexchange.websockets.count: 6\ntwo:\n  withTags: \"7\"\n  two: better\nthree:\n  withTags: \"7\"\n  com.openexchange.websockets.mode: wrong\n")
	check := func(e *Engine) {
		t.Helper()
		k.want(e, Subject{}, "com.openexchange.websockets.count", "5")
		k.want(e, Subject{}, "other", "2")
		k.want(e, Subject{Context: 7}, "lock", "server")
		k.want(e, Subject{Context: 7}, "one", "good")
		k.want(e, Subject{Context: 7}, "com.openexchange.websockets.count", "6")
		k.want(e, Subject{Context: 7}, "two", "better")
		k.want(e, Subject{Context: 7}, "com.openexchange.websockets.mode", "calculate")
		if e.Status().Status != "degraded" {
			t.Error("not degraded")
		}
	}
	reload(t, e)
	check(e)
	// What a running server writes in the background.
	e.lastGood.Write()
	check(k.open())
	check(k.open())
	write(t, k.dir, "a.properties", "other=3\n")
	write(t, k.dir, "meta/m.yml", "lock: {final: contextSets}\n")
	e = k.open()
	k.want(e, Subject{}, "com.openexchange.websockets.count", "8")
	k.want(e, Subject{Context: 7}, "lock", "set")
}

// TestCorruptState damages what was kept: it is not used, says so, and is made
// good again by the next start beside good files.
func TestCorruptState(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"manifest cut":        `truncate -s 100 lastgood/manifest`,
		"manifest empty":      `: > lastgood/manifest`,
		"manifest flipped":    `sed -i s/properties/propertiex/ lastgood/manifest`,
		"manifest no JSON":    `echo '[' > x; (sha256sum < x | cut -c1-64; cat x) > lastgood/manifest`,
		"objects flipped":     `for f in lastgood/objects/*; do sed -i s/1/2/ $f; done`,
		"objects gone":        `rm lastgood/objects/*`,
		"objects a FIFO":      `for f in lastgood/objects/*; do rm $f; mkdir $f; done`,
		"manifest a folder":   `rm lastgood/manifest; mkdir lastgood/manifest`,
		"lastgood a file":     `rm -r lastgood; echo > lastgood`,
		"objects of tomorrow": `for f in lastgood/objects/*; do echo a=3 > $f; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newLastGoodTree(t)
			write(t, k.dir, "a.properties", "a=1\n")
			k.open()
			command(t, k.state, "sh", "-ec", damage)
			write(t, k.dir, "a.properties", "a=\\u12\n")
			_, err := Open(Options{Roots: []string{k.dir}, Schema: testSchema(t), State: k.state, Logger: slog.New(slog.NewTextHandler(&k.log, nil))})
			if bad := (*BadFilesError)(nil); !errors.As(err, &bad) {
				t.Errorf("open: %v", err)
			}
			if !strings.Contains(k.log.String(), "level=WARN msg=\"last good") {
				t.Errorf("log:\n%s", k.log.String())
			}
			write(t, k.dir, "a.properties", "a=1\n")
			e := k.open()
			k.want(e, Subject{}, "a", "1")
			if strings.Contains(name, " a F") || strings.Contains(name, "a folder") || strings.Contains(name, "a file") {
				if s := e.Status(); s.Status != "degraded" || s.LastGood == "" {
					t.Errorf("status %+v", s)
				}
				return
			}
			write(t, k.dir, "a.properties", "a=\\u12\n")
			k.want(k.open(), Subject{}, "a", "1")
		})
	}
}

// TestStateDiskFull fills the disk under the state folder: everything is
// served on, the status says so, and once there is room it is saved.
func TestStateDiskFull(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	mkdir(t, k.state)
	command(t, k.state, "mount", "-t", "tmpfs", "-o", "size=64k", "none", k.state)
	t.Cleanup(func() { command(t, "/", "umount", k.state) })
	write(t, k.dir, "a.properties", "a=1\n")
	write(t, k.dir, "b.properties", "b=1\n")
	e := k.open()
	write(t, k.state, "ballast", "")
	if err := os.WriteFile(in(k.state, "ballast"), make([]byte, 64<<10), 0o644); err == nil {
		t.Fatal("the disk is not full")
	}
	for i := 2; i < 5; i++ {
		write(t, k.dir, "a.properties", fmt.Sprintf("a=%d\n", i))
		reload(t, e)
		e.lastGood.Write()
		k.want(e, Subject{}, "a", fmt.Sprint(i))
		if s := e.Status(); s.Status != "degraded" || !strings.Contains(s.LastGood, "no space left") {
			t.Fatalf("status %+v", s)
		}
	}
	if n := strings.Count(k.log.String(), "last good tree not saved"); n != 1 {
		t.Logf("logged %d times:\n%s", n, k.log.String())
	}
	// What is on disk is whole: the state before the disk was full.
	write(t, k.dir, "a.properties", "a=\\u12\n")
	k.want(k.open(), Subject{}, "a", "1")
	must(t, os.Remove(in(k.state, "ballast")))
	e.lastGood.Write()
	if s := e.Status(); s.LastGood != "" {
		t.Errorf("status %+v", s)
	}
	k.want(k.open(), Subject{}, "a", "4")
	k.want(k.open(), Subject{}, "b", "1")
}

// TestStateNotWritable starts where nothing can be kept.
func TestStateNotWritable(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", "a=1\n")
	write(t, filepath.Dir(k.state), "state", "a file")
	e := k.open()
	k.want(e, Subject{}, "a", "1")
	if s := e.Status(); s.Status != "degraded" || !strings.Contains(s.LastGood, "not a directory") {
		t.Errorf("status %+v", s)
	}
}

// TestTwoRoots keeps files of two roots apart that have the same path, and
// loses no last good entry when a second root brings a file of the same name.
func TestTwoRoots(t *testing.T) {
	t.Parallel()
	top, state := t.TempDir(), t.TempDir()
	roots := []string{mkdir(t, in(top, "one")), mkdir(t, in(top, "two"))}
	write(t, roots[0], "a.properties", "a=one\nonly=one\n")
	write(t, roots[0], "contextSets/s.yml", "s:\n  withTags: \"7\"\n  set: one\n")
	write(t, roots[1], "b.properties", "b=two\n")
	opt := Options{Roots: roots, State: state}
	e := openEngine(t, opt)
	write(t, roots[0], "contextSets/s.yml", "s:\n  withTags: \"7 |\"\n  set: one\n")
	write(t, roots[1], "contextSets/s.yml", "s:\n  withTags: \"8\"\n  set: two\n")
	write(t, roots[1], "a.properties", "a=two\n")
	reload(t, e)
	e.lastGood.Write()
	check := func(e *Engine) {
		t.Helper()
		for su, want := range map[Subject]string{{Context: 7}: "one", {Context: 8}: "two"} {
			if v, _ := e.Snapshot().Get(su, "set"); v.Text != want {
				t.Errorf("set is %q for %v", v.Text, su)
			}
		}
		if a, only := text(e.Snapshot(), "a"), text(e.Snapshot(), "only"); a != "two" || only != "one" {
			t.Errorf("a is %s, only is %s", a, only)
		}
		if x := e.Snapshot().Explain(Subject{}, "a", ExplainOptions{}); x.Origin.File != roots[1]+"/a.properties" {
			t.Errorf("origin %v", x.Origin)
		}
	}
	check(e)
	check(openEngine(t, opt))
	write(t, roots[0], "a.properties", "a=\\u12\n")
	write(t, roots[1], "a.properties", "a=\\u12\n")
	check(openEngine(t, opt))
	if got := report(e, "a.properties").Path; got != "" {
		t.Errorf("one of two files is shown as %s", got)
	}
	// The same folder serves one root alone, and then both again.
	e = openEngine(t, Options{Roots: roots[:1], State: state})
	if got := text(e.Snapshot(), "a"); got != "one" {
		t.Errorf("a is %s", got)
	}
	check(openEngine(t, opt))
	// A root that is gone leaves the other working.
	e = openEngine(t, opt)
	must(t, os.Rename(roots[0], roots[0]+"~"))
	write(t, roots[1], "b.properties", "b=three\n")
	r := reload(t, e)
	if text(e.Snapshot(), "only") != "one" || text(e.Snapshot(), "b") != "three" || len(r.Errors) == 0 {
		t.Errorf("only is %s, b is %s, errors %v", text(e.Snapshot(), "only"), text(e.Snapshot(), "b"), r.Errors)
	}
}

// TestKilledAtEveryCall kills a process at the n-th call that writes, for each
// n: what is kept is the old or the new state of each file.
func TestKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	strace := testkit.Tool(t, "strace", "strace")
	calls := "fchmod,fsync,renameat,unlinkat"
	if *torture {
		calls += ",openat,write,close,mkdirat"
	}
	killed, ended := 0, false
	for n := 1; !ended; n++ {
		k := newLastGoodTree(t)
		write(t, k.dir, "a.properties", "a=1\n")
		write(t, k.dir, "b.properties", "b=1\n")
		k.open()
		write(t, k.dir, "a.properties", "a=2\n")
		write(t, k.dir, "b.properties", "b=2\n")
		cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls,
			"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", calls, n), os.Args[0])
		cmd.Env = append(os.Environ(), childRoot+"="+k.dir, childState+"="+k.state, "GOMAXPROCS=1") // strace counts by thread
		if ended = cmd.Run() == nil; !ended {
			killed++
		}
		write(t, k.dir, "a.properties", "a=\\u12\n")
		write(t, k.dir, "b.properties", "b=\\u12\n")
		e := k.open()
		for _, name := range []string{"a", "b"} {
			if got := text(e.Snapshot(), name); got != "1" && got != "2" {
				t.Errorf("killed at call %d: %s is %s\n%s", n, name, got, k.log.String())
			}
		}
	}
	t.Logf("killed at %d calls", killed)
	if killed < 3 {
		t.Errorf("killed at %d calls only", killed)
	}
}
