package cli_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

// hang writes a request to a listener and leaves the connection as it is. Where
// answered, it waits for the head of the answer and reads nothing of the rest.
func hang(t *testing.T, network, addr, request string, answered bool) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096) // what is not read is soon more than fits
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if answered {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		line, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
		if err != nil || !strings.Contains(line, " 200 ") {
			t.Fatalf("%.60q is answered %q, %v", request, line, err)
		}
	}
	return conn
}

// A member that stops ends in time and without an error, whatever its clients
// leave unfinished.
func TestDrainWithHangingClients(t *testing.T) {
	tree := newTree(t)
	put(t, tree, "own.properties", "sluice.drain.spread=500ms\n")
	p := launch(t, tree, t.TempDir())
	hangOn(t, p)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.log())
	}
}

// hangOn leaves one of everything unfinished that a client can.
func hangOn(t *testing.T, p *process) {
	t.Helper()
	network, admin, public := "tcp", strings.TrimPrefix(p.admin, "http://"), p.listener()
	if path, ok := strings.CutPrefix(p.admin, "unix:"); ok {
		network, admin = "unix", path
	}
	head := func(method, path string, more ...string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, strings.Join(append(more, ""), "\r\n"))
	}
	l := p.login(17)
	upgrade := fmt.Sprintf("GET /socket.io/appsuite/?EIO=4&transport=websocket&connection=%%s&session=%s HTTP/1.1\r\nHost: x\r\nCookie: %s=%s\r\n"+
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", l.Session, l.Cookie.Name, l.Cookie.Value)
	for i := range 3 { // sockets that answer no close frame
		hang(t, "tcp", public, fmt.Sprintf(upgrade, fmt.Sprint("mute", i)), false)
	}
	p.poll("the sockets are open", func() bool {
		var page struct{ Sockets []struct{} }
		p.request("GET", "/admin/v1/sockets?context=1337&user=17", "", &page)
		return len(page.Sockets) == 3
	})
	for _, silent := range []string{"", "GET /readyz HTTP/1.1\r\nHo"} {
		hang(t, network, admin, silent, false)
		hang(t, "tcp", public, silent, false)
	}
	for _, path := range []string{"/admin/v1/messages", "/admin/v1/plan", "/admin/v1/sessions"} {
		for _, body := range []string{"Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"} {
			hang(t, network, admin, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+body, false)
		}
	}
	hang(t, network, admin, head("GET", "/admin/v1/events"), true)
	// More answers than the buffers of a connection hold.
	hang(t, network, admin, strings.Repeat(head("GET", "/openapi.yaml"), 200), true)
}

// A Redis that says nothing keeps no socket of a member that stops, although
// messages wait for it, and makes the end late but no failure.
func TestDrainWithoutRedis(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	a, b := f.members[0], f.members[1]
	l := a.login(17)
	if _, err := b.dial(l, "b"); err != nil {
		t.Fatal(err)
	}
	conn, err := a.dial(l, "a")
	if err != nil {
		t.Fatal(err)
	}
	a.proxy.BlackHole(true, true)
	if code := a.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"n","args":["x"]}`, nil); code != http.StatusOK {
		t.Errorf("message: %d", code)
	}
	a.signal(syscall.SIGTERM)
	if code := closeCode(t, conn); code != 1012 {
		t.Errorf("close %d, want 1012", code)
	}
	if !*torture {
		return // messages wait for Redis for 20 s more
	}
	select {
	case err := <-a.exited:
		if err != nil {
			t.Errorf("%v\n%s", err, a.log())
		}
	case <-time.After(2 * patience):
		t.Errorf("the member does not end\n%s", a.log())
	}
}
