package httpapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// TestSupposedValue holds that a value which is supposed changes the answer, and
// nothing else.
func TestSupposedValue(t *testing.T) {
	w := newWorld(t, map[string]string{"a.properties": "com.example.a=file\ncom.example.locked=file\n", "meta/a.yml": "com.example.locked:\n  final: server\n"})
	before := w.store.Head()
	ask := func(path string) (x cascade.Explanation) {
		t.Helper()
		a := w.wantAt("GET", path, 200, "")
		must(t, json.Unmarshal([]byte(a.body), &x))
		return x
	}
	base := "/admin/v1/contexts/7/users/3/properties"
	for _, c := range []struct{ path, value, scope string }{
		{base + "?name=com.example.a&value=other", "other", "user"},
		{base + "/com.example.a?value=", "", "user"},
		{"/admin/v1/contexts/7/properties?name=com.example.a&value=other", "other", "context"},
		{base + "?name=com.example.locked&value=other", "file", "server"}, // a final skips it
		{base + "?name=" + websockets.PropEnabled + "&value=false&tags=x", "false", "user"},
	} {
		if x := ask(c.path); x.Value == nil || *x.Value != c.value || x.Scope == nil || *x.Scope != c.scope {
			t.Errorf("%s: %+v", c.path, x)
		}
	}
	for path, status := range map[string]int{
		"/admin/v1/properties?name=com.example.a&value=x":             400,
		base + "?prefix=com.&value=x":                                 400,
		base + "?name=" + websockets.PropEnabled + "&value=perhaps":   400,
		base + "?name=sluice.admin.host&value=x":                      400,
		base + "?name=com.example.a&value=" + url.QueryEscape("\x01"): 400,
	} {
		w.wantAt("GET", path, status, "")
	}
	if x := ask(base + "?name=com.example.a"); *x.Value != "file" || w.store.Head() != before {
		t.Errorf("what was supposed counts: %+v", x)
	}
}

// TestSourceLineAt holds that a line which an explanation names can be read, and
// nothing that was not loaded.
func TestSourceLineAt(t *testing.T) {
	w := newWorld(t, map[string]string{"a.properties": "# note\ncom.example.a=file\nmy.password=secret\nlong=a\\\n  b\n"})
	lines := func(file, line string, status int) string {
		t.Helper()
		a := w.wantAt("GET", "/admin/v1/config/lines?"+url.Values{"file": {file}, "line": {line}}.Encode(), status, "")
		var out struct{ Lines []cascade.SourceLine }
		if status == 200 {
			must(t, json.Unmarshal([]byte(a.body), &out))
		}
		return fmt.Sprint(out.Lines)
	}
	for _, c := range []struct{ file, line, want string }{
		{"a.properties", "2", "[{a.properties 2 com.example.a=file }]"},
		{"a.properties", "3", "[{a.properties 3 my.password=" + cascade.Mask + " }]"},
		{"a.properties", "5", "[]"}, // it continues a value
		{"a.properties", "99", "[]"},
		{"../a.properties", "2", "[]"},
		{"/etc/passwd", "1", "[]"},
	} {
		if got := lines(c.file, c.line, 200); got != c.want {
			t.Errorf("%s:%s is %s, want %s", c.file, c.line, got, c.want)
		}
	}
	for _, line := range []string{"", "0", "-1", "x"} {
		lines("a.properties", line, 400)
	}
	lines("", "1", 400)
}

// TestBulkRevision holds that one of many overrides is not written over what
// somebody else wrote meanwhile.
func TestBulkRevision(t *testing.T) {
	w := newWorld(t, tree)
	bulk := func(revision, what string) string {
		return fmt.Sprintf(`{"reason":"r","overrides":[{"context":7,"user":3,"property":"com.example.a","revision":%s,%s}]}`, revision, what)
	}
	const op, value, remove = "POST /admin/v1/overrides", `"value":"x"`, `"remove":true`
	w.want(op, 412, bulk("5", value)) // there is none
	var out struct{ Revision uint64 }
	must(t, json.Unmarshal([]byte(w.want(op, 200, bulk("0", value)).body), &out))
	w.want(op, 412, bulk("0", value))
	w.want(op, 412, bulk(fmt.Sprint(out.Revision+1), remove))
	w.wantAt("POST", "/admin/v1/overrides?dryRun=true", 412, bulk("0", value))
	w.want(op, 200, bulk(fmt.Sprint(out.Revision), remove))
}
