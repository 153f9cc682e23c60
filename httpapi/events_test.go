package httpapi

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/remote"
)

// tail is a client of the stream.
type tail struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Scanner
	last  string
}

func (w *world) tail(query, last string) *tail {
	w.t.Helper()
	req, err := http.NewRequest("GET", w.admin.URL+"/admin/v1/events?"+query, nil)
	must(w.t, err)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := (&http.Client{Transport: w.client.Transport}).Do(req)
	must(w.t, err)
	w.t.Cleanup(func() { _ = res.Body.Close() })
	return &tail{t: w.t.(*testing.T), res: res, lines: bufio.NewScanner(res.Body)}
}

// next is the next event as "kind data", or "end".
func (s *tail) next() string {
	s.t.Helper()
	var kind string
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "id":
			s.last = value
		case "event":
			kind = value
		case "data":
			return kind + " " + value
		}
	}
	return "end"
}

func (s *tail) want(parts ...string) {
	s.t.Helper()
	got := s.next()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			s.t.Errorf("got %s, want %q in it", got, p)
		}
	}
}

// Who watches sees what it asked for, in order, and after a pause what it
// missed; a drain ends the stream.
func TestEvents(t *testing.T) {
	w := newWorld(t, tree)
	all, one := w.tail("", ""), w.tail("kinds=override&context=7&user=8", "")
	w.ask("PUT", "/admin/v1/contexts/7", `{"name":"n"}`)
	w.ask("PUT", "/admin/v1/contexts/7/users/9/properties/p", `{"value":"v","reason":"r"}`)
	w.ask("PUT", "/admin/v1/contexts/7/users/8/properties/x.password", `{"value":"hunter2","reason":"ticket"}`)
	all.want("directory", `"action":"context.put"`)
	all.want("override", `"user":9`)
	all.want("override", `"user":8`, `"value":"***"`)
	one.want("override", `"user":8`, `"reason":"ticket"`, `"actor":"`)

	w.file("a.properties", "com.example.a=changed\n")
	w.reload()
	all.want("config", `"property":"com.example.a"`, `"new":"changed"`)
	must(t, all.res.Body.Close())
	w.ask("DELETE", "/admin/v1/contexts/7", "")
	again := w.tail("", all.last)
	again.want("directory", `"context.delete"`)

	w.tail("", "other-1").want("reset")
	w.tail("", w.server.incarnation+"-999").want("reset")

	for query, code := range map[string]string{
		"kinds=nothing": "bad_query", "user=1": "bad_id", "context=0": "bad_id", "x=1": "bad_query", "kinds=config&kinds=config": "bad_query",
	} {
		if a := w.ask("GET", "/admin/v1/events?"+query, ""); a.status != 400 || !strings.Contains(a.body, code) {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	w.server.SetReady(false)
	for range 10 {
		if again.next() == "end" {
			return
		}
	}
	t.Error("a drain does not end the stream")
}

// A load tells what it changed in context sets too, masks secrets, and is short
// however much it was.
func TestConfigEvents(t *testing.T) {
	w := newWorld(t, tree)
	s := w.tail("kinds=config", "")
	w.file("contextSets/premium.yml", "premium:\n  withTags: premium\n  com.example.a: other\n")
	w.file("a.properties", "com.example.password=hunter2\n")
	w.reload()
	got := s.next()
	for _, want := range []string{`"new":"other"`, `context set premium`, `"com.example.password","old":null,"new":"***"`, `"degraded":false`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("a secret is in %s", got)
	}
	var many strings.Builder
	for i := range maxPublished + 20 {
		fmt.Fprintf(&many, "com.example.many%d=1\n", i)
	}
	w.file("a.properties", "com.example.password=hunter2\n"+many.String())
	w.reload()
	s.want("config", `"more":20`)
	w.file("a.properties", "com.example.password=hunter2\nbad=\\uZZZZ\n")
	w.reload()
	s.want("config", `"degraded":true`)
}

// Members that differ are told of once, whoever has changed, and once more when
// they agree; those that are gone differ from nobody.
func TestMemberEvents(t *testing.T) {
	w := newWorld(t, tree)
	m := &members{self: w, gone: map[string]bool{}}
	two := m.add("two")
	s := w.tail("kinds=member", "")
	seen := func(what string) { w.server.Seen(what, two.server.Self()) }
	seen(remote.SeenJoined)
	s.want("member", `"what":"joined"`, `"member":"two"`)
	seen(remote.SeenConfig) // the same
	two.file("own.properties", "com.example.own=1\n")
	two.reload()
	seen(remote.SeenConfig)
	s.want(`"what":"drift"`)
	seen(remote.SeenConfig)
	w.file("own.properties", "com.example.own=1\n")
	w.reload()
	s.want(`"what":"agrees"`)
	w.file("own.properties", "com.example.own=2\n")
	w.reload()
	s.want(`"what":"drift"`)
	seen(remote.SeenLost)
	s.want(`"what":"lost"`)
	seen(remote.SeenBack)
	s.want(`"what":"back"`)
	s.want(`"what":"drift"`)
	m.gone["two"] = true
	seen(remote.SeenLeft)
	s.want(`"what":"left"`)
	w.file("own.properties", "com.example.own=3\n")
	w.reload()
	seen(remote.SeenJoined)
	s.want(`"what":"joined"`)
}
