package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/testkit"
)

// A body where none is taken is refused on every route, to whoever may use it,
// and ends the connection: what follows would not be a request.
func TestBodiesRefused(t *testing.T) {
	w := newWorld(t, tree)
	routes := 0
	must(t, chi.Walk(w.routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodGet && method != http.MethodDelete {
			return nil
		}
		routes++
		for _, header := range []string{"X: y", "Content-Type: text/plain"} {
			w.ask(method, filled.Replace(route), "{}", header).refused(t, 400, "body")
		}
		return nil
	}))
	if routes < 20 {
		t.Errorf("only %d routes", routes)
	}
	w.askAt(w.public.URL, "GET", "/readyz", "x").refused(t, 400, "body")
	pages := httptest.NewServer(w.server.AdminPages())
	t.Cleanup(pages.Close)
	for _, path := range []string{"/", "/docs", "/console", "/console/", "/console/login", "/console/static/console.css"} {
		w.askAt(pages.URL, "GET", path, "x").refused(t, 400, "body")
	}
	// Without a length, too, and the rest of it is not awaited.
	for _, base := range []string{w.tcp.URL, w.public.URL} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		must(t, err)
		_, err = io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(2*bodyTimeout)))
		b, err := io.ReadAll(conn)
		if !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || err != nil {
			t.Errorf("%s: %q %v", base, b, err)
		}
		_ = conn.Close()
	}
}

// pacedIn runs a handler behind pace in virtual time. talk has a client's
// connection, and nothing that it does not read is taken from the server.
func pacedIn(t *testing.T, h http.HandlerFunc, talk func(net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		l := testkit.NewPipes()
		srv := &http.Server{Handler: s.pace(h), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout}
		var serving sync.WaitGroup
		serving.Go(func() { _ = srv.Serve(l) }) // until Close
		client := l.Dial()
		talk(client)
		_ = client.Close()
		_ = srv.Close()
		serving.Wait()
	})
}

// An answer that is not read ends its connection with the first write that takes
// too long, and one that is read slowly goes on.
func TestUnreadAnswer(t *testing.T) {
	const chunks = 20
	var ended atomic.Pointer[error] // a channel from outside would stop the clock
	export := func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for i := 0; i < chunks && err == nil; i++ {
			_, err = w.Write(make([]byte, answerChunk))
		}
		ended.Store(&err)
	}
	t.Run("not read", func(t *testing.T) {
		pacedIn(t, export, func(c net.Conn) {
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			must(t, err)
			time.Sleep(answerTimeout + time.Second)
			if err := ended.Load(); err == nil || *err == nil {
				t.Errorf("the answer goes on: %v", err)
			}
		})
	})
	t.Run("read slowly", func(t *testing.T) {
		pacedIn(t, export, func(c net.Conn) {
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			must(t, err)
			buf, n := make([]byte, answerChunk/4), 0
			for err == nil {
				time.Sleep(2 * time.Second)
				var m int
				m, err = io.ReadFull(c, buf)
				n += m
			}
			if n < chunks*answerChunk {
				t.Errorf("it ended after %d bytes: %v", n, err)
			}
			synctest.Wait()
			if err := ended.Load(); err == nil || *err != nil {
				t.Errorf("the answer has not ended well: %v", err)
			}
		})
	})
}

// A body that does not come ends its connection, also where its handler has
// answered without reading it.
func TestUnfinishedBody(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"read":     func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) },
		"not read": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			pacedIn(t, h, func(c net.Conn) {
				began := time.Now()
				_, err := io.WriteString(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
				must(t, err)
				_, err = io.ReadAll(c)
				if took := time.Since(began); err != nil || took > bodyTimeout+time.Second {
					t.Errorf("it ended after %v, %v", took, err)
				}
			})
		})
	}
}

// A stream of messages waits for the next one as long as a connection for the
// next request, and no longer than until the server ends.
func TestMessageStreamEnds(t *testing.T) {
	w := newWorld(t, tree)
	for _, path := range []string{"idle", "stop"} {
		pr, pw := io.Pipe()
		defer pw.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.admin.URL+"/admin/v1/messages", pr)
		must(t, err)
		req.Header.Set("Content-Type", ndjson)
		sent := make(chan error, 1)
		go func() {
			_, err := fmt.Fprintln(pw, `{"context":1,"user":2,"name":"n"}`)
			sent <- err
		}()
		res, err := w.client.Transport.RoundTrip(req)
		must(t, err)
		must(t, <-sent)
		lines := bufio.NewScanner(res.Body)
		if !lines.Scan() || !strings.Contains(lines.Text(), `"local":0`) {
			t.Fatalf("%s: %s", path, lines.Text())
		}
		if path == "idle" {
			must(t, res.Body.Close())
			continue
		}
		w.server.endStreams()
		if !lines.Scan() || !strings.Contains(lines.Text(), "broke off") {
			t.Errorf("the stream does not end with the server: %q", lines.Text())
		}
		must(t, res.Body.Close())
	}
}

// What is read as JSON is UTF-8, whole characters, and said to be.
func TestCharacters(t *testing.T) {
	w := newWorld(t, tree)
	const path = "/admin/v1/messages"
	body := `{"context":1,"user":2,"name":"n","args":["%s"]}`
	for charset, status := range map[string]int{"utf-8": 200, "UTF-8": 200, `"utf-8"`: 200, "iso-8859-1": 400, "utf-16": 400, "us-ascii": 400, `""`: 400} {
		for media, status := range map[string]int{jsonType: status, ndjson: status} {
			a := w.ask("POST", path, fmt.Sprintf(body, "x"), "Content-Type: "+media+"; charset="+charset)
			if status == 400 {
				a.refused(t, 400, "charset")
			} else if a.status != status {
				t.Errorf("%s %s: %d %s", media, charset, a.status, a.body)
			}
		}
	}
	for text, status := range map[string]int{
		`\ud83d\ude00`: 200, `\uD83D\uDE00`: 200, `\\ud83d`: 200, `\\\\ud83d`: 200, `\n\u00e4`: 200, `\ue000`: 200,
		`\ud83d`: 400, `\ude00`: 400, `\ude00\ud83d`: 400, `\ud83dx`: 400, `\ud83d\n`: 400, `\ud83d\u0041`: 400, `\ud83d\ud83d\ude00`: 400, `\\\ud83d`: 400,
	} {
		a := w.ask("POST", path, fmt.Sprintf(body, text))
		if status == 400 {
			a.refused(t, 400, "bad_json")
		} else if a.status != status {
			t.Errorf("%s: %d %s", text, a.status, a.body)
		}
		b := w.ask("POST", "/admin/v1/sessions", `{"context":1,"user":2,"client":"c`+text+`"}`)
		if status == 400 {
			b.refused(t, 400, "bad_json")
		}
	}
}
