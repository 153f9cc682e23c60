package httpapi

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// people fills the directory: user 3 of context 7 has an override.
func (w *world) people() {
	w.t.Helper()
	must(w.t, w.engine.Apply(cascade.Batch{
		Contexts: []cascade.Context{{ID: 7, Name: "acme", Enabled: true, Tags: []string{"premium"}}},
		Users:    []cascade.User{{Context: 7, ID: 3, Enabled: true, Permissions: []string{"Webmail"}}},
		Overrides: []cascade.Override{{
			Key:   cascade.Key{Subject: cascade.Subject{Context: 7, User: 3}, Property: "com.example.b"},
			Value: "mine", Actor: "me", Reason: "a test", Time: time.UnixMilli(1), Expires: time.Now().Add(time.Hour),
		}},
	}))
}

// wire is the JSON that an answer must be, byte for byte.
func wire(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	must(t, enc.Encode(v))
	return b.String()
}

// TestExplanations holds the API to the engine: the same value, whoever asks
// and however the name is written.
func TestExplanations(t *testing.T) {
	w := newWorld(t, tree)
	w.people()
	sn := w.engine.Snapshot()
	names := []string{
		"com.example.a", "com.example.b", "com.example/slash", "com.example.html", "no such/property %2F", "ümlaut",
		websockets.PropEnabled, websockets.PropCookieSalt, websockets.PropPingInterval,
	}
	for base, su := range map[string]cascade.Subject{
		"/admin/v1": {}, "/admin/v1/contexts/7": {Context: 7}, "/admin/v1/contexts/7/users/3": {Context: 7, User: 3},
		"/admin/v1/contexts/8/users/2147483647": {Context: 8, User: 2147483647},
	} {
		for _, name := range names {
			for query, opt := range map[string]cascade.ExplainOptions{
				"": {}, "verbose=true": {Verbose: true}, "verbose": {Verbose: true}, "verbose=false": {},
			} {
				want := wire(t, sn.Explain(su, name, opt))
				for _, path := range []string{
					base + "/properties/" + url.PathEscape(name) + "?" + query,
					base + "/properties?name=" + url.QueryEscape(name) + "&" + query,
				} {
					if a := w.ask("GET", path, ""); a.status != 200 || a.body != want || a.header.Get("Content-Type") != "application/json" {
						t.Errorf("%s: %d\n%s\nwant\n%s", path, a.status, a.body, want)
					} else if strings.Contains(a.body, "s3cret") {
						t.Errorf("%s shows a secret: %s", path, a.body)
					}
				}
			}
		}
	}
	su := cascade.Subject{Context: 8}
	for query, what := range map[string]cascade.WhatIf{
		"tags=premium,+x":                  {Tags: []string{"premium", "x"}},
		"permissions=Webmail":              {Permissions: []string{"Webmail"}},
		"tags=a,,b,&permissions=C":         {Tags: []string{"a", "b"}, Permissions: []string{"C"}},
		"tags=&permissions=&verbose=false": {},
	} {
		a := w.ask("GET", "/admin/v1/contexts/8/properties/com.example.a?"+query, "")
		if want := wire(t, sn.Suppose(su, what).Explain(su, "com.example.a", cascade.ExplainOptions{})); a.body != want {
			t.Errorf("%s\n%s\nwant\n%s", query, a.body, want)
		}
	}
	if a := w.ask("GET", "/admin/v1/contexts/8/properties/com.example.a?tags=premium", ""); !strings.Contains(a.body, `"value":"from-the-set"`) {
		t.Errorf("the supposed tag has no effect: %s", a.body)
	}
	a := w.ask("GET", "/admin/v1/properties/nothing.has.this", "")
	if a.status != 200 || !strings.Contains(a.body, `"value":null,"scope":null,"origin":null`) {
		t.Errorf("undefined: %d %s", a.status, a.body)
	}
}

func TestHead(t *testing.T) {
	w := newWorld(t, tree)
	for _, path := range []string{"/livez", "/readyz", "/admin/v1/config", "/admin/v1/properties/a%2Fb", "/admin/v1/properties?prefix="} {
		get, head := w.ask("GET", path, ""), w.ask("HEAD", path, "")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
			t.Errorf("%s: %d %q %v", path, head.status, head.body, head.header)
		}
	}
	if a := w.ask("HEAD", "/admin/v1/messages", ""); a.status != 405 {
		t.Errorf("HEAD of a POST: %d", a.status)
	}
	if a := w.ask("HEAD", "/nothing", ""); a.status != 404 {
		t.Errorf("HEAD of nothing: %d", a.status)
	}
}

type page struct {
	Properties []cascade.Explanation
	Next       string
}

// list walks all pages.
func (w *world) list(path string) (names []string, pages int) {
	w.t.Helper()
	for cursor := ""; ; {
		var p page
		a := w.ask("GET", path+"&cursor="+cursor, "")
		a.into(w.t, &p)
		if a.status != 200 || p.Properties == nil {
			w.t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		pages++
		for _, x := range p.Properties {
			names = append(names, x.Property)
		}
		if cursor = p.Next; cursor == "" {
			return names, pages
		}
	}
}

func TestLists(t *testing.T) {
	w := newWorld(t, tree)
	w.people()
	example := []string{"com.example.a", "com.example.b", "com.example.c", "com.example.html", "com.example/slash"}
	for _, c := range []struct {
		query string
		want  []string
		pages int
	}{
		{"prefix=com.example", example, 1},
		{"prefix=com.example&limit=5", example, 1},
		{"prefix=com.example&limit=4", example, 2},
		{"prefix=com.example&limit=1", example, 5},
		{"prefix=com.example.a", example[:1], 1},
		{"prefix=nothing", nil, 1},
	} {
		names, pages := w.list("/admin/v1/contexts/7/users/3/properties?" + c.query)
		if !slices.Equal(names, c.want) || pages != c.pages {
			t.Errorf("%s: %v on %d pages", c.query, names, pages)
		}
	}
	var offline []string
	sn, su := w.engine.Snapshot(), cascade.Subject{Context: 7, User: 3}
	for _, name := range sn.AllNames() {
		if _, ok := sn.Get(su, name); ok {
			offline = append(offline, name)
		}
	}
	if names, _ := w.list("/admin/v1/contexts/7/users/3/properties?prefix=&limit=2"); !slices.Equal(names, offline) {
		t.Errorf("all: %v, want %v", names, offline)
	}
	var p page
	w.ask("GET", "/admin/v1/contexts/7/users/3/properties?prefix=com.example.b", "").into(t, &p)
	if got, want := wire(t, p.Properties[0]), wire(t, sn.Explain(su, "com.example.b", cascade.ExplainOptions{})); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t, tree)
	w.people()
	sn := w.engine.Snapshot()
	for query, su := range map[string]cascade.Subject{
		"": {}, "context=0&user=0": {}, "context=7": {Context: 7}, "context=7&user=0": {Context: 7}, "context=7&user=3": {Context: 7, User: 3},
	} {
		if a := w.ask("GET", "/admin/v1/tags?"+query, ""); a.status != 200 || a.body != wire(t, map[string]any{"tags": sn.Tags(su)}) {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
}
