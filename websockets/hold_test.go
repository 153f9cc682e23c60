package websockets

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// A socket that is muted counts for every limit, is shown as muted, and is
// closed when its user is held no longer.
func TestHeldCounts(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.MaxPerUser = 2 })
	s := w.login(1, 2)
	w.gate.hold()
	w.gate.refuse(1, 2, SwitchedOff)
	a := w.dial(s, wsPush)
	b := w.dial(s, eio4)
	a.want(`{"name":"sluice:disabled","args":[],"namespace":"/"}`)
	b.join()
	b.want(`42["sluice:disabled"]`)
	if _, res, _ := w.rawDial("GET "+wsPush+"?session="+s.ID+" HTTP/1.1", s); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a socket beyond the limit: %s", res.Status)
	}
	if st := w.server.Stats(); st.Muted != 2 {
		t.Errorf("%d muted, want 2", st.Muted)
	}
	if list, _ := w.server.List(Selector{}, "", 10); len(list) != 2 || !list[0].Muted || !list[1].Muted {
		t.Errorf("listed %+v", list)
	}
	_ = b.conn.CloseNow()
	until(t, "the muted socket that ended is not counted", func() bool { return w.server.Stats().Muted == 1 })
	w.gate.mu.Lock()
	w.gate.held = false
	w.gate.mu.Unlock()
	if users, closed := w.server.Recheck(); users != 1 || closed != 1 {
		t.Errorf("%d users asked and %d sockets closed, want 1 and 1", users, closed)
	}
	a.wantClose(4403)
	until(t, "nothing is muted", func() bool { return w.server.Stats().Muted == 0 && len(w.server.hub.every()) == 0 })
}

// A context or user that is disabled is never held.
func TestHeldAccounts(t *testing.T) {
	w := newWorld(t)
	w.gate.hold()
	c := w.dial(w.login(1, 2), wsPush)
	w.gate.refuse(1, 2, UserDisabled)
	w.server.Recheck()
	c.wantClose(4403)
}

// Whatever changes at once, a socket ends as its user is.
func TestHeldRace(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.QueueMessages = 10_000 })
	w.gate.hold()
	c := w.dial(w.login(1, 2), eio3)
	c.wantPrefix("0") // its handshake is over
	c.want("40")
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 20 {
				w.gate.refuse(1, 2, SwitchedOff)
				w.server.Recheck()
				w.gate.allow(1, 2)
				w.server.Recheck()
			}
		})
	}
	work.Wait()
	if n := w.server.Stats().Muted; n != 0 {
		t.Fatalf("%d muted, but the user is served", n)
	}
	if n, err := w.server.SendToAll(Message{Name: "end"}, Target{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	last := ""
	for began := time.Now(); time.Since(began) < patience; {
		if last = c.read(); last == `42["end"]` {
			return
		}
	}
	t.Errorf("the message did not come, the last was %q", last)
}

// A client that does not read what it is told is slow, however it is switched.
func TestHeldFlood(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.QueueMessages = 4 })
	w.gate.hold()
	c := w.dial(w.login(1, 2), eio4) // and does not join
	c.wantPrefix("0")                // its handshake is over
	for range 4 {
		w.gate.refuse(1, 2, SwitchedOff)
		w.server.Recheck()
		w.gate.allow(1, 2)
		w.server.Recheck()
	}
	c.wantClose(4408)
}
