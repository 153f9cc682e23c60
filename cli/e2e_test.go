package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const clientDir = "../testdata/clients"

// node is a real socket.io client in a process of its own.
type node struct {
	name   string
	cmd    *exec.Cmd
	mu     sync.Mutex
	events []nodeEvent
}

type nodeEvent struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
	at    time.Time
}

type login struct {
	Session string
	Cookie  struct{ Name, Value string }
}

func (p *process) login(user int) (l login) {
	p.t.Helper()
	if code := p.request("POST", "/admin/v1/sessions", fmt.Sprintf(`{"context":1337,"user":%d,"client":"open-xchange-appsuite"}`, user), &l); code != http.StatusCreated {
		p.t.Fatalf("session: %d", code)
	}
	return l
}

// node starts a client on the public listener.
func (p *process) node(lib string, l login) *node { return p.nodeAt(p.public, lib, l) }

// nodeAt starts a client somewhere else, with more in its environment.
func (p *process) nodeAt(base, lib string, l login, env ...string) *node {
	p.t.Helper()
	return runNode(p.t, lib, env, "client.js", lib, base, l.Session, l.Cookie.Name+"="+l.Cookie.Value, "conn-"+lib)
}

// runNode runs a script of the clients' folder, which prints its events, until
// the test is over.
func runNode(t *testing.T, name string, env []string, args ...string) *node {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("node is missing: install the package nodejs")
	}
	if _, err := os.Stat(filepath.Join(clientDir, "node_modules", "sio4")); err != nil {
		t.Fatal("the npm clients are missing: run `just setup`")
	}
	return runClient(t, name, env, append([]string{"node"}, args...)...)
}

// runClient is runNode for any command line.
func runClient(t *testing.T, name string, env []string, args ...string) *node {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = clientDir, append(os.Environ(), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &node{name: name, cmd: cmd}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e nodeEvent
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				e.at = time.Now()
				n.mu.Lock()
				n.events = append(n.events, e)
				n.mu.Unlock()
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = in.Close() // the client ends with its input
		<-done
	})
	return n
}

// seen returns the k-th event of a name, counted from 1.
func (n *node) seen(event string, k int) *nodeEvent {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.events {
		if n.events[i].Event == event {
			if k--; k == 0 {
				e := n.events[i]
				return &e
			}
		}
	}
	return nil
}

// String is all that the client has said.
func (n *node) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	for _, e := range n.events {
		fmt.Fprintf(&b, "\n%s %s %s", e.at.Format(time.TimeOnly), e.Event, e.Data)
	}
	return b.String()
}

// TestRealClients is the main job on real input: an administrator saves a
// file, and real clients are let in, dropped, and come back.
func TestRealClients(t *testing.T) {
	tree := newTree(t)
	put(t, tree, "own.properties", "sluice.drain.spread=500ms\nsluice.websockets.whenDisabled=refuse\n")
	p := launch(t, tree, t.TempDir())
	l := p.login(17)
	var clients []*node
	for _, lib := range []string{"sio1", "sio2", "sio3", "sio4"} {
		clients = append(clients, p.node(lib, l))
	}
	all := func(event string, k int) {
		t.Helper()
		for _, c := range clients {
			p.poll(fmt.Sprintf("%s sees %s for the %d. time", c.name, event, k), func() bool { return c.seen(event, k) != nil })
		}
	}
	push := func(subject string, k int) {
		t.Helper()
		var r struct{ Local int }
		p.request("POST", "/admin/v1/messages", fmt.Sprintf(`{"context":1337,"user":17,"name":"ox:mail:new","pathFilter":"/socket.io/appsuite/*","args":[{"folder":"default0/INBOX","subject":%q}]}`, subject), &r)
		if r.Local != len(clients) {
			t.Errorf("queued for %d sockets, want %d", r.Local, len(clients))
		}
		all("ox:mail:new", k)
		for _, c := range clients {
			if got, want := string(c.seen("ox:mail:new", k).Data), fmt.Sprintf(`{"folder":"default0/INBOX","subject":%q}`, subject); got != want {
				t.Errorf("%s got %s, want %s", c.name, got, want)
			}
		}
	}
	all("connect", 1)
	push("first", 1)

	const key = "com.openexchange.websockets.enabled"
	saved := p.save("websockets.properties", key, "false", true)
	all("sluice:disabled", 1)
	all("disconnect", 1)
	for _, c := range clients {
		told, dropped := c.seen("sluice:disabled", 1).at.Sub(saved), c.seen("disconnect", 1).at.Sub(saved)
		t.Logf("%s told %s and dropped %s after the save", c.name, told, dropped)
		if told > dropped || *torture && dropped > time.Second {
			t.Errorf("%s was told %s and dropped %s after the save, want both in this order within a second", c.name, told, dropped)
		}
	}
	if code, body := p.handshake(l); code != http.StatusBadRequest || body["error"] != "disabled" {
		t.Errorf("handshake while switched off: %d %v", code, body)
	}
	for _, c := range clients {
		p.poll(c.name+" is refused", func() bool { return c.seen("connect_error", 1) != nil })
	}

	saved = p.save("websockets.properties", key, "true", false)
	all("connect", 2)
	for _, c := range clients {
		t.Logf("%s came back %s after the save", c.name, c.seen("connect", 2).at.Sub(saved))
	}
	push("second", 2)

	// Held, they stay and hear what becomes of them, whatever their version.
	p.save("own.properties", "sluice.websockets.whenDisabled", "hold", false)
	p.save("websockets.properties", key, "false", true)
	all("sluice:disabled", 2)
	var sent struct{ Local int }
	p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"ox:mail:new","args":[{"folder":"x"}]}`, &sent)
	if sent.Local != 0 {
		t.Errorf("%d sockets of a user who is switched off got a message", sent.Local)
	}
	late := runNode(t, "late", nil, "client.js", "sio3", p.public, l.Session, l.Cookie.Name+"="+l.Cookie.Value, "conn-late")
	p.poll("a client that comes meanwhile is told", func() bool { return late.seen("connect", 1) != nil && late.seen("sluice:disabled", 1) != nil })
	p.save("websockets.properties", key, "true", false)
	all("sluice:enabled", 1)
	for _, c := range clients {
		if c.seen("disconnect", 2) != nil {
			t.Errorf("%s lost its connection while it was held", c.name)
		}
	}
	p.poll("the late one is told that it is served", func() bool { return late.seen("sluice:enabled", 1) != nil })

	ended := time.Now()
	p.signal(syscall.SIGTERM)
	code, took := p.wait(), time.Since(ended)
	t.Logf("ended %s after SIGTERM", took)
	if code != 0 || *torture && took > 10*time.Second {
		t.Errorf("exit code %d, %s after SIGTERM, want 0 within 10 s\n%s", code, took, p.log())
	}
	all("disconnect", 2)
}

// handshake tries to upgrade and returns what refuses it.
func (p *process) handshake(l login) (int, map[string]string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.public+"/socket.io/appsuite/?EIO=4&transport=websocket&session="+l.Session, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Cookie": l.Cookie.Name + "=" + l.Cookie.Value,
	} {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.StatusCode, nil
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var body map[string]string
	if err := json.Unmarshal(b, &body); err != nil {
		p.t.Fatalf("%s: %v", b, err)
	}
	return res.StatusCode, body
}
