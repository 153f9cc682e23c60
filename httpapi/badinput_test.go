package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Whatever is sent that cannot be, is refused with a code that stays the same,
// and nothing has changed.
func TestBadInput(t *testing.T) {
	w := newWorld(t, tree)
	w.ask("PUT", "/admin/v1/contexts/7/properties/p", `{"value":"v","reason":"r"}`)
	const (
		context  = "/admin/v1/contexts/7"
		user     = context + "/users/3"
		property = user + "/properties/"
	)
	good := `{"value":"v","reason":"r"}`
	deep := strings.Repeat(`{"value":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1)
	type bad struct {
		method, path, body string
		status             int
		code               string
		headers            []string
	}
	list := []bad{
		{"PUT", property + "p", "", 400, "bad_json", []string{"Content-Type: " + jsonType}},
		{"PUT", property + "p", "[]", 400, "bad_json", nil},
		{"PUT", property + "p", `"text"`, 400, "bad_json", nil},
		{"PUT", property + "p", "null", 400, "bad_json", nil},
		{"PUT", property + "p", `{"value":"v","value":"w","reason":"r"}`, 400, "bad_json", nil},
		{"PUT", property + "p", `{"Value":"v","reason":"r"}`, 400, "bad_json", nil},
		{"PUT", property + "p", `{"value":"v","reason":"r","more":1}`, 400, "bad_json", nil},
		{"PUT", property + "p", good + good, 400, "bad_json", nil},
		{"PUT", property + "p", deep, 400, "bad_json", nil},
		{"PUT", property + "p", "\ufeff" + good, 400, "bad_json", nil},
		{"PUT", property + "p", "{\"value\":\"\xff\",\"reason\":\"r\"}", 400, "bad_json", nil},
		{"PUT", property + "p", `{"value":1,"reason":"r"}`, 400, "bad_json", nil},
		{"PUT", property + "p", `{"value":null,"reason":"r"}`, 422, "no_value", nil},
		{"PUT", property + "com.example.password", `{"value":"***","reason":"r"}`, 422, "masked", nil},
		{"PUT", property + "p", `{"value":"v","reason":" "}`, 422, "no_reason", nil},
		{"PUT", property + "p", `{"value":"v","reason":"` + strings.Repeat("x", 5000) + `"}`, 422, "bad_reason", nil},
		{"PUT", property + "p", `{"value":"` + strings.Repeat("x", 300<<10) + `","reason":"r"}`, 422, "bad_write", nil},
		{"PUT", property + "p", `{"value":"v","reason":"r","expires":"tomorrow"}`, 422, "bad_expires", nil},
		{"PUT", property + strings.Repeat("x", 10_000), good, 422, "bad_name", nil},
		{"PUT", property + "a%0Ab", good, 422, "bad_name", nil},
		{"PUT", property + "a%00", good, 422, "bad_name", nil},
		{"PUT", property + "%20a", good, 422, "bad_name", nil},
		{"PUT", property + "%FF", good, 422, "bad_name", nil},
		{"PUT", user + "/properties", good, 422, "bad_name", nil},
		{"PUT", user + "/properties?name=a&name=b", good, 400, "bad_query", nil},
		{"PUT", property + "p?force=perhaps", good, 400, "bad_query", nil},
		{"PUT", property + "p?forse=true", good, 400, "bad_query", nil},
		{"PUT", property + "p", good, 415, "content_type", []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"PUT", property + "p", good, 400, "bad_condition", []string{"If-Match: *"}},
		{"PUT", property + "p", good, 400, "bad_condition", []string{`If-Match: "1", "2"`}},
		{"PUT", property + "p", good, 400, "bad_condition", []string{`If-Match: W/"1"`}},
		{"PUT", property + "p", good, 400, "bad_condition", []string{"If-Match: 1"}},
		{"PUT", property + "p", good, 400, "bad_condition", []string{`If-None-Match: "1"`}},
		{"PUT", property + "p", good, 412, "stale", []string{`If-Match: "1"`}},
		{"PUT", context + "/properties/p", good, 412, "stale", []string{"If-None-Match: *"}},
		{"DELETE", property + "p", "", 404, "not_found", nil},
		{"POST", property + "p", good, 405, "method_not_allowed", nil},
		{"PATCH", context, "{}", 405, "method_not_allowed", nil},
		{"PUT", user + "/websockets", `{"enabled":"no","reason":"r"}`, 400, "bad_json", nil},
		{"PUT", context, `{"tags":"a"}`, 400, "bad_json", nil},
		{"PUT", context, `{"tags":[" a"]}`, 422, "bad_tag", nil},
		{"PUT", context, `{"tags":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 300), ",") + `]}`, 422, "bad_write", nil},
		{"GET", "/admin/v1/contexts?limit=0", "", 400, "bad_query", nil},
		{"GET", "/admin/v1/contexts?limit=1001", "", 400, "bad_query", nil},
		{"GET", "/admin/v1/contexts?limit=-1", "", 400, "bad_query", nil},
		{"GET", "/admin/v1/contexts?cursor=%21", "", 400, "bad_query", nil},
		{"GET", "/admin/v1/contexts?cursor=AAAA", "", 400, "bad_query", nil},
		{"GET", "/admin/v1/audit?since=yesterday", "", 400, "bad_query", nil},
		{"GET", "/admin/v1/audit/0", "", 400, "bad_id", nil},
		{"GET", "/admin/v1/audit/-1", "", 400, "bad_id", nil},
		{"POST", "/admin/v1/audit/1/revert", `{"reason":""}`, 422, "no_reason", nil},
		{"POST", "/admin/v1/overrides", `{"reason":"r","overrides":[{"context":7,"property":"p","value":"v"},{"context":-1,"property":"p","value":"v"}]}`, 422, "bad_id", nil},
		{"POST", "/admin/v1/overrides", `{"reason":"r","overrides":[{"context":2147483648,"property":"p","value":"v"}]}`, 422, "bad_id", nil},
		{"POST", "/admin/v1/overrides", `{"reason":"r","overrides":[{"context":1e3000,"property":"p","value":"v"}]}`, 400, "bad_json", nil},
		{"POST", "/admin/v1/overrides", `{"reason":"r","overrides":[{"context":7.5,"property":"p","value":"v"}]}`, 400, "bad_json", nil},
		{"POST", "/admin/v1/overrides", `{"reason":"r","overrides":[{"context":7,"property":"p","value":"v","x":1}]}`, 400, "bad_json", nil},
		{"POST", "/admin/v1/overrides", `{"reason":"r","overrides":[{"context":7,"property":"p","value":"v","value":"w"}]}`, 400, "bad_json", nil},
		{"POST", "/admin/v1/overrides", `{"reason":"r","overrides":[` + strings.TrimSuffix(strings.Repeat(`{"context":7,"property":"p","value":"v"},`, maxBulk+1), ",") + `]}`, 422, "bad_write", nil},
		{"POST", "/admin/v1/plan", `{"files":{"/etc/passwd":"x"}}`, 422, "bad_path", nil},
		{"POST", "/admin/v1/plan", `{"files":{"a/../../b":"x"}}`, 422, "bad_path", nil},
		{"POST", "/admin/v1/plan", `{"files":{"a\u0000":"x"}}`, 422, "bad_path", nil},
		{"POST", "/admin/v1/plan", `{"files":{"nothing.properties":null}}`, 422, "bad_path", nil},
		{"POST", "/admin/v1/import?reason=r", `{"context":{"id":7}}` + "\n" + `{"context":{"id":8}`, 400, "bad_json", []string{"Content-Type: " + ndjson}},
		{"POST", "/admin/v1/import?reason=r", `{"context":{"id":7},"user":{"context":7,"id":1}}`, 422, "bad_write", []string{"Content-Type: " + ndjson}},
		{"POST", "/admin/v1/import?reason=r", `{"user":{"context":7,"id":0}}`, 422, "bad_id", []string{"Content-Type: " + ndjson}},
		{"POST", "/admin/v1/import", `{"context":{"id":7}}`, 422, "no_reason", []string{"Content-Type: " + ndjson}},
	}
	for _, id := range []string{"0", "-1", "+7", "007x", "7.0", "1e3", "2147483648", "99999999999999999999", "%207", "x", "%00", ""} {
		list = append(list, bad{"PUT", "/admin/v1/contexts/" + id + "/users/3/properties/p", good, 400, "bad_id", nil},
			bad{"PUT", "/admin/v1/contexts/7/users/" + id + "/websockets", `{"enabled":true,"reason":"r"}`, 400, "bad_id", nil})
	}
	head, generation := w.store.Head(), w.engine.Snapshot().Generation()
	for i, b := range list {
		t.Run(fmt.Sprintf("%d %s", i, b.code), func(t *testing.T) {
			a := w.ask(b.method, b.path, b.body, b.headers...)
			if a.status != b.status || !strings.Contains(a.body, `"code":"`+b.code+`"`) {
				t.Errorf("%s %.100s %.100s: %d %s, want %d %s", b.method, b.path, b.body, a.status, a.body, b.status, b.code)
			}
			if a.header.Get("Content-Type") != "application/problem+json" && b.method != http.MethodHead {
				t.Errorf("the refusal is %q", a.header.Get("Content-Type"))
			}
			if w.store.Head() != head || w.engine.Snapshot().Generation() != generation {
				t.Errorf("%s %.100s has changed something", b.method, b.path)
			}
		})
	}
}
