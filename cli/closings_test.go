package cli_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/remote/redistest"
)

// raw is request with the body as it is.
func (m *member) raw(method, path string) (status int, body string) {
	m.t.Helper()
	req, err := http.NewRequest(method, adminURL(m.admin, path), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	res, err := adminClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		m.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// as asks with a token over TCP, and returns the status.
func (m *member) as(token, path string) int {
	m.t.Helper()
	req, err := http.NewRequest(http.MethodGet, m.tcp+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := adminClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		m.t.Fatal(err)
	}
	return res.StatusCode
}

// closesHere holds what a member does whose store goes away: it refuses on its own
// the user whom it is told to switch off and the token that it is told to revoke,
// says so everywhere, stores nothing, and takes both back when the store answers
// again. away returns once no write is taken, but one that mayWrite; reason is that
// of the writes.
func closesHere(t *testing.T, m *member, mayWrite bool, reason string, away, back func()) {
	t.Helper()
	var made struct{ Token string }
	if code := m.request("POST", "/admin/v1/tokens", `{"name":"lost","role":"viewer"}`, &made); code != 201 {
		t.Fatal(code)
	}
	l := m.login(17)
	conn, err := m.dial(l, "a")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	go r.run(conn) // ends with the connection
	away()
	before := m.audited()
	exit, out, errs := run("disable", "-c", "1337", "-u", "17", "--reason", reason, "--server", m.admin)
	if exit != 1 || !strings.Contains(errs, "On this member the sockets of user 17 in context 1337 are closed") || !strings.Contains(errs, "nothing of that is stored") {
		t.Errorf("sluice disable: %d %s%s", exit, out, errs)
	}
	m.poll("the socket is closed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.err != nil
	})
	if m.refusal(l, "b") == "" {
		t.Error("a handshake is let in")
	}
	if _, out, _ = run("doctor", "-c", "1337", "-u", "17", "--server", m.admin); !strings.Contains(out, "switched off on this member alone by") {
		t.Errorf("sluice doctor: %s", out)
	}
	if _, out, errs = run("explain", "com.openexchange.websockets.enabled", "-c", "1337", "-u", "17", "--server", m.admin); !strings.Contains(out+errs, "alone by") {
		t.Errorf("sluice explain: %s%s", out, errs)
	}
	if got := m.as(made.Token, "/admin/v1/config"); got != 200 {
		t.Errorf("with the token: %d", got)
	}
	// What needs no new page of a file is still written to a full disk.
	code, text := m.raw("DELETE", "/admin/v1/tokens/lost")
	local := code == 503 && strings.Contains(text, `"local":"closed"`)
	if !local && !(mayWrite && code == 204) {
		t.Errorf("revoked: %d %s", code, text)
	}
	if got := m.as(made.Token, "/admin/v1/config"); got != 401 {
		t.Errorf("with the revoked token: %d", got)
	}
	watched := make(chan struct{})
	streams := m.metric("sluice_event_streams")
	go func() {
		defer close(watched)
		exit, out, errs = run("watch", "--kinds", "closing", "--count", "1", "--for", "60s", "-c", "1337", "-u", "17", "--server", m.admin)
	}()
	m.poll("somebody watches", func() bool { return m.metric("sluice_event_streams") != streams })
	back()
	if <-watched; exit != 0 || !strings.Contains(out, "over user 17 in context 1337 by") {
		t.Errorf("sluice watch: %d %s%s", exit, out, errs)
	}
	m.poll("the user is served again", func() bool { return m.refusal(l, "c") == "" })
	if got := m.as(made.Token, "/admin/v1/config"); local && got != 200 {
		t.Errorf("with the token, of whose removal nothing is stored: %d", got)
	}
	m.poll("the store takes writes", func() bool { return m.metric("sluice_store_ok") == "1" })
	if code == 204 {
		before++
	}
	if n := m.audited(); n != before {
		t.Errorf("%d writes were stored", n-before)
	}
	if exit, out, errs = run("disable", "-c", "1337", "-u", "17", "--reason", "stolen", "--server", m.admin); exit != 0 {
		t.Errorf("sluice disable: %d %s%s", exit, out, errs)
	}
	m.poll("it counts", func() bool { return m.refusal(l, "d") != "" })
}

// The keeper is away.
func TestSwitchedOffWithoutTheKeeper(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	a, b := f.members[0], f.members[1]
	f.one()
	closesHere(t, b, false, "stolen", func() {
		a.signal(syscall.SIGKILL)
		<-a.exited
		b.poll("without the keeper nothing is written", b.refuses(90, 503, "store_unavailable"))
	}, func() { f.launch(a) })
}

// The disk of the state folder is full.
func TestSwitchedOffOnAFullDisk(t *testing.T) {
	t.Parallel()
	tree, state := newTree(t), t.TempDir()
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("%v: this test is run by root", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(state, unix.MNT_DETACH) })
	m := &member{process: launch(t, tree, state)}
	ballast := filepath.Join(state, "ballast")
	// Each write takes pages: its reason stays in the audit log.
	reason := strings.Repeat("stolen ", 580)
	closesHere(t, m, true, reason, func() {
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		for page := make([]byte, 4096); err == nil; {
			_, err = f.Write(page)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		user, refused := 100, 0
		m.poll("nothing is written to the full disk", func() bool {
			user++
			body := fmt.Sprintf(`{"enabled":true,"reason":%q}`, reason)
			if m.request("PUT", fmt.Sprintf("/admin/v1/contexts/1337/users/%d/websockets", user), body, nil) == 503 {
				refused++
			} else {
				refused = 0
			}
			return refused == 3
		})
	}, func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	})
}
