package websockets

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A disabled context and a deleted user end the session whoever asks, the
// other reasons do not (docs/reference/handshake.md#checks, 6 to 9).
func TestHandshakeEndsSessions(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		reason Reason
		ends   bool
	}{
		{ContextUnknown, false},
		{ContextDisabled, true},
		{UserUnknown, true},
		{UserDisabled, false},
		{SwitchedOff, false},
	} {
		for _, withCookie := range []bool{true, false} {
			s := w.login(1, uint32(c.reason)+10)
			w.gate.refuse(1, s.User, c.reason)
			presented := s
			if !withCookie {
				presented = nil
			}
			conn, resp, _ := w.rawDial(get("/ws/x?session="+s.ID), presented)
			conn.Close()
			want := 403
			if withCookie && c.reason == SwitchedOff {
				want = 400
			}
			if resp.StatusCode != want {
				t.Errorf("%v, with the cookie %v: status %d, want %d", c.reason, withCookie, resp.StatusCode, want)
			}
			if _, err := w.sessions.Get(t.Context(), s.ID); errors.Is(err, ErrNoSession) != c.ends {
				t.Errorf("%v, with the cookie %v: the session is gone %v, want %v", c.reason, withCookie, err != nil, c.ends)
			}
		}
		if n := w.server.Stats().Handshakes[Handshake{"forbidden", c.reason.String()}]; c.reason != SwitchedOff && n != 2 {
			t.Errorf("%v: counted %d times, want 2", c.reason, n)
		}
	}
}

// foreign hides everything of a store that a foreign one does not have.
type foreign struct{ Sessions }

// A store that is not ours loses no session and changes none.
func TestHandshakeForeignStore(t *testing.T) {
	var own *MemorySessions
	w := newWorld(t, func(o *Options) {
		own = o.Sessions.(*MemorySessions)
		o.Sessions = foreign{own}
	})
	w.configure(func(c *Config) {
		c.IPRules = func(uint32, uint32) IPRules { return IPRules{Strict: true} }
	})
	gone := w.login(1, 2)
	w.gate.refuse(1, 2, ContextDisabled)
	_, resp, _ := w.rawDial(get("/ws/x?session="+gone.ID), gone)
	if _, err := own.Get(t.Context(), gone.ID); resp.StatusCode != 403 || err != nil {
		t.Errorf("status %d, the session: %v", resp.StatusCode, err)
	}
	w.configure(func(c *Config) { c.IPRules = nil })
	s := w.login(1, 3)
	_, resp, _ = w.rawDial(get("/ws/x?session="+s.ID), s)
	if now, err := own.Get(t.Context(), s.ID); resp.StatusCode != 101 || err != nil || now.Address.IsValid() {
		t.Errorf("status %d, the session is at %v (%v), want it as it was", resp.StatusCode, now.Address, err)
	}
	w.configure(func(c *Config) {
		c.IPRules = func(uint32, uint32) IPRules { return IPRules{Strict: true} }
	})
	if _, resp, _ = w.rawDial(get("/ws/x?session="+s.ID), s); resp.StatusCode != 403 {
		t.Errorf("a foreign session without an address: status %d, want 403", resp.StatusCode)
	}
}

// stuck holds every look-up until it is released.
type stuck struct {
	Sessions
	waiting atomic.Int32
	release chan struct{}
}

func (s *stuck) Get(ctx context.Context, id string) (*Session, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	<-s.release
	return s.Sessions.Get(ctx, id)
}

// Handshakes wait for their turn until too many wait: the next are told to come
// later. What needs no session is still refused for its own reason, and those
// that wait get their sockets.
func TestHandshakeOverload(t *testing.T) {
	store := &stuck{release: make(chan struct{})}
	w := newWorld(t, func(o *Options) {
		store.Sessions = o.Sessions
		o.Sessions = store
	})
	const turns, places = 64, 8
	w.server.turnstile = newTurnstile(turns, places, time.Minute)
	var wg sync.WaitGroup
	defer wg.Wait()
	var upgraded atomic.Int32
	for i := range turns + places {
		s := w.login(1, uint32(i+1))
		wg.Go(func() {
			conn, resp, _ := w.rawDial(get("/ws/x?session="+s.ID), s)
			if resp.StatusCode == 101 {
				upgraded.Add(1)
			}
			conn.Close()
		})
	}
	until(t, "all turns and places are taken", func() bool {
		return store.waiting.Load() == turns && len(w.server.turnstile.waiting) == places
	})
	late := w.login(2, 1)
	after := map[string]bool{}
	for range 200 {
		conn, resp, _ := w.rawDial(get("/ws/x?session="+late.ID), late)
		var answer struct{ Error string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 503 || answer.Error != "overload" {
			t.Fatalf("status %d, code %q (%v), want 503 overload", resp.StatusCode, answer.Error, err)
		}
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || seconds < 1 || seconds > maxRetryAfter {
			t.Fatalf("Retry-After %q, want 1 to %d", resp.Header.Get("Retry-After"), maxRetryAfter)
		}
		after[resp.Header.Get("Retry-After")] = true
		conn.Close()
	}
	if len(after) < 2 {
		t.Errorf("everybody is told to return after %v", after)
	}
	if _, resp, _ := w.rawDial(get("/ws/x"), late); resp.StatusCode != 400 {
		t.Errorf("without a session: status %d, want 400", resp.StatusCode)
	}
	close(store.release)
	wg.Wait()
	if n := upgraded.Load(); n != turns+places {
		t.Errorf("%d of those that waited have a socket, want all %d", n, turns+places)
	}
	if n := w.server.Stats().Handshakes[Handshake{"overload", "authenticating"}]; n != 200 {
		t.Errorf("%d counted, want 200", n)
	}
	if _, resp, _ := w.rawDial(get("/ws/x?session="+late.ID), late); resp.StatusCode != 101 {
		t.Errorf("after the rush: status %d, want 101", resp.StatusCode)
	}
}

// recorder keeps every log line at every level.
type recorder struct {
	mu  sync.Mutex
	all strings.Builder
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Write(p)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.String()
}

// sticky is a store of ours that cannot change anything.
type sticky struct{ *MemorySessions }

var errSticky = errors.New("disk full")

func (sticky) Delete(context.Context, string) error           { return errSticky }
func (sticky) Move(context.Context, string, netip.Addr) error { return errSticky }

// Whatever a handshake comes to, at whatever check, neither the session id nor
// the secret is in a log line, an answer or the name of a counter.
func TestHandshakeKeepsSecrets(t *testing.T) {
	logs := &recorder{}
	log := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug - 4, AddSource: true}))
	var servers []*world
	for _, change := range []func(*Options){
		func(*Options) {},
		func(o *Options) { o.Sessions = brokenStore{} },
		func(o *Options) { o.Sessions = sticky{o.Sessions.(*MemorySessions)} },
		func(o *Options) { o.IPCheck = func(*Session, netip.Addr) bool { return false } },
	} {
		servers = append(servers, newWorld(t, change, func(o *Options) { o.Logger = log }))
	}
	var secrets []string
	answers := 0
	for i, w := range servers {
		w.http.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelError)
		w.configure(func(c *Config) { c.MaxPerUser = 2 })
		for _, reason := range []Reason{SwitchedOff, ContextDisabled, ContextUnknown, UserDisabled, UserUnknown, 99} {
			s := w.login(1, uint32(reason)+1)
			if reason != 99 {
				w.gate.refuse(1, s.User, reason)
			}
			secrets = append(secrets, s.ID, s.Secret)
			for _, target := range []string{
				eio4 + "&connection=1&session=" + s.ID, eio4 + "&connection=1&session=" + s.ID, eio3 + "&session=" + s.ID, "/ws/x?session=" + s.ID,
				"/ws/x?session=" + s.ID + "&connection=%zz", "/ws/x?session=" + s.ID + s.ID + s.ID + s.ID + s.ID, "/ws/x?session=%00" + s.ID,
				"/socket.io/?session=" + s.ID, "/socket.io/?transport=polling&session=" + s.ID, "/ws/" + s.ID + "/../x", "/other?session=" + s.ID,
			} {
				for _, lines := range [][]string{
					nil,
					{"Cookie: " + s.CookieName() + "=" + s.Secret + "x"},
					{"Cookie:"},
					{"Upgrade:"},
					{"Origin: https://" + s.ID},
					{"X-Forwarded-For: " + s.Secret},
					{"User-Agent: " + s.Secret},
					{"Sec-WebSocket-Key: " + s.ID},
					{"Host: " + s.ID + "@" + s.Secret},
				} {
					conn, resp, _ := w.rawDial(get(target), s, lines...)
					body := ""
					if resp.StatusCode != 101 {
						b, err := io.ReadAll(resp.Body)
						if err != nil {
							t.Fatal(err)
						}
						body = string(b)
					}
					answers++
					if strings.Contains(body, s.ID) || strings.Contains(body, s.Secret) {
						t.Errorf("server %d, %s %q: the answer gives the session away: %s", i, target, lines, body)
					}
					conn.Close()
				}
			}
			w.server.CloseSession(s)
			_ = w.sessions.Delete(t.Context(), s.ID) // may have been
		}
		for h := range w.server.Stats().Handshakes {
			if slices.ContainsFunc(secrets, func(x string) bool { return strings.Contains(h.Result+h.Reason, x) }) {
				t.Errorf("a counter is named %v", h)
			}
		}
		w.server.Close()
	}
	text := logs.text()
	for _, secret := range secrets {
		if at := strings.Index(text, secret); at >= 0 {
			t.Fatalf("in the log: ...%s", text[max(0, at-200):min(len(text), at+100)])
		}
	}
	for _, said := range []string{"handshake refused", "session cannot be looked up", "session of a disabled context or deleted user stays", "session keeps its old address", "socket closed", `"no_session"`, `"session_parameter"`} {
		if !strings.Contains(text, said) {
			t.Errorf("%q is not in the log: what of it was tried?", said)
		}
	}
	if lines := strings.Count(text, "\n"); lines < answers/2 {
		t.Errorf("%d lines for %d handshakes: is debug on?", lines, answers)
	}
}

// Where the client is known to use TLS, only an https page is of the own host.
func TestOriginOverTLS(t *testing.T) {
	for _, c := range []struct {
		proto, origin string
		consider      bool
		want          bool
	}{
		{"wss", "https://server.example", true, true},
		{"WSS", "https://server.example", true, true},
		{"wss", "http://server.example", true, false},
		{"ws", "http://server.example", true, true},
		{"ws", "https://server.example", true, true},
		{"https", "http://server.example", true, true}, // only ws and wss count
		{"", "http://server.example", true, true},
		{"wss", "http://server.example", false, true},
		{"wss", "http://listed.example", true, true},
	} {
		cfg := DefaultConfig()
		cfg.ConsiderXForwards, cfg.AllowedOrigins = c.consider, []string{"listed.example"}
		r := httptest.NewRequest(http.MethodGet, "http://server.example/ws/x", nil)
		r.Header.Set("Origin", c.origin)
		r.Header.Set("X-Forwarded-Proto", c.proto)
		if got := originAllowed(r, cfg); got != c.want {
			t.Errorf("%q, %s, considered %v: %v, want %v", c.proto, c.origin, c.consider, got, c.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://server.example/ws/x", nil)
	r.Header.Set("Origin", "http://server.example")
	if r.TLS == nil || originAllowed(r, DefaultConfig()) {
		t.Error("a page without TLS is of the own host of a listener with it")
	}
}
