// Package redistest runs real Redis servers for tests: children of the test
// process on ports of their own, without persistence, which are gone when the
// test is over.
package redistest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/testkit"
)

const (
	// startTimeout is how long a server may take until it answers; a machine
	// with all its cores in use needs a second.
	startTimeout = 20 * time.Second
	pollInterval = 5 * time.Millisecond
)

// Server is one redis-server. Its methods fail the test that started it.
type Server struct {
	Addr string // host:port; stays over Kill and Restart

	t        testing.TB
	dir      string
	args     []string
	sentinel bool
	bare     bool // see Bare

	mu     sync.Mutex
	cmd    *exec.Cmd // nil while it is down
	output *bytes.Buffer
}

// Start runs a server with these arguments on top of its own, such as
// "--cluster-enabled", "yes", and returns when it answers. Without
// redis-server it fails the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), args: args}
	t.Cleanup(func() {
		if list := s.denied(); len(list) > 0 {
			t.Errorf("the rules of Sluice's user in docs/cluster.md lack something: %s", strings.Join(list, "; "))
		}
		s.end(syscall.SIGKILL)
	})
	s.Addr = freeAddr(t)
	s.run()
	return s
}

// busOffset is how far the port of a cluster's bus is above that of its clients.
const busOffset = 10_000

// freeAddr is an address that nobody listens on now, and whose port for a cluster's
// bus is free as well.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addr := l.Addr().(*net.TCPAddr)
		if addr.Port+busOffset > 65_535 {
			continue
		}
		bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", addr.Port+busOffset))
		if err != nil {
			continue
		}
		_ = bus.Close() // it was free
		return addr.String()
	}
	t.Fatal("no port is free that has a free one for the bus of a cluster")
	return ""
}

func (s *Server) run() {
	s.t.Helper()
	binary := testkit.Tool(s.t, "redis-server", "redis-server")
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	args := []string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--daemonize", "no", "--pidfile", filepath.Join(s.dir, "pid")}
	if s.sentinel {
		// It keeps its state in its configuration.
		config := filepath.Join(s.dir, "sentinel.conf")
		if err := os.WriteFile(config, nil, 0o600); err != nil {
			s.t.Fatal(err)
		}
		args = append([]string{config, "--sentinel"}, args...)
	} else {
		args = append(args, "--save", "", "--appendonly", "no")
		args = append(args, users(s.t)...)
	}
	args = append(args, s.args...)
	output := &bytes.Buffer{}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("redis-server: %v", err)
	}
	s.mu.Lock()
	s.cmd, s.output = cmd, output
	s.mu.Unlock()
	s.await(cmd.Process.Pid)
}

// await polls until this very process answers on the port.
func (s *Server) await(pid int) {
	s.t.Helper()
	want := fmt.Sprintf("process_id:%d\r\n", pid)
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		// A server with a password has answered as well.
		if info := s.info(); strings.Contains(info, want) || strings.HasPrefix(info, "-NOAUTH") {
			return
		}
	}
	s.end(syscall.SIGKILL)
	s.t.Fatalf("redis-server did not answer on %s within %v: %s", s.Addr, startTimeout, s.output)
}

// info is what the server says of itself, or "". It needs no client, which
// would write a line for each attempt.
func (s *Server) info() string {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return ""
	}
	// QUIT has the server close the connection behind its answers; a sentinel
	// does not know it, and is cut by the deadline.
	if _, err := io.WriteString(conn, "INFO server\r\nQUIT\r\n"); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// Stop ends the server as a restart of its service does; Restart brings it
// back, empty.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server without a word; Restart brings it back, empty.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGCONT) // it may be paused, or gone
	_ = cmd.Process.Signal(sig)
	_ = cmd.Wait() // says only which signal it was
}

// Restart starts a server that was stopped or killed, on the same address.
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	running := s.cmd != nil
	s.mu.Unlock()
	if running {
		s.t.Fatal("redistest: Restart of a server that runs")
	}
	s.run()
}

// Pause freezes the server: connections stay, answers do not come.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		s.t.Fatal("redistest: the server is not running")
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Client returns a client of the server without retries, closed when the test
// is over: for what a test does to Redis itself.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// StartCluster runs a cluster of one node that has all slots.
func StartCluster(t testing.TB) *Server {
	t.Helper()
	s := Start(t, "--cluster-enabled", "yes")
	c := s.Client()
	if err := c.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the cluster is up", func() bool {
		info, err := c.ClusterInfo(t.Context()).Result()
		return err == nil && bytes.Contains([]byte(info), []byte("cluster_state:ok"))
	})
	return s
}

// StartSentinel runs a sentinel that watches a master under the name mymaster,
// and returns its address.
func StartSentinel(t testing.TB, master *Server) *Server {
	t.Helper()
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: t.TempDir(), sentinel: true}
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	s.Addr = freeAddr(t)
	s.run()
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Client().Do(t.Context(), "sentinel", "monitor", "mymaster", host, n, 1).Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Within(t, startTimeout, what, ok)
}
