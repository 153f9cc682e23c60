package cli_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// middleware is a small server with the read-only paths of the existing one: a
// server view, and values of users.
type middleware struct {
	*httptest.Server
	t      *testing.T
	mu     sync.Mutex
	view   map[string]string
	users  map[string]map[string]string // by "CONTEXT/USER": what differs from the view; "-" is not defined
	asked  atomic.Int64
	before func(w http.ResponseWriter, r *http.Request) bool
}

func newMiddleware(t *testing.T) *middleware {
	t.Helper()
	m := &middleware{t: t, view: map[string]string{}, users: map[string]map[string]string{}}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// answer sets what comes before all else; true: it has answered.
func (m *middleware) answer(before func(w http.ResponseWriter, r *http.Request) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

func (m *middleware) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked.Add(1)
	if r.Method != http.MethodGet || r.ContentLength != 0 {
		m.t.Errorf("the middleware is asked to %s %s", r.Method, r.URL.Path)
	}
	if login, password, _ := r.BasicAuth(); login != "ox" || password != "secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/preliminary/configuration/v1/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 2 && len(parts) != 4 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	values := maps.Clone(m.view)
	if len(parts) == 4 {
		own, known := m.users[parts[2]+"/"+parts[3]]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		maps.Copy(values, own)
	}
	maps.DeleteFunc(values, func(name, value string) bool {
		return value == "-" || parts[0] == "property" && name != parts[1] || parts[0] == "withPrefix" && !strings.HasPrefix(name, parts[1])
	})
	if parts[0] == "property" && len(values) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	// In another order each time.
	names := slices.Collect(maps.Keys(values))
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var fields []string
	for _, n := range names {
		value, err := json.Marshal(values[n])
		if err != nil {
			m.t.Error(err)
		}
		fields = append(fields, fmt.Sprintf("%q : %s", n, value))
	}
	fmt.Fprintf(w, "{\n%s\n}", strings.Join(fields, " ,"))
}

// shadowed is what shadow -o json says.
type shadowed struct {
	Users, Answers, Found, Secrets int
	Differences                    []struct {
		Context, User uint32
		Property      string
		Here, There   struct {
			Value *string
			Why   string
		}
	}
	NotCompared []struct{ Error string }
	Stopped     string
}

// TestShadow compares a server with a middleware that has the same, and planted
// differences: all are found, and none besides.
func TestShadow(t *testing.T) {
	t.Parallel()
	const enabled, seen = "com.openexchange.websockets.enabled", "shadow.seen"
	m := newMiddleware(t)
	m.view = map[string]string{enabled: "true", seen: "server", "shadow.a": "1", "shadow.empty": "", "shadow.password": "other", "shadow.url": "jdbc:mysql://u:pw@h/d"}
	tree := newTree(t)
	put(t, tree, "shadow.properties", seen+"=server\nshadow.a=1\nshadow.empty=\nshadow.password=secret\nshadow.url=jdbc:mysql://u:wp@h/d\n")
	put(t, tree, "contextSets/shadow.yml", "brand:\n  withTags: brand\n  "+seen+": set\n")

	var directory, list strings.Builder
	directory.WriteString("contexts:\n")
	for c := 1; c <= 10; c++ {
		fmt.Fprintf(&directory, "  - id: %d\n    name: c%d\n", c, c)
		if c%3 == 0 {
			directory.WriteString("    tags: [brand]\n")
		}
		directory.WriteString("    users:\n")
		for u := 1; u <= 8; u++ {
			own := map[string]string{}
			if c%3 == 0 {
				own[seen] = "set"
			}
			fmt.Fprintf(&directory, "      - id: %d\n        permissions: [WebMail]\n", u)
			switch u {
			case 2:
				own[enabled] = " False " // what a boolean is read as counts
				fmt.Fprintf(&directory, "        config:\n          %s: {value: \"false\"}\n", enabled)
			case 3:
				own["shadow.b"] = "x;\n\u00e4"
				directory.WriteString("        config:\n          shadow.b: {value: \"x;\\n\u00e4\"}\n")
			}
			m.users[fmt.Sprintf("%d/%d", c, u)] = own
			fmt.Fprintf(&list, "%d %d # user\n", c, u)
		}
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password, users := write("password", "secret\n"), write("users", list.String())
	p := launch(t, tree, t.TempDir())
	if code, out, errs := run("import", write("directory.yml", directory.String()), "--server", p.admin); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	revision := p.metric("sluice_store_revision")
	shadow := func(want int, args ...string) (s shadowed, text string) {
		t.Helper()
		args = append([]string{"shadow", "--server", p.admin, "--against", m.URL, "--login", "ox", "--password-file", password, "-o", "json"}, args...)
		code, out, errs := run(args...)
		if code != want {
			t.Fatalf("%q ends with %d, want %d: %s%s", args, code, want, out, errs)
		}
		if out != "" {
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				t.Fatal(err)
			}
		}
		return s, errs
	}
	all := []string{"--users", users, "--property", enabled, "--prefix", "shadow."}

	s, _ := shadow(0, all...)
	// Of each user enabled, seen, a and empty, of ten b as well; two are secrets.
	if s.Users != 80 || s.Answers != 80*4+10 || s.Secrets != 160 || s.Found != 0 || len(s.NotCompared) != 0 {
		t.Errorf("%+v", s)
	}
	if s, _ := shadow(0, "--sample", "7"); s.Users != 7 || s.Answers == 0 {
		t.Errorf("a sample: %+v", s)
	}

	planted := map[string]bool{}
	plant := func(c, u int, property, value string) {
		m.users[fmt.Sprintf("%d/%d", c, u)][property] = value
		planted[fmt.Sprintf("%d/%d %s", c, u, property)] = true
	}
	m.mu.Lock()
	plant(1, 1, enabled, "false")
	plant(2, 2, enabled, "true")
	plant(3, 1, seen, "server")
	plant(4, 1, seen, "Server") // of a text the case counts
	plant(4, 3, "shadow.b", "-")
	plant(4, 4, "shadow.b", "y")
	plant(5, 1, "shadow.empty", " ")
	plant(5, 2, "shadow.empty", "-")
	plant(6, 6, "shadow.only", "there")
	delete(m.users, "7/7") // it has no such user
	planted["7/7 "] = true
	m.mu.Unlock()
	s, _ = shadow(1, all...)
	found := map[string]bool{}
	for _, d := range s.Differences {
		found[fmt.Sprintf("%d/%d %s", d.Context, d.User, d.Property)] = true
		if d.Here.Why == "" || d.There.Why == "" {
			t.Errorf("no reason: %+v", d)
		}
		if d.Property == enabled && d.Context == 2 && (!strings.Contains(d.Here.Why, "an override of the user by ") || !strings.Contains(d.There.Why, "as its server view has it")) {
			t.Errorf("the reasons are %+v", d)
		}
	}
	if !maps.Equal(found, planted) || s.Found != len(planted) {
		t.Errorf("found %v\nwant %v", slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(planted)))
	}
	code, out, _ := run("shadow", "--server", p.admin, "--against", m.URL, "--login", "ox", "--password-file", password, "--users", users, "--property", seen)
	if want := "shadow.seen for user 1 in context 3\n  here   set: shadow.seen is set for user 1 in context 3: context set brand (contextSets/shadow.yml:3) matches its tags.\n  there  server: GET /preliminary/configuration/v1/property/shadow.seen/3/1: as its server view has it\n"; code != 1 || !strings.Contains(out, want) {
		t.Errorf("%d: no %q in\n%s", code, want, out)
	}

	// 404 for half: each of those is one difference, and no more.
	m.mu.Lock()
	saved := maps.Clone(m.users)
	for name := range m.users {
		if c, _, _ := strings.Cut(name, "/"); c > "4" && c != "10" {
			delete(m.users, name)
		}
	}
	m.mu.Unlock()
	if s, _ := shadow(1, "--users", users, "--property", enabled); s.Found != 42 || s.Differences[len(s.Differences)-1].Property != "" {
		t.Errorf("404 for half: %d", s.Found)
	}
	m.users = saved

	// One that both do not have is no difference.
	run("user", "delete", "1", "-c", "9", "--reason", "r", "--server", p.admin)
	delete(m.users, "9/1")
	if s, _ := shadow(0, "--users", write("one", "9/1"), "--property", enabled); s.Found != 0 {
		t.Errorf("%+v", s)
	}
	m.users["9/1"] = map[string]string{}
	if s, _ := shadow(1, "--users", write("one", "9/1"), "--property", enabled); s.Found != 1 || s.Differences[0].There.Why != "it answers for the user" {
		t.Errorf("%+v", s)
	}

	// A wrong password ends it at once.
	m.asked.Store(0)
	_, text := shadow(3, append(all, "--password-file", write("wrong", "wrong"))...)
	if !strings.Contains(text, "refuses the login (401)") || m.asked.Load() != 1 {
		t.Errorf("%d requests: %s", m.asked.Load(), text)
	}
	// One that is silent, or answers nonsense, is given up after some users.
	release := make(chan struct{})
	slow := func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Count(r.URL.Path, "/") < 6 { // the server view
			return false
		}
		select {
		case <-r.Context().Done():
		case <-release:
		}
		return true
	}
	m.answer(slow)
	s, text = shadow(3, append(all, "--timeout", "50ms")...)
	if s.Stopped == "" || !strings.Contains(text, "no answer within 50ms") || s.Users >= 80 {
		t.Errorf("%+v %s", s.Stopped, text)
	}
	close(release)
	for body, want := range map[string]string{"<html>": "no JSON object", "null": "no JSON object", `{"` + enabled + `":`: "no JSON object"} {
		m.answer(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/1/1") {
				fmt.Fprint(w, body)
				return true
			}
			return false
		})
		if s, _ := shadow(3, "--users", write("two", "1 1\n1 2"), "--property", seen); len(s.NotCompared) != 1 || !strings.Contains(s.NotCompared[0].Error, want) {
			t.Errorf("%q: %+v", body, s)
		}
	}
	m.answer(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		return true
	})
	if _, text := shadow(3, all...); !strings.Contains(text, "it answers 302") {
		t.Error(text)
	}
	m.answer(nil)

	for _, bad := range []struct{ text, want string }{
		{"1 1\n1 x\n", ":2:1: "}, {"1\n", ":1:1: "}, {"0 1\n", ":1:1: "}, {"1 1 1\n", ":1:1: "},
	} {
		if _, text := shadow(2, "--users", write("bad", bad.text)); !strings.Contains(text, bad.want) {
			t.Errorf("%q: %s", bad.text, text)
		}
	}
	shadow(1, "--users", write("none", "# nobody\n"))
	shadow(2, "--users", users, "--sample", "5")
	shadow(2, "--concurrency", "0")
	shadow(2, "--against", "http://ox:secret@127.0.0.1:1")
	if now := p.metric("sluice_store_revision"); now != "" {
		was, _ := strconv.Atoi(revision)
		if is, _ := strconv.Atoi(now); is != was+1 { // the user that was deleted above
			t.Errorf("revision %d, was %d: shadow has written", is, was)
		}
	}
}
