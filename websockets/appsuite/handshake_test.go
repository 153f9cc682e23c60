package appsuite

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

const (
	agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
	salt  = "replaceMe1234567890"
)

var (
	_ websockets.BatchSessions = (*Store)(nil)
	_ websockets.Gate          = (*gate)(nil)
)

// gate lets everyone in unless it was told a reason.
type gate struct{ reason atomic.Int32 }

const open = -1

func (g *gate) Allowed(uint32, uint32) websockets.Verdict {
	r := g.reason.Load()
	return websockets.Verdict{Allowed: r == open, Reason: websockets.Reason(max(r, 0))}
}

// sockets is a server whose sessions are App Suite's.
type sockets struct {
	*suite
	gate   *gate
	server *websockets.Server
	http   *httptest.Server
}

func newSockets(t *testing.T) *sockets {
	s := &sockets{suite: newSuite(t), gate: &gate{}}
	s.gate.reason.Store(open)
	s.cfg.Cookie.Salt, s.cfg.DrainSpread = salt, 0
	s.server = testkit.Open(t, websockets.New, websockets.Options{Gate: s.gate, Sessions: s.store, Config: s.config})
	s.store.opts.Held = s.server.Held
	s.store.opts.End = func(sel websockets.Selector) { s.server.CloseSockets(sel, websockets.CauseSession) }
	s.http = httptest.NewServer(s.server)
	t.Cleanup(func() {
		s.server.Close()
		s.http.Close()
	})
	return s
}

// dial presents a session's cookie under the name that its hash makes.
func (s *sockets) dial(id, hash string, header http.Header) (*websocket.Conn, int, string) {
	s.t.Helper()
	h := http.Header{"User-Agent": {agent}, "Cookie": {websockets.SecretCookiePrefix + hash + "=secret-of-" + id}}
	maps.Copy(h, header)
	conn, resp, err := websocket.Dial(s.ctx(), s.http.URL+"/ws/push?session="+id, &websocket.DialOptions{HTTPHeader: h})
	if err == nil {
		s.t.Cleanup(func() { _ = conn.CloseNow() })
		return conn, resp.StatusCode, ""
	}
	if resp == nil {
		s.t.Fatal(err)
	}
	var answer struct{ Error string }
	s.must(json.NewDecoder(resp.Body).Decode(&answer))
	return nil, resp.StatusCode, answer.Error
}

func calculated(guest ...string) string {
	return websockets.CookieHash(agent, "open-xchange-appsuite", guest, nil, salt)
}

// What App Suite's sessions and cookies come to in a handshake.
func TestHandshake(t *testing.T) {
	s := newSockets(t)
	s.login("user", time.Now(), false, nil)
	s.login("guest", time.Now(), false, map[string]any{"parameters": map[string]any{"__session.guest": true}})
	s.login("halfway", time.Now(), false, map[string]any{"parameters": map[string]any{"multifactor": true}})
	s.login("expired", time.Now().Add(-2*time.Hour), false, nil)
	s.login("noagent", time.Now(), false, map[string]any{"userAgent": nil})
	before := s.dump()
	strict := func(uint32, uint32) websockets.IPRules { return websockets.IPRules{Strict: true} }
	for _, c := range []struct {
		name, id, hash string
		header         http.Header
		rules          func(uint32, uint32) websockets.IPRules
		reason         int32
		status         int
		code           string
	}{
		{"calculated name", "user", calculated(), nil, nil, open, 101, ""},
		{"remembered name", "user", "remembered", nil, nil, open, 403, "forbidden"},
		{"remembered name without an agent at login", "noagent", "remembered", nil, nil, open, 403, "forbidden"},
		{"another agent", "user", calculated(), http.Header{"User-Agent": {"curl"}}, nil, open, 403, "forbidden"},
		{"media player with the remembered name", "user", "remembered", http.Header{"User-Agent": {"AppleCoreMedia/1.0"}}, nil, open, 101, ""},
		{"guest", "guest", calculated("1337", "17"), nil, nil, open, 101, ""},
		{"guest with a user's name", "guest", calculated(), nil, nil, open, 403, "forbidden"},
		{"second factor is missing", "halfway", calculated(), nil, nil, open, 403, "forbidden"},
		{"expired", "expired", calculated(), nil, nil, open, 403, "forbidden"},
		{"unknown", "unknown", calculated(), nil, nil, open, 403, "forbidden"},
		{"own address", "user", calculated(), http.Header{"X-Forwarded-For": {"192.0.2.7"}}, strict, open, 101, ""},
		{"another address", "user", calculated(), http.Header{"X-Forwarded-For": {"192.0.2.8"}}, strict, open, 403, "forbidden"},
		{"another address where that may be", "user", calculated(), http.Header{"X-Forwarded-For": {"192.0.2.8"}}, nil, open, 101, ""},
		{"switched off", "user", calculated(), nil, nil, int32(websockets.SwitchedOff), 400, "disabled"},
		{"context disabled", "user", calculated(), nil, nil, int32(websockets.ContextDisabled), 403, "forbidden"},
		{"user gone", "user", calculated(), nil, nil, int32(websockets.UserUnknown), 403, "forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.mu.Lock()
			s.cfg.IPRules = c.rules
			s.mu.Unlock()
			s.gate.reason.Store(c.reason)
			conn, status, code := s.dial(c.id, c.hash, c.header)
			if status != c.status || code != c.code {
				t.Errorf("%d %s, want %d %s", status, code, c.status, c.code)
			}
			if conn != nil {
				s.must(conn.Close(websocket.StatusNormalClosure, ""))
			}
		})
	}
	if after := s.dump(); !maps.Equal(before, after) {
		t.Error("handshakes have changed what is App Suite's")
	}
}

// read takes the next message or the close.
func (s *sockets) read(conn *websocket.Conn) (string, websocket.StatusCode) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx(), patience)
	defer cancel()
	_, data, err := conn.Read(ctx)
	return string(data), websocket.CloseStatus(err)
}

// While Redis is away open sockets stay and get their messages, new ones are
// told to come later, and all is well when it returns; a logout then closes the
// socket of that session alone.
func TestSocketsWithoutRedis(t *testing.T) {
	s := newSockets(t)
	s.login("a", time.Now(), false, nil)
	s.login("b", time.Now(), false, nil)
	stop := s.follow()
	defer stop()
	a, _, _ := s.dial("a", calculated(), nil)
	b, _, _ := s.dial("b", calculated(), nil)
	both := func(name string) {
		t.Helper()
		if n, err := s.server.SendToUser(1337, 17, websockets.Message{Name: name}, websockets.Target{}); n != 2 || err != nil {
			t.Errorf("%s: queued %d (%v), want 2", name, n, err)
		}
		for _, conn := range []*websocket.Conn{a, b} {
			if text, code := s.read(conn); !strings.Contains(text, name) {
				t.Errorf("%s: got %q, close %d", name, text, code)
			}
		}
	}
	both("before")
	for _, fault := range []struct{ begin, end func() }{
		{s.suite.server.Pause, s.suite.server.Resume},
		{s.suite.server.Kill, s.suite.server.Restart},
	} {
		fault.begin()
		if _, status, code := s.dial("a", calculated(), nil); status != 503 || code != "store_unavailable" {
			t.Errorf("%d %s, want 503 store_unavailable", status, code)
		}
		both("meanwhile")
		fault.end()
	}
	s.login("a", time.Now(), false, nil)
	s.login("b", time.Now(), false, nil)
	s.until("new sockets are served", func() bool {
		conn, status, _ := s.dial("a", calculated(), nil)
		if conn != nil {
			s.must(conn.Close(websocket.StatusNormalClosure, ""))
		}
		return status == 101
	})
	s.until("only the two are left", func() bool { return s.server.Count() == 2 })
	both("after")
	s.until("the events are heard", func() bool { return s.store.Counts().Following })
	s.must(s.redis.Del(s.ctx(), sessionKey+"a").Err())
	s.must(s.redis.Publish(s.ctx(), eventsTopic, `{"data":"{\"operation\":\"invalidate\",\"sessionIds\":[\"a\",\"b\"]}"}`).Err())
	if text, _ := s.read(a); text != "session:invalid" {
		t.Errorf("got %q, want session:invalid", text)
	}
	if _, code := s.read(a); code != 4401 {
		t.Errorf("closed with %d, want 4401", code)
	}
	if n, err := s.server.SendToUser(1337, 17, websockets.Message{Name: "last"}, websockets.Target{}); n != 1 || err != nil {
		t.Errorf("queued %d (%v), want 1", n, err)
	}
	if text, code := s.read(b); !strings.Contains(text, "last") {
		t.Errorf("got %q, close %d", text, code)
	}
}

// The lifetimes are those of now: a reload shortens the lives of sessions that
// are there.
func TestLifetimes(t *testing.T) {
	s := newSuite(t)
	s.login("short", time.Now().Add(-30*time.Minute), false, nil)
	s.login("long", time.Now().Add(-2*24*time.Hour), true, nil)
	// Its user has just decided to stay: the document says so, the sets not yet.
	s.login("moving", time.Now().Add(-30*time.Minute), false, map[string]any{"staySignedIn": true})
	for i, want := range []map[string]bool{
		{"short": true, "long": true, "moving": true},
		{"short": false, "long": true, "moving": false},
		{"short": false, "long": false, "moving": false},
	} {
		s.mu.Lock()
		switch i {
		case 1:
			s.cfg.Sessions.Lifetime = 20 * time.Minute
		case 2:
			s.cfg.Sessions.LongLifetime = 24 * time.Hour
		}
		s.mu.Unlock()
		for id, alive := range want {
			if _, err := s.store.Get(s.ctx(), id); (err == nil) != alive {
				t.Errorf("step %d: %s: %v, want alive %v", i, id, err, alive)
			}
		}
	}
	s.mu.Lock()
	s.cfg.Sessions.Lifetime = 300 * time.Millisecond
	s.mu.Unlock()
	s.login("brief", time.Now(), false, nil)
	if _, err := s.store.Get(s.ctx(), "brief"); err != nil {
		t.Fatal(err)
	}
	s.until("it expires", func() bool { _, err := s.store.Get(s.ctx(), "brief"); return err != nil })
	if n := s.redis.Exists(s.ctx(), sessionKey+"brief").Val(); n != 1 {
		t.Error("an expired session was removed by somebody who may not")
	}
}
