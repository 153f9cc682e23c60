package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// serve starts a server with the settings that change has made of the suites'.
func serve(t *testing.T, change func(*server)) (*server, string) {
	t.Helper()
	s := newServer(slog.New(slog.DiscardHandler))
	change(s)
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		h.Close()
		s.close()
	})
	return s, h.URL
}

// serveSlowly starts a server whose times never pass in a test: those of the
// product.
func serveSlowly(t *testing.T) (*server, string) {
	t.Helper()
	return serve(t, func(s *server) {
		s.engine.PingInterval, s.engine.PingTimeout, s.socket.ConnectTimeout = 25*time.Second, 20*time.Second, 45*time.Second
	})
}

// client is a client of the server. It answers no pings by itself.
type client struct {
	t   *testing.T
	ctx context.Context
	ws  *websocket.Conn
}

func dialRaw(t *testing.T, url string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if resp != nil && resp.Body != nil {
		t.Cleanup(func() { _ = resp.Body.Close() }) // a part of what was read already
	}
	return ws, resp, err
}

func dialURL(t *testing.T, url string) *client {
	t.Helper()
	ws, _, err := dialRaw(t, url)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() {
		_ = ws.CloseNow() // often closed already
		cancel()
	})
	return &client{t, ctx, ws}
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.ws.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("send %.100q: %v", text, err)
	}
}

func (c *client) sendBinary(data string) {
	c.t.Helper()
	if err := c.ws.Write(c.ctx, websocket.MessageBinary, []byte(data)); err != nil {
		c.t.Fatalf("send %.100q: %v", data, err)
	}
}

// next returns the next message; a binary one has the prefix "bin:".
func (c *client) next() string {
	c.t.Helper()
	kind, data, err := c.ws.Read(c.ctx)
	if err != nil {
		c.t.Fatalf("nothing more comes: %v", err)
	}
	if kind == websocket.MessageBinary {
		return "bin:" + string(data)
	}
	return string(data)
}

var sids = regexp.MustCompile(`"sid":"[0-9a-f]{32}"`)

// want reads a message for each of texts; "0{" stands for any open packet, and
// SID for an id.
func (c *client) want(texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		got := sids.ReplaceAllString(c.next(), `"sid":SID`)
		if got != want && (want != "0{" || !strings.HasPrefix(got, want)) {
			c.t.Fatalf("got %.200q, want %.200q", got, want)
		}
	}
}

// wantClose reads until the server closes, which it must do with code.
func (c *client) wantClose(code websocket.StatusCode) {
	c.t.Helper()
	for {
		if _, _, err := c.ws.Read(c.ctx); err != nil {
			if got := websocket.CloseStatus(err); got != code {
				c.t.Fatalf("closed with %d, want %d (%v)", got, code, err)
			}
			return
		}
	}
}
