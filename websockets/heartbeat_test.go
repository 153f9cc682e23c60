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
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/testkit"
)

// bubble runs a test in virtual time with a server on a network in memory.
func bubble(t *testing.T, f func(t *testing.T, w *world, dial func(s *Session, path string) *client)) {
	t.Helper()
	bubbleOn(t, func(t *testing.T, w *world, network *testkit.Pipes) {
		transport := &http.Transport{DialContext: network.DialContext}
		f(t, w, func(s *Session, path string) *client {
			t.Helper()
			conn, _, err := websocket.Dial(t.Context(), "http://sluice"+path+"session="+s.ID, &websocket.DialOptions{
				HTTPHeader: header(s), HTTPClient: &http.Client{Transport: transport},
			})
			if err != nil {
				t.Fatal(err)
			}
			return &client{t, conn}
		})
		w.server.Close()
		transport.CloseIdleConnections()
	})
}

// bubbleOn is bubble for clients of the test's own.
func bubbleOn(t *testing.T, f func(t *testing.T, w *world, network *testkit.Pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, gate: &gates{}, config: testConfig()}
		w.sessions = NewMemorySessions(func(s *Session) { w.server.CloseSession(s) })
		w.server = testkit.Open(t, New, Options{Gate: w.gate, Sessions: w.sessions, Config: w.current})
		network := testkit.NewPipes()
		srv := &http.Server{Handler: w.server}
		var serving sync.WaitGroup
		serving.Go(func() { _ = srv.Serve(network) })
		f(t, w, network)
		w.server.Close()
		_ = srv.Close()
		serving.Wait()
		if n := len(w.server.hub.every()); n != 0 {
			t.Errorf("%d sockets left", n)
		}
	})
}

// reads collects what a client gets, with the time since the start.
type reads struct {
	mu    sync.Mutex
	lines []string
	err   error
	wg    sync.WaitGroup
}

func (c *client) collect(start time.Time) *reads {
	r := &reads{}
	r.wg.Go(func() {
		for {
			_, data, err := c.conn.Read(context.Background())
			r.mu.Lock()
			at := time.Since(start)
			if err != nil {
				r.lines = append(r.lines, fmt.Sprintf("%v close %d", at, websocket.CloseStatus(err)))
				r.err = err
				r.mu.Unlock()
				return
			}
			r.lines = append(r.lines, fmt.Sprintf("%v %.6s", at, data))
			r.mu.Unlock()
		}
	})
	return r
}

func (r *reads) want(t *testing.T, lines ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got, want := strings.Join(r.lines, "; "), strings.Join(lines, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHeartbeatVersion4(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		start := time.Now()
		c := dial(w.login(1, 2), eio4+"&")
		r := c.collect(start)
		c.send("40")
		time.Sleep(24 * time.Second) // virtual
		c.send("3")                  // unasked: does not put the ping off
		time.Sleep(2 * time.Second)
		c.send("3")
		time.Sleep(26 * time.Second)
		c.send(`42["still here"]`) // no pong
		r.wg.Wait()
		r.want(t, `0s 0{"sid`, `0s 40{"si`, "25s 2", "51s 2", "1m11s close 1008")
	})
}

func TestHeartbeatVersion3(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		start := time.Now()
		c := dial(w.login(1, 2), eio3+"&")
		r := c.collect(start)
		time.Sleep(30 * time.Second)
		c.send("2probe")
		time.Sleep(30 * time.Second)
		c.send("6") // any packet is a sign of life
		r.wg.Wait()
		r.want(t, `0s 0{"sid`, "0s 40", "30s 3probe", "1m45s close 1008")
	})
}

func TestHeartbeatPlain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		start := time.Now()
		c := dial(w.login(1, 2), wsPush+"?")
		r := c.collect(start) // the library answers the pings
		time.Sleep(10 * time.Minute)
		if n := w.server.Count(); n != 1 {
			t.Fatalf("%d sockets, want 1", n)
		}
		_ = c.conn.CloseNow()
		r.wg.Wait()
	})
}

// A /ws client that is gone without a word is noticed by the missing pong.
func TestHeartbeatPlainHalfOpen(t *testing.T) {
	bubbleOn(t, func(t *testing.T, w *world, network *testkit.Pipes) {
		near, r := w.rawPipe(network, w.login(1, 2), "/ws/x?")
		start := time.Now()
		if f := readFrame(t, r); f.opcode != opPing || time.Since(start) != DefaultPingInterval {
			t.Errorf("frame %x after %v, want a ping after 25s", f.opcode, time.Since(start))
		}
		if f := readFrame(t, r); f.code() != 1008 || time.Since(start) != DefaultPingInterval+DefaultPingTimeout {
			t.Errorf("close %d after %v, want 1008 after 45s", f.code(), time.Since(start))
		}
		if _, err := r.ReadByte(); err == nil || time.Since(start) > DefaultPingInterval+DefaultPingTimeout+closeWait {
			t.Errorf("%v after %v, want the end", err, time.Since(start))
		}
		near.Close()
	})
}

// rawPipe is rawDial on a network in memory.
func (w *world) rawPipe(network *testkit.Pipes, s *Session, path string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := network.DialContext(w.t.Context(), "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %ssession=%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUser-Agent: %s\r\nCookie: %s=%s\r\n\r\n",
		path, s.ID, testAgent, s.CookieName(), s.Secret); err != nil {
		w.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		w.t.Fatal(resp, err)
	}
	return conn, r
}

func TestConnectTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		w.configure(func(c *Config) { c.ConnectTimeout = 10 * time.Second })
		start := time.Now()
		c := dial(w.login(1, 2), eio4+"&")
		r := c.collect(start)
		c.send("40/other,")
		// Messages wait for the CONNECT that never comes.
		if n, err := w.server.SendToUser(1, 2, Message{Name: "e"}, Target{}); n != 1 || err != nil {
			t.Errorf("queued %d (%v)", n, err)
		}
		r.wg.Wait()
		r.want(t, `0s 0{"sid`, "0s 44/oth", "10s close 1008")
	})
}

// A client that leaves the namespace gets no messages, keeps its heartbeat,
// and may come back until the connect timeout.
func TestLeaveAndReturn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		start := time.Now()
		c := dial(w.login(1, 2), eio4+"&")
		r := c.collect(start)
		c.send("40")
		c.send("41")
		synctest.Wait()
		if n, err := w.server.SendToUser(1, 2, Message{Name: "e"}, Target{}); n != 0 || err != nil {
			t.Errorf("queued %d (%v) for a client that left", n, err)
		}
		time.Sleep(26 * time.Second)
		c.send("3")
		c.send("40")
		synctest.Wait()
		if n, _ := w.server.SendToUser(1, 2, Message{Name: "f"}, Target{}); n != 1 {
			t.Errorf("queued %d for a client that came back", n)
		}
		c.send("41")
		r.wg.Wait()
		r.want(t, `0s 0{"sid`, `0s 40{"si`, "25s 2", `26s 40{"si`, `26s 42["f"`, "51s 2", "1m11s close 1008")
	})
}

// An open socket keeps its session alive; a session that goes closes it.
func TestSessionTouchedWhileOpen(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		s := w.login(1, 2)
		idle := w.login(1, 2)
		r := dial(s, wsPush+"?").collect(time.Now())
		time.Sleep(3 * SessionLifetime)
		if _, err := w.sessions.Get(t.Context(), s.ID); err != nil {
			t.Errorf("the session of an open socket: %v", err)
		}
		if _, err := w.sessions.Get(t.Context(), idle.ID); err != ErrNoSession {
			t.Errorf("a session without a socket: %v, want ErrNoSession", err)
		}
		if err := w.sessions.Delete(t.Context(), s.ID); err != nil {
			t.Error(err)
		}
		r.wg.Wait()
		r.want(t, "3h0m0s sessio", "3h0m0s close 4401")
	})
}

// A session that vanishes from the store without a call of the hook is
// noticed by the check.
func TestSessionCheck(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		s := w.login(1, 2)
		start := time.Now()
		r := dial(s, wsPush+"?").collect(start)
		w.sessions.mu.Lock()
		delete(w.sessions.byID, s.ID)
		w.sessions.mu.Unlock()
		r.wg.Wait()
		if d := time.Since(start); d > sessionCheckInterval+time.Second {
			t.Errorf("closed after %v, want within a minute", d)
		}
	})
}

// A client that stops reading is cut off when a write has waited too long.
func TestWriteTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, dial func(*Session, string) *client) {
		start := time.Now()
		dial(w.login(1, 2), eio3+"&") // a pipe has no buffer: nothing is ever read
		until := start.Add(writeWait + time.Second)
		for w.server.Stats().Closed[Closing{"slow", 4408}] == 0 && time.Now().Before(until) {
			time.Sleep(time.Second)
		}
		if d := time.Since(start); d < writeWait || w.server.Stats().Closed[Closing{"slow", 4408}] != 1 {
			t.Errorf("after %v: %v", d, w.server.Stats().Closed)
		}
	})
}

// Over TLS a read deadline that passes must not end the connection: it is the
// socket's clock.
func TestHeartbeatOverTLS(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.PingInterval = 30 * time.Millisecond })
	secure := httptest.NewTLSServer(w.server)
	t.Cleanup(secure.Close)
	s := w.login(1, 2)
	conn, _, err := websocket.Dial(t.Context(), secure.URL+eio4+"&session="+s.ID, &websocket.DialOptions{HTTPHeader: header(s), HTTPClient: secure.Client()})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t, conn}
	c.join()
	for range 5 {
		c.want("2")
		c.send("3")
	}
	w.server.CloseSockets(Selector{}, CauseAdmin)
	c.wantClose(4410)
}
