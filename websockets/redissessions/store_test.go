package redissessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, client redis.UniversalClient, perUser int, removed func(*websockets.Session)) *Store {
	t.Helper()
	return testkit.Open(t, New, Options{
		Client: client, Cluster: "test", Removed: removed, Logger: slog.New(slog.DiscardHandler),
		Limits: func() websockets.SessionConfig { return websockets.SessionConfig{MaxPerUser: perUser} },
	})
}

func session(user uint32, lifetime time.Duration) *websockets.Session {
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
	other := session(17, time.Hour)
	other.ID = ses.ID
	if err := b.Create(ctx, other); !errors.Is(err, websockets.ErrSessionExists) {
		t.Errorf("another with its id: %v", err)
	}
	got, err := b.Get(ctx, ses.ID)
	if err != nil || !got.HasSecret(ses.Secret) || got.CookieName() != ses.CookieName() || got.User != 17 || got.Context != 7 || got.Lifetime != time.Hour {
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
	// Who reads Redis cannot log in with what is there.
	for _, key := range s.Client().Keys(ctx, "*").Val() {
		text := key + s.Client().Get(ctx, key).Val() + strings.Join(s.Client().ZRange(ctx, key, 0, -1).Val(), " ")
		if strings.Contains(text, ses.ID) || strings.Contains(text, ses.Secret) || !strings.HasPrefix(key, "sluice:{test:") {
			t.Errorf("key %s: %q", key, text)
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
	if gone, err := a.Missing(ctx, []string{long.ID, forever.ID}); err != nil || len(gone) > 0 {
		t.Errorf("missing: %v, %v", gone, err)
	}
	if gone, err := a.Missing(ctx, []string{long.ID, "unknown", forever.ID}); err != nil || len(gone) != 1 || gone[0] != "unknown" {
		t.Errorf("missing: %v, %v", gone, err)
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
	for _, text := range []string{"", "{", `{"v":2}`, string(encode(session(1, time.Hour)))} {
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
		ses := session(uint32(i+1), time.Hour)
		if err := a.Create(t.Context(), ses); err != nil {
			t.Fatal(i, err)
		}
		ids = append(ids, ses.ID)
	}
	if gone, err := a.TouchAll(t.Context(), append(ids, "unknown")); err != nil || len(gone) != 1 {
		t.Errorf("%v, %v", gone, err)
	}
	if gone, err := a.Missing(t.Context(), append(ids, "unknown")); err != nil || len(gone) != 1 {
		t.Errorf("missing: %v, %v", gone, err)
	}
	for _, id := range ids {
		if err := a.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

// A command is sent again when its answer is lost. It must not take what it did
// for what another has done.
func TestCommandsRepeatedByTheClient(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	client := redis.NewClient(&redis.Options{Addr: p.Addr, MaxRetries: 1, DisableIdentity: true})
	defer client.Close()
	hook := &blindHook{proxy: p}
	client.AddHook(hook)
	removed := make(chan string, 10)
	a := open(t, client, 1, func(s *websockets.Session) { removed <- s.ID })
	ctx := t.Context()
	// lose has the answer to the next command of a name be lost.
	lose := func(command string, done func() bool, call func() error) error {
		t.Helper()
		hook.command.Store(&command)
		got := make(chan error, 1)
		go func() { got <- call() }()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("Redis does not do it: " + command)
			}
		}
		p.Snap()
		return <-got
	}
	has := func(key string) func() bool { return func() bool { return s.Client().Exists(ctx, key).Val() == 1 } }
	if err := reserveScript.Load(ctx, client).Err(); err != nil {
		t.Fatal(err)
	}
	first, second := session(1, time.Hour), session(2, time.Hour)
	if err := lose("evalsha", has(a.owner(7, 1)), func() error { return a.Create(ctx, first) }); err != nil {
		t.Errorf("its place is another's to it: %v", err)
	}
	if err := lose("set", has(a.key(second.ID)), func() error { return a.Create(ctx, second) }); err != nil {
		t.Errorf("it is another to itself: %v", err)
	}
	gone := func() bool { return !has(a.key(first.ID))() }
	if err := lose("del", gone, func() error { return a.Delete(ctx, first.ID) }); err != nil || len(removed) != 1 || <-removed != first.ID {
		t.Errorf("what was deleted is told to nobody: %v", err)
	}
}

// blindHook has the proxy hold the answers back from the next command of a name
// on.
type blindHook struct {
	proxy   *redistest.Proxy
	command atomic.Pointer[string]
}

func (h *blindHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *blindHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *blindHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := h.command.Load(); name != nil && cmd.Name() == *name && h.command.CompareAndSwap(name, nil) {
			h.proxy.BlackHole(false, true)
		}
		return next(ctx, cmd)
	}
}

// What is read is within bounds and is read again from what it is written as.
func FuzzDocument(f *testing.F) {
	text := encode(session(1, time.Hour).Sealed())
	f.Add(text)
	f.Add(append(text, "more"...))
	f.Add(text[:len(text)-1])
	f.Fuzz(func(t *testing.T, text []byte) {
		ses, err := decode(text)
		if err != nil {
			return
		}
		if len(ses.SecretSum) == 0 || ses.Context <= 0 || ses.User <= 0 || ses.Lifetime < 0 {
			t.Fatalf("%q becomes %+v", text, *ses)
		}
		again, err := decode(encode(ses))
		if err != nil || !reflect.DeepEqual(again, ses) {
			t.Fatalf("%q becomes %+v, then %+v, %v", text, *ses, again, err)
		}
	})
}

// memory makes sessions of many users, and returns the bytes that one takes in
// Redis.
func memory(tb testing.TB, n int) float64 {
	s := redistest.Start(tb)
	a := testkit.Open(tb, New, Options{Client: s.Client(), Cluster: "sluice", Logger: slog.New(slog.DiscardHandler), Limits: func() websockets.SessionConfig { return websockets.SessionConfig{MaxPerUser: 100} }})
	used := func() float64 {
		bytes, err := strconv.ParseFloat(s.Client().InfoMap(tb.Context(), "memory").Val()["Memory"]["used_memory"], 64)
		if err != nil {
			tb.Fatal(err)
		}
		return bytes
	}
	before := used()
	var work sync.WaitGroup
	const workers = 16
	for w := range workers {
		work.Go(func() {
			for i := w; i < n; i += workers {
				ses := websockets.NewSession(1337, uint32(i+1), "open-xchange-appsuite", "agent", time.Hour, websockets.CookieConfig{Salt: "salt"})
				if err := a.Create(tb.Context(), ses); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	return (used() - before) / float64(n)
}

// TestMemory holds what docs/cluster.md says of a session.
func TestMemory(t *testing.T) {
	const limit = 600
	if per := memory(t, 1<<14); per > limit {
		t.Errorf("a session takes %.0f bytes of Redis, at most %d are documented", per, limit)
	} else {
		t.Logf("a session takes %.0f bytes of Redis", per)
	}
}

// BenchmarkSession makes sessions, and reports what one takes in Redis.
func BenchmarkSession(b *testing.B) {
	b.ReportMetric(memory(b, b.N), "bytes/session")
}

// BenchmarkChecks counts what Redis does for open sessions, those of commands in
// scripts included: ten checks, of which one extends their lives.
func BenchmarkChecks(b *testing.B) {
	s := redistest.Start(b)
	client := s.Client()
	a := open(b, client, 0, func(*websockets.Session) {})
	const batch, checks = 256, 10
	var ids []string
	for i := range batch {
		ses := session(uint32(i+1), time.Hour)
		if err := a.Create(b.Context(), ses); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, ses.ID)
	}
	commands := func() (n int) {
		for line := range strings.Lines(client.Info(b.Context(), "stats").Val()) {
			if v, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
				if _, err := fmt.Sscan(v, &n); err != nil {
					b.Fatal(err)
				}
			}
		}
		return n
	}
	before, rounds := commands(), 0
	for b.Loop() {
		rounds++
		for i := range checks {
			ask := a.Missing
			if i == 0 {
				ask = a.TouchAll
			}
			if gone, err := ask(b.Context(), ids); err != nil || len(gone) > 0 {
				b.Fatal(gone, err)
			}
		}
	}
	b.ReportMetric(float64(commands()-before)/float64(rounds*checks*batch), "commands/session-check")
}
