package cli_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serviceManager is the other end of NOTIFY_SOCKET.
type serviceManager struct {
	path string
	mu   sync.Mutex
	said []map[string]string // by datagram
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	m := &serviceManager{path: filepath.Join(t.TempDir(), "notify")}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			said := map[string]string{}
			for line := range strings.SplitSeq(string(b[:n]), "\n") {
				k, v, _ := strings.Cut(line, "=")
				said[k] = v
			}
			m.mu.Lock()
			m.said = append(m.said, said)
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-done })
	return m
}

// count is how many datagrams satisfy f.
func (m *serviceManager) count(f func(map[string]string) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, d := range m.said {
		if f(d) {
			n++
		}
	}
	return n
}

// TestServiceManager starts a server as systemd does, and reads what it says.
func TestServiceManager(t *testing.T) {
	m := newServiceManager(t)
	tree, state := newTree(t), t.TempDir()
	cmd := exec.Command(binary(t), serveArgs(tree, state)...)
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=200000")
	p := startCommand(t, cmd, tree, state)
	ready := func(d map[string]string) bool { return d["READY"] == "1" }
	p.poll("READY=1", func() bool { return m.count(ready) == 1 })
	if m.count(func(d map[string]string) bool { return ready(d) && d["STATUS"] == "0 sockets" }) != 1 {
		t.Errorf("status at the start: %v", m.said)
	}
	p.poll("two signs of life", func() bool {
		return m.count(func(d map[string]string) bool { return d["WATCHDOG"] == "1" }) >= 2
	})

	put(t, tree, "bad.properties", "a=\\uZZZZ\n")
	p.poll("the status line names the bad file", func() bool {
		return m.count(func(d map[string]string) bool { return d["STATUS"] == "0 sockets, degraded: 1 file" }) > 0
	})
	p.signal(syscall.SIGHUP)
	p.poll("READY=1 after the reload", func() bool { return m.count(ready) == 2 })
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	if m.count(func(d map[string]string) bool {
		var usec int64
		_, err := fmt.Sscan(d["MONOTONIC_USEC"], &usec)
		return d["RELOADING"] == "1" && err == nil && usec > 0 && usec <= now.Nano()/1000 && time.Duration(now.Nano()-usec*1000) < 2*patience
	}) != 1 {
		t.Errorf("RELOADING=1 with a time of CLOCK_MONOTONIC: %v", m.said)
	}

	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.log())
	}
	if m.count(func(d map[string]string) bool { return d["STOPPING"] == "1" && d["EXTEND_TIMEOUT_USEC"] == "30000000" }) != 1 {
		t.Errorf("STOPPING=1: %v", m.said)
	}
}

// TestServiceManagerMistaken refuses an environment that no manager gives.
func TestServiceManagerMistaken(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"NOTIFY_SOCKET=relative", `NOTIFY_SOCKET "relative" is neither a path nor an abstract name`},
		{"WATCHDOG_USEC=soon", `WATCHDOG_USEC "soon" is not a number of microseconds`},
	} {
		cmd := exec.Command(binary(t), serveArgs(newTree(t), t.TempDir())...)
		cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET=/nowhere", c.env)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", c.env, err, out)
		}
	}
}
