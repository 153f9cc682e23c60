package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a running peer.
type child struct {
	cmd     *exec.Cmd
	dir     string
	port    int // of its sockets
	dialect dialect
	http    *http.Client
	publish func(batch []message) (*http.Request, error)
	request func(i int) []byte
}

// message is one publication: to a user, or to everybody for 0.
type message struct {
	user int
	data string
}

const event = "m"

// peer knows how to start one.
type peer struct {
	name  string
	start func(users int, ping time.Duration) (*child, error)
}

var peers = []peer{
	{"sluice", startSluice},
	{"socket.io", startSocketIO},
	{"coder/websocket", startUsual},
}

// launch runs a command pinned to the first core, in a folder of its own.
func launch(args []string, files map[string]string, ports int) (*child, []int, error) {
	dir, err := os.MkdirTemp("", "sluice-load-")
	if err != nil {
		return nil, nil, err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, nil, err
		}
	}
	free := make([]int, ports)
	for i := range free {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		free[i] = l.Addr().(*net.TCPAddr).Port
		defer l.Close()
	}
	expand := func(s string) string {
		s = strings.ReplaceAll(s, "DIR", dir)
		for i, p := range free {
			s = strings.ReplaceAll(s, fmt.Sprintf("PORT%d", i), strconv.Itoa(p))
		}
		return s
	}
	full := []string{"-c", "0"}
	for _, a := range args {
		full = append(full, expand(a))
	}
	c := &child{cmd: exec.Command("taskset", full...), dir: dir, port: free[0], http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute,
	}}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	c.cmd.Stdout, c.cmd.Stderr = log, log
	return c, free, nil
}

// up waits until a URL answers.
func (c *child) up(url string) error {
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("%w: taskset is of the package util-linux", err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if r, err := c.http.Get(url); err == nil {
			_ = r.Body.Close()
			return nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	c.stop()
	return fmt.Errorf("%v does not answer on %s:\n%s", c.cmd.Args, url, log)
}

func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.cmd.Wait()
	c.http.CloseIdleConnections()
	_ = os.RemoveAll(c.dir)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// post sends a batch in one request.
func (c *child) post(batch []message) error {
	req, err := c.publish(batch)
	if err != nil {
		return err
	}
	r, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"status"`)) {
		return fmt.Errorf("publishing: %s %.300s %w", r.Status, body, err)
	}
	return nil
}

func upgrade(port int, target, more string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", target, port, more)
}

// startSluice is the product as it is built: sessions, gate and metrics on.
func startSluice(users int, ping time.Duration) (*child, error) {
	c, ports, err := launch([]string{*binary, "serve", "--etc", "DIR/etc", "--state", "DIR/state", "--public", "127.0.0.1:PORT0", "--admin", "127.0.0.1:PORT1"},
		map[string]string{"etc/websockets.properties": fmt.Sprintf("com.openexchange.websockets.enabled = true\nsluice.websockets.pingInterval = %dms\n", ping.Milliseconds())}, 2)
	if err != nil {
		return nil, err
	}
	admin := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	if err := c.up(admin + "/readyz"); err != nil {
		return nil, err
	}
	c.dialect = dialect{true, `42["` + event + `","`}
	type login struct {
		Session string
		Cookie  struct{ Name, Value string }
	}
	logins := make([]login, users)
	for u := range logins {
		body := fmt.Sprintf(`{"context":%d,"user":%d,"client":"open-xchange-appsuite"}`, contextOf(u+1), u+1)
		r, err := c.http.Post(admin+"/admin/v1/sessions", "application/json", strings.NewReader(body))
		if err == nil {
			err = json.NewDecoder(r.Body).Decode(&logins[u])
			_ = r.Body.Close()
		}
		if err != nil {
			c.stop()
			return nil, fmt.Errorf("session of user %d: %w", u+1, err)
		}
	}
	c.request = func(i int) []byte {
		l := logins[i%users]
		return upgrade(ports[0], fmt.Sprintf("/socket.io/appsuite/?session=%s&connection=17953470%d&EIO=4&transport=websocket", l.Session, i),
			fmt.Sprintf("Cookie: %s=%s\r\n", l.Cookie.Name, l.Cookie.Value))
	}
	c.publish = func(batch []message) (*http.Request, error) {
		var b bytes.Buffer
		for _, m := range batch {
			to := `"all":true`
			if m.user != 0 {
				to = fmt.Sprintf(`"context":%d,"user":%d`, contextOf(m.user), m.user)
			}
			fmt.Fprintf(&b, `{%s,"name":%q,"args":[%q]}`+"\n", to, event, m.data)
		}
		req, err := http.NewRequest(http.MethodPost, admin+"/admin/v1/messages", &b)
		if err == nil {
			req.Header.Set("Content-Type", "application/x-ndjson")
		}
		return req, err
	}
	return c, nil
}

// contextOf spreads the users over contexts of a hundred.
func contextOf(user int) int { return 1 + user/100 }

func startSocketIO(_ int, ping time.Duration) (*child, error) {
	return startPlain([]string{"node", "--max-semi-space-size=16", filepath.Join(*folder, "socketio", "server.js"), "PORT0", "PORT1", strconv.Itoa(int(ping.Milliseconds()))},
		dialect{true, `42["` + event + `","`}, "/socket.io/?EIO=4&transport=websocket&user=")
}

func startUsual(_ int, ping time.Duration) (*child, error) {
	return startPlain([]string{*usual, "PORT0", "PORT1", ping.String()}, dialect{false, ""}, "/?user=")
}

// startPlain is a peer without sessions, which takes publications as lines of
// {"user","data"}.
func startPlain(args []string, d dialect, target string) (*child, error) {
	c, ports, err := launch(args, nil, 2)
	if err != nil {
		return nil, err
	}
	c.dialect = d
	admin := fmt.Sprintf("http://127.0.0.1:%d/", ports[1])
	if err := c.up(admin); err != nil {
		return nil, err
	}
	c.request = func(i int) []byte { return upgrade(ports[0], target+strconv.Itoa(userOf(i)), "") }
	c.publish = func(batch []message) (*http.Request, error) {
		var b bytes.Buffer
		for _, m := range batch {
			fmt.Fprintf(&b, `{"user":%d,"data":%q}`+"\n", m.user, m.data)
		}
		return http.NewRequest(http.MethodPost, admin, &b)
	}
	return c, nil
}
