package httpapi

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/node/gate"
	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

func TestGate(t *testing.T) {
	files := map[string]string{"contextSets/none.yml": "none:\n  withTags: nosockets\n  " + websockets.PropEnabled + ": \"false\"\n"}
	w := newWorld(t, files)
	must(t, w.engine.Apply(cascade.Batch{
		Contexts: []cascade.Context{
			{ID: 1, Enabled: true}, {ID: 2, Enabled: false}, {ID: 3, Enabled: true, Tags: []string{"nosockets"}}, {ID: 4, Enabled: true},
		},
		Users: []cascade.User{{Context: 1, ID: 1, Enabled: true}, {Context: 1, ID: 2, Enabled: false}, {Context: 1, ID: 3, Enabled: true}},
	}))
	must(t, w.engine.Apply(cascade.Batch{DeleteContexts: []uint32{4}, DeleteUsers: []cascade.Subject{{Context: 1, User: 3}}}))
	g := gate.New(w.engine, nil)
	check := func(context, user uint32, want websockets.Verdict) {
		t.Helper()
		if got := g.Allowed(context, user); got != want {
			t.Errorf("%d/%d: %+v, want %+v", context, user, got, want)
		}
	}
	check(1, 1, websockets.Verdict{Allowed: true})
	check(1, 2, websockets.Verdict{Reason: websockets.UserDisabled})
	check(1, 3, websockets.Verdict{Reason: websockets.UserUnknown})
	check(2, 1, websockets.Verdict{Reason: websockets.ContextDisabled})
	check(3, 1, websockets.Verdict{Reason: websockets.SwitchedOff})
	check(4, 1, websockets.Verdict{Reason: websockets.ContextUnknown})
	check(1, 9, websockets.Verdict{Allowed: true})
	check(9, 9, websockets.Verdict{Allowed: true})
	w.file("b.properties", websockets.PropWhenDisabled+"=hold\n")
	w.reload()
	check(1, 1, websockets.Verdict{Allowed: true})
	check(1, 2, websockets.Verdict{Reason: websockets.UserDisabled})
	check(3, 1, websockets.Verdict{Reason: websockets.SwitchedOff, Hold: true})
	w.file("a.properties", cascade.PropStrict+"=true\n")
	w.reload()
	check(1, 9, websockets.Verdict{Reason: websockets.UserUnknown})
	check(9, 9, websockets.Verdict{Reason: websockets.ContextUnknown})
}

func TestSettings(t *testing.T) {
	w := newWorld(t, nil)
	first := w.settings.Config()
	want := *websockets.DefaultConfig()
	want.AllowedOrigins, want.Cookie.Fields = []string{}, []string{}
	want.Cookie.Hash, want.Cookie.Salt = "calculate", ownSalt
	want.MaxSockets = MaxSockets(10_000)
	if got, _ := json.Marshal(first); string(got) != string(mustJSON(t, want)) {
		t.Errorf("without a tree: %s", got)
	}
	w.file("a.properties", "com.example.a=1\n"+websockets.PropMaxPerUser+"=8\n")
	w.reload()
	if w.settings.Config() != first {
		t.Error("nothing changed, yet it was read again")
	}
	w.file("a.properties", strings.Join([]string{
		websockets.PropMaxPerUser + "=3", websockets.PropPingInterval + "=7s", websockets.PropPingTimeout + "=6s", websockets.PropConnectTimeout + "=5s",
		websockets.PropMaxPayload + "=2048", websockets.PropQueueMessages + "=9", websockets.PropQueueBytes + "=2097152",
		websockets.PropAllowedOrigins + "=https://a.example, https://b.example", websockets.PropCookieHash + "=remember",
		websockets.PropCookieFields + "=X-One,X-Two", websockets.PropCookieSalt + "=theirs",
		websockets.PropConsiderXForwards + "=false", websockets.PropForHeader + "=X-Client", websockets.PropKnownProxies + "=10.0.0.0/8",
	}, "\n"))
	w.reload()
	c := w.settings.Config()
	if c.MaxPerUser != 3 || c.PingInterval != 7*time.Second || c.PingTimeout != 6*time.Second || c.ConnectTimeout != 5*time.Second ||
		c.MaxPayload != 2048 || c.QueueMessages != 9 || c.QueueBytes != 2<<20 || !slices.Equal(c.AllowedOrigins, []string{"https://a.example", "https://b.example"}) ||
		c.Cookie.Hash != websockets.CookieRemember || !slices.Equal(c.Cookie.Fields, []string{"X-One", "X-Two"}) || c.Cookie.Salt != "theirs" ||
		c.ConsiderXForwards || c.ForHeader != "X-Client" || c.MaxSockets != MaxSockets(10_000) {
		t.Errorf("%+v", c)
	}
	ten := []websockets.AddrRange{{From: netip.MustParseAddr("10.0.0.0"), To: netip.MustParseAddr("10.255.255.255")}}
	if !slices.Equal(c.KnownProxies, ten) {
		t.Errorf("%v", c.KnownProxies)
	}
	w.file("a.properties", websockets.PropKnownProxies+"=10.0.0.0/8, nonsense\n"+websockets.PropMaxPerUser+"=4\n")
	w.reload()
	if c = w.settings.Config(); !slices.Equal(c.KnownProxies, ten) || c.MaxPerUser != 4 {
		t.Errorf("with a bad list: %+v", c)
	}
	if log := w.logs.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "nonsense") || strings.Contains(log, "theirs") {
		t.Errorf("log: %s", log)
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

func TestReload(t *testing.T) {
	w := newWorld(t, tree)
	if a := w.ask("POST", "/admin/v1/config/reload", ""); a.status != 200 || !strings.Contains(a.body, `"changed":[],"errors":[]`) {
		t.Errorf("nothing changed: %d %s", a.status, a.body)
	}
	w.file("server.properties", websockets.PropCookieSalt+"=an0ther\n"+websockets.PropMaxPerUser+"=2\n")
	a := w.ask("POST", "/admin/v1/config/reload", "{}")
	if a.status != 200 || !strings.Contains(a.body, `"property":"sluice.websockets.maxPerUser","old":null,"new":"2","result":"applied"`) || strings.Contains(a.body, "an0ther") {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.file("a.properties", "com.example.a=\\uZZZZ\n")
	a = w.ask("POST", "/admin/v1/config/reload", "{}")
	var r cascade.ReloadResult
	a.into(t, &r)
	if a.status != 422 || len(r.Errors) == 0 || r.Errors[0].Path != "a.properties" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.ask("GET", "/admin/v1/config", ""); a.status != 200 || !strings.HasPrefix(a.body, strings.TrimSuffix(strings.TrimSpace(wire(t, w.engine.Status())), "}")) || !strings.Contains(a.body, `"status":"degraded"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.ask("GET", "/admin/v1/properties/com.example.b", ""); !strings.Contains(a.body, `"value":"two"`) {
		t.Errorf("the last good contents are not in force: %s", a.body)
	}
	if a := w.ask("GET", "/readyz", ""); a.status != 200 || !strings.Contains(a.body, `"status":"degraded"`) || !strings.Contains(a.body, `{"name":"files","status":"degraded","detail":"1 of 4 files have errors`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestProbes(t *testing.T) {
	w := newWorld(t, tree)
	probe := func(s *Server, status int, want string) {
		t.Helper()
		w.server.state.Store(s.state.Load())
		var r struct {
			Status string
			Checks []check
		}
		a := w.ask("GET", "/readyz", "")
		a.into(t, &r)
		if a.status != status || r.Status != want || len(r.Checks) != 4 {
			t.Errorf("%d %s, want %d %s", a.status, a.body, status, want)
		}
		if a := w.ask("GET", "/livez", ""); a.status != 200 || a.body != "{\"status\":\"ok\"}\n" {
			t.Errorf("livez: %d %s", a.status, a.body)
		}
	}
	s := testkit.Open(t, New, w.server.Options)
	probe(s, 503, "starting")
	s.SetReady(false) // it stops before it was ready
	probe(s, 503, "starting")
	s.SetReady(true)
	probe(s, 200, "ready")
	s.SetReady(false)
	probe(s, 503, "draining")
}

// TestServerStatus shows what a member tells beside its configuration.
func TestServerStatus(t *testing.T) {
	w := newWorld(t, tree)
	if a := w.ask("PUT", "/admin/v1/contexts/7", `{"name":"acme"}`); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.login(17)
	var st serverStatus
	w.ask("GET", "/admin/v1/config", "").into(t, &st)
	if st.Member != "one" || st.Version != "test" || st.Started.IsZero() || st.Directory != "store" || st.Sessions == nil || *st.Sessions != 1 {
		t.Errorf("%+v", st)
	}
	// A dry run has no revision of its own.
	if a := w.ask("DELETE", "/admin/v1/contexts/7?dryRun=true", ""); a.body != `{"revision":1,"dryRun":true,"users":0,"overrides":0}`+"\n" {
		t.Errorf("%s", a.body)
	}
}
