package cli_test

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// managed is a server under a parent that does what a service manager does: it is
// told of the main process, and takes in the exits of all.
type managed struct {
	*process
	manager *serviceManager
	path    string // of the binary, which a package would replace
	pid     int    // of the main process
}

// subreaper makes this process the parent of processes whose parents end.
var subreaper = sync.OnceValue(func() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })

// installed is a copy of a binary at a path of its own.
func installed(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sluice")
	install(t, binary, path)
	return path
}

// install puts a binary into its place as a package does.
func install(t *testing.T, binary, path string) {
	t.Helper()
	b, err := os.ReadFile(binary)
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o755)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// manage starts a server; it is killed with all that took its place.
func manage(t *testing.T, path, tree, state string, args ...string) *managed {
	t.Helper()
	if err := subreaper(); err != nil {
		t.Fatal(err)
	}
	m := &managed{manager: newServiceManager(t), path: path}
	cmd := exec.Command(path, append(serveArgs(tree, state), args...)...)
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.manager.path)
	p := &process{t: t, cmd: cmd, tree: tree, state: state, exited: make(chan error, 1)}
	m.process = p
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	m.pid = cmd.Process.Pid
	read := make(chan struct{})
	go func() { // of all processes
		defer close(read)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			p.mu.Lock()
			p.stderr.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
	}()
	go func() {
		p.exited <- cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		for range p.exited {
		}
		for _, pid := range m.mains() {
			if pid != cmd.Process.Pid {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				_, _ = syscall.Wait4(pid, nil, 0, nil) // it may be in already
			}
		}
		<-read
		_ = r.Close()
		if t.Failed() {
			t.Logf("log:\n%s", p.log())
		}
	})
	p.serving()
	return m
}

// mains are the main processes that were told of.
func (m *managed) mains() (pids []int) {
	m.manager.mu.Lock()
	defer m.manager.mu.Unlock()
	for _, d := range m.manager.said {
		if pid, err := strconv.Atoi(d["MAINPID"]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// command runs the command and returns what it says.
func (m *managed) command() (string, error) {
	out, err := exec.Command(m.path, "upgrade", "--server", m.admin).CombinedOutput()
	return string(out), err
}

// upgrade has another process take over, and takes in the exit of the first.
func (m *managed) upgrade() {
	m.t.Helper()
	out, err := m.command()
	if err != nil {
		m.t.Fatalf("%v: %s\n%s", err, out, m.log())
	}
	m.t.Log(strings.TrimSpace(out))
	m.ended()
	var mains []int
	testkit.Within(m.t, patience, "the service manager hears of another main process", func() bool {
		mains = m.mains()
		return len(mains) > 0 && mains[len(mains)-1] != m.pid
	})
	m.pid = mains[len(mains)-1]
	if now := m.current(); now.PID != m.pid {
		m.t.Fatalf("process %d serves, and the service manager was told of %d", now.PID, m.pid)
	}
}

// ended takes in the exit of the main process, which is to be a good one.
func (m *managed) ended() {
	m.t.Helper()
	if m.pid == m.cmd.Process.Pid {
		if code := m.wait(); code != 0 {
			m.t.Errorf("the process that handed over ends with %d", code)
		}
		return
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(m.pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		m.t.Errorf("the process that handed over ends with %d, %v", status.ExitStatus(), err)
	}
}

type upgraded struct {
	PID     int
	Version string
	Last    *struct {
		From, To, Error string
		Sockets, Closed int
		Ms              int64
	}
}

func (m *managed) current() (u upgraded) {
	m.t.Helper()
	if code := m.request("GET", "/admin/v1/upgrade", "", &u); code != http.StatusOK {
		m.t.Fatalf("%d", code)
	}
	return u
}

// A server alone goes on as another process, again and again: no socket is closed,
// and no message missed.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	m := manage(t, installed(t, binary(t)), newTree(t), t.TempDir())
	l := newLoad(t, m.process, []*process{m.process}, 40)
	l.clients(m.process, 20)
	l.send(200, m.process)
	for range 3 {
		hold(200 * time.Millisecond)
		m.upgrade()
		if u := m.current(); u.Last == nil || u.Last.Sockets != 60 || u.Last.Closed != 0 || u.Last.Error != "" {
			t.Errorf("%+v", u.Last)
		}
	}
	hold(200 * time.Millisecond)
	n, late := l.check(m.process)
	t.Logf("%d messages, the latest after %v", n, late)
	if err := syscall.Kill(m.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.ended()
}

// A member of a cluster goes on as another process: the others notice nothing.
func TestUpgradeMember(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	f := &fleet{t: t, lines: []string{"com.openexchange.redis.hosts=" + redis.Addr, delayProperty + "=0"}}
	path := installed(t, binary(t))
	one := &member{name: "m0"}
	f.members = []*member{one}
	tree := f.tree(one)
	m := manage(t, path, tree, t.TempDir())
	one.process = m.process
	two := &member{name: "m1"}
	f.members = append(f.members, two)
	f.launch(two)
	f.meet()
	l := newLoad(t, m.process, []*process{m.process, two.process}, 40)
	l.clients(m.process, 20)
	before := f.incarnations(two)
	l.send(100, m.process, two.process)
	for range 3 {
		hold(300 * time.Millisecond)
		m.upgrade()
	}
	hold(300 * time.Millisecond)
	n, late := l.check(m.process)
	t.Logf("%d messages, the latest after %v", n, late)
	if after := f.incarnations(two); !slices.Equal(before, after) {
		t.Errorf("the other member sees %v, and saw %v", after, before)
	}
	for _, word := range []string{"member joined", "member lost", "member is back"} {
		if strings.Count(two.log(), word) > 0 {
			t.Errorf("the other member says %q", word)
		}
	}
	f.meet()
}

// incarnations are those that a member sees.
func (f *fleet) incarnations(m *member) (list []string) {
	f.t.Helper()
	var x struct {
		Members []struct{ Incarnation string }
	}
	m.request("GET", "/admin/v1/members", "", &x)
	for _, o := range x.Members {
		list = append(list, o.Incarnation)
	}
	slices.Sort(list)
	return list
}
