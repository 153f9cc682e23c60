package websockets

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// The close table of the design, for each kind of socket.
func TestCloseTable(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		cause   Cause
		code    websocket.StatusCode
		packets []string
		plain   []string
	}{
		{CauseDisabled, 4403, []string{`42["sluice:disabled"]`}, nil},
		{CauseSession, 4401, []string{`42["session:invalid"]`, "41"}, []string{"session:invalid"}},
		{CauseTakeover, 4409, []string{"41"}, nil},
		{CauseDrain, 1012, nil, nil},
		{CauseRebalance, 1012, nil, nil},
		{CauseSlow, 4408, nil, nil},
		{CauseProtocol, 1002, nil, nil},
		{CauseText, 1007, nil, nil},
		{CauseRate, 1008, nil, nil},
		{CauseTooBig, 1009, nil, nil},
		{CauseAdmin, 4410, []string{"41"}, nil},
	} {
		t.Run(c.cause.String(), func(t *testing.T) {
			t.Parallel()
			s := w.login(4, nextUser.Add(1))
			clients := map[string]*client{eio3: w.dial(s, eio3), eio4: w.dial(s, eio4), wsPush: w.dial(s, wsPush)}
			clients[eio3].wantPrefix("0")
			clients[eio3].want("40")
			clients[eio4].join()
			if n := w.server.CloseSockets(Selector{Context: 4, User: s.User}, c.cause); n != 3 {
				t.Errorf("%d closed, want 3", n)
			}
			for path, cl := range clients {
				want := c.packets
				if path == wsPush {
					want = c.plain
				}
				if got := cl.wantClose(c.code); !slices.Equal(got, want) {
					t.Errorf("%s: before the close came %q, want %q", path, got, want)
				}
			}
		})
	}
	for c := CauseNone; c < causeCount; c++ {
		if closings[c].name == "" || len(closings[c].reason) > 123 {
			t.Errorf("cause %d: name %q, reason of %d bytes", c, closings[c].name, len(closings[c].reason))
		}
	}
}

// What was accepted before the decision to close is written before the notice.
func TestCloseFollowsMessages(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.login(1, 2), eio4)
	c.join()
	for range 50 {
		if n, err := w.server.SendToAll(Message{Name: "e"}, Target{}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	w.server.CloseSockets(Selector{}, CauseAdmin)
	if got := c.wantClose(4410); len(got) != 51 || got[50] != "41" {
		t.Errorf("%d texts before the close, the last %q", len(got), got[len(got)-1])
	}
}

func TestCloseSelectors(t *testing.T) {
	w := newWorld(t)
	s, other, stranger := w.login(1, 2), w.login(1, 2), w.login(2, 2)
	w.dial(s, "/ws/a?connection=c1")
	w.dial(s, "/ws/b?connection=c2")
	w.dial(other, "/ws/b?connection=c3")
	w.dial(stranger, "/ws/a?connection=c1")
	for _, step := range []struct {
		sel  Selector
		want int
	}{
		{Selector{Context: 9}, 0},
		{Selector{Context: 1, User: 2, Connection: "c1"}, 1},
		{Selector{Context: 1, User: 2, Connection: "c1"}, 0},
		{Selector{Session: other.ID}, 1},
		{Selector{Context: 1, PathFilter: "/ws/a"}, 0},
		{Selector{User: 2, PathFilter: "/ws/a"}, 1},
		{Selector{}, 1},
	} {
		if n := w.server.CloseSockets(step.sel, CauseAdmin); n != step.want {
			t.Errorf("%+v: %d closed, want %d", step.sel, n, step.want)
		}
	}
}

// Recheck closes the sockets of the users that the gate refuses now, and lets
// them in again when it does no more.
func TestRecheck(t *testing.T) {
	w := newWorld(t)
	s, stays := w.login(1, 2), w.login(1, 3)
	a, b := w.dial(s, eio4), w.dial(s, wsPush)
	a.join()
	c := w.dial(stays, eio4)
	c.join()
	if users, closed := w.server.Recheck(); users != 2 || closed != 0 {
		t.Errorf("asked %d, closed %d", users, closed)
	}
	w.gate.refuse(1, 2, ContextDisabled)
	if users, closed := w.server.Recheck(); users != 2 || closed != 2 {
		t.Errorf("asked %d, closed %d, want 2 and 2", users, closed)
	}
	a.wantClose(4403)
	b.wantClose(4403)
	if users, closed := w.server.Recheck(); users != 1 || closed != 0 {
		t.Errorf("asked %d, closed %d, want 1 and 0", users, closed)
	}
	w.gate.allow(1, 2)
	w.dial(s, eio4).join()
	if n, err := w.server.SendToContext(1, Message{Name: "e"}, Target{}); n != 2 || err != nil {
		t.Error(n, err)
	}
	c.want(`42["e"]`)
	seen := 0
	w.server.Users(func(context, _ uint32) bool { seen++; return context != 1 })
	if seen != 1 {
		t.Errorf("the walk went on for %d users", seen)
	}
}

func TestSessionDeletedClosesItsSockets(t *testing.T) {
	w := newWorld(t)
	s, other := w.login(1, 2), w.login(1, 2)
	a, b := w.dial(s, eio4), w.dial(other, eio4)
	a.join()
	b.join()
	if err := w.sessions.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	a.wantClose(4401)
	if _, err := w.server.SendToUser(1, 2, Message{Name: "e"}, Target{}); err != nil {
		t.Fatal(err)
	}
	b.want(`42["e"]`)
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	var clients []*client
	for u := range uint32(30) {
		clients = append(clients, w.dial(w.login(1, u+1), eio4))
	}
	late := w.login(1, 99)
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- w.server.Shutdown(ctx)
	}()
	for _, c := range clients {
		c.wantClose(1012)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	_, resp, _ := w.rawDial(get("/ws/x?session="+late.ID), late)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

// Clients that do not answer cannot hold Shutdown beyond its context.
func TestShutdownCutsSilentClients(t *testing.T) {
	w := newWorld(t)
	for u := range uint32(5) {
		s := w.login(1, u+1)
		w.rawDial(get(socketIO+s.ID), s)
	}
	until(t, "all are open", func() bool { return w.server.Stats().Handshakes[Handshake{Result: "ok"}] == 5 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := w.server.Shutdown(ctx); err == nil {
		t.Error("no error although the time was over")
	}
	if d := time.Since(start); d > closeWait/2 {
		t.Errorf("took %v", d)
	}
}
