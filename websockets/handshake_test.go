package websockets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

func get(target string) string { return "GET " + target + " HTTP/1.1" }

const socketIO = "/socket.io/appsuite/?EIO=4&transport=websocket&session="

// Every refusal answers with its status and code, and leaves nothing behind.
func TestHandshakeRefusals(t *testing.T) {
	w := newWorld(t)
	good := w.login(1, 2)
	off, gone := w.login(1, 3), w.login(1, 4)
	w.gate.refuse(1, 3, SwitchedOff)
	w.gate.refuse(1, 4, UserUnknown)
	restricted := NewSession(1, 5, testClient, testAgent, 0, w.config.Cookie)
	restricted.Restricted = true
	nosecret := NewSession(1, 6, testClient, testAgent, 0, w.config.Cookie)
	nosecret.Secret = ""
	for _, s := range []*Session{restricted, nosecret} {
		if err := w.sessions.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	cookie := "Cookie: " + good.CookieName() + "="
	for _, c := range []struct {
		name    string
		request string
		session *Session
		lines   []string
		status  int
		code    string
	}{
		{"other path", get("/socket.iox/?session=x"), good, nil, 404, "not_found"},
		{"path above", get("/ws/../admin?session=x"), good, []string{"Upgrade:"}, 426, "upgrade_required"},
		{"plain request", get(socketIO + good.ID), good, []string{"Upgrade:"}, 426, "upgrade_required"},
		{"h2c upgrade", get(socketIO + good.ID), good, []string{"Upgrade: h2c"}, 426, "upgrade_required"},
		{"post", "POST " + socketIO + good.ID + " HTTP/1.1", good, nil, 400, "bad_handshake"},
		{"http 1.0", "GET " + socketIO + good.ID + " HTTP/1.0", good, nil, 400, "bad_handshake"},
		{"body", get(socketIO + good.ID), good, []string{"Content-Length: 3"}, 400, "bad_handshake"},
		{"chunked body", get(socketIO + good.ID), good, []string{"Transfer-Encoding: chunked"}, 400, "bad_handshake"},
		{"no connection", get(socketIO + good.ID), good, []string{"Connection:"}, 400, "bad_handshake"},
		{"connection close", get(socketIO + good.ID), good, []string{"Connection: close"}, 400, "bad_handshake"},
		{"no version", get(socketIO + good.ID), good, []string{"Sec-WebSocket-Version:"}, 400, "bad_handshake"},
		{"version 8", get(socketIO + good.ID), good, []string{"Sec-WebSocket-Version: 8"}, 400, "bad_handshake"},
		{"version list", get(socketIO + good.ID), good, []string{"Sec-WebSocket-Version: 13, 8"}, 400, "bad_handshake"},
		{"no key", get(socketIO + good.ID), good, []string{"Sec-WebSocket-Key:"}, 400, "bad_handshake"},
		{"short key", get(socketIO + good.ID), good, []string{"Sec-WebSocket-Key: c2hvcnQ="}, 400, "bad_handshake"},
		{"two keys", get(socketIO + good.ID), good, []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ== || dGhlIHNhbXBsZSBub25jZQ=="}, 400, "bad_handshake"},
		{"no base64", get(socketIO + good.ID), good, []string{"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="}, 400, "bad_handshake"},
		{"headers before session", get("/ws/x"), nil, []string{"Sec-WebSocket-Key:"}, 400, "bad_handshake"},
		{"long path", get("/ws/" + strings.Repeat("x", 300) + "?session=" + good.ID), good, nil, 400, "bad_handshake"},
		{"polling", get("/socket.io/?EIO=4&transport=polling&session=" + good.ID), good, nil, 400, "bad_handshake"},
		{"no transport", get("/socket.io/?EIO=4&session=" + good.ID), good, nil, 400, "bad_handshake"},
		{"sid", get(socketIO + good.ID + "&sid=abc"), good, nil, 400, "bad_handshake"},
		{"empty sid", get(socketIO + good.ID + "&sid="), good, nil, 400, "bad_handshake"},
		{"empty connection id", get(socketIO + good.ID + "&connection="), good, nil, 400, "bad_handshake"},
		{"long connection id", get(socketIO + good.ID + "&connection=" + strings.Repeat("1", 65)), good, nil, 400, "bad_handshake"},
		{"line break in connection id", get(socketIO + good.ID + "&connection=a%0d%0ab"), good, nil, 400, "bad_handshake"},
		{"no session", get("/ws/x"), nil, nil, 400, "missing_parameter"},
		{"session before origin", get("/ws/x"), nil, []string{"Origin: https://evil"}, 400, "missing_parameter"},
		{"session in a fragment only", get("/ws/x#session=" + good.ID), nil, nil, 400, "missing_parameter"},
		{"origin", get("/ws/x?session=" + good.ID), good, []string{"Origin: https://evil.example"}, 403, "origin"},
		{"null origin", get("/ws/x?session=" + good.ID), good, []string{"Origin: null"}, 403, "origin"},
		{"two origins", get("/ws/x?session=" + good.ID), good, []string{"Origin: https://a || https://b"}, 403, "origin"},
		{"origin before session", get("/ws/x?session=none"), nil, []string{"Origin: https://evil"}, 403, "origin"},
		{"unknown session", get("/ws/x?session=none"), good, nil, 403, "forbidden"},
		{"empty session", get("/ws/x?session="), good, nil, 403, "forbidden"},
		{"long session", get("/ws/x?session=" + strings.Repeat("a", 2000)), good, nil, 403, "forbidden"},
		{"first session counts", get("/ws/x?session=none&session=" + good.ID), good, nil, 403, "forbidden"},
		{"restricted session", get("/ws/x?session=" + restricted.ID), restricted, nil, 403, "forbidden"},
		{"no cookies", get("/ws/x?session=" + good.ID), nil, nil, 403, "forbidden"},
		{"other cookies", get("/ws/x?session=" + good.ID), nil, []string{"Cookie: a=b; open-xchange-secret-=x"}, 403, "forbidden"},
		{"wrong secret", get("/ws/x?session=" + good.ID), nil, []string{cookie + strings.Repeat("0", 32)}, 403, "forbidden"},
		{"empty secret", get("/ws/x?session=" + good.ID), nil, []string{cookie}, 403, "forbidden"},
		{"session without a secret", get("/ws/x?session=" + nosecret.ID), nosecret, nil, 403, "forbidden"},
		{"first cookie counts", get("/ws/x?session=" + good.ID), nil, []string{cookie + "bad; " + good.CookieName() + "=" + good.Secret}, 403, "forbidden"},
		{"cookie of another session", get("/ws/x?session=" + good.ID), off, nil, 403, "forbidden"},
		{"300 cookies", get("/ws/x?session=" + good.ID), nil, []string{"Cookie: " + strings.Repeat("a=b; ", 300)}, 403, "forbidden"},
		{"another agent", get("/ws/x?session=" + good.ID), good, []string{"User-Agent: curl"}, 403, "forbidden"},
		{"cookie before gate", get("/ws/x?session=" + off.ID), nil, nil, 403, "forbidden"},
		{"switched off", get("/ws/x?session=" + off.ID), off, nil, 400, "disabled"},
		{"unknown user", get("/ws/x?session=" + gone.ID), gone, nil, 403, "forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, resp, _ := w.rawDial(c.request, c.session, c.lines...)
			defer conn.Close()
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, c.status)
			}
			var answer struct{ Error, Message string }
			body, _ := io.ReadAll(resp.Body)
			if err := json.Unmarshal(body, &answer); err != nil || answer.Error != c.code || answer.Message == "" {
				t.Errorf("body %s (%v), want the code %s and a message", body, err, c.code)
			}
			if got := resp.Header.Get("Sec-WebSocket-Version"); strings.Contains(c.name, "version") && got != "13" {
				t.Errorf("Sec-WebSocket-Version %q, want 13", got)
			}
			if c.session != nil && strings.Contains(string(body), c.session.ID) {
				t.Error("the answer repeats the session id")
			}
			if n := len(w.server.hub.every()); n != 0 {
				t.Errorf("%d sockets registered after a refusal", n)
			}
		})
	}
}

// What is unusual but right gets its socket.
func TestHandshakeAccepts(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.IPCheck = func(_ *Session, a netip.Addr) bool { return a.IsLoopback() || !a.IsValid() }
	})
	s := w.login(1, 2)
	anyAgent := NewSession(1, 3, testClient, "", 0, w.config.Cookie)
	if err := w.sessions.Create(t.Context(), anyAgent); err != nil {
		t.Fatal(err)
	}
	host := w.http.Listener.Addr().String()
	w.configure(func(c *Config) { c.AllowedOrigins = []string{"https://mail.example.com"} })
	for _, c := range []struct {
		name    string
		path    string
		session *Session
		lines   []string
	}{
		{"upgrade among others", "/ws/x", s, []string{"Connection: keep-alive, Upgrade", "Upgrade: h2c, WebSocket"}},
		{"own origin", "/ws/x", s, []string{"Origin: http://" + host}},
		{"allowed origin", "/ws/x", s, []string{"Origin: https://MAIL.example.com:443"}},
		{"no agent, remembered name", "/ws/x", s, []string{"User-Agent:"}},
		{"session for every agent", "/ws/x", anyAgent, []string{"User-Agent: curl/8"}},
		{"without slash", "/ws", s, nil},
		{"subprotocols and extensions", "/ws/x", s, []string{
			"Sec-WebSocket-Protocol: " + strings.Repeat("p, ", 900) + "q",
			"Sec-WebSocket-Extensions: " + strings.Repeat("permessage-deflate; server_max_window_bits=99, ", 100) + "x",
		}},
		{"broken forwarded address", "/ws/x", s, []string{"X-Forwarded-For: <script>"}},
		{"EIO 44 is 3", "/socket.io/?EIO=44&transport=websocket", s, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			sep := "?"
			if strings.Contains(c.path, "?") {
				sep = "&"
			}
			conn, resp, _ := w.rawDial(get(c.path+sep+"session="+c.session.ID), c.session, c.lines...)
			if resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %d, want 101", resp.StatusCode)
			}
			if got := resp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Errorf("Sec-WebSocket-Accept %q", got)
			}
			for _, name := range []string{"Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"} {
				if v, found := resp.Header[name]; found {
					t.Errorf("%s %q, want none", name, v)
				}
			}
			conn.Close()
			until(t, "the socket is forgotten", func() bool { return len(w.server.hub.every()) == 0 })
		})
	}
}

func TestHandshakeIPCheck(t *testing.T) {
	allowed := netip.MustParseAddr("203.0.113.9")
	w := newWorld(t, func(o *Options) {
		o.IPCheck = func(_ *Session, a netip.Addr) bool { return a == allowed }
	})
	s := w.login(1, 2)
	_, resp, _ := w.rawDial(get("/ws/x?session="+s.ID), s)
	if resp.StatusCode != 403 {
		t.Fatalf("status %d, want 403", resp.StatusCode)
	}
	_, resp, _ = w.rawDial(get("/ws/x?session="+s.ID), s, "X-Forwarded-For: 10.0.0.1, 203.0.113.9")
	if resp.StatusCode != 101 {
		t.Fatalf("status %d, want 101", resp.StatusCode)
	}
}

// The ninth socket of a user is refused, also when a hundred come at once.
func TestHandshakeLimit(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := make(map[int]int)
	var open []*websocket.Conn
	for range 100 {
		wg.Go(func() {
			conn, resp, err := websocket.Dial(t.Context(), w.http.URL+wsPush+"?session="+s.ID, &websocket.DialOptions{HTTPHeader: header(s)})
			mu.Lock()
			defer mu.Unlock()
			if resp == nil {
				t.Errorf("no answer: %v", err)
				return
			}
			statuses[resp.StatusCode]++
			if err == nil {
				open = append(open, conn)
			}
		})
	}
	wg.Wait()
	if statuses[101] != 8 || statuses[400] != 92 {
		t.Fatalf("statuses %v, want 8 times 101 and 92 times 400", statuses)
	}
	if n := w.server.Stats().Handshakes[Handshake{"too_many", ""}]; n != 92 {
		t.Errorf("%d counted as too_many, want 92", n)
	}
	other := w.login(1, 3)
	w.dial(other, wsPush)
	if err := open[0].Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	until(t, "a place is free", func() bool { return w.server.Count() == 8 })
	w.dial(s, wsPush)
	for _, c := range open {
		_ = c.CloseNow()
	}
}

func TestHandshakeTotalLimit(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.MaxSockets = 1 })
	w.dial(w.login(1, 2), wsPush)
	s := w.login(1, 3)
	_, resp, _ := w.rawDial(get("/ws/x?session="+s.ID), s)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

// The same id of the same session takes over, of another session it is
// refused, and another user's is nobody's business.
func TestHandshakeSameConnectionID(t *testing.T) {
	w := newWorld(t)
	s, other, stranger := w.login(1, 2), w.login(1, 2), w.login(1, 3)
	first := w.dial(s, eio4+"&connection=17")
	first.join()
	second := w.dial(s, eio4+"&connection=17")
	if before := first.wantClose(4409); len(before) != 1 || before[0] != "41" {
		t.Errorf("before the close came %q, want 41", before)
	}
	second.join()
	_, resp, _ := w.rawDial(get("/ws/x?connection=17&session="+other.ID), other)
	var answer struct{ Error string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 400 || answer.Error != "duplicate_connection" {
		t.Errorf("status %d, code %q (%v)", resp.StatusCode, answer.Error, err)
	}
	w.dial(stranger, wsPush+"?connection=17")
	if n, err := w.server.SendToUser(1, 2, Message{Name: "e"}, Target{}); n != 1 || err != nil {
		t.Errorf("queued %d (%v), want 1: the old socket's end must not take the new one out", n, err)
	}
	second.want(`42["e"]`)
}

type brokenStore struct{}

func (brokenStore) Get(context.Context, string) (*Session, error) { return nil, errors.New("down") }
func (brokenStore) Touch(context.Context, string) error           { return errors.New("down") }

func TestHandshakeStoreDown(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Sessions = brokenStore{} })
	_, resp, _ := w.rawDial(get("/ws/x?session=s"), nil)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

// A flip of the gate between the handshake's question and the registration is
// not missed.
func TestGateFlipsDuringHandshake(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	// The first question is answered before the flip.
	first := true
	w.gate.onAsk = func() {
		if !first {
			w.gate.refused = map[subject]Reason{{1, 2}: SwitchedOff}
		}
		first = false
	}
	if _, res, _ := w.rawDial(get(eio4+"&session="+s.ID), s); res.StatusCode != http.StatusBadRequest {
		t.Errorf("the answer is %s", res.Status)
	}
	until(t, "it has no socket", func() bool { return len(w.server.hub.every()) == 0 })
}

// A session that ends between the look-up and the registration is not missed.
func TestSessionEndsDuringHandshake(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	first := true
	w.gate.onAsk = func() {
		if first {
			first = false
			if err := w.sessions.Delete(context.Background(), s.ID); err != nil {
				t.Error(err)
			}
		}
	}
	if _, res, _ := w.rawDial(get(eio4+"&session="+s.ID), s); res.StatusCode != http.StatusForbidden {
		t.Errorf("the answer is %s", res.Status)
	}
	until(t, "it has no socket", func() bool { return len(w.server.hub.every()) == 0 })
}

// A response that cannot be hijacked leaves no registration behind.
func TestAcceptFails(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	// What a middleware without Unwrap does to the response.
	bare := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.server.ServeHTTP(struct{ http.ResponseWriter }{rw}, r)
	})
	old := w.http.Config.Handler
	w.http.Config.Handler = bare
	defer func() { w.http.Config.Handler = old }()
	_, resp, _ := w.rawDial(get("/ws/x?session="+s.ID), s)
	if resp.StatusCode != 500 {
		t.Errorf("status %d, want 500", resp.StatusCode)
	}
	until(t, "nothing is registered", func() bool { return len(w.server.hub.every()) == 0 })
}

// Frames that come with the handshake, before the 101, are taken in order.
func TestEarlyFrames(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	early := string(clientFrame(0x81, []byte("40"))) + string(clientFrame(0x81, []byte(`427["x"]`)))
	_, resp, r := w.rawDial(get(socketIO+s.ID), s, "X-Last: 1\r\n\r\n"+early+"\x8a\x84\x00\x00\x00\x00")
	if resp.StatusCode != 101 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	for _, want := range []string{`0{"sid"`, `40{"sid"`, `437[]`} {
		if got := readFrame(t, r); !strings.HasPrefix(string(got.payload), want) {
			t.Errorf("frame %q, want %q", got.payload, want)
		}
	}
}

func TestSessionsStayOutOfLogs(t *testing.T) {
	s := NewSession(1, 2, testClient, testAgent, 0, CookieConfig{})
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %s", s, s, s), s.LogValue().String()} {
		if strings.Contains(text, s.ID) || strings.Contains(text, s.Secret) {
			t.Errorf("gives the session away: %s", text)
		}
	}
}
