package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// api answers as the admin API does to a viewer whose token is right.
func api(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer right" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"status":401,"code":"unauthorized","detail":"no token came along"}`)
		return
	}
	switch r.URL.Path {
	case "/admin/v1/whoami":
		fmt.Fprint(w, `{"actor":"somebody","role":"viewer"}`)
	case "/admin/v1/members":
		fmt.Fprint(w, "{\"status\":\"ok\",\"members\":[{\"member\":\"<b>one\u202e\"}]}")
	case "/admin/v1/config":
		fmt.Fprint(w, `{"status":"degraded","files":[{"path":"a.properties","status":"degraded","errors":[{"path":"a.properties","line":1,"col":2,"severity":"error","text":"wrong"}]}],
			"held":{"digest":"0123456789abcdef","sockets":2,"users":1,"connected":3,"causes":[{"property":"p","value":"v","users":1}]},
			"pending":[{"property":"p","inForce":"1","next":"2","origin":{"file":"a.properties","line":1}}],"lastGood":"not saved"}`)
	case "/admin/v1/config/lines":
		fmt.Fprint(w, `{"lines":[{"path":"a.properties","line":1,"text":"a line","corrected":"the line"}]}`)
	case "/admin/v1/config/reloads":
		fmt.Fprint(w, `{"reloads":[{"generation":7,"degraded":true,"held":{"digest":"0123456789abcdef"},"changed":[{"property":"q","old":null,"new":"2"}],"more":3},{"generation":6}]}`)
	case "/admin/v1/properties", "/admin/v1/contexts/7/users/3/properties":
		fmt.Fprint(w, `{"properties":[{"property":"com.example.flag","value":"1"},{"property":"com.example.two"}],"next":"more","summary":"it is so","default":"d",
			"steps":[{"scope":"user","status":"wins","value":"1","origin":{"override":{"actor":"me","reason":"r"}}},{"scope":"server","status":"shadowed","origin":{"file":"a.properties","line":1},
			"sets":[{"set":"s","file":"f","line":1,"expression":"a & b","matched":true}]}],"tags":[{"tag":"a","from":"f"}],"warnings":["warned"]}`)
	case "/admin/v1/users":
		fmt.Fprint(w, `{"users":[{"context":7,"id":3,"login":"anna","account":"open"}],"next":"","sorting":true}`)
	case "/admin/v1/sockets":
		fmt.Fprint(w, `{"sockets":[{"member":"m"}],"ended":[{"member":"m","cause":"gone","code":4403},{"member":"m","cause":"left"}],"refused":[{"member":"m","code":"forbidden","reason":"r","address":"a"}],"unreachable":["n"]}`)
	case "/admin/v1/sessions":
		fmt.Fprint(w, `{"sessions":[{"hash":"h","client":"c","guest":true,"restricted":true}]}`)
	case "/admin/v1/deliveries":
		fmt.Fprint(w, `{"deliveries":[{"topic":"t","proof":"page","ms":3,"members":[{"dropped":{"full":1}}]}]}`)
	case "/admin/v1/overrides":
		if r.Method == http.MethodPost {
			fmt.Fprint(w, `{"effect":{"properties":[{"property":"p","users":1}],"differences":[{"context":7,"user":3,"old":"true","new":null}],"omitted":2,
				"sockets":{"connected":2,"closed":1,"letIn":0,"unreachable":["n"]}}}`)
			return
		}
		fmt.Fprint(w, `{"overrides":[{"context":7,"user":3,"login":"anna","property":"com.example.flag","value":"false","revision":4}],"next":"more"}`)
	case "/admin/v1/contextsets":
		fmt.Fprint(w, `{"sets":[{"set":"s","file":"f","line":1,"expression":"a","gives":[{"property":"com.example.flag","value":"false"}],"rollouts":["rollout.a.1"]}],
			"platform":[{"context":7,"user":3,"property":"com.example.flag","value":"false"}]}`)
	case "/admin/v1/audit":
		fmt.Fprint(w, `{"entries":[],"next":""}`)
	case "/admin/v1/recent":
		fmt.Fprint(w, `{"interval":"5s","samples":[{"sockets":3,"handshakes":10,"messages":0,"refused":{"<i>":5},"arrivalMs":null},{"sockets":4,"handshakes":0,"messages":50,"arrivalMs":2.5}],"checks":[{"name":"store","status":"ok"}]}`)
	default:
		w.WriteHeader(http.StatusTeapot)
	}
}

func newConsole() *Console {
	return New(Options{API: http.HandlerFunc(api), Peer: func(*http.Request) bool { return false }})
}

func ask(c *Console, method, path, from string, form url.Values, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.RemoteAddr = from
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.AddCookie(&http.Cookie{Name: cookieName, Value: token})
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

const loopback, elsewhere = "127.0.0.1:1", "192.0.2.1:1"

func TestLogin(t *testing.T) {
	c := newConsole()
	if w := ask(c, "GET", "/console/cluster", loopback, nil, ""); w.Code != 303 || w.Header().Get("Location") != "/console/login?next=%2Fconsole%2Fcluster" {
		t.Errorf("without a login: %d %s", w.Code, w.Header().Get("Location"))
	}
	w := ask(c, "POST", "/console/login", loopback, url.Values{"token": {"right"}, "next": {"/console/cluster"}}, "")
	k := w.Result().Cookies()
	if w.Code != 303 || w.Header().Get("Location") != "/console/cluster" || len(k) != 1 || !k[0].HttpOnly || k[0].SameSite != http.SameSiteStrictMode || k[0].Path != "/console/" {
		t.Errorf("with the right token: %d %v", w.Code, w.Header())
	}
	for _, bad := range []string{"wrong", "", "\x00", strings.Repeat("x", 5000)} {
		if w := ask(c, "POST", "/console/login", loopback, url.Values{"token": {bad}}, ""); w.Code != 401 || len(w.Result().Cookies()) != 0 {
			t.Errorf("token %.10q: %d", bad, w.Code)
		}
	}
	// A token does not travel unencrypted.
	if w := ask(c, "POST", "/console/login", elsewhere, url.Values{"token": {"right"}}, ""); w.Code != 403 || len(w.Result().Cookies()) != 0 {
		t.Errorf("from elsewhere in clear: %d", w.Code)
	}
	// Nobody is led out.
	for _, next := range []string{"https://example.org/", "//example.org/console/", "/console/\\example.org", "/metrics"} {
		if w := ask(c, "POST", "/console/login", loopback, url.Values{"token": {"right"}, "next": {next}}, ""); w.Header().Get("Location") != "/console/" {
			t.Errorf("next %q leads to %s", next, w.Header().Get("Location"))
		}
	}
	if w := ask(c, "POST", "/console/logout", loopback, nil, "right"); len(w.Result().Cookies()) != 1 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("logging out: %v", w.Header())
	}
}

func TestPages(t *testing.T) {
	c := newConsole()
	w := ask(c, "GET", "/console/cluster", elsewhere, nil, "right")
	if w.Code != 200 || w.Header().Get("Content-Security-Policy") != policy || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a page: %d %v", w.Code, w.Header())
	}
	if b := w.Body.String(); !strings.Contains(b, "&lt;b&gt;one[U&#43;202E]") || !strings.Contains(b, "<li class=\"b\">&lt;i&gt; 0</li>") || !strings.Contains(b, "Messages a second <strong>10</strong>") || !strings.Contains(b, "Store of the decisions") || strings.Contains(b, "<script>") || strings.Contains(b, "style=") {
		t.Errorf("what comes from others is not text:\n%s", b)
	}
	for address, want := range map[string][]string{
		"/console/configuration?search=x": {
			"It would close 2 of 3 sockets (1 user)", "sluice reload --confirm 0123456789abcdef", "1 is in force, the file says 2 (a.properties:1)",
			"not saved", "a line", ">Copy</button>", "generation 7: 4 values", "held 0123456789ab", "com.example.two", "There are more",
		},
		"/console/person/7/3":     {"it is so", "wins", "override by me: r", "matches", "warned", "ended", "(4403)", "Member n did not answer", "guest", "the page has it after 3 ms", "1 full"},
		"/console/?q=anna&list=1": {"are being sorted", "anna</a>"},
		"/console/property/x":     {"it is so"},
		"/console/login":          {"Token"},
		"/console/plan?do=off&hours=2&key=7.3.0.com.example.flag&key=7.4.2.com.example.two": {
			"Switch off with 2 overrides?", "com.example.flag, com.example.two",
			"1 of 2 connected users would be sent away", "who is connected there is not counted", "3@7: <del>true</del> <ins>the default</ins>", "and 2 more", "It ends",
		},
		"/console/plan?do=remove&key=7.3.5&property=com.example.flag": {"Take the override of 3@7 away?", `value="7.3.5"`, `name="property" value="com.example.flag"`},
	} {
		b := ask(c, "GET", address, loopback, nil, "right").Body.String()
		for _, words := range want {
			if !strings.Contains(b, words) {
				t.Errorf("%s has no %q:\n%s", address, words, b)
			}
		}
	}
	for _, address := range []string{"/console/off", "/console/off?switch=any&expires=24&property=com.example.flag&context=7&actor=me", "/console/off?expires=never"} {
		b := ask(c, "GET", address, loopback, nil, "right").Body.String()
		for _, words := range []string{">anna</a>", "com.example.flag=false", "the first 1 % of the users of a", "3@7</a>", "cursor=more"} {
			if !strings.Contains(b, words) {
				t.Errorf("%s has no %q:\n%s", address, words, b)
			}
		}
	}
	if w := ask(c, "GET", "/console/audit?hours=24&user=3%407", loopback, nil, ""); w.Code != 302 || w.Header().Get("Location") != "/console/cluster?hours=24&user=3%407#audit" {
		t.Errorf("the address that the audit had: %d %v", w.Code, w.Header())
	}
	if w := ask(c, "GET", "/console/nothing", loopback, nil, "right"); w.Code != 404 {
		t.Errorf("no such page: %d", w.Code)
	}
	for _, file := range []string{"console.css", "console.js"} {
		if w := ask(c, "GET", "/console/static/"+file, elsewhere, nil, ""); w.Code != 200 {
			t.Errorf("%s: %d", file, w.Code)
		}
	}
	for _, file := range []string{"..%2Fconsole.go", "nothing.js", ""} {
		if w := ask(c, "GET", "/console/static/"+file, loopback, nil, ""); w.Code == 200 {
			t.Errorf("%s is served", file)
		}
	}
}

// TestForeignPage holds that a page of another origin changes nothing.
func TestForeignPage(t *testing.T) {
	r := httptest.NewRequest("POST", "/console/configuration/reload", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.AddCookie(&http.Cookie{Name: cookieName, Value: "right"})
	w := httptest.NewRecorder()
	newConsole().ServeHTTP(w, r)
	if w.Code != 403 {
		t.Errorf("%d", w.Code)
	}
}

func TestCandidates(t *testing.T) {
	for q, want := range map[string][]string{
		"":                                    nil,
		"anna":                                {"anna"},
		"websockets off anna@example.com":     {"websockets off anna@example.com", "anna@example.com"},
		"why is push off for Müller":          {"why is push off for Müller", "Müller"},
		"com.openexchange.websockets.enabled": {"com.openexchange.websockets.enabled"},
	} {
		if got := candidates(q); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", q, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-3 * time.Second: "3 s ago", -80 * time.Second: "1 min ago", -100 * time.Second: "2 min ago", -3 * time.Hour: "3 h ago", -72 * time.Hour: "3 days ago",
		2*time.Hour - time.Minute: "in 2 h",
	} {
		if got := ago(time.Now().Add(d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestSubject(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"Changes":[{"kind":"token","name":"ops"}]}`:                                    "ops",
		`{"Changes":[{"kind":"context","context":7}]}`:                                   "context 7",
		`{"Changes":[{"kind":"user","context":7,"user":3},{"kind":"user","context":7}]}`: "3@7 and 1 more",
	} {
		var e auditEntry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		if got := e.Subject(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestArrived(t *testing.T) {
	for text, want := range map[string]string{
		`{"proof":"page","ms":12.4}`:                                "the page has it after 12 ms",
		`{"proof":"browser","ms":0.6}`:                              "the browser has it after 1 ms",
		`{"proof":"queued","members":[{"asked":1}]}`:                "written, waiting for the browser's answer",
		`{"proof":"queued","settled":true,"members":[{"asked":1}]}`: "written; the browser has not answered",
		`{"proof":"queued"}`:                                        "written; nobody asked the browser",
		`{"outcome":"disabled"}`:                                    "nowhere: the switch is off",
		`{"outcome":"no_socket"}`:                                   "nowhere: no socket was open",
		`{"outcome":"queued"}`:                                      "nowhere: no socket took it",
	} {
		var d delivery
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if got := d.Arrived(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestRollout(t *testing.T) {
	for tag, want := range map[string]string{
		"rollout.autumn.10":        "the first 10 % of the users of autumn",
		"rollout.theme.25.context": "the first 25 % of the contexts of theme",
		"rollout.a.b.1":            "the first 1 % of the users of a.b",
	} {
		if got := rollout(tag); got != want {
			t.Errorf("%s: %q", tag, got)
		}
	}
}
