package cascade

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMountsPolledOnce: the kernel tells one waiter of a change of the mounts, so
// the poller of Go's runtime must not wait for the watcher's descriptor as well.
// A test that mounts does not find that for sure: which of the two is told is a
// matter of luck.
func TestMountsPolledOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.properties", "a=1\n")
	running(t, Options{Roots: []string{dir}})
	// Twice, because one that is only read is open for a moment.
	last := ""
	within(t, saveLimit, "a descriptor of the mounts that only the watcher waits for", func() bool {
		before := last
		last = polledOnce(t, "/mountinfo")
		return last != "" && last == before
	})
}

// polledOnce is the descriptor of an open file whose name ends so and for which no
// epoll waits; "" where there is none.
func polledOnce(t *testing.T, name string) string {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !strings.HasSuffix(to, name) {
			continue
		}
		number := filepath.Base(fd)
		if !awaited(t, number) {
			return number
		}
	}
	return ""
}

// awaited reports whether an epoll of this process waits for a descriptor
// (proc_pid_fdinfo(5)).
func awaited(t *testing.T, fd string) bool {
	t.Helper()
	waits := regexp.MustCompile(`(?m)^tfd:\s+` + fd + `\s`)
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	must(t, err)
	for _, info := range infos {
		if b, err := os.ReadFile(info); err == nil && waits.Match(b) {
			return true
		}
	}
	return false
}
