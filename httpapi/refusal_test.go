package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestRefusals holds each refusal to its status and its stable code.
func TestRefusals(t *testing.T) {
	w := newWorld(t, tree)
	const (
		form     = "Content-Type: application/x-www-form-urlencoded"
		reload   = "/admin/v1/config/reload"
		sessions = "/admin/v1/sessions"
		messages = "/admin/v1/messages"
	)
	big := `{"context":1,"name":"n","args":["` + strings.Repeat("x", maxBody) + `"]}`
	deep := `{"context":1,"name":"n","args":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + `}`
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
		header             string
	}{
		{"GET", "/", "", 404, "not_found", ""},
		{"GET", "/admin/v1", "", 404, "not_found", ""},
		{"GET", "/admin/v1/nothing", "", 404, "not_found", ""},
		{"BREW", "/admin/v1/nothing", "", 404, "not_found", ""},
		{"BREW", "/admin/v1/config", "", 405, "method_not_allowed", ""},
		{"DELETE", "/admin/v1/config", "", 405, "method_not_allowed", ""},
		{"GET", messages, "", 405, "method_not_allowed", ""},
		{"POST", "/livez", "{}", 405, "method_not_allowed", ""},

		{"POST", reload, "{}", 403, "cross_origin", "Sec-Fetch-Site: cross-site"},
		{"POST", messages, "{}", 403, "cross_origin", "Origin: https://example.org"},

		{"POST", reload, "", 415, "content_type", form},
		{"POST", reload, "{}", 415, "content_type", form},
		{"POST", reload, `{"force":true}`, 400, "bad_json", ""},
		{"POST", sessions, "{}", 415, "content_type", form},
		{"POST", sessions, "{}", 415, "content_type", "Content-Type: application/x-ndjson"},
		{"POST", messages, "{}", 415, "content_type", "Content-Type: text/plain"},
		{"POST", messages, "{}", 415, "content_type", "Content-Type: ;"},
		{"POST", messages, big, 413, "too_large", ""},
		{"POST", sessions, big, 413, "too_large", ""},

		{"POST", messages, `[]`, 400, "bad_json", ""},
		{"POST", messages, `null`, 400, "bad_json", ""},
		{"POST", messages, ` `, 400, "bad_json", ""},
		{"POST", messages, `{"context":1`, 400, "bad_json", ""},
		{"POST", messages, `{"context":1}]`, 400, "bad_json", ""},
		{"POST", messages, `{"context":1}{}`, 400, "bad_json", ""},
		{"POST", messages, `{"context":1,"context":2,"name":"n"}`, 400, "bad_json", ""},
		{"POST", messages, `{"context":1,"Context":2,"name":"n"}`, 400, "bad_json", ""},
		{"POST", messages, `{"context":1,"name":"n","args":[{"a":1,"a":2}]}`, 400, "bad_json", ""},
		{"POST", messages, `{"context":1,"name":"n","extra":1}`, 400, "bad_json", ""},
		{"POST", messages, `{"context":"1","name":"n"}`, 400, "bad_json", ""},
		{"POST", messages, `{"context":1.5,"name":"n"}`, 400, "bad_json", ""},
		{"POST", messages, "{\"context\":1,\"name\":\"\xff\"}", 400, "bad_json", ""},
		{"POST", messages, deep, 400, "bad_json", ""},
		{"POST", messages, `{"name":"n"}`, 400, "bad_id", ""},
		{"POST", messages, `{"user":3,"name":"n"}`, 400, "bad_id", ""},
		{"POST", messages, `{"context":-1,"name":"n"}`, 400, "bad_id", ""},
		{"POST", messages, `{"context":2147483648,"name":"n"}`, 400, "bad_id", ""},
		{"POST", messages, `{"all":true,"context":1,"name":"n"}`, 400, "bad_message", ""},
		{"POST", messages, `{"context":1}`, 422, "bad_message", ""},
		{"POST", messages, `{"context":1,"name":""}`, 422, "bad_message", ""},
		{"POST", messages, `{"context":1,"name":"disconnect"}`, 422, "bad_message", ""},
		{"POST", messages, `{"context":1,"name":"n","args":{}}`, 422, "bad_message", ""},
		{"POST", messages, `{"context":1,"name":"n","args":null}`, 422, "bad_message", ""},
		{"POST", messages, `{"context":1,"name":"n","pathFilter":""}`, 422, "bad_path_filter", ""},
		{"POST", messages, `{"context":1,"name":"n","pathFilter":"/a*b"}`, 422, "bad_path_filter", ""},
		{"POST", messages, `{"context":1,"name":"n","id":"` + strings.Repeat("i", maxMessageID+1) + `"}`, 400, "bad_message", ""},

		{"POST", sessions, `{"client":"c"}`, 400, "bad_id", ""},
		{"POST", sessions, `{"context":1,"client":"c"}`, 400, "bad_id", ""},
		{"POST", sessions, `{"context":1,"user":2}`, 400, "bad_client", ""},
		{"POST", sessions, `{"context":1,"user":2,"client":"c","secret":"x"}`, 400, "bad_json", ""},

		{"GET", "/admin/v1/properties", "", 400, "bad_query", ""},
		{"GET", "/admin/v1/properties/", "", 400, "bad_name", ""},
		{"GET", "/admin/v1/contexts/1/properties/", "", 400, "bad_name", ""},
		{"GET", "/admin/v1/contexts/1/users/2/properties/", "", 400, "bad_name", ""},
		{"GET", "/admin/v1/properties?name=", "", 400, "bad_name", ""},
		{"GET", "/admin/v1/properties?name=" + strings.Repeat("n", 513), "", 400, "bad_name", ""},
		{"GET", "/admin/v1/properties/%FF", "", 400, "bad_name", ""},
		{"GET", "/admin/v1/contexts//properties/p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/1/users//properties/p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/0/properties/p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/x/properties?name=p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/+1/properties?name=p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/%D9%A3/properties/p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/1/users/-2/properties/p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/1%2F2/properties/p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/contexts/2147483648/properties/p", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/properties?prefix=&limit=0", "", 400, "bad_query", ""},
		{"GET", "/admin/v1/properties?prefix=&limit=1001", "", 400, "bad_query", ""},
		{"GET", "/admin/v1/properties?prefix=&limit=x", "", 400, "bad_query", ""},
		{"GET", "/admin/v1/properties?prefix=&cursor=!", "", 400, "bad_query", ""},
		{"GET", "/admin/v1/properties/p?verbose=maybe", "", 400, "bad_query", ""},
		{"GET", "/admin/v1/properties/p?tags=a;b", "", 400, "bad_query", ""},
		{"GET", "/admin/v1/properties/p?tags=" + strings.Repeat("a,", maxWhatIf+1), "", 400, "bad_query", ""},
		{"GET", "/admin/v1/tags?context=x", "", 400, "bad_id", ""},
		{"GET", "/admin/v1/tags?user=3", "", 400, "bad_id", ""},
	} {
		t.Run(fmt.Sprintf("%s %.60s %.60s", c.method, c.path, c.body), func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			w.ask(c.method, c.path, c.body, headers...).refused(t, c.status, c.code)
		})
	}
	if n := w.sessions.Len(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestNotFoundDoesNotRepeatThePath(t *testing.T) {
	w := newWorld(t, tree)
	a := w.ask("GET", "/admin/v1/session/0123456789abcdef", "")
	a.refused(t, 404, "not_found")
	if strings.Contains(a.body, "0123456789abcdef") {
		t.Errorf("a session id is in %s", a.body)
	}
}

func TestAllow(t *testing.T) {
	w := newWorld(t, tree)
	for path, want := range map[string]string{
		"/admin/v1/config": "GET, HEAD", "/admin/v1/sessions": "GET, HEAD, POST, DELETE", "/admin/v1/properties/a%2Fb": "GET, HEAD",
	} {
		if got := w.ask("PUT", path, "").header.Get("Allow"); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestPublicRoutes(t *testing.T) {
	w := newWorld(t, tree)
	for _, path := range []string{"/", "/admin/v1/config", "/livez", "/socket.iox", "/websocket"} {
		w.askAt(w.public.URL, http.MethodGet, path, "").refused(t, 404, "not_found")
	}
	for _, path := range []string{"/socket.io", "/socket.io/", "/socket.io/appsuite/?EIO=4&transport=websocket", "/ws", "/ws/", "/ws/push"} {
		if a := w.askAt(w.public.URL, http.MethodGet, path, ""); a.status == 404 || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s does not reach the sockets: %d %s", path, a.status, a.body)
		}
	}
	w.askAt(w.public.URL, http.MethodPost, "/readyz", "{}").refused(t, 405, "method_not_allowed")
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		if a := w.askAt(w.public.URL, method, "/readyz", "", "Host: chat.example.org", "X-Forwarded-For: 192.0.2.1"); a.status != 200 || a.body != "" {
			t.Errorf("readyz: %d %q", a.status, a.body)
		}
	}
	w.server.SetReady(false)
	if a := w.askAt(w.public.URL, http.MethodGet, "/readyz", ""); a.status != 503 {
		t.Errorf("readyz while draining: %d", a.status)
	}
}
