package cli_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

// The times of these tests: an idle proxy gives up sooner than the test ends,
// and heartbeats come sooner than it gives up.
const (
	proxyIdle   = time.Second
	proxyPings  = "300ms"
	proxyAnswer = "200ms"
)

// proxyTree is a tree whose heartbeats keep a proxy of proxyIdle awake.
func proxyTree(t *testing.T) string {
	t.Helper()
	tree := newTree(t)
	put(t, tree, "own.properties", fmt.Sprintf("%s=%s\n%s=%s\n%s=1s\n",
		websockets.PropPingInterval, proxyPings, websockets.PropPingTimeout, proxyAnswer, websockets.PropDrainSpread))
	return tree
}

// edge is a proxy as its clients see it.
type edge struct {
	base     string // https://127.0.0.1:PORT
	certFile string
	pool     *x509.CertPool
	logs     string // its access log
}

// edges start the proxies of the page in front of one or two members.
var edges = map[string]startEdge{"nginx": nginxEdge, "apache": apacheEdge, "haproxy": haproxyEdge}

type startEdge func(t *testing.T, idle time.Duration, members ...string) *edge

// documentedIdle is the time after which the proxies of the page drop a socket
// on which nothing is said.
const documentedIdle = 75 * time.Second

func nginxEdge(t *testing.T, idle time.Duration, members ...string) *edge {
	t.Helper()
	return nginxEdgeWith(t, func(conf string) string { return conf }, idle, members...)
}

// ingressEdge stands for the controller whose annotations the page has: nginx
// that takes turns.
func ingressEdge(t *testing.T, idle time.Duration, members ...string) *edge {
	t.Helper()
	return nginxEdgeWith(t, func(conf string) string {
		if !strings.Contains(conf, "least_conn;") {
			t.Fatal("docs/proxy.md has no least_conn in its block of nginx")
		}
		return strings.ReplaceAll(conf, "least_conn;", "")
	}, idle, members...)
}

// plainEdge is nginx without TLS, which would cost the clients of a large crowd
// more than all else.
func plainEdge(t *testing.T, members ...string) *edge {
	t.Helper()
	cert, key, _ := testkit.Certificate(t)
	port, logs := freePort(t), filepath.Join(t.TempDir(), "access.log")
	// Each handshake that goes to the dead member first would be a line.
	runNginx(t, port, "error_log stderr crit;\n"+balanced(t, "nginx", members,
		"listen 443 ssl", "listen 127.0.0.1:"+port,
		"/etc/ssl/mail.example.com.crt", cert,
		"/etc/ssl/mail.example.com.key", key,
		"/var/log/nginx/sluice.log", logs,
	))
	return &edge{base: "http://127.0.0.1:" + port, logs: logs}
}

func nginxEdgeWith(t *testing.T, change func(conf string) string, idle time.Duration, members ...string) *edge {
	t.Helper()
	cert, key, pool := testkit.Certificate(t)
	port, logs := freePort(t), filepath.Join(t.TempDir(), "access.log")
	runNginx(t, port, change(balanced(t, "nginx", members,
		"listen 443", "listen 127.0.0.1:"+port,
		"/etc/ssl/mail.example.com.crt", cert,
		"/etc/ssl/mail.example.com.key", key,
		"read_timeout 75s", fmt.Sprintf("read_timeout %dms", idle.Milliseconds()),
		"/var/log/nginx/sluice.log", logs,
	)))
	return &edge{"https://127.0.0.1:" + port, cert, pool, logs}
}

func apacheEdge(t *testing.T, idle time.Duration, members ...string) *edge {
	t.Helper()
	cert, key, pool := testkit.Certificate(t)
	port, logs := freePort(t), filepath.Join(t.TempDir(), "access.log")
	runApache(t, port, balanced(t, "apache", members,
		"*:443", "127.0.0.1:"+port,
		"/etc/ssl/mail.example.com.crt", cert,
		"/etc/ssl/mail.example.com.key", key,
		" timeout=75", fmt.Sprintf(" timeout=%d", int(idle.Seconds())),
		"${APACHE_LOG_DIR}/sluice.log", logs,
	))
	return &edge{"https://127.0.0.1:" + port, cert, pool, logs}
}

func haproxyEdge(t *testing.T, idle time.Duration, members ...string) *edge {
	t.Helper()
	cert, key, pool := testkit.Certificate(t)
	both := ""
	for _, file := range []string{cert, key} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both += string(b)
	}
	dir := t.TempDir()
	put(t, dir, "both.pem", both)
	port, logs := freePort(t), filepath.Join(dir, "access.log")
	runHAProxy(t, port, balanced(t, "haproxy", members,
		"*:443", "127.0.0.1:"+port,
		"/etc/ssl/mail.example.com.pem", filepath.Join(dir, "both.pem"),
		"75s", fmt.Sprintf("%dms", idle.Milliseconds()),
	), logs)
	return &edge{"https://127.0.0.1:" + port, cert, pool, logs}
}

func varnishEdge(t *testing.T, member string) *edge {
	t.Helper()
	host, at, err := net.SplitHostPort(member)
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), freePort(t)
	put(t, dir, "sluice.vcl", documented(t, "vcl", `"10.0.0.11"`, strconv.Quote(host), `"8011"`, strconv.Quote(at)))
	options := strings.Fields(documented(t, "varnishd", "pipe_timeout=75", fmt.Sprintf("pipe_timeout=%d", int(proxyIdle.Seconds()))))
	// Its files are its parent's to keep: a folder of the test is only root's.
	daemon(t, port, append([]string{
		testkit.Tool(t, "varnishd", "varnish"), "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-s", "malloc,16m",
		"-a", "127.0.0.1:" + port, "-f", filepath.Join(dir, "sluice.vcl"),
	}, options...)...)
	return &edge{base: "http://127.0.0.1:" + port}
}

// listener is the address of the public listener.
func (p *process) listener() string { return strings.TrimPrefix(p.public, "http://") }

// from is a client with an address of its own.
func (e *edge) from(t *testing.T, addr string) *http.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: e.pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// dial opens a socket from an address; a refusal is its status and code.
func (e *edge) dial(t *testing.T, addr, connection string, l login, headers ...string) error {
	t.Helper()
	h := http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, e.base+"/socket.io/appsuite/?EIO=4&transport=websocket&connection="+connection+"&session="+l.Session,
		&websocket.DialOptions{HTTPClient: e.from(t, addr), HTTPHeader: h})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
		return nil
	}
	if res == nil {
		return err
	}
	var body struct{ Error string }
	b, _ := io.ReadAll(res.Body) // what is missing is missing from the comparison
	_ = json.Unmarshal(b, &body)
	return errors.New(strings.TrimSpace(strconv.Itoa(res.StatusCode) + " " + body.Error))
}

// address is where the server thinks that a socket is from.
func (p *process) address(connection string) string {
	p.t.Helper()
	var page struct{ Sockets []struct{ Address string } }
	p.request("GET", "/admin/v1/sockets?connection="+connection, "", &page)
	if len(page.Sockets) != 1 {
		p.t.Fatalf("%d sockets have the connection %s", len(page.Sockets), connection)
	}
	return page.Sockets[0].Address
}

// TestProxies runs the proxies of docs/proxy.md with real clients behind them.
func TestProxies(t *testing.T) {
	for name, start := range edges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, proxyTree(t), t.TempDir())
			throughProxy(t, p, start(t, proxyIdle, p.listener()))
		})
	}
}

func throughProxy(t *testing.T, p *process, e *edge) {
	l := p.login(17)
	var clients []*node
	for _, lib := range []string{"sio1", "sio2", "sio3", "sio4"} {
		clients = append(clients, p.nodeAt(e.base, lib, l, "NODE_EXTRA_CA_CERTS="+e.certFile))
	}
	all := func(event string, k int) {
		t.Helper()
		for _, c := range clients {
			p.poll(fmt.Sprintf("%s sees %s for the %d. time", c.name, event, k), func() bool { return c.seen(event, k) != nil })
		}
	}
	all("connect", 1)
	connected := time.Now()

	other := p.login(18)
	for _, c := range []struct{ what, origin, want string }{
		{"the host of the page", e.base, ""},
		{"another host", "https://example.org", "403 origin"},
		{"another port", "https://127.0.0.1:1", "403 origin"},
		{"the own host without TLS", "http" + strings.TrimPrefix(e.base, "https"), "403 origin"},
	} {
		got := ""
		if err := e.dial(t, "127.0.0.1", "origin", other, "Origin: "+c.origin); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("from a page of %s: %q, want %q", c.what, got, c.want)
		}
	}
	if err := e.dial(t, "127.0.0.5", "address", other, "X-Forwarded-For: 192.0.2.1, 198.51.100.7"); err != nil {
		t.Fatal(err)
	}
	if got := p.address("address"); got != "127.0.0.5" {
		t.Errorf("the client's address is %s", got)
	}
	for path, want := range map[string]string{"/socket.io/": "426 upgrade_required", "/ws/": "426 upgrade_required"} {
		res, err := e.from(t, "127.0.0.1").Get(e.base + path)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Error string }
		err = json.NewDecoder(res.Body).Decode(&body)
		res.Body.Close()
		if got := fmt.Sprint(res.StatusCode, " ", body.Error); err != nil || got != want {
			t.Errorf("GET %s: %s (%v), want %s", path, got, err, want)
		}
	}

	largeCookie(t, e, p.login(19))

	// Nothing but heartbeats passes until the proxy would have given up twice.
	p.poll("the clients are idle for long", func() bool { return time.Since(connected) > 3*proxyIdle })
	for _, c := range clients {
		if c.seen("disconnect", 1) != nil {
			t.Errorf("%s was dropped while idle", c.name)
		}
	}
	if code := p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"ox:mail:new","args":["hello"]}`, nil); code != http.StatusOK {
		t.Errorf("message: %d", code)
	}
	all("ox:mail:new", 1)

	p.save("websockets.properties", websockets.PropEnabled, "false", true)
	all("sluice:disabled", 1)
	all("disconnect", 1)
	all("connect_error", 1)
	if err := e.dial(t, "127.0.0.1", "off", l); err == nil || err.Error() != "400 disabled" {
		t.Errorf("while switched off: %v", err)
	}
	p.save("websockets.properties", websockets.PropEnabled, "true", true)
	all("connect", 2)

	// A member that stops says so through the proxy, and closes what it has.
	p.signal(syscall.SIGTERM)
	p.poll("handshakes are refused while it drains", func() bool {
		err := e.dial(t, "127.0.0.1", "late", l)
		return err != nil && strings.HasPrefix(err.Error(), "503") // of the member, or of a proxy that knows of it
	})
	all("disconnect", 2)

	b, err := os.ReadFile(e.logs)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b); strings.Contains(text, l.Session) || strings.Contains(text, other.Session) || !strings.Contains(text, "GET /socket.io/appsuite/") {
		t.Errorf("the log of the proxy has no requests, or has sessions:\n%s", text)
	}
}

// largeCookie connects with more cookies than proxies take by default.
func largeCookie(t *testing.T, e *edge, l login) {
	t.Helper()
	if err := e.dial(t, "127.0.0.1", "large", l, "Cookie: other="+strings.Repeat("x", 10_000)+"; "+l.Cookie.Name+"="+l.Cookie.Value); err != nil {
		t.Errorf("with 10 kB of cookies: %v", err)
	}
}

// TestVarnish runs Varnish as the page has it, in front of one member.
func TestVarnish(t *testing.T) {
	t.Parallel()
	p := launch(t, proxyTree(t), t.TempDir())
	e := varnishEdge(t, p.listener())
	l := p.login(17)
	var clients []*node
	for _, lib := range []string{"sio1", "sio2", "sio3", "sio4"} {
		clients = append(clients, p.nodeAt(e.base, lib, l))
	}
	all := func(event string) {
		t.Helper()
		for _, c := range clients {
			p.poll(c.name+" sees "+event, func() bool { return c.seen(event, 1) != nil })
		}
	}
	all("connect")
	connected := time.Now()
	if err := e.dial(t, "127.0.0.5", "address", p.login(18), "X-Forwarded-For: 192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if got := p.address("address"); got != "127.0.0.5" {
		t.Errorf("the client's address is %s", got)
	}
	largeCookie(t, e, p.login(19))
	p.poll("the clients are idle for long", func() bool { return time.Since(connected) > 3*proxyIdle })
	if code := p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"ox:mail:new","args":["hello"]}`, nil); code != http.StatusOK {
		t.Errorf("message: %d", code)
	}
	all("ox:mail:new")
	for _, c := range clients {
		if c.seen("disconnect", 1) != nil {
			t.Errorf("%s was dropped while idle", c.name)
		}
	}
}

// TestIdleProxy shows why the time of a proxy must be longer than that between
// heartbeats: with Sluice's default, this one gives up first.
func TestIdleProxy(t *testing.T) {
	for name, start := range edges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, newTree(t), t.TempDir())
			e := start(t, proxyIdle, p.listener())
			c := p.nodeAt(e.base, "sio4", p.login(17), "NODE_EXTRA_CA_CERTS="+e.certFile)
			p.poll("an idle client is dropped, and comes back", func() bool { return c.seen("disconnect", 1) != nil && c.seen("connect", 2) != nil })
		})
	}
}

// TestTwoProxies puts Apache in front of nginx: the client is found behind
// both once the outer one is known.
func TestTwoProxies(t *testing.T) {
	tree := proxyTree(t)
	p := launch(t, tree, t.TempDir())
	inner := freePort(t)
	cert, key, _ := testkit.Certificate(t)
	runNginx(t, inner, balanced(t, "nginx", []string{p.listener()},
		"listen 443 ssl", "listen 127.0.0.1:"+inner,
		"/etc/ssl/mail.example.com.crt", cert,
		"/etc/ssl/mail.example.com.key", key,
		"/var/log/nginx/sluice.log", filepath.Join(t.TempDir(), "access.log"),
	))
	e := apacheEdge(t, proxyIdle, "127.0.0.1:"+inner)
	l := p.login(17)
	if err := e.dial(t, "127.0.0.5", "unknown", l); err != nil {
		t.Fatal(err)
	}
	if got := p.address("unknown"); got != "127.0.0.1" {
		t.Errorf("without knownProxies the client is %s, want the outer proxy", got)
	}
	p.save("server.properties", websockets.PropKnownProxies, "127.0.0.1", true)
	p.poll("the proxy is known", func() bool { return p.value(websockets.PropKnownProxies) == "127.0.0.1" })
	p.poll("the client is found behind both", func() bool {
		if err := e.dial(t, "127.0.0.5", "known", l, "X-Forwarded-For: 192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		return p.address("known") == "127.0.0.5"
	})
}

// TestDocumentedTimes holds the times of the page to the defaults.
func TestDocumentedTimes(t *testing.T) {
	least := websockets.DefaultPingInterval + websockets.DefaultPingTimeout
	page, err := os.ReadFile("../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("(%d s)", int(least.Seconds())); !strings.Contains(string(page), want) {
		t.Errorf("the page does not say %s", want)
	}
	found := regexp.MustCompile(`(?: timeout=|(?:read|send)_timeout |timeout (?:client|server|tunnel) |(?:read|send)-timeout: ")(\d+)`).FindAllSubmatch(page, -1)
	if len(found) != 9 {
		t.Errorf("%d times found, want 9", len(found))
	}
	for _, m := range found {
		if s, err := strconv.Atoi(string(m[1])); err != nil || time.Duration(s)*time.Second <= least {
			t.Errorf("%s: want more than %v", m[0], least)
		}
	}
}

// TestDocumentedIngress holds the manifest to what Sluice serves.
func TestDocumentedIngress(t *testing.T) {
	type backend struct {
		Service struct {
			Name string
			Port struct{ Name string }
		}
	}
	type object struct {
		Kind     string
		Metadata struct {
			Name        string
			Annotations map[string]string
		}
		Spec struct {
			Ports []struct {
				Name string
				Port int
			}
			Rules []struct {
				HTTP struct {
					Paths []struct {
						Path     string
						PathType string `yaml:"pathType"`
						Backend  backend
					}
				}
			}
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(documented(t, "yaml")))
	objects := map[string]object{}
	for {
		var o object
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		objects[o.Kind] = o
	}
	service, ingress := objects["Service"], objects["Ingress"]
	if len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Port != 8011 || len(ingress.Spec.Rules) != 1 {
		t.Fatalf("%+v", objects)
	}
	block := documented(t, "nginx")
	for name, value := range ingress.Metadata.Annotations {
		directive := strings.ReplaceAll(strings.TrimPrefix(name, "nginx.ingress.kubernetes.io/"), "-", "_")
		unit := "s" // the annotations of times have none
		if _, err := strconv.Atoi(value); err != nil {
			unit = ""
		}
		if line := directive + " " + value + unit + ";"; !strings.Contains(block, line) {
			t.Errorf("the annotation %s is not in the block of nginx, as %q", name, line)
		}
	}
	if n := len(ingress.Metadata.Annotations); n != 4 {
		t.Errorf("%d annotations", n)
	}
	var paths []string
	for _, path := range ingress.Spec.Rules[0].HTTP.Paths {
		paths = append(paths, path.Path)
		if to := path.Backend.Service; path.PathType != "Prefix" || to.Name != service.Metadata.Name || to.Port.Name != service.Spec.Ports[0].Name {
			t.Errorf("%+v", path)
		}
	}
	if strings.Join(paths, " ") != "/socket.io/ /ws/" {
		t.Errorf("paths %v", paths)
	}
}
