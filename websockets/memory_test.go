package websockets

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemorySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var removed []string
		m := NewMemorySessions(func(s *Session) { removed = append(removed, s.ID) })
		ctx := t.Context()
		a := NewSession(1, 2, testClient, testAgent, 0, CookieConfig{})
		b := NewSession(1, 3, testClient, testAgent, time.Minute, CookieConfig{})
		for _, s := range []*Session{a, b} {
			if err := m.Create(ctx, s); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Create(ctx, a); !errors.Is(err, ErrSessionExists) {
			t.Errorf("second create: %v", err)
		}
		a.Secret = "changed" // the store keeps what it was given
		if got, err := m.Get(ctx, a.ID); err != nil || got.Secret == "changed" {
			t.Errorf("%v (%v)", got, err)
		}
		time.Sleep(50 * time.Second)
		if err := m.Touch(ctx, b.ID); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Second)
		if _, err := m.Get(ctx, b.ID); err != nil {
			t.Errorf("touched session: %v", err)
		}
		time.Sleep(10 * time.Second)
		if _, err := m.Get(ctx, b.ID); !errors.Is(err, ErrNoSession) || len(removed) != 1 || removed[0] != b.ID {
			t.Errorf("expired session: %v, removed %v", err, removed)
		}
		if err := m.Touch(ctx, b.ID); !errors.Is(err, ErrNoSession) {
			t.Errorf("touch of an expired session: %v", err)
		}
		if err := m.Delete(ctx, a.ID); err != nil || len(removed) != 2 {
			t.Errorf("delete: %v, removed %v", err, removed)
		}
		if err := m.Delete(ctx, a.ID); !errors.Is(err, ErrNoSession) || m.Len() != 0 {
			t.Errorf("second delete: %v, %d left", err, m.Len())
		}
	})
}

// Sessions that nobody asks for are swept, and the store stays bounded.
func TestMemorySessionsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		removed := 0
		m := NewMemorySessions(func(*Session) { removed++ })
		fill := func(id string) error {
			return m.Create(t.Context(), &Session{ID: id, Secret: "x", Expires: time.Now().Add(time.Minute)})
		}
		for i := range 10 {
			if err := fill(strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(sessionSweepInterval + time.Second)
		if err := fill("new"); err != nil || m.Len() != 1 || removed != 10 {
			t.Errorf("%v, %d left, %d removed", err, m.Len(), removed)
		}
		live := &Session{Expires: time.Now().Add(time.Hour)}
		for i := range MaxSessions {
			m.byID[strconv.Itoa(i)] = live
		}
		if err := fill("one more"); !errors.Is(err, ErrTooManySessions) {
			t.Errorf("create in a full store: %v", err)
		}
	})
}
