package cli_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

// site is a host as browsers see it.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	sessions map[string]string // by library
}

func (s *site) session(lib string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[lib]
}

// site serves a page and the sockets from one host, as a front end and its
// proxy do, so that cookies flow. /login makes a session for the browser that
// asks, and leads to the page.
func (p *process) site(t *testing.T) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return p.siteAt(t, l, http.DefaultTransport)
}

// siteAt is site behind a listener, which goes to the server its own way.
func (p *process) siteAt(t *testing.T, l net.Listener, way http.RoundTripper) *site {
	t.Helper()
	s := &site{sessions: map[string]string{}}
	target, err := url.Parse(p.public)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: way, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", proxy)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		l, err := p.loginAgent(r.FormValue("user"), r.UserAgent())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.mu.Lock()
		s.sessions[r.FormValue("lib")] = l.Session
		s.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: l.Cookie.Name, Value: l.Cookie.Value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		query := url.Values{"session": {l.Session}, "base": {r.FormValue("base")}}
		http.Redirect(w, r, "/"+r.FormValue("lib")+"/page.html?"+query.Encode(), http.StatusFound)
	})
	for lib, script := range map[string]string{"sio2": "socket.io.js", "sio4": "socket.io.min.js"} {
		mux.HandleFunc("/"+lib+"/client-library.js", func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, filepath.Join(clientDir, "node_modules", lib, "dist", script))
		})
		for _, name := range []string{"page.html", "events.js"} {
			mux.HandleFunc("/"+lib+"/"+name, func(w http.ResponseWriter, r *http.Request) {
				http.ServeFile(w, r, filepath.Join(clientDir, name))
			})
		}
	}
	s.Server = httptest.NewUnstartedServer(mux)
	_ = s.Listener.Close() // its own, which nobody knows
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// loginAgent makes a session whose cookie is good for one browser.
func (p *process) loginAgent(user, agent string) (l login, err error) {
	body, err := json.Marshal(map[string]any{"context": 1337, "user": json.Number(user), "client": "open-xchange-appsuite", "userAgent": agent})
	if err != nil {
		return l, err
	}
	res, err := adminClient.Post(adminURL(p.admin, "/admin/v1/sessions"), "application/json", strings.NewReader(string(body)))
	if err != nil {
		return l, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		return l, fmt.Errorf("session: %s", res.Status)
	}
	return l, json.NewDecoder(res.Body).Decode(&l)
}

// browser opens a page in a headless browser of its own.
func browser(t *testing.T, name, address string) *node {
	t.Helper()
	program := testkit.Tool(t, "chromium", "chromium")
	return runNode(t, name, []string{"TMPDIR=" + t.TempDir()}, "browser.js", program, address)
}

// TestBrowsers does in real browsers what TestRealClients does in Node: pages
// connect, are dropped when an administrator saves a file, and come back.
func TestBrowsers(t *testing.T) {
	tree := newTree(t)
	p := launch(t, tree, t.TempDir())
	site := p.site(t)
	var pages []*node
	for _, lib := range []string{"sio2", "sio4"} {
		pages = append(pages, browser(t, lib, site.URL+"/login?user=17&lib="+lib))
	}
	t.Cleanup(func() {
		for _, c := range pages {
			if t.Failed() {
				t.Logf("the page with %s saw %s", c.name, c)
			}
		}
	})
	all := func(event string, k int) {
		t.Helper()
		for _, c := range pages {
			p.poll(fmt.Sprintf("the page with %s sees %s for the %d. time", c.name, event, k), func() bool { return c.seen(event, k) != nil })
		}
	}
	push := func(subject string, k int) {
		t.Helper()
		p.request("POST", "/admin/v1/messages", fmt.Sprintf(`{"context":1337,"user":17,"name":"ox:mail:new","args":[{"subject":%q}]}`, subject), nil)
		all("ox:mail:new", k)
		for _, c := range pages {
			if got, want := string(c.seen("ox:mail:new", k).Data), fmt.Sprintf(`{"subject":%q}`, subject); got != want {
				t.Errorf("the page with %s got %s, want %s", c.name, got, want)
			}
		}
	}
	all("connect", 1)
	push("Grüße 📨", 1)

	// The browsers have it at once, the page that can tell has it when it is done.
	const busy = 3000 // ms
	p.request("POST", "/admin/v1/messages", fmt.Sprintf(`{"context":1337,"user":17,"name":"busy","args":[%d],"confirm":true,"id":"busy"}`, busy), nil)
	var l httpapi.Deliveries
	p.poll("every browser has answered", func() bool {
		l = httpapi.Deliveries{}
		p.request("GET", "/admin/v1/deliveries?id=busy", "", &l)
		return len(l.Deliveries) == 1 && l.Deliveries[0].Settled && l.Deliveries[0].Members[0].Asked == 2
	})
	d := l.Deliveries[0]
	if on := d.Members[0]; d.Proof != httpapi.ProofPage || on.Browser.Sockets != 2 || on.Page.Sockets != 1 || on.Page.First < busy || on.Browser.First >= on.Page.First {
		t.Errorf("of the busy page is known %+v", d)
	} else {
		t.Logf("at the browsers after %v and %v ms, at the page after %v ms", on.Browser.First, on.Browser.Last, on.Page.First)
	}

	saved := p.save("websockets.properties", websockets.PropEnabled, "false", true)
	all("sluice:disabled", 1)
	all("disconnect", 1)
	for _, c := range pages {
		t.Logf("the page with %s was dropped %s after the save", c.name, c.seen("disconnect", 1).at.Sub(saved))
	}
	all("connect_error", 1)
	saved = p.save("websockets.properties", websockets.PropEnabled, "true", true)
	all("connect", 2)
	for _, c := range pages {
		t.Logf("the page with %s came back %s after the save", c.name, c.seen("connect", 2).at.Sub(saved))
	}
	push("again", 2)

	// The session of one page ends: it stops, and the other goes on.
	if code := p.request("DELETE", "/admin/v1/sessions/"+site.session("sio2"), "", nil); code != http.StatusNoContent {
		t.Errorf("session: %d", code)
	}
	ended, other := pages[0], pages[1]
	p.poll("the page is told", func() bool { return ended.seen("session:invalid", 1) != nil && ended.seen("disconnect", 2) != nil })
	p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"ox:mail:new","args":[{}]}`, nil)
	p.poll("the other page gets messages", func() bool { return other.seen("ox:mail:new", 3) != nil })
	if ended.seen("connect", 3) != nil || ended.seen("ox:mail:new", 3) != nil || other.seen("disconnect", 2) != nil {
		t.Errorf("after the end of its session the page saw %s\nand the other %s", ended, other)
	}
}

// TestForeignPage opens a page of another host, whose browser sends no cookies
// and says where the page is from.
func TestForeignPage(t *testing.T) {
	p := launch(t, newTree(t), t.TempDir())
	site := p.site(t)
	elsewhere := strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
	c := browser(t, "sio4", elsewhere+"/login?user=17&lib=sio4&base="+url.QueryEscape(site.URL))
	p.poll("the page is refused", func() bool { return c.seen("connect_error", 1) != nil })
	if c.seen("connect", 1) != nil || p.metric(`sluice_handshakes_total{reason="",result="origin"}`) == "" {
		t.Errorf("the page of another host saw %s", c)
	}
}
