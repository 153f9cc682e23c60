package websockets_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

// everyone is a gate that is open.
type everyone struct{}

func (everyone) Allowed(uint32, uint32) websockets.Verdict { return websockets.Verdict{Allowed: true} }

// listening runs a test in virtual time against a listener with the limits of
// the public one.
func listening(t *testing.T, f func(t *testing.T, m *testkit.Pipes, s *websockets.Server, session *websockets.Session)) {
	t.Helper()
	schema, err := cascade.NewSchema(slices.Concat(websockets.Prefixes, remote.Prefixes), websockets.Properties, remote.Properties, httpapi.Properties)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := cascade.Open(cascade.Options{Roots: []string{t.TempDir()}, Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		sessions := websockets.NewMemorySessions(nil)
		session := websockets.NewSession(1, 2, "client", "", 0, websockets.CookieConfig{})
		if err := sessions.Create(t.Context(), session); err != nil {
			t.Fatal(err)
		}
		s := testkit.Open(t, websockets.New, websockets.Options{Gate: everyone{}, Sessions: sessions})
		api := testkit.Open(t, httpapi.New, httpapi.Options{
			Engine: engine, Sockets: s, Sessions: sessions, Config: websockets.DefaultConfig,
			Logger: slog.New(slog.DiscardHandler), Files: 1 << 20,
		})
		srv := api.Listener(api.Public())
		m := testkit.NewPipes()
		var serving sync.WaitGroup
		serving.Go(func() { _ = srv.Serve(m) })
		f(t, m, s, session)
		s.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
}

// Clients that never finish their handshake are gone soon, each with its
// connection: the bubble does not end while a goroutine is left.
func TestHandshakesWithoutEnd(t *testing.T) {
	const (
		soon    = 6 * time.Second // a second beyond the time for the headers
		clients = 200
	)
	whole := func(s *websockets.Session) string {
		return fmt.Sprintf("GET /ws/x?session=%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: %s=%s\r\n\r\n", s.ID, s.CookieName(), s.Secret)
	}
	for name, say := range map[string]func(request string, second int) string{
		"nothing":               func(string, int) string { return "" },
		"half a line":           func(r string, s int) string { return part(r, s, 0, 10) },
		"half the headers":      func(r string, s int) string { return part(r, s, 0, len(r)/2) },
		"all but the last byte": func(r string, s int) string { return part(r, s, 0, len(r)-1) },
		"a byte a second":       func(r string, s int) string { return r[s%len(r):][:1] },
		"a header line a second": func(r string, s int) string {
			if s == 0 {
				return r[:len(r)-2]
			}
			return fmt.Sprintf("X-%d: y\r\n", s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			listening(t, func(t *testing.T, m *testkit.Pipes, s *websockets.Server, session *websockets.Session) {
				start := time.Now()
				var all sync.WaitGroup
				for range clients {
					conn := m.Dial()
					if err := conn.SetDeadline(start.Add(time.Hour)); err != nil {
						t.Fatal(err)
					}
					all.Go(func() {
						_, _ = io.Copy(io.Discard, conn) // until the server has enough
						if d := time.Since(start); d > soon {
							t.Errorf("still there after %v", d)
						}
						conn.Close()
					})
					all.Go(func() {
						for second := 0; ; second++ {
							if _, err := io.WriteString(conn, say(whole(session), second)); err != nil {
								return
							}
							time.Sleep(time.Second) // virtual
						}
					})
				}
				// Others are served meanwhile.
				conn := m.Dial()
				if _, err := io.WriteString(conn, whole(session)); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Fatal(resp, err)
				}
				all.Wait()
				if n := s.Count(); n != 1 {
					t.Errorf("%d sockets, want 1", n)
				}
				conn.Close()
			})
		})
	}
}

// part is said in one second.
func part(text string, second, at, n int) string {
	if second != at {
		return ""
	}
	return text[:n]
}

// Headers have an end, and so has a connection that is only kept.
func TestListenerLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers string
		status  int
		idle    time.Duration
	}{
		{"a header of 64 kB", "X-A: " + strings.Repeat("x", 64<<10), 431, 0},
		{"4,000 headers", strings.Repeat("X-A: b\r\n", 4000) + "X-B: c", 431, 0},
		{"64 kB of cookies", "Cookie: " + strings.Repeat("a=b; ", 13_000), 431, 0},
		{"1,000 subprotocols", "Sec-WebSocket-Protocol: " + strings.Repeat("p, ", 1000) + "q", 426, 120 * time.Second},
		{"a plain request", "X-A: b", 426, 120 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			listening(t, func(t *testing.T, m *testkit.Pipes, s *websockets.Server, _ *websockets.Session) {
				start := time.Now()
				conn := m.Dial()
				defer conn.Close()
				if err := conn.SetDeadline(start.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				var writing sync.WaitGroup
				defer writing.Wait()
				writing.Go(func() {
					// The server need not read all of it.
					_, _ = io.WriteString(conn, "GET /ws/x HTTP/1.1\r\nHost: h\r\n"+c.headers+"\r\n\r\n")
				})
				r := bufio.NewReader(conn)
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != c.status {
					t.Fatal(resp, err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				if _, err := r.ReadByte(); err != io.EOF || time.Since(start) > c.idle+2*time.Second {
					t.Errorf("%v after %v, want the end after %v", err, time.Since(start), c.idle)
				}
				if n := s.Count(); n != 0 {
					t.Errorf("%d sockets", n)
				}
			})
		})
	}
}
