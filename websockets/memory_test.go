package websockets

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemorySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var gone []string
		m := NewMemorySessions(func(s *Session) {
			mu.Lock()
			defer mu.Unlock()
			gone = append(gone, s.ID)
		})
		defer m.Close()
		removed := func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(gone)
		}
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
		if got, err := m.Get(ctx, a.ID); err != nil || got.HasSecret("changed") || got.Secret != "" {
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
		if _, err := m.Get(ctx, b.ID); !errors.Is(err, ErrNoSession) || !slices.Equal(removed(), []string{b.ID}) {
			t.Errorf("expired session: %v, removed %v", err, removed())
		}
		if err := m.Touch(ctx, b.ID); !errors.Is(err, ErrNoSession) {
			t.Errorf("touch of an expired session: %v", err)
		}
		if err := m.Delete(ctx, a.ID); err != nil || len(removed()) != 2 {
			t.Errorf("delete: %v, removed %v", err, removed())
		}
		if err := m.Delete(ctx, a.ID); !errors.Is(err, ErrNoSession) || m.Len() != 0 {
			t.Errorf("second delete: %v, %d left", err, m.Len())
		}
	})
}

// Sessions that nobody asks for expire on time, each at its own, and the ones
// that are touched when that is over.
func TestMemorySessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		expired := map[string]time.Duration{}
		m := NewMemorySessions(func(s *Session) {
			mu.Lock()
			defer mu.Unlock()
			expired[s.ID] = time.Since(start)
		})
		defer m.Close()
		m.Limit(func() SessionConfig { return SessionConfig{} })
		order := rand.Perm(5000)
		for _, i := range order {
			life := time.Duration(i%100+1) * time.Second
			s := &Session{ID: strconv.Itoa(i), Context: 1, User: 2, Expires: start.Add(life), Lifetime: life}
			if err := m.Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		forever := &Session{ID: "forever", Context: 1, User: 2}
		if err := m.Create(t.Context(), forever); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		for i := 0; i < 5000; i += 7 {
			if err := m.Touch(t.Context(), strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Touch(t.Context(), "forever"); err != nil {
			t.Error(err)
		}
		for i := 1; i < 5000; i += 49 {
			if err := m.Delete(t.Context(), strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(101 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(expired) != 5000 || m.Len() != 1 {
			t.Errorf("%d expired, %d left", len(expired), m.Len())
		}
		for i := range 5000 {
			want := time.Duration(i%100+1) * time.Second
			switch {
			case i%49 == 1:
				want = 500 * time.Millisecond
			case i%7 == 0:
				want += 500 * time.Millisecond
			}
			if got := expired[strconv.Itoa(i)]; got != want {
				t.Errorf("session %d expired after %v, want %v", i, got, want)
			}
		}
	})
}

// A session that expires closes its sockets at that moment, and an open socket
// keeps its session alive.
func TestSessionExpiryClosesSockets(t *testing.T) {
	w := newWorld(t)
	short := NewSession(1, 2, testClient, testAgent, 300*time.Millisecond, w.config.Cookie)
	if err := w.sessions.Create(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	long := w.login(1, 2)
	c, other := w.dial(short, eio4), w.dial(long, eio4)
	c.join()
	other.join()
	if before := c.wantClose(4401); !slices.Equal(before, []string{`42["session:invalid"]`, "41"}) {
		t.Errorf("before the close came %q", before)
	}
	if n, err := w.server.SendToUser(1, 2, Message{Name: "e"}, Target{}); n != 1 || err != nil {
		t.Errorf("queued %d (%v), want 1", n, err)
	}
	other.want(`42["e"]`)
}

// What Close has seen begin is over when it returns, and nothing begins later.
func TestMemorySessionsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began, ended atomic.Bool
		m := NewMemorySessions(func(*Session) {
			began.Store(true)
			time.Sleep(time.Second)
			ended.Store(true)
		})
		for i, id := range []string{"a", "b"} {
			life := time.Duration(i+1) * time.Minute
			if err := m.Create(t.Context(), &Session{ID: id, Expires: time.Now().Add(life)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		m.Close()
		if !began.Load() || !ended.Load() {
			t.Errorf("began %v, ended %v", began.Load(), ended.Load())
		}
		time.Sleep(time.Hour)
		if m.Len() != 1 {
			t.Errorf("%d left, want the one that nobody is told of", m.Len())
		}
		if _, err := m.Get(t.Context(), "b"); !errors.Is(err, ErrNoSession) {
			t.Errorf("an expired session is found: %v", err)
		}
	})
}

func TestMemorySessionsLimits(t *testing.T) {
	limits := SessionConfig{Max: 5, MaxPerUser: 2}
	m := NewMemorySessions(nil)
	defer m.Close()
	create := func(id string, user uint32) error {
		return m.Create(t.Context(), &Session{ID: id, Context: 1, User: user, Expires: time.Now().Add(time.Hour)})
	}
	for i := range DefaultMaxSessionsPerUser {
		if err := create("default"+strconv.Itoa(i), 9); err != nil {
			t.Fatal(err)
		}
	}
	var full *UserSessionsError
	if err := create("x", 9); !errors.As(err, &full) || full.Limit != 100 {
		t.Errorf("the 101st session of a user: %v", err)
	}
	for i := range DefaultMaxSessionsPerUser {
		if err := m.Delete(t.Context(), "default"+strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	m.Limit(func() SessionConfig { return limits })
	for _, c := range []struct {
		id      string
		user    uint32
		perUser bool
		total   bool
	}{
		{"a1", 1, false, false},
		{"a2", 1, false, false},
		{"a3", 1, true, false},
		{"b1", 2, false, false},
		{"b2", 2, false, false},
		{"c1", 3, false, false},
		{"d1", 4, false, true},
		{"a3", 1, true, false},
	} {
		err := create(c.id, c.user)
		full = nil
		if errors.As(err, &full) != c.perUser || errors.Is(err, ErrTooManySessions) != (c.perUser || c.total) {
			t.Errorf("%s: %v", c.id, err)
		}
	}
	if err := m.Delete(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	if err := create("a4", 1); err != nil {
		t.Errorf("a place is free, yet %v", err)
	}
	limits = SessionConfig{}
	for i := range 200 {
		if err := create("e"+strconv.Itoa(i), 5); err != nil {
			t.Fatalf("without limits: %v", err)
		}
	}
	for i := range MaxSessions {
		m.byID[strconv.Itoa(i)] = &held{session: &Session{}, place: neverExpires}
	}
	if err := create("one more", 6); !errors.Is(err, ErrTooManySessions) {
		t.Errorf("create in a full store: %v", err)
	}
}

func TestMemorySessionsMove(t *testing.T) {
	m := NewMemorySessions(nil)
	defer m.Close()
	s := NewSession(1, 2, testClient, testAgent, 0, CookieConfig{})
	if err := m.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	before, _ := m.Get(t.Context(), s.ID)
	a := netip.MustParseAddr("192.0.2.1")
	if err := m.Move(t.Context(), s.ID, a); err != nil {
		t.Fatal(err)
	}
	after, _ := m.Get(t.Context(), s.ID)
	if before.Address.IsValid() || after.Address != a || !after.Expires.Equal(before.Expires) {
		t.Errorf("%v, then %v", before.Address, after.Address)
	}
	if err := m.Move(t.Context(), "none", a); !errors.Is(err, ErrNoSession) {
		t.Error(err)
	}
}

// The store under everything at once, for the race detector.
func TestMemorySessionsTogether(t *testing.T) {
	var removed atomic.Int64
	m := NewMemorySessions(func(*Session) { removed.Add(1) })
	m.Limit(func() SessionConfig { return SessionConfig{} })
	var wg sync.WaitGroup
	const workers, each = 8, 300
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := strconv.Itoa(w) + "-" + strconv.Itoa(i)
				s := &Session{ID: id, Context: 1, User: uint32(w + 1), Expires: time.Now().Add(time.Duration(i%5) * time.Millisecond), Lifetime: time.Millisecond}
				if err := m.Create(t.Context(), s); err != nil {
					t.Error(err)
				}
				_ = m.Touch(t.Context(), id) // may have expired
				_ = m.Move(t.Context(), id, netip.Addr{})
				if i%3 == 0 {
					_ = m.Delete(t.Context(), id)
				}
				m.Len()
			}
		})
	}
	wg.Wait()
	until(t, "all have expired", func() bool { return m.Len() == 0 })
	m.Close()
	if n := removed.Load(); n != workers*each {
		t.Errorf("onRemove was called %d times, want %d", n, workers*each)
	}
	if len(m.perUser) != 0 || len(m.queue) != 0 {
		t.Errorf("%d users and %d places are left", len(m.perUser), len(m.queue))
	}
}
