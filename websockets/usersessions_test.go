package websockets

import (
	"testing"
	"time"
)

// The sessions of a user are listed without those that are over, and ended
// together or one by one with their sockets.
func TestUserSessions(t *testing.T) {
	w := newWorld(t)
	one, two := w.login(1, 2), w.login(1, 2)
	w.login(1, 3)
	over := NewSession(1, 2, testClient, testAgent, time.Nanosecond, w.config.Cookie)
	_ = w.sessions.Create(t.Context(), over) // which may be over already
	c := w.dial(one, eio4)
	c.join()
	list, err := w.sessions.OfUser(t.Context(), 1, 2)
	if err != nil || len(list) != 2 || list[0].HashedID() == list[1].HashedID() {
		t.Fatalf("%v, %v", list, err)
	}
	infos, _ := w.server.List(Selector{Context: 1, User: 2}, "", 10)
	if len(infos) != 1 || infos[0].SessionHash != one.HashedID() {
		t.Errorf("the socket is of %+v", infos)
	}
	if n := w.server.CloseSockets(Selector{Context: 1, User: 2, SessionHash: two.HashedID()}, CauseSession); n != 0 {
		t.Errorf("%d sockets of the other session", n)
	}
	if n, err := w.sessions.EndOfUser(t.Context(), 1, 2, one.HashedID()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	c.wantClose(4401)
	if n, err := w.sessions.EndOfUser(t.Context(), 1, 2, ""); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if list, _ := w.sessions.OfUser(t.Context(), 1, 2); list != nil {
		t.Errorf("left: %v", list)
	}
	if list, _ := w.sessions.OfUser(t.Context(), 1, 3); len(list) != 1 {
		t.Errorf("of another user: %v", list)
	}
}
