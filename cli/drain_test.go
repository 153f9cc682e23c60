package cli_test

import (
	"context"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dial opens a Socket.IO 4 socket (Engine.IO 3), which is connected at once.
func (p *process) dial(l login, connection string) *websocket.Conn {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, p.public+"/socket.io/appsuite/?EIO=3&transport=websocket&connection="+connection+"&session="+l.Session,
		&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// closeCode reads a socket to its end.
func closeCode(t *testing.T, conn *websocket.Conn) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func (p *process) ready() int {
	res, err := http.Get(p.public + "/readyz")
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// A server that is told to stop says so, closes its sockets one after the
// other, serves those that are still open, and ends when the last is gone.
func TestDrain(t *testing.T) {
	tree := newTree(t)
	put(t, tree, "own.properties", "sluice.drain.spread=2s\n")
	p := launch(t, tree, t.TempDir())
	const sockets = 8
	l := p.login(17)
	var conns []*websocket.Conn
	for i := range sockets {
		conns = append(conns, p.dial(l, fmt.Sprint("c", i)))
	}
	if code := p.ready(); code != http.StatusOK {
		t.Fatalf("readyz %d", code)
	}
	began := time.Now()
	p.signal(syscall.SIGTERM)
	p.poll("the server says that it is not ready", func() bool { return p.ready() == http.StatusServiceUnavailable })
	if p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"late"}`, nil) != http.StatusOK {
		t.Error("no message while the server drains")
	}
	ends := make(chan time.Duration, sockets)
	for _, c := range conns {
		go func() {
			if code := closeCode(t, c); code != websocket.StatusServiceRestart {
				t.Errorf("close %d", code)
			}
			ends <- time.Since(began)
		}()
	}
	var first, last time.Duration
	for i := range sockets {
		last = <-ends
		if i == 0 {
			first = last
		}
	}
	if last-first < time.Second {
		t.Errorf("all closed within %v, want them spread over 2 s", last-first)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.log())
	}
}

// A second signal ends the process at once, whatever is open.
func TestSecondSignal(t *testing.T) {
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		tree := newTree(t)
		put(t, tree, "own.properties", "sluice.drain.spread=10m\n")
		p := launch(t, tree, t.TempDir())
		l := p.login(17)
		a := p.dial(l, "a")
		p.dial(l, "b")
		p.dial(l, "c")
		p.signal(syscall.SIGTERM)
		p.poll("the drain begins", func() bool { return p.ready() == http.StatusServiceUnavailable })
		began := time.Now()
		p.signal(second)
		if code := p.wait(); code != 1 {
			t.Errorf("exit code %d\n%s", code, p.log())
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
		closeCode(t, a)
	}
}
