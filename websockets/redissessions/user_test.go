package redissessions

import (
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

// The sessions of a user are listed and ended by hashes, since their ids are in
// no store.
func TestOfUser(t *testing.T) {
	s := redistest.Start(t)
	var removed []*websockets.Session
	a := open(t, s.Client(), 10, func(s *websockets.Session) { removed = append(removed, s) })
	ctx := t.Context()
	one, two, other := session(1, time.Hour), session(1, time.Hour), session(2, time.Hour)
	two.Created = one.Created.Add(time.Minute)
	for _, ses := range []*websockets.Session{one, two, other} {
		if err := a.Create(ctx, ses); err != nil {
			t.Fatal(err)
		}
	}
	list, err := a.OfUser(ctx, one.Context, one.User)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for i, want := range []*websockets.Session{two, one} { // the newest first
		if got := list[i]; got.ID != "" || got.HashedID() != want.HashedID() || got.Client != want.Client || got.Expires.IsZero() {
			t.Errorf("%d: %+v, want %s", i, got, want.HashedID())
		}
	}
	if n, err := a.EndOfUser(ctx, one.Context, one.User, other.HashedID()); n != 0 || err != nil {
		t.Errorf("another user's session: %d, %v", n, err)
	}
	if n, err := a.EndOfUser(ctx, one.Context, one.User, one.HashedID()); n != 1 || err != nil {
		t.Errorf("one: %d, %v", n, err)
	}
	if len(removed) != 1 || removed[0].HashedID() != one.HashedID() || removed[0].ID != "" || removed[0].User != one.User {
		t.Errorf("removed: %+v", removed)
	}
	if _, err := a.Get(ctx, two.ID); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if n, err := a.EndOfUser(ctx, one.Context, one.User, ""); n != 1 || err != nil {
		t.Errorf("all: %d, %v", n, err)
	}
	if list, err := a.OfUser(ctx, one.Context, one.User); len(list) != 0 || err != nil {
		t.Errorf("left: %v, %v", list, err)
	}
	if n, err := a.EndOfUser(ctx, one.Context, one.User, ""); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	s.Stop()
	if _, err := a.OfUser(ctx, one.Context, one.User); err == nil {
		t.Error("without Redis nothing is known")
	}
}
