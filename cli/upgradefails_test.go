package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// variant builds this tree with other values of variables.
func variant(t *testing.T, values ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice")
	flags := ""
	for _, v := range values {
		flags += " -X github.com/seed47708276/sluice/" + v
	}
	if out, err := exec.Command("go", "build", "-ldflags", flags, "-o", path, "..").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// What cannot take over does not: the server says why, and goes on with all it has.
func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	own := binary(t)
	m := manage(t, installed(t, own), newTree(t), t.TempDir())
	l := newLoad(t, m.process, []*process{m.process}, 10)
	l.send(100, m.process)
	cli := installed(t, own)
	script := func(text string) func(string) {
		return func(path string) {
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(bits os.FileMode) func(string) {
		return func(path string) {
			install(t, own, path)
			if err := os.Chmod(path, bits); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		put  func(path string)
		want string
	}{
		"older":       {script("echo unknown flag: --successor >&2; exit 2"), "does not take over"},
		"says else":   {script("echo hello >&3; sleep 60"), "does not take over"},
		"killed":      {script("kill -9 $$"), "signal: killed"},
		"no binary":   {func(path string) { _ = os.WriteFile(path, []byte("no binary"), 0o755) }, "exec format error"},
		"writable":    {mode(0o777), "may be written by others"},
		"no rights":   {mode(0o644), "is not executable"},
		"gone":        {func(string) {}, "no such file"},
		"a folder":    {func(path string) { _ = os.Mkdir(path, 0o755) }, "is no file"},
		"foreign":     {foreign(t, own), "belongs to user 12345"},
		"half of one": {func(path string) { install(t, own, path); _ = os.Truncate(path, 4<<20) }, "does not take over"},
	} {
		_ = os.RemoveAll(m.path)
		c.put(m.path)
		out, err := exec.Command(cli, "upgrade", "--server", m.admin).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) || !strings.Contains(string(out), "nothing was handed over") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if u := m.current(); u.PID != m.pid || u.Last == nil || u.Last.Error == "" {
		t.Errorf("%+v", u)
	}
	if len(m.mains()) > 0 {
		t.Errorf("the service manager was told of %v", m.mains())
	}
	// A tree that the next process cannot serve.
	_ = os.RemoveAll(m.path)
	install(t, own, m.path)
	put(t, m.tree, "zz-broken.properties", "sluice.public.tls.cert=/nowhere\nsluice.public.tls.key=/nowhere\n")
	if out, err := m.command(); err == nil || !strings.Contains(out, "cannot serve what this one does") {
		t.Errorf("%v: %s", err, out)
	}
	if err := os.Remove(filepath.Join(m.tree, "zz-broken.properties")); err != nil {
		t.Fatal(err)
	}
	m.upgrade()
	l.check(m.process)
}

// foreign installs a binary that belongs to somebody else.
func foreign(t *testing.T, binary string) func(string) {
	return func(path string) {
		install(t, binary, path)
		if err := os.Chown(path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
}

// holdStore takes the file of a server's store as soon as that has closed it, so that
// nobody can open it before release is called.
func holdStore(t *testing.T, m *managed) (held <-chan struct{}, release func()) {
	t.Helper()
	f, err := os.Open(filepath.Join(m.state, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan struct{})
	go func() { // ends when the server does, at the latest
		defer close(got)
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Error(err)
		}
	}()
	return got, func() {
		<-got
		_ = f.Close()
	}
}

// child is the process that one has started last.
func child(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		if b, err := os.ReadFile(task); err == nil && len(b) > 0 {
			var found int
			if _, err := fmt.Sscan(string(b), &found); err == nil {
				return found
			}
		}
	}
	t.Fatalf("process %d has no child: %s", pid, b)
	return 0
}

// A process that dies, or fails, while it takes over costs nothing: the one before
// goes on. One that dies when it has handed over is not missed.
func TestUpgradeDies(t *testing.T) {
	for name, alone := range map[string]bool{"alone": true, "in a cluster": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := newTree(t)
			if !alone {
				f := &fleet{t: t, lines: []string{"com.openexchange.redis.hosts=" + redistest.Start(t).Addr, delayProperty + "=0"}}
				tree = f.tree(&member{name: "m0"})
			}
			m := manage(t, installed(t, binary(t)), tree, t.TempDir())
			l := newLoad(t, m.process, []*process{m.process}, 40)
			l.clients(m.process, 10)
			l.send(100, m.process)
			goesOn := func(how string, strike func(release func())) {
				t.Helper()
				said := make(chan string, 1)
				held, release := holdStore(t, m)
				before := strings.Count(m.log(), "going on, as nobody has taken over")
				go func() {
					out, err := m.command()
					said <- fmt.Sprintf("%v: %s", err, out)
				}()
				<-held
				strike(release)
				if out := <-said; !strings.Contains(out, "goes on as version") {
					t.Errorf("%s: %s", how, out)
				}
				// The line may still be on its way through the pipe.
				m.poll(how+": the server says once that it goes on", func() bool {
					return strings.Count(m.log(), "going on, as nobody has taken over") == before+1
				})
				if u := m.current(); u.PID != m.pid {
					t.Errorf("%s: process %d serves, not %d", how, u.PID, m.pid)
				}
			}
			arrived := func() int { return strings.Count(m.log(), "everything of the other process is here") }
			for range 2 {
				n := arrived()
				goesOn("killed before it is ready", func(release func()) {
					m.poll("it has all", func() bool { return arrived() == n+1 })
					if err := syscall.Kill(child(t, m.pid), syscall.SIGKILL); err != nil {
						t.Error(err)
					}
					release()
				})
			}
			goesOn("killed while it is given all", func(release func()) {
				_ = syscall.Kill(child(t, m.pid), syscall.SIGKILL)
				release()
			})
			m.upgrade()

			// The one that hands over is killed.
			old, n := m.pid, arrived()
			said := make(chan string, 1)
			held, release := holdStore(t, m)
			go func() {
				out, err := m.command()
				said <- fmt.Sprintf("%v: %s", err, out)
			}()
			<-held
			m.poll("it has all", func() bool { return arrived() == n+1 })
			next := child(t, old)
			t.Cleanup(func() {
				_ = syscall.Kill(next, syscall.SIGKILL)
				_, _ = syscall.Wait4(next, nil, 0, nil) // of which nobody has told
			})
			if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			if old != m.cmd.Process.Pid {
				_, _ = syscall.Wait4(old, nil, 0, nil)
			}
			release()
			if out := <-said; !strings.Contains(out, "were handed over") {
				t.Error(out)
			}
			if u := m.current(); u.PID != next {
				t.Errorf("process %d serves, not %d", u.PID, next)
			}
			hold(200 * time.Millisecond)
			n2, late := l.check(m.process)
			t.Logf("%d messages, the latest after %v", n2, late)
		})
	}
}

// Between versions: of another number it takes over; of another format the sockets
// are drained, and the new binary serves in the same process. The full round has
// lower formats as well.
func TestUpgradeVersions(t *testing.T) {
	t.Parallel()
	tree, own := newTree(t), binary(t)
	put(t, tree, "zz.properties", "sluice.drain.spread=100ms\n")
	m := manage(t, installed(t, own), tree, t.TempDir(), "--public", keptAddr(t))
	l := newLoad(t, m.process, []*process{m.process}, 10)
	l.clients(m.process, 4)
	l.send(100, m.process)
	hold(200 * time.Millisecond)
	m.upgrade()
	l.check(m.process)
	if u := m.current(); u.Last.Sockets != 14 {
		t.Errorf("%+v %+v", u, u.Last)
	}
	formats := []string{"2"}
	if *torture {
		formats = []string{"2", "0"}
	}
	for _, format := range formats {
		version := "9.9." + format
		other := variant(t, "cli.release="+version, "node.handoverFormat="+format)
		for _, b := range []string{other, own} {
			install(t, b, m.path)
			m.drains(t, "hands over in format")
			if u := m.current(); (u.Version == version) != (b == other) || u.PID != m.pid {
				t.Errorf("%+v", u)
			}
			m.poll("the clients are back", func() bool { return m.sockets() == 4 })
			if b == other {
				m.upgrade() // among themselves they hand over
				m.poll("the clients are there", func() bool { return m.sockets() == 4 })
			}
		}
	}
	if *torture {
		install(t, variant(t, "cli.release=9.9.9"), m.path)
		m.upgrade()
		if u := m.current(); u.Version != "9.9.9" || u.Last.To != "9.9.9" || u.Last.Sockets != 4 {
			t.Errorf("%+v %+v", u, u.Last)
		}
	}
}

// drains has an upgrade drain, and the same process serve.
func (m *managed) drains(t *testing.T, because string) {
	t.Helper()
	mains := len(m.mains())
	out, err := m.command()
	if err != nil || !strings.Contains(out, because) || !strings.Contains(out, fmt.Sprintf("(process %d): the sockets were drained", m.pid)) {
		t.Fatalf("%v: %s", err, out)
	}
	if len(m.mains()) != mains {
		t.Errorf("the service manager was told of %v", m.mains())
	}
	if n := m.manager.count(func(d map[string]string) bool { return d["STOPPING"] == "1" }); n > 0 {
		t.Error("the service manager was told that the service stops")
	}
}

// sockets are those that are open.
func (m *managed) sockets() int {
	var x struct{ Sockets int }
	m.request("GET", "/admin/v1/config", "", &x)
	return x.Sockets
}

func TestUpgradeDrains(t *testing.T) {
	t.Parallel()
	t.Run("few descriptors", func(t *testing.T) {
		t.Parallel()
		tree := newTree(t)
		put(t, tree, "zz.properties", "sluice.drain.spread=100ms\nsluice.websockets.maxPerUser=50\n")
		m := manage(t, installed(t, binary(t)), tree, t.TempDir())
		in := m.login(17)
		for i := range 20 {
			m.dial(in, fmt.Sprint("few", i))
		}
		m.upgrade()
		// An administrator, or its own connections, leave it hardly any.
		var limit unix.Rlimit
		if err := unix.Prlimit(m.pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
			t.Fatal(err)
		}
		limit.Cur = 80
		if err := unix.Prlimit(m.pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			t.Fatal(err)
		}
		m.drains(t, "of 80 descriptors are in use")
	})
	t.Run("TLS of its own", func(t *testing.T) {
		t.Parallel()
		tree := newTree(t)
		cert, key, _ := testkit.Certificate(t)
		put(t, tree, "zz.properties", "sluice.drain.spread=100ms\nsluice.public.tls.cert="+cert+"\nsluice.public.tls.key="+key+"\n")
		m := manage(t, installed(t, binary(t)), tree, t.TempDir())
		m.drains(t, "TLS of its own")
	})
}
