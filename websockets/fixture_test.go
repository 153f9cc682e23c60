package websockets

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/testkit"
)

const (
	testAgent  = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
	testClient = "open-xchange-appsuite"
	testSalt   = "replaceMe1234567890"
	patience   = 60 * time.Second // of a test that waits for the server, on a machine with other work
)

// gates is a Gate that lets everyone in but those it was told.
type gates struct {
	mu      sync.Mutex
	refused map[subject]Reason
	held    bool // whoever is switched off
	asked   int
	onAsk   func()
}

func (g *gates) Allowed(context, user uint32) Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if g.onAsk != nil {
		g.onAsk()
	}
	reason, refused := g.refused[subject{context, user}]
	return Verdict{Allowed: !refused, Reason: reason, Hold: g.held && reason == SwitchedOff}
}

func (g *gates) refuse(context, user uint32, r Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == nil {
		g.refused = make(map[subject]Reason)
	}
	g.refused[subject{context, user}] = r
}

func (g *gates) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = true
}

func (g *gates) allow(context, user uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.refused, subject{context, user})
}

// world is a server with its surroundings.
type world struct {
	t        testing.TB
	gate     *gates
	sessions *MemorySessions
	server   *Server
	http     *httptest.Server

	mu     sync.Mutex
	config Config
}

func testConfig() Config {
	cfg := *DefaultConfig()
	cfg.Cookie.Salt = testSalt
	cfg.DrainSpread = 0
	cfg.Arrivals = 0 // so that every frame is one that a test has asked for
	return cfg
}

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, gate: &gates{}, config: testConfig()}
	w.sessions = NewMemorySessions(func(s *Session) { w.server.CloseSession(s) })
	opts := Options{Gate: w.gate, Sessions: w.sessions, Config: w.current}
	for _, f := range change {
		f(&opts)
	}
	w.server = testkit.Open(t, New, opts)
	w.http = httptest.NewServer(w.server)
	t.Cleanup(func() {
		w.server.Close()
		w.http.Close()
		if n := len(w.server.hub.every()); n != 0 {
			t.Errorf("%d sockets left in the hub after Close", n)
		}
	})
	return w
}

func (w *world) current() *Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	cfg := w.config
	return &cfg
}

func (w *world) configure(f func(*Config)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.config)
}

func (w *world) login(context, user uint32) *Session {
	w.t.Helper()
	s := NewSession(context, user, testClient, testAgent, 0, w.config.Cookie)
	if err := w.sessions.Create(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func header(s *Session) http.Header {
	return http.Header{"User-Agent": {testAgent}, "Cookie": {s.CookieName() + "=" + s.Secret}}
}

// dial connects or fails the test. path has its query but for the session.
func (w *world) dial(s *Session, path string) *client {
	w.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	conn, resp, err := websocket.Dial(w.t.Context(), w.http.URL+path+sep+"session="+s.ID, &websocket.DialOptions{HTTPHeader: header(s)})
	if err != nil {
		w.t.Fatalf("dial %s: %v (%v)", path, err, resp)
	}
	conn.SetReadLimit(1 << 21)
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{w.t, conn}
}

const (
	eio4   = "/socket.io/appsuite/?EIO=4&transport=websocket"
	eio3   = "/socket.io/appsuite/?EIO=3&transport=websocket"
	wsPush = "/ws/push"
)

// client is a Web Socket client that fails its test.
type client struct {
	t    testing.TB
	conn *websocket.Conn
}

func (c *client) read() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return string(data)
}

func (c *client) want(text string) {
	c.t.Helper()
	if got := c.read(); got != text {
		c.t.Fatalf("got %q, want %q", got, text)
	}
}

func (c *client) wantPrefix(text string) string {
	c.t.Helper()
	got := c.read()
	if !strings.HasPrefix(got, text) {
		c.t.Fatalf("got %q, want %q...", got, text)
	}
	return got
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) sendBinary(data string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageBinary, []byte(data)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// join reads the first packets of a version 4 socket and connects it.
func (c *client) join() {
	c.t.Helper()
	c.wantPrefix(`0{"sid":"`)
	c.send("40")
	c.wantPrefix(`40{"sid":"`)
}

// wantClose reads until the close and compares its code.
func (c *client) wantClose(code websocket.StatusCode) []string {
	c.t.Helper()
	var before []string
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		_, data, err := c.conn.Read(ctx)
		if err == nil {
			before = append(before, string(data))
			continue
		}
		if got := websocket.CloseStatus(err); got != code {
			c.t.Fatalf("close %d (%v), want %d", got, err, code)
		}
		return before
	}
}

// until polls a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Within(t, patience, what, ok)
}

// rawDial opens a TCP connection and sends a handshake; lines replace or add
// header lines ("Name: value"), and "Name:" removes one.
func (w *world) rawDial(requestLine string, s *Session, lines ...string) (*net.TCPConn, *http.Response, *bufio.Reader) {
	w.t.Helper()
	addr := w.http.Listener.Addr().String()
	headers := []string{
		"Host: " + addr, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "User-Agent: " + testAgent,
	}
	if s != nil {
		headers = append(headers, "Cookie: "+s.CookieName()+"="+s.Secret)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		kept := headers[:0:0]
		for _, h := range headers {
			if n, _, _ := strings.Cut(h, ":"); !strings.EqualFold(n, name) {
				kept = append(kept, h)
			}
		}
		headers = kept
		for v := range strings.SplitSeq(value, " || ") { // several lines of one name
			if v != "" {
				headers = append(headers, name+": "+strings.TrimSpace(v))
			}
		}
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	if _, err := fmt.Fprintf(conn, "%s\r\n%s\r\n\r\n", requestLine, strings.Join(headers, "\r\n")); err != nil {
		w.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		w.t.Fatalf("%s: %v", requestLine, err)
	}
	return conn.(*net.TCPConn), resp, r
}
