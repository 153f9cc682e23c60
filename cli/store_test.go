package cli_test

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// What was decided and who was logged in outlives a kill, a moment after the
// answer; what an administrator switches acts on open sockets at once.
func TestStateOutlivesKill(t *testing.T) {
	tree, state := newTree(t), t.TempDir()
	p := launch(t, tree, state)
	l := p.login(17)
	if code := p.request("PUT", "/admin/v1/contexts/1337/users/18/websockets", `{"enabled":false,"reason":"ticket 4711"}`, nil); code != 201 {
		t.Fatalf("disable: %d", code)
	}
	ended := p.login(19)
	if code := p.request("DELETE", "/admin/v1/sessions/"+ended.Session, "", nil); code != 204 {
		t.Fatalf("end of a session: %d", code)
	}
	p.signal(syscall.SIGKILL)
	<-p.exited

	p = launch(t, tree, state)
	conn := p.dial(l, "c")
	var e struct {
		Enabled  bool
		Override *struct{ Reason string }
	}
	if p.request("GET", "/admin/v1/contexts/1337/users/18/websockets", "", &e); e.Enabled || e.Override == nil || e.Override.Reason != "ticket 4711" {
		t.Errorf("after the restart: %+v", e)
	}
	if code := p.request("GET", "/admin/v1/sessions/"+ended.Session, "", nil); code != 404 {
		t.Errorf("the ended session: %d", code)
	}

	start := time.Now()
	if code := p.request("PUT", "/admin/v1/contexts/1337/users/17/websockets", `{"enabled":false,"reason":"r"}`, nil); code != 201 {
		t.Fatalf("disable: %d", code)
	}
	for {
		if _, _, err := conn.Read(t.Context()); err != nil {
			if s := websocket.CloseStatus(err); s != 4403 {
				t.Errorf("closed with %d: %v", s, err)
			}
			break
		}
	}
	t.Logf("closed %v after the call", time.Since(start).Round(time.Millisecond))
	if code := p.request("DELETE", "/admin/v1/contexts/1337/users/17/websockets", "", nil); code != 200 {
		t.Errorf("reset: %d", code)
	}
	p.dial(l, "c")
}

// An override that expires opens the gate again by itself, also when the server
// was not running at that moment.
func TestOverrideExpires(t *testing.T) {
	tree, state := newTree(t), t.TempDir()
	p := launch(t, tree, state)
	for i, in := range []time.Duration{1200 * time.Millisecond, 2500 * time.Millisecond} {
		until := time.Now().Add(in).UTC().Format(time.RFC3339Nano)
		path := "/admin/v1/contexts/1337/users/" + strconv.Itoa(17+i) + "/websockets"
		if code := p.request("PUT", path, `{"enabled":false,"reason":"for a while","expires":"`+until+`"}`, nil); code != 201 {
			t.Fatalf("disable: %d", code)
		}
	}
	open := func(user string) func() bool {
		return func() bool {
			var e struct{ Enabled bool }
			p.request("GET", "/admin/v1/contexts/1337/users/"+user+"/websockets", "", &e)
			return e.Enabled
		}
	}
	if open("17")() {
		t.Error("the override does not count")
	}
	p.poll("the override expires", open("17"))
	p.signal(syscall.SIGKILL)
	<-p.exited
	p = launch(t, tree, state)
	p.poll("the other expires", open("18"))
}
