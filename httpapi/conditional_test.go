package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

// What a client has already is not sent again, of every operation that says so.
func TestContractUnchanged(t *testing.T) {
	w := newWorld(t, tree)
	w.want("PUT /admin/v1/contexts/{context}", 201, "{}")
	w.want("PUT /admin/v1/contexts/{context}/users/{user}", 201, "{}")
	ops := withStatus("304")
	if len(ops) < 20 {
		t.Fatalf("only %d operations answer 304", len(ops))
	}
	for _, op := range ops {
		method, path, headers := request(op)
		switch op {
		case "GET /admin/v1/contexts/{context}/users/{user}/mailpush":
			continue // which needs a Dovecot: TestRegistrations
		case "GET /admin/v1/properties", "GET /admin/v1/contexts/{context}/properties", "GET /admin/v1/contexts/{context}/users/{user}/properties":
			path += "?name=com.example.a"
		case "GET /admin/v1/names":
			path += "?name=n"
		case "GET /admin/v1/deliveries":
			path += "?context=7"
		case "GET /admin/v1/sessions/{session}":
			path = "/admin/v1/sessions/" + w.login(3).Session
		case "GET /admin/v1/tags":
			path += "?context=7"
		}
		var last answer
		// Of those that have a time in them, one is the same as the one before.
		w.poll(op+" is unchanged", func() bool {
			last = w.ask(method, path, "", headers...)
			if last.status != http.StatusOK || last.header.Get("ETag") == "" {
				t.Fatalf("%s: %d, ETag %q: %s", op, last.status, last.header.Get("ETag"), last.body)
			}
			last = w.ask(method, path, "", append(headers, "If-None-Match: \"x\", "+last.header.Get("ETag"))...)
			return last.status == http.StatusNotModified
		})
		if last.body != "" || last.header.Get("ETag") == "" || last.header.Get("Content-Length") != "" {
			t.Errorf("%s: 304 with %v %q", op, last.header, last.body)
		}
		if a := w.ask("HEAD", path, "", append(headers, "If-None-Match: *")...); a.status != http.StatusNotModified {
			t.Errorf("HEAD %s: %d", path, a.status)
		}
		if a := w.ask(method, path, "", append(headers, `If-None-Match: "another"`)...); a.status != http.StatusOK || !strings.HasPrefix(a.body, "{") && !strings.HasPrefix(a.body, "openapi") {
			t.Errorf("%s with another tag: %d %s", op, a.status, a.body)
		}
	}
}
