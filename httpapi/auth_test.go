package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/httpapi/auth"

	"github.com/go-chi/chi/v5"
)

// memoryTokens keep tokens as the store does, but for the disk.
type memoryTokens struct {
	mu   sync.Mutex
	all  map[string]auth.Token
	fail error // of every write
}

func (m *memoryTokens) Lookup(hash [sha256.Size]byte) (auth.Token, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.all {
		if t.Hash == hash {
			return t, true
		}
	}
	return auth.Token{}, false
}

func (m *memoryTokens) Used(name string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.all[name]
	t.LastUsed = at
	m.all[name] = t
}

func (m *memoryTokens) CreateToken(_ context.Context, t auth.Token, actor string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if _, ok := m.all[t.Name]; ok {
		return auth.ErrTokenExists
	}
	if m.all == nil {
		m.all = map[string]auth.Token{}
	}
	t.Actor = actor
	m.all[t.Name] = t
	return nil
}

func (m *memoryTokens) DeleteToken(_ context.Context, name, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if _, ok := m.all[name]; !ok {
		return auth.ErrNoToken
	}
	delete(m.all, name)
	return nil
}

func (m *memoryTokens) List() (list []auth.Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.all {
		list = append(list, t)
	}
	return list
}

// give makes a token and returns the header that uses it.
func (m *memoryTokens) give(t testing.TB, name string, role auth.Role, expires time.Time) string {
	t.Helper()
	text := auth.NewTokenText()
	must(t, m.CreateToken(t.Context(), auth.Token{Name: name, Role: role, Hash: auth.HashToken(text), Expires: expires}, "test"))
	return "Authorization: Bearer " + text
}

// newGuarded is a world with a store of tokens, and one token of each role.
func newGuarded(t testing.TB) (*world, map[auth.Role]string) {
	w := newWorld(t, tree)
	w.admin = w.tcp
	m := &memoryTokens{}
	w.server.Tokens = m
	headers := map[auth.Role]string{}
	for _, role := range []auth.Role{auth.Viewer, auth.Operator, auth.Editor} {
		headers[role] = m.give(t, "the-"+role.String(), role, time.Time{})
	}
	return w, headers
}

// filled puts ids where a route has names.
var filled = strings.NewReplacer("{session}", "x", "{property}", "com.example.a", "{context}", "7", "{user}", "3", "{token}", "nobody", "{revision}", "1", "{prefix}", "com.example")

// adminRoutes are all that the router has, and the path of one of each.
func adminRoutes(t testing.TB, w *world) map[string]string {
	all := map[string]string{}
	must(t, chi.Walk(w.server.Admin().(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !strings.HasPrefix(route, servicePaths) {
			path := filled.Replace(route)
			if strings.HasSuffix(path, "/events") {
				path += "?kinds=nonsense" // which would not end
			}
			all[method+" "+route] = path
		}
		return nil
	}))
	return all
}

// Each route of the router is in the table, and each line of the table is a route
// with a role: whoever adds one decides who may use it.
func TestRouteTable(t *testing.T) {
	w := newWorld(t, tree)
	routes := adminRoutes(t, w)
	for route := range routes {
		if _, listed := w.server.roles[route]; !listed {
			t.Errorf("%s: put it into the table of routes.go", route)
		}
	}
	for _, route := range w.server.routes() {
		if routes[route.pattern] == "" || route.role > auth.Editor {
			t.Errorf("%s has the role %s and is no route", route.pattern, route.role)
		}
		if probe := strings.HasSuffix(route.pattern, "z"); probe != (route.role == anyone) {
			t.Errorf("%s wants the role %s", route.pattern, route.role)
		}
	}
}

// Every route with every role: who has less than it needs gets 403, and who
// has no token 401, before anything happens.
func TestRoleMatrix(t *testing.T) {
	w, headers := newGuarded(t)
	for route, path := range adminRoutes(t, w) {
		method, _, _ := strings.Cut(route, " ")
		methods := []string{method}
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		for _, method := range methods {
			a := w.ask(method, path, "")
			if w.server.roles[route] == anyone {
				if a.status != 200 {
					t.Errorf("%s without a token: %d", route, a.status)
				}
				continue
			}
			if a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s %s without a token: %d %v", method, route, a.status, a.header)
			}
			for role, header := range headers {
				a := w.ask(method, path, "", header)
				switch may := role >= w.server.roles[route]; {
				case !may && method != http.MethodHead:
					a.refused(t, 403, "role")
				case may && (a.status == 401 || a.status == 403 && !strings.Contains(a.body, `"code":"not_here"`)) || !may && a.status != 403:
					t.Errorf("%s %s as %s: %d %s", method, route, role, a.status, a.body)
				}
			}
		}
	}
	w.wantMetric401(t, headers[auth.Viewer])
}

func (w *world) wantMetric401(t *testing.T, header string) {
	t.Helper()
	a := w.ask("GET", "/metrics", "", header)
	for _, want := range []string{`sluice_auth_failures_total{reason="missing"}`, `sluice_auth_failures_total{reason="role"}`} {
		if !strings.Contains(a.body, want) || strings.Contains(a.body, want+" 0\n") {
			t.Errorf("%s is not counted", want)
		}
	}
}

// A route that somebody forgot to list answers nobody, not even an editor.
func TestUnlistedRoute(t *testing.T) {
	w := newWorld(t, tree)
	r := w.server.Admin().(chi.Router)
	r.Get("/forgotten", func(http.ResponseWriter, *http.Request) { t.Error("it was reached") })
	ask := func(header string) int {
		req := httptest.NewRequest("GET", "http://localhost/forgotten", nil)
		if header != "" {
			req.Header.Set("Authorization", strings.TrimPrefix(header, "Authorization: "))
		}
		rec := httptest.NewRecorder()
		r.ServeHTTP(rec, req)
		return rec.Code
	}
	m := &memoryTokens{}
	w.server.Tokens = m
	if code := ask(m.give(t, "a", auth.Editor, time.Time{})); code != 404 {
		t.Errorf("as editor: %d", code)
	}
	if code := ask(""); code != 401 {
		t.Errorf("without a token: %d", code)
	}
}

// What is no path says so to those who have a token, and 401 to all others.
func TestTokensAndStrangePaths(t *testing.T) {
	w, headers := newGuarded(t)
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/", 404, "not_found"},
		{"GET", "/admin/v1", 404, "not_found"},
		{"GET", "/admin/v1/", 404, "not_found"},
		{"GET", "/admin/v1/nothing", 404, "not_found"},
		{"GET", "/admin/v1/config/", 404, "not_found"},
		{"GET", "//admin/v1/config", 404, "not_found"},
		{"GET", "/livez/../admin/v1/config", 404, "not_found"},
		{"GET", "/livez%2F..%2Fadmin/v1/config", 404, "not_found"},
		{"GET", "/%61dmin/v1/config", 404, "not_found"},
		{"PUT", "/admin/v1/config", 405, "method_not_allowed"},
		{"POST", "/livez", 405, "method_not_allowed"},
		{"BREW", "/admin/v1/config", 405, "method_not_allowed"},
		{"OPTIONS", "/admin/v1/config", 405, "method_not_allowed"},
	} {
		w.ask(c.method, c.path, "").refused(t, 401, "unauthorized")
		w.ask(c.method, c.path, "", headers[auth.Viewer]).refused(t, c.status, c.code)
	}
}

func TestWrongTokens(t *testing.T) {
	w, headers := newGuarded(t)
	m := w.server.Tokens.(*memoryTokens)
	text := strings.TrimPrefix(headers[auth.Editor], "Authorization: Bearer ")
	must(t, m.CreateToken(t.Context(), auth.Token{Name: "weak", Role: auth.Editor, Hash: auth.HashToken("hunter2")}, "test"))
	for _, c := range []struct{ header, reason, detail string }{
		{"Authorization: Bearer " + text[:len(text)-1], authWrong, "not one of this server"},
		{"Authorization: Bearer " + text + "x", authWrong, "not one of this server"},
		{"Authorization: Bearer", authWrong, "not one of this server"},
		{"Authorization: " + text, authWrong, "not one of this server"},
		{"Authorization: Basic " + text, authWrong, "not one of this server"},
		{"Authorization: Bearer hunter2", authWrong, "not one of this server"},
		{"X-Token: " + text, authMissing, "no token"},
		{m.give(t, "old", auth.Editor, time.Now().Add(-time.Second)), authExpired, "the token old has expired"},
	} {
		before := w.failed(c.reason)
		a := w.ask("GET", "/admin/v1/config", "", c.header)
		a.refused(t, 401, "unauthorized")
		if !strings.Contains(a.body, c.detail) || strings.Contains(a.body, text) {
			t.Errorf("%.30s: %s", c.header, a.body)
		}
		if w.failed(c.reason) != before+1 {
			t.Errorf("%.30s: not counted as %s", c.header, c.reason)
		}
	}
	w.ask("GET", "/admin/v1/config?access_token="+text, "").refused(t, 401, "unauthorized")
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER   "} {
		if a := w.ask("GET", "/admin/v1/config", "", "Authorization: "+scheme+text); a.status != 200 {
			t.Errorf("%q: %d", scheme, a.status)
		}
	}
	if logs := w.logs.String(); strings.Contains(logs, text[8:30]) || strings.Contains(logs, "slt_") {
		t.Errorf("a token is in the log: %s", logs)
	}
}

func (w *world) failed(reason string) int {
	var b bytes.Buffer
	req := httptest.NewRequest("GET", "/metrics", nil)
	rec := httptest.NewRecorder()
	w.server.metrics.handler.ServeHTTP(rec, req)
	_, _ = b.ReadFrom(rec.Body)
	for line := range strings.Lines(b.String()) {
		if value, ok := strings.CutPrefix(line, `sluice_auth_failures_total{reason="`+reason+`"} `); ok {
			n := 0
			for _, d := range strings.TrimSpace(value) {
				n = 10*n + int(d-'0')
			}
			return n
		}
	}
	w.t.Fatalf("the reason %s is not there", reason)
	return 0
}

// A store whose look-up says yes too early is not believed.
func TestHashIsComparedAgain(t *testing.T) {
	w := newWorld(t, tree)
	w.admin = w.tcp
	w.server.Tokens = &trusting{}
	w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+auth.NewTokenText()).refused(t, 401, "unauthorized")
}

type trusting struct{ memoryTokens }

func (*trusting) Lookup(hash [sha256.Size]byte) (auth.Token, bool) {
	hash[sha256.Size-1]++
	return auth.Token{Name: "a", Role: auth.Editor, Hash: hash}, true
}

// Over TCP a token is wanted always: with none in the store, from this machine,
// through a proxy. Only the probes answer without, and /metrics where it is public.
func TestTokensAlways(t *testing.T) {
	w := newWorld(t, tree)
	m := &memoryTokens{}
	w.admin = w.tcp
	w.server.Tokens = m
	const path, host, proxy = "/admin/v1/config", "Host: sluice.example.com", "X-Forwarded-For: 192.0.2.1"
	for _, header := range []string{"Host: localhost", "Host: 127.0.0.1:8012", host, proxy} {
		w.ask("GET", path, "", header).refused(t, 401, "unauthorized")
		for _, at := range []string{"/livez", "/readyz"} {
			if a := w.ask("GET", at, "", header); a.status != 200 {
				t.Errorf("%s %s: %d %s", at, header, a.status, a.body)
			}
		}
	}
	token := m.give(t, "a", auth.Editor, time.Time{})
	if a := w.ask("GET", path, "", token, host, proxy); a.status != 200 {
		t.Errorf("with a token through a proxy: %d %s", a.status, a.body)
	}
	// With a token, too, no page of another origin and no form may write.
	w.ask("POST", path+"/reload", "{}", token, "Sec-Fetch-Site: cross-site").refused(t, 403, "cross_origin")
	w.ask("POST", path+"/reload", "{}", token, "Content-Type: text/plain").refused(t, 415, "content_type")
	must(t, m.DeleteToken(t.Context(), "a", ""))
	m.give(t, "old", auth.Editor, time.Now().Add(-time.Hour))
	w.ask("GET", path, "", token).refused(t, 401, "unauthorized")
	must(t, m.DeleteToken(t.Context(), "old", ""))
	w.ask("GET", path, "").refused(t, 401, "unauthorized")
	w.server.Tokens = nil
	w.ask("GET", path, "").refused(t, 401, "unauthorized")

	w.ask("GET", "/metrics", "").refused(t, 401, "unauthorized")
	w.file("metrics.properties", PropMetricsPublic+"=true\n")
	w.reload()
	if a := w.ask("GET", "/metrics", ""); a.status != 200 || !strings.Contains(a.body, "sluice_") {
		t.Errorf("public metrics: %d", a.status)
	}
	w.ask("GET", path, "").refused(t, 401, "unauthorized")
	w.file("metrics.properties", PropMetricsPublic+"=false\n")
	w.reload()
	w.ask("GET", "/metrics", "").refused(t, 401, "unauthorized")
}

// What lasts ends with its token; on the socket there is none.
func TestStillAdmitted(t *testing.T) {
	w := newWorld(t, tree)
	m := &memoryTokens{}
	w.server.Tokens = m
	r := httptest.NewRequest("GET", "/", nil)
	as := func(who string) *http.Request { return r.WithContext(context.WithValue(t.Context(), actorKey{}, who)) }
	header := m.give(t, "a", auth.Viewer, time.Time{})
	if w.server.stillAdmitted(as("a")) {
		t.Error("without a token")
	}
	if local := as(me); !w.server.stillAdmitted(local.WithContext(context.WithValue(local.Context(), peerKey{}, &peer{editor: true}))) {
		t.Error("on the socket")
	}
	r.Header.Set("Authorization", strings.TrimPrefix(header, "Authorization: "))
	if !w.server.stillAdmitted(as("a")) {
		t.Error("a token that is good")
	}
	m.give(t, "b", auth.Viewer, time.Time{})
	must(t, m.DeleteToken(t.Context(), "a", ""))
	if w.server.stillAdmitted(as("a")) {
		t.Error("a token that is deleted")
	}
}

// The handlers know on whose behalf they act.
func TestActor(t *testing.T) {
	w := newWorld(t, tree)
	var who string
	r := w.server.Admin().(chi.Router)
	const route = "GET /who"
	w.server.roles[route] = auth.Viewer
	r.Get("/who", func(_ http.ResponseWriter, r *http.Request) { who = Actor(r.Context()) })
	ask := func(header string) string {
		req := httptest.NewRequest("GET", "http://localhost/who", nil)
		req.Header.Set("Authorization", strings.TrimPrefix(header, "Authorization: "))
		r.ServeHTTP(httptest.NewRecorder(), req)
		return who
	}
	m := &memoryTokens{}
	w.server.Tokens = m
	if got := ask(m.give(t, "ops@example.com", auth.Viewer, time.Time{})); got != "ops@example.com" {
		t.Errorf("token: %q", got)
	}
	if m.all["ops@example.com"].LastUsed.IsZero() {
		t.Error("its use is not noted")
	}
	if got := Actor(t.Context()); got != "" {
		t.Errorf("nobody: %q", got)
	}
}
