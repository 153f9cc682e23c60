package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// strangers is the socket as somebody sees it who may not use it.
func (w *world) strangers() *httptest.Server {
	h := w.server.Listener(w.server.Admin())
	h.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, &peer{name: "nobody"})
	}
	s := serve(h, nil)
	w.t.Cleanup(s.Close)
	return s
}

// needRoot fails where a test cannot do what it has to: connect as other users.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test connects as other users: run it as root")
	}
}

// groupPointer is what setgroups takes.
func groupPointer(groups []uint32) uintptr { return uintptr(unsafe.Pointer(&groups[0])) }

// dialAs connects as another user, on a thread that ends with it.
func dialAs(path string, uid, gid int, groups ...uint32) (c net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread is lost with its user
		set := func(nr, a, b, c uintptr) {
			if _, _, errno := syscall.RawSyscall(nr, a, b, c); errno != 0 {
				err = errors.Join(err, errno)
			}
		}
		keep := uintptr(0)
		set(unix.SYS_SETGROUPS, keep, 0, 0)
		if len(groups) > 0 {
			set(unix.SYS_SETGROUPS, uintptr(len(groups)), groupPointer(groups), 0)
		}
		set(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
		set(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		if err == nil {
			c, err = net.Dial("unix", path)
		}
	}()
	<-done
	return c, err
}

// statusAs asks for the configuration over a connection.
func statusAs(t *testing.T, c net.Conn) int {
	t.Helper()
	defer c.Close()
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil },
	}}
	res, err := client.Get("http://x/admin/v1/config")
	must(t, err)
	must(t, res.Body.Close())
	return res.StatusCode
}

// Who may use the socket, by the user and the groups of the process that
// connects; the mode of the file keeps the others out before that.
func TestSocketPeers(t *testing.T) {
	needRoot(t)
	w := newWorld(t, tree)
	const group = "daemon"
	g, err := user.LookupGroup(group)
	must(t, err)
	var gid uint32
	for _, digit := range g.Gid {
		gid = gid*10 + uint32(digit-'0')
	}
	path := socketPath(t)
	must(t, os.Chmod(filepath.Dir(path), 0o755))
	at, err := ListenAdminSocket(path, group)
	must(t, err)
	s := serve(w.server.SocketListener(w.server.Admin(), at), at)
	defer s.Close()
	fi, err := os.Stat(path)
	must(t, err)
	if st := fi.Sys().(*syscall.Stat_t); fi.Mode().Perm() != socketMode || st.Gid != gid {
		t.Errorf("mode %v of group %d", fi.Mode(), st.Gid)
	}
	const nobody = 65534
	if c, err := dialAs(path, nobody, nobody); !errors.Is(err, os.ErrPermission) {
		t.Errorf("others can connect: %v %v", c, err)
	}
	for _, c := range []struct {
		name     string
		uid, gid int
		groups   []uint32
		open     os.FileMode // of the file, so that only the credentials count
		status   int
	}{
		{"root", 0, 0, nil, socketMode, 200},
		{"a member by its first group", nobody, int(gid), nil, socketMode, 200},
		{"a member by another group", nobody, nobody, []uint32{nobody, gid}, socketMode, 200},
		{"a member of many groups", nobody, nobody, append(make([]uint32, 200), gid), socketMode, 200},
		{"no member", nobody, nobody, nil, 0o666, 403},
		{"a member of others", nobody, nobody, []uint32{gid + 1}, 0o666, 403},
	} {
		must(t, os.Chmod(path, c.open))
		conn, err := dialAs(path, c.uid, c.gid, c.groups...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := statusAs(t, conn); got != c.status {
			t.Errorf("%s: %d, want %d", c.name, got, c.status)
		}
	}
	if logs := w.logs.String(); !strings.Contains(logs, "reason=peer") || !strings.Contains(logs, "address=unix user=nobody") {
		t.Errorf("who was refused is not in the log: %s", logs)
	}
}

// What is written over the socket is written by the system user, whatever token
// comes along.
func TestSocketActor(t *testing.T) {
	w := newWorld(t, tree)
	a := w.ask("PUT", "/admin/v1/contexts/7", `{"name":"a"}`, "Authorization: Bearer slt_of-somebody", "Host: sluice.example.com", "X-Forwarded-For: 192.0.2.1")
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var log struct{ Entries []struct{ Actor string } }
	w.ask("GET", "/admin/v1/audit", "").into(t, &log)
	if len(log.Entries) != 1 || log.Entries[0].Actor != me || me == actorUnix {
		t.Errorf("%+v, want %s", log, me)
	}
}

// A path that cannot be had is told with what to do.
func TestSocketPaths(t *testing.T) {
	path := socketPath(t)
	first, err := ListenAdminSocket(path, "")
	must(t, err)
	refused := func(what, path, group string, want ...string) {
		t.Helper()
		l, err := ListenAdminSocket(path, group)
		if err == nil {
			_ = l.Close()
			t.Fatalf("%s: it listens", what)
		}
		for _, text := range append(want, PropAdminSocket) {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: no %q in %v", what, text, err)
			}
		}
	}
	refused("a server is there", path, "", path, "a server answers there already")
	long := filepath.Join(filepath.Dir(path), strings.Repeat("x", maxSocketPath))
	refused("too long", long, "", long, "Unix allows 107")
	refused("no folder", filepath.Join(path+".none", "admin.sock"), "", "no such file")
	refused("no group", path+"2", "there-is-no-such-group", PropSocketGroup, "there-is-no-such-group")
	must(t, os.WriteFile(path+".file", []byte("precious"), 0o600))
	refused("a file", path+".file", "", "no socket", "move it away")
	must(t, os.Mkdir(path+".dir", 0o700))
	refused("a folder", path+".dir", "", "no socket")
	must(t, os.Symlink(path+".file", path+".link"))
	refused("a link", path+".link", "", "no socket")
	if b, err := os.ReadFile(path + ".file"); err != nil || string(b) != "precious" {
		t.Errorf("the file: %q %v", b, err)
	}
	// The longest that fits.
	fits := filepath.Join(filepath.Dir(path), strings.Repeat("x", maxSocketPath-len(filepath.Dir(path))-1))
	l, err := ListenAdminSocket(fits, "")
	must(t, err)
	must(t, l.Close())

	// What a server left that was killed is no obstacle, and the end removes it.
	first.SetUnlinkOnClose(false)
	must(t, first.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	again, err := ListenAdminSocket(path, "")
	must(t, err)
	must(t, again.Close())
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A socket of another user is not taken away from it.
func TestSocketOfAnotherUser(t *testing.T) {
	needRoot(t)
	path := socketPath(t)
	must(t, os.Chmod(filepath.Dir(path), 0o777))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	const nobody, other = 65534, 1
	must(t, os.Chown(path, other, other))
	got := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			got <- errno
			return
		}
		l, err := ListenAdminSocket(path, "")
		if err == nil {
			_ = l.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		if err == nil || !strings.Contains(err.Error(), "belongs to user daemon") || !strings.Contains(err.Error(), "remove it as that user") {
			t.Errorf("%v", err)
		}
	case <-time.After(patience):
		t.Fatal("no answer")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}
