package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Names are typed as people type them, and may look like ids.
func TestNamesBadInput(t *testing.T) {
	w := newWorld(t, tree)
	put := func(path, body string) {
		t.Helper()
		if a := w.ask(http.MethodPut, "/admin/v1/contexts/"+path, body); a.status >= 300 {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
	}
	put("7", `{"name":"Straßenbau Nord"}`)
	put("7/users/3", `{"login":"anna","mail":["Anna.Müller@example.com","both@example.com"],"displayName":"Anna Müller"}`)
	put("8", `{"name":"7"}`)
	put("8/users/1", `{"login":"bob","mail":["both@example.com"],"displayName":"Bob"}`)
	put("8/users/2", `{"login":"3@7","displayName":"Looks Like An Id"}`)
	put("8/users/3", `{"login":"1","mail":["2@8"],"displayName":"Looks Like Another"}`)
	list := func(query string) string { return "/admin/v1/users?search=" + query }
	user := func(context, name string) string {
		return "/admin/v1/contexts/" + url.PathEscape(context) + "/users/" + url.PathEscape(name)
	}
	cursor := w.ask(http.MethodGet, list("a")+"&limit=1", "")
	_, cursorOf, _ := strings.Cut(cursor.body, `"next":"`)
	cursorOf, _, _ = strings.Cut(cursorOf, `"`)
	for _, c := range []struct {
		name, path string
		status     int
		has        string
	}{
		{"upper case", user("STRASSENBAU NORD", "ANNA"), 200, `"id":3`},
		{"an address in upper case, its umlaut composed", user("7", "ANNA.MÜLLER@EXAMPLE.COM"), 200, `"id":3`},
		{"its umlaut decomposed", user("7", "anna.mu\u0308ller@example.com"), 200, `"id":3`},
		{"ß for ss", user("straßenbau nord", "anna"), 200, `"id":3`},
		{"search in upper case, decomposed", list(url.QueryEscape("MU\u0308LL")), 200, `"id":3`},
		{"one address of two users", "/admin/v1/names?name=both@example.com", 200, `"context":8,"id":1`},
		{"the same in one context is one", user("8", "both@example.com"), 200, `"id":1`},
		{"the same where one must be meant", "/admin/v1/overrides?user=both@example.com", 400, `"ambiguous_name"`},
		{"a long search", list(strings.Repeat("x", 10_000)), 400, "at most 4096 bytes"},
		{"a long name", user("7", strings.Repeat("x", 10_000)), 400, `"bad_id"`},
		{"a cursor of another query", list("b") + "&cursor=" + cursorOf, 400, `"bad_query"`},
		{"a cursor of its own query", list("a") + "&limit=1&cursor=" + cursorOf, 200, `"users":[`},
		{"a cursor that is none", list("a") + "&cursor=AAAA", 400, `"bad_query"`},
		{"a login like an id: ids first", "/admin/v1/overrides?user=3@7", 200, `"overrides":[]`},
		{"an id in a search", list("3@7"), 200, `"context":7`},
		{"a context's name like an id", user("7", "anna"), 200, `"context":7`},
		{"a login like the id of another", user("8", "1"), 200, `"login":"bob"`},
		{"control characters", list("%00"), 200, `"users":[]`},
		{"no UTF-8", list("%ff"), 200, `"users":[]`},
		{"nothing", user("7", " "), 400, `"bad_id"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.ask(http.MethodGet, c.path, "")
			if a.status != c.status || !strings.Contains(a.body, c.has) {
				t.Errorf("%.120s: %d %.300s, want %d with %s", c.path, a.status, a.body, c.status, c.has)
			}
		})
	}
	t.Run("both are named", func(t *testing.T) {
		for _, path := range []string{"/admin/v1/names?name=both@example.com", "/admin/v1/overrides?user=both@example.com"} {
			if a := w.ask(http.MethodGet, path, ""); !strings.Contains(a.body, "7") || !strings.Contains(a.body, "8") || !strings.Contains(a.body, "Bob") || !strings.Contains(a.body, "Müller") {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	})
}
