package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/node/gate"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(covered{m}) }

const (
	patience = 60 * time.Second // of a test that waits for the server
	ownSalt  = "salt-of-this-server"
)

// world is a server with everything behind it, on two listeners.
type world struct {
	t           testing.TB
	etc         string
	logs        testkit.Log
	engine      *cascade.Engine
	store       *store.Store
	storePath   string
	settings    *gate.Settings
	sockets     *websockets.Server
	sessions    *websockets.MemorySessions
	server      *Server
	public      *httptest.Server
	socket, tcp *httptest.Server // for administrators: the Unix socket, and TCP
	admin       *httptest.Server // the one of the two that is asked
	socketPath  string
	routes      chi.Routes // of admin
	client      *http.Client
}

// tree is what most tests run on: relative path, contents.
var tree = map[string]string{
	"websockets.properties": "com.openexchange.websockets.enabled=true\n",
	"a.properties":          "com.example.a=one\ncom.example.b=two\ncom.example.c=three\ncom.example/slash=four\ncom.example.html=<b>&</b>\n",
	"server.properties":     "com.openexchange.cookie.hash.salt=s3cret-salt\n",
	"contextSets/premium.yml": "premium:\n  withTags: premium | ucWebmail\n" +
		"  com.example.a: from-the-set\n",
}

func newWorld(t testing.TB, files map[string]string) *world {
	t.Helper()
	w := &world{t: t, etc: t.TempDir()}
	for name, data := range files {
		w.file(name, data)
	}
	schema, err := cascade.NewSchema(websockets.Prefixes, websockets.Properties, remote.Properties, Properties)
	must(t, err)
	log := slog.New(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.engine, err = cascade.Open(cascade.Options{Roots: []string{w.etc}, Schema: schema, Logger: log, Gate: websockets.PropEnabled})
	must(t, err)
	w.settings = gate.NewSettings(w.engine, log, ownSalt, MaxSockets(10_000))
	w.sessions = websockets.NewMemorySessions(func(s *websockets.Session) { w.sockets.CloseSession(s) })
	closings := NewClosings()
	w.sockets = testkit.Open(t, websockets.New, websockets.Options{
		Gate: gate.New(w.engine, closings), Sessions: w.sessions, Config: w.settings.Config, Logger: log,
	})
	w.storePath = filepath.Join(t.TempDir(), store.FileName)
	w.store, err = store.Open(store.Options{Path: w.storePath, Logger: log})
	must(t, err)
	w.store.Start(func(b cascade.Batch, entries []store.Entry) {
		must(t, w.engine.Apply(b))
		w.server.Stored(entries)
	})
	w.server = testkit.Open(t, New, Options{
		Store: w.store, Roots: []string{w.etc},
		Engine: w.engine, Sockets: w.sockets, Sessions: w.sessions, Config: w.settings.Config, Logger: log, Member: "one", Version: "test", Files: 10_000, Closings: closings,
	})
	t.Cleanup(w.engine.OnSwap(w.server.Swapped))
	w.engine.SetBrake(w.server.CountClosing)
	w.server.SetReady(true)
	admin := w.server.Admin()
	w.routes = admin.(chi.Routes)
	w.public, w.tcp = serve(w.server.PublicListener(), nil), serve(w.server.Listener(admin), nil)
	w.socketPath = socketPath(t)
	at, err := ListenAdminSocket(w.socketPath, "")
	must(t, err)
	w.socket = serve(w.server.SocketListener(admin, at), at)
	w.socket.URL = "http://" + socketHost
	w.admin = w.socket
	transport := &http.Transport{DialContext: w.dialAddress}
	w.client = &http.Client{Transport: recorder{w, transport}, Timeout: patience}
	t.Cleanup(func() {
		w.server.ClosePushes()
		w.sockets.Close()
		transport.CloseIdleConnections()
		w.public.Close()
		w.socket.Close()
		w.tcp.Close()
		must(t, w.store.Close())
	})
	return w
}

// socketHost is the host of requests over the Unix socket.
const socketHost = "socket.test"

// socketPath is a free path of a socket, which may not be as long as that of the
// folder of a test.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-test-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

// serve runs a listener's server, by default on a free port of TCP.
func serve(h *http.Server, l net.Listener) *httptest.Server {
	s := httptest.NewUnstartedServer(nil)
	if l != nil {
		_ = s.Listener.Close()
		s.Listener = l
	}
	s.Config = h
	s.Start()
	return s
}

func (w *world) dialAddress(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasPrefix(address, socketHost+":") {
		network, address = "unix", w.socketPath
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// me is the actor of what a test does over the Unix socket.
var me = actorUnix + userName(uint32(os.Geteuid()))

func (w *world) file(name, data string) {
	w.t.Helper()
	path := filepath.Join(w.etc, name)
	must(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(w.t, os.WriteFile(path, []byte(data), 0o644))
}

func (w *world) reload() {
	w.t.Helper()
	_, err := w.engine.Reload(w.t.Context())
	must(w.t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// poll waits for a condition.
func (w *world) poll(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !ok(); {
		select {
		case <-deadline:
			w.t.Fatalf("not within %v: %s\n%s", patience, what, w.logs.String())
		case <-tick.C:
		}
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to the admin listener. Headers are "Name: value"; Host
// sets the host.
func (w *world) ask(method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.askAt(w.admin.URL, method, path, body, headers...)
}

func (w *world) askAt(base, method, path, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, base+path, strings.NewReader(body))
	must(w.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	res, err := w.client.Do(req)
	must(w.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(w.t, err)
	return answer{res.StatusCode, res.Header, string(b)}
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// refused compares status and code of a problem and holds its form.
func (a answer) refused(t testing.TB, status int, code string) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q: %s", got, a.body)
	}
	var p problem
	a.into(t, &p)
	if a.status != status || p.Status != status || p.Code != code || p.Type != "about:blank" || p.Title == "" || p.Detail == "" {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}
