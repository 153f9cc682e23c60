package cli_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
)

// refusal is why a handshake of a login is refused; "": it is not.
func (m *member) refusal(l login, name string) string {
	conn, err := m.dial(l, name)
	if err == nil {
		_ = conn.CloseNow()
		return ""
	}
	return err.Error()
}

// must makes a request that is to be answered with a success.
func (m *member) must(method, path, body string) {
	m.t.Helper()
	var problem struct{ Detail string }
	if code := m.request(method, path, body, &problem); code/100 != 2 {
		m.t.Fatalf("%s %s: %d %s\n%s", method, path, code, problem.Detail, m.log())
	}
}

// Sessions of a deleted user, and of a context that has a new owner, are over,
// tried or not: also for the new owner of the ids, on other members and after
// restarts, whatever keeps the sessions.
func TestSessionsEndWithTheirOwner(t *testing.T) {
	end := func(m *member) {
		m.must("DELETE", "/admin/v1/contexts/1337/users/17?reason=left", "")
		m.must("PUT", "/admin/v1/contexts/1337/users/17", `{"reason":"somebody else"}`)
	}
	t.Run("in the file of a member", func(t *testing.T) {
		m := &member{process: launch(t, newTree(t), t.TempDir())}
		m.must("PUT", "/admin/v1/contexts/1337", `{"name":"acme"}`)
		m.must("PUT", "/admin/v1/contexts/1337/users/17", `{}`)
		old, other := m.login(17), m.login(18)
		end(m)
		if why := m.refusal(old, "a"); why == "" {
			t.Error("a session of the owner before is let in")
		}
		m.signal(syscall.SIGKILL) // before anything but the deletion is on the disk
		<-m.exited
		m.process = launch(t, m.tree, m.state)
		if why := m.refusal(old, "a"); why == "" {
			t.Error("a session of the owner before is let in after a restart")
		}
		if why := m.refusal(other, "b"); why != "" {
			t.Errorf("somebody else is not: %s", why)
		}
		if why := m.refusal(m.login(17), "c"); why != "" {
			t.Errorf("the new owner is not: %s", why)
		}
		m.must("PUT", "/admin/v1/contexts/1337", `{"name":"other"}`)
		if why := m.refusal(other, "d"); why == "" {
			t.Error("a session of the context's owner before is let in")
		}
	})
	t.Run("in Redis", func(t *testing.T) {
		f := newFleet(t, redistest.Start(t), 2)
		a, b := f.members[0], f.members[1]
		f.one()
		a.must("PUT", "/admin/v1/contexts/1337/users/17", `{}`)
		old, other := a.login(17), a.login(18)
		if why := b.refusal(old, "a"); why != "" {
			t.Fatalf("before: %s", why)
		}
		end(a)
		for i, m := range f.members {
			m.poll("a session of the owner before is refused", func() bool { return m.refusal(old, fmt.Sprint("e", i)) != "" })
		}
		b.signal(syscall.SIGKILL)
		<-b.exited
		f.launch(b)
		if why := b.refusal(old, "f"); why == "" {
			t.Error("it is let in after a restart")
		}
		if why := b.refusal(other, "g"); why != "" {
			t.Errorf("somebody else is not: %s", why)
		}
		if why := b.refusal(b.login(17), "h"); why != "" {
			t.Errorf("the new owner is not: %s", why)
		}
	})
}
