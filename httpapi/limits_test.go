package httpapi

import (
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// padded is a request of that many bytes.
func padded(n int) string {
	const head, end = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nX: ", "\r\n\r\n"
	return head + strings.Repeat("x", n-len(head)-len(end)) + end
}

// What the listeners take: raw requests, and what comes back first.
func TestListenerLimits(t *testing.T) {
	w := newWorld(t, tree)
	for _, base := range []string{w.public.URL, w.tcp.URL} {
		addr := strings.TrimPrefix(base, "http://")
		for _, c := range []struct{ name, send, want string }{
			{"a header that fits", padded(maxHeaderBytes), "HTTP/1.1 200 "},
			{"a byte more", padded(maxHeaderBytes + 1), "HTTP/1.1 431 "},
			{"a long path", "GET /" + strings.Repeat("x", maxHeaderBytes) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 431 "},
			{"many headers", "GET /readyz HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: y\r\n", 5000) + "\r\n", "HTTP/1.1 431 "},
			{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 40"},
			{"no HTTP", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 hello\r\n\r\n", "HTTP/1.1 400 "},
			{"HTTP/1.0", "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n", "HTTP/1.0 200 "},
			{"HTTP/0.9", "GET /readyz\r\n\r\n", "HTTP/1.1 400 "},
			{"HTTP/3.0", "GET /readyz HTTP/3.0\r\nHost: localhost\r\n\r\n", "HTTP/1.1 505 "},
			{"no host", "GET /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
			{"two lengths", "GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "HTTP/1.1 400 "},
			{"unknown transfer encoding", "GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n", "HTTP/1.1 501 "},
		} {
			conn, err := net.Dial("tcp", addr)
			must(t, err)
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, c.send) // the server may have answered before the end
			got := make([]byte, len(c.want))
			_, err = io.ReadFull(conn, got)
			if string(got) != c.want {
				t.Errorf("%s: %q, %v", c.name, got, err)
			}
			_ = conn.Close()
		}
	}
}

// What follows a request is one as well, or the end of the connection.
func TestPipelining(t *testing.T) {
	w := newWorld(t, tree)
	const request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for _, base := range []string{w.public.URL, w.tcp.URL} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		must(t, err)
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = io.WriteString(conn, request+request+"\x81\x85garbage\r\n\r\n"+request)
		must(t, err)
		b, _ := io.ReadAll(conn) // ends with the connection, in whatever way
		var got []string
		for line := range strings.Lines(string(b)) {
			if status, ok := strings.CutPrefix(line, "HTTP/1.1 "); ok {
				got = append(got, status[:3])
			}
		}
		if strings.Join(got, " ") != "200 200 400" {
			t.Errorf("answers %v: %q", got, b)
		}
		_ = conn.Close()
	}
}

// A client that never ends its headers is dropped.
func TestSlowHeaders(t *testing.T) {
	w := newWorld(t, tree)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.public.URL, "http://"))
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /socket.io/ HTTP/1.1\r\nHost: localhost\r\nX: ")
	must(t, err)
	_ = conn.SetDeadline(time.Now().Add(3 * readHeaderTimeout))
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection is still open after %v: %v", 3*readHeaderTimeout, err)
	}
}

// Connections beyond the budget end at once, and those within it go on.
func TestBudget(t *testing.T) {
	w := newWorld(t, tree)
	o := w.server.Options
	o.Files = 8 // of which half are kept
	small := testkit.Open(t, New, o)
	small.SetReady(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := small.Listener(small.Public())
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = srv.Close()
		serving.Wait()
	})
	addr := l.Addr().String()
	var kept []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		defer conn.Close()
		kept = append(kept, conn)
	}
	w.poll("four are open", func() bool { return small.budget.open.Load() == 4 })
	extra, err := net.Dial("tcp", addr)
	must(t, err)
	defer extra.Close()
	_ = extra.SetDeadline(time.Now().Add(patience))
	if n, err := extra.Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
		t.Errorf("a fifth got %d bytes, %v", n, err)
	}
	w.poll("it is counted and forgotten", func() bool { return small.budget.refused.Load() == 1 && small.budget.open.Load() == 4 })
	_, err = io.WriteString(kept[0], "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	must(t, err)
	_ = kept[0].SetDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(kept[0]); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		t.Errorf("%q %v", b, err)
	}
	w.poll("its place is free", func() bool { return small.budget.open.Load() == 3 })
}
