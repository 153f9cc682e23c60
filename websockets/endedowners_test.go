package websockets

import (
	"errors"
	"testing"
	"time"
)

// A deleted user or context takes its sessions and sockets along, tried or not;
// what its ids get later is somebody else's.
func TestEndOwner(t *testing.T) {
	for name, foreignStore := range map[string]bool{"a store of ours": false, "a store that cannot remove them": true} {
		t.Run(name, func(t *testing.T) {
			var own *MemorySessions
			w := newWorld(t, func(o *Options) {
				own = o.Sessions.(*MemorySessions)
				if foreignStore {
					o.Sessions = foreign{own}
				}
			})
			status := func(s *Session) int {
				t.Helper()
				conn, resp, _ := w.rawDial(get("/ws/x?session="+s.ID), s)
				conn.Close()
				return resp.StatusCode
			}
			user, whole, other := w.login(1, 2), w.login(2, 3), w.login(1, 4)
			if code := status(user); code != 101 {
				t.Fatalf("before: %d", code)
			}
			open, resp, _ := w.rawDial(get("/ws/open?session="+user.ID), user)
			defer open.Close()
			if resp.StatusCode != 101 {
				t.Fatalf("before: %d", resp.StatusCode)
			}
			at := time.Now()
			w.server.EndOwners([]EndedOwner{{1, 2, at.Truncate(createdStep)}, {2, 0, at}})
			for _, s := range []*Session{user, whole} {
				if code := status(s); code != 403 {
					t.Errorf("a session of a deleted owner: %d", code)
				}
				if _, err := own.Get(t.Context(), s.ID); errors.Is(err, ErrNoSession) == foreignStore {
					t.Errorf("it is in the store: %v", err)
				}
			}
			if code := status(other); code != 101 {
				t.Errorf("somebody else's: %d", code)
			}
			for limit := time.Now().Add(30 * time.Second); w.server.Stats().Closed[Closing{"session", 4401}] == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatal("the socket that was open is not closed")
				}
			}
			for !time.Now().Truncate(createdStep).After(at) {
				time.Sleep(time.Millisecond) // the next step of stored times
			}
			if code := status(w.login(1, 2)); code != 101 {
				t.Errorf("the new owner: %d", code)
			}
		})
	}
}

func TestEndedOwnersAreBounded(t *testing.T) {
	var e endedOwners
	now := time.Now()
	for i := range maxEndedOwners + 100 {
		e.end(subject{1, uint32(i + 1)}, now)
	}
	if len(e.at) > maxEndedOwners {
		t.Errorf("%d are kept", len(e.at))
	}
	if !e.over(&Session{Context: 1, User: maxEndedOwners + 100, Created: now.Add(-time.Second)}) || e.over(&Session{Context: 1, User: maxEndedOwners + 100}) {
		t.Error("the last one is forgotten, or one without a time is judged")
	}
}
