package redissessions

import (
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, client redis.UniversalClient, perUser int, removed func(*websockets.Session)) *Store {
	t.Helper()
	return New(Options{
		Client: client, Cluster: "test", Removed: removed, Logger: slog.New(slog.DiscardHandler),
		Limits: func() websockets.SessionConfig { return websockets.SessionConfig{MaxPerUser: perUser} },
	})
}

func session(user int32, lifetime time.Duration) *websockets.Session {
	return websockets.NewSession(7, user, "client", "agent", lifetime, websockets.CookieConfig{Salt: "salt"})
}

func TestSessions(t *testing.T) {
	s := redistest.Start(t)
	var removed []*websockets.Session
	a := open(t, s.Client(), 0, func(s *websockets.Session) { removed = append(removed, s) })
	b := open(t, s.Client(), 0, nil)
	ses := session(17, time.Hour)
	ctx := t.Context()
	if err := a.Create(ctx, ses); err != nil {
		t.Fatal(err)
	}
	if err := b.Create(ctx, ses); !errors.Is(err, websockets.ErrSessionExists) {
		t.Errorf("twice: %v", err)
	}
	got, err := b.Get(ctx, ses.ID)
	if err != nil || got.Secret != ses.Secret || got.CookieName() != ses.CookieName() || got.User != 17 || got.Context != 7 || got.Lifetime != time.Hour {
		t.Fatalf("%v, %v", got, err)
	}
	if d := time.Until(got.Expires); d > time.Hour || d < 59*time.Minute {
		t.Errorf("ends in %v", d)
	}
	if err := b.Move(ctx, ses.ID, netip.MustParseAddr("10.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Get(ctx, ses.ID); err != nil || got.Address.String() != "10.0.0.1" {
		t.Errorf("%v, %v", got, err)
	}
	for _, key := range s.Client().Keys(ctx, "*").Val() {
		if strings.Contains(key, ses.ID) || strings.Contains(key, ses.Secret) || !strings.HasPrefix(key, "sluice:{test:") {
			t.Errorf("key %s", key)
		}
	}
	if err := a.Delete(ctx, ses.ID); err != nil || len(removed) != 1 || removed[0].ID != ses.ID {
		t.Errorf("%v, removed %v", err, removed)
	}
	for what, err := range map[string]error{
		"delete": b.Delete(ctx, ses.ID), "touch": b.Touch(ctx, ses.ID), "move": b.Move(ctx, ses.ID, netip.Addr{}),
		"get": func() error { _, err := b.Get(ctx, ses.ID); return err }(),
	} {
		if !errors.Is(err, websockets.ErrNoSession) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if keys := s.Client().Keys(ctx, "*").Val(); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestTouchAndExpiry(t *testing.T) {
	s := redistest.Start(t)
	a := open(t, s.Client(), 2, nil)
	ctx := t.Context()
	short, long, forever := session(1, 300*time.Millisecond), session(1, time.Hour), session(2, time.Hour)
	forever.Expires = time.Time{}
	for _, ses := range []*websockets.Session{short, long, forever} {
		if err := a.Create(ctx, ses); err != nil {
			t.Fatal(err)
		}
	}
	var limit *websockets.UserSessionsError
	if err := a.Create(ctx, session(1, time.Hour)); !errors.As(err, &limit) || limit.Limit != 2 {
		t.Errorf("beyond the limit: %v", err)
	}
	s.Client().PExpire(ctx, a.key(long.ID), time.Minute)
	gone, err := a.TouchAll(ctx, []string{long.ID, forever.ID, "unknown"})
	if err != nil || len(gone) != 1 || gone[0] != "unknown" {
		t.Errorf("%v, %v", gone, err)
	}
	if ttl := s.Client().PTTL(ctx, a.key(long.ID)).Val(); ttl < 59*time.Minute {
		t.Errorf("touched, it lives %v", ttl)
	}
	if ttl := s.Client().PTTL(ctx, a.key(forever.ID)).Val(); ttl >= 0 {
		t.Errorf("the one without an end lives %v", ttl)
	}
	// Redis ends it, and its place is free.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := a.Get(ctx, short.ID); errors.Is(err, websockets.ErrNoSession) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
	if err := a.Create(ctx, session(1, time.Hour)); err != nil {
		t.Errorf("after the end of another: %v", err)
	}
}

// The limit holds exactly, whichever member is asked.
func TestLimitTogether(t *testing.T) {
	s := redistest.Start(t)
	stores := []*Store{open(t, s.Client(), 5, nil), open(t, s.Client(), 5, nil)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 40 {
		wg.Go(func() {
			err := stores[i%2].Create(t.Context(), session(3, time.Hour))
			switch {
			case err == nil:
				mu.Lock()
				made++
				mu.Unlock()
			case !errors.Is(err, websockets.ErrTooManySessions):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 5 {
		t.Errorf("%d sessions, want 5", made)
	}
}

func TestFaults(t *testing.T) {
	s := redistest.Start(t)
	a := open(t, s.Client(), 0, func(*websockets.Session) {})
	ctx := t.Context()
	ses := session(1, time.Hour)
	if err := a.Create(ctx, ses); err != nil {
		t.Fatal(err)
	}
	s.Client().ScriptFlush(ctx)
	if err := a.Touch(ctx, ses.ID); err != nil {
		t.Errorf("without scripts: %v", err)
	}
	for _, text := range []string{"", "{", `{"v":2}`, `{"v":1,"id":"another","secret":"s","context":1,"user":1}`} {
		s.Client().Set(ctx, a.key(ses.ID), text, time.Hour)
		if _, err := a.Get(ctx, ses.ID); err == nil || errors.Is(err, websockets.ErrNoSession) {
			t.Errorf("%q: %v", text, err)
		}
		if gone, err := a.TouchAll(ctx, []string{ses.ID}); err == nil || len(gone) > 0 {
			t.Errorf("%q: %v, %v", text, gone, err)
		}
	}
	if n := a.Unreadable(); n != 8 {
		t.Errorf("%d are counted, want 8", n)
	}
	if err := a.Delete(ctx, ses.ID); err != nil {
		t.Errorf("what cannot be read must go: %v", err)
	}
	s.Client().RPush(ctx, a.key("list"), "x")
	s.Client().ConfigSet(ctx, "maxmemory", "1")
	for what, err := range map[string]error{
		"out of memory": a.Create(ctx, session(1, time.Hour)),
		"another type":  func() error { _, err := a.Get(ctx, "list"); return err }(),
	} {
		if err == nil || errors.Is(err, websockets.ErrNoSession) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.Kill()
	if _, err := a.Get(ctx, ses.ID); err == nil || errors.Is(err, websockets.ErrNoSession) || strings.Contains(err.Error(), ses.ID) {
		t.Errorf("without Redis: %v", err)
	}
}

func TestInCluster(t *testing.T) {
	s := redistest.StartCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
	defer client.Close()
	a := open(t, client, 0, func(*websockets.Session) {})
	var ids []string
	for i := range 20 {
		ses := session(int32(i+1), time.Hour)
		if err := a.Create(t.Context(), ses); err != nil {
			t.Fatal(i, err)
		}
		ids = append(ids, ses.ID)
	}
	if gone, err := a.TouchAll(t.Context(), append(ids, "unknown")); err != nil || len(gone) != 1 {
		t.Errorf("%v, %v", gone, err)
	}
	for _, id := range ids {
		if err := a.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

// What is read is within bounds and is read again from what it is written as.
func FuzzDocument(f *testing.F) {
	text, err := encode(session(1, time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"v":1,"id":"a","secret":"b","context":1,"user":2147483647,"address":"::1","lifetimeMs":` + strconv.Itoa(1<<40) + `,"new":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ses, err := decode(text)
		if err != nil {
			return
		}
		if ses.ID == "" || ses.Secret == "" || ses.Context <= 0 || ses.User <= 0 || ses.Lifetime < 0 {
			t.Fatalf("%q becomes %+v", text, *ses)
		}
		again, err := encode(ses)
		if err != nil {
			return // a time that JSON cannot hold
		}
		if ses2, err := decode(again); err != nil || ses2.ID != ses.ID || ses2.Lifetime != ses.Lifetime || !ses2.Expires.Equal(ses.Expires) {
			t.Fatalf("%q becomes %q: %v", text, again, err)
		}
	})
}

// BenchmarkSession makes sessions, and reports what one takes in Redis.
func BenchmarkSession(b *testing.B) {
	s := redistest.Start(b)
	a := New(Options{Client: s.Client(), Cluster: "sluice", Logger: slog.New(slog.DiscardHandler), Limits: func() websockets.SessionConfig { return websockets.SessionConfig{MaxPerUser: 100} }})
	used := func() float64 {
		bytes, err := strconv.ParseFloat(s.Client().InfoMap(b.Context(), "memory").Val()["Memory"]["used_memory"], 64)
		if err != nil {
			b.Fatal(err)
		}
		return bytes
	}
	before := used()
	b.ResetTimer()
	for i := range b.N {
		if err := a.Create(b.Context(), session(int32(i+1), time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((used()-before)/float64(b.N), "bytes/session")
}
