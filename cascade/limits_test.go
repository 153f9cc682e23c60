package cascade

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/testkit"
)

// TestInotifyExhausted runs where the kernel gives no inotify instance, no
// watch, or too few watches: everything is read again each few seconds, and
// the status says why and what to do.
func TestInotifyExhausted(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "unshare", "util-linux")
	for name, c := range map[string]struct{ limit, want string }{
		"no instance":     {"0 > /proc/sys/user/max_inotify_instances", "raise fs.inotify.max_user_instances"},
		"no watch":        {"0 > /proc/sys/user/max_inotify_watches", "raise fs.inotify.max_user_watches"},
		"too few watches": {"3 > /proc/sys/user/max_inotify_watches", "raise fs.inotify.max_user_watches"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for i := range 20 {
				write(t, dir, fmt.Sprintf("d%02d/a.properties", i), fmt.Sprintf("a%d=1\n", i))
			}
			c2 := startChild(t, dir, "", "unshare", "-U", "-r", "sh", "-c", "echo "+c.limit+`; exec "$0"`)
			within(t, saveLimit, "rescan mode", func() bool { return c2.status().Watch.Mode == WatchRescan })
			s := c2.status()
			if s.Status != "degraded" || !strings.Contains(s.Watch.Problem, c.want) || len(s.Watch.Problem) > 500 {
				t.Errorf("status %s, watch %+v", s.Status, s.Watch)
			}
			write(t, dir, "d19/a.properties", "a19=2\n")
			within(t, tree.FallbackScan+saveLimit, "a change", func() bool { return c2.get("a19") == "2" })
			if strings.Count(c2.stderr.String(), "cannot be watched") != 1 {
				t.Errorf("log:\n%s", c2.stderr.String())
			}
		})
	}
}

// TestQueueOverflow lets more happen than the kernel remembers, while the
// process is stopped.
func TestQueueOverflow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "a=old\n")
	c := startChild(t, dir, "")
	within(t, saveLimit, "inotify", func() bool { return c.status().Watch.Mode == WatchInotify })
	must(t, c.cmd.Process.Signal(syscall.SIGSTOP))
	within(t, saveLimit, "stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	for i := range 9_000 {
		write(t, dir, fmt.Sprintf("x%d.tmp", i), "x")
	}
	write(t, dir, "sub/deep/b.properties", "b=new\n")
	write(t, dir, "a.properties", "a=new\n")
	must(t, c.cmd.Process.Signal(syscall.SIGCONT))
	within(t, saveLimit, "the changes", func() bool { return c.get("a") == "new" && c.get("b") == "new" })
	// The last thing in the queue: many events before it made a reload.
	within(t, saveLimit, "the loss is logged", func() bool { return strings.Contains(c.stderr.String(), "file events lost") })
	write(t, dir, "sub/deep/b.properties", "b=newer\n")
	within(t, saveLimit, "what came after", func() bool { return c.get("b") == "newer" })
}

// TestFewFileDescriptors leaves the process a few beside those that it has open for
// good: it reads one folder or file at a time.
func TestFewFileDescriptors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 200 {
		write(t, dir, fmt.Sprintf("d%03d/a.properties", i), fmt.Sprintf("a%d=1\n", i))
	}
	c := startChild(t, dir, "", "sh", "-c", `ulimit -n 17; exec "$0"`)
	if got := c.get("a199"); got != "1" {
		t.Fatalf("a199 is %s", got)
	}
	write(t, dir, "d000/a.properties", "a0=2\n")
	within(t, tree.FallbackScan+saveLimit, "a change", func() bool { return c.get("a0") == "2" })
}

// TestTwoNamesOfOneFolder watches a folder through two names, and takes one
// away: the other still counts.
func TestTwoNamesOfOneFolder(t *testing.T) {
	t.Parallel()
	dir := mkdir(t, in(t.TempDir(), "etc"))
	command(t, dir, "sh", "-ec", `mkdir real; echo a=old > real/a.properties; ln -s real alias; ln -s real/a.properties z.properties`)
	e := running(t, Options{Roots: []string{dir}})
	must(t, os.Remove(in(dir, "alias")))
	within(t, saveLimit, "the link gone", func() bool { return len(e.Snapshot().Files()) == 3 && status(e, "alias/a.properties") == FileMissing })
	write(t, dir, "real/a.properties", "a=new\n")
	within(t, saveLimit, "the change", func() bool { return text(e.Snapshot(), "a") == "new" })
	within(t, tree.RemoveHold+saveLimit, "the files of the link gone", func() bool { return len(e.Snapshot().Files()) == 2 })
	write(t, dir, "real/a.properties", "a=newer\n")
	within(t, saveLimit, "the next change", func() bool { return text(e.Snapshot(), "a") == "newer" })
}

// TestFolderMadeAnew removes and makes a folder again and again: a new one may
// get the inode of the old.
func TestFolderMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "sub/a.properties", "a=0\n")
	e := running(t, Options{Roots: []string{dir}})
	for i := 1; i <= rounds(5, 50); i++ {
		must(t, os.RemoveAll(in(dir, "sub")))
		write(t, dir, "sub/a.properties", fmt.Sprintf("a=%d\n", i))
		within(t, saveLimit, "the new folder", func() bool { return text(e.Snapshot(), "a") == fmt.Sprint(i) })
		write(t, dir, "sub/a.properties", fmt.Sprintf("a=%d again\n", i))
		within(t, saveLimit, "a change in it", func() bool { return text(e.Snapshot(), "a") == fmt.Sprint(i)+" again" })
	}
}
