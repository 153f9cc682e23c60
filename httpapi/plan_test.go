package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// A plan reads what a load reads and writes nothing: links that lead back to a folder
// above them end there, and the file of the master password is left alone.
func TestPlanWritesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w := newWorld(t, tree)
	for _, link := range []string{"again", "and-again", "contextSets/up"} {
		must(t, os.Symlink(w.etc, filepath.Join(w.etc, link)))
	}
	must(t, os.WriteFile(filepath.Join(w.etc, "mpasswd"), []byte("oxadminmaster:secret"), 0o600))
	must(t, os.Symlink("x", filepath.Join(w.etc, "x")))
	files := func() (names []string) {
		for _, dir := range []string{w.etc, os.TempDir()} {
			must(t, filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
				names = append(names, fmt.Sprint(path, fi.Size(), fi.ModTime()))
				return err
			}))
		}
		return names
	}
	before := fmt.Sprint(files())
	a := w.ask("POST", "/admin/v1/plan", `{"files":{"a.properties":"com.example.a=two\n","new/b.properties":"com.example.new=1\n","server.properties":null}}`)
	if a.status != 200 || !strings.Contains(a.body, "com.example.new") {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = w.ask("POST", "/admin/v1/plan", `{"whole":true,"files":{"a.properties":"com.example.a=two\n"}}`)
	if a.status != 200 || !strings.Contains(a.body, "com.example.c") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if after := fmt.Sprint(files()); after != before {
		t.Errorf("the plans left\n%s\nbefore\n%s", after, before)
	}
	w.ask("POST", "/admin/v1/plan", `{"files":{"mpasswd":null}}`).refused(t, 422, "bad_path")
	w.ask("POST", "/admin/v1/plan", `{"files":{"again/a.properties":"com.example.a=two\n"}}`).refused(t, 422, "bad_path")
}

// A file that does not parse would keep its last good contents, in a plan too.
func TestPlanOfABadFile(t *testing.T) {
	w := newWorld(t, tree)
	var e effect
	a := w.ask("POST", "/admin/v1/plan", `{"files":{"a.properties":"com.example.a=\\uZZZZ\n"}}`)
	must(t, json.Unmarshal([]byte(a.body), &e))
	if len(e.Properties) != 0 || len(e.Errors) != 1 || e.Errors[0].Path != "a.properties" || e.Errors[0].Line != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// No more plans are made at once than there is room for.
func TestPlanIsBounded(t *testing.T) {
	w := newWorld(t, tree)
	for range maxPlans {
		w.server.planning <- struct{}{}
	}
	const body = `{"files":{"a.properties":"com.example.a=two\n"}}`
	a := w.ask("POST", "/admin/v1/plan", body)
	a.refused(t, 429, "too_many_plans")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	<-w.server.planning
	if a := w.ask("POST", "/admin/v1/plan", body); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	many := map[string]*string{}
	for i := range maxPlanFiles + 1 {
		many[fmt.Sprintf("%d.properties", i)] = nil
	}
	text, err := json.Marshal(map[string]any{"files": many})
	must(t, err)
	w.ask("POST", "/admin/v1/plan", string(text)).refused(t, 422, "bad_plan")
}

// Neither the reading of the candidate nor its evaluation goes on when nobody
// waits for it.
func TestPlanEndsWithItsRequest(t *testing.T) {
	w := newWorld(t, tree)
	for u := range 20 {
		w.wantAt("PUT", fmt.Sprintf("/admin/v1/contexts/7/users/%d", u+1), 201, `{}`)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, files := range map[string]*cascade.CandidateFiles{"the present files": nil, "others": {}} {
		if e, err := w.server.effectOf(ended, files, cascade.Batch{}, nil); e != nil || err == nil || asProblem(err).Code != "bad_request" {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	now := w.engine.Snapshot()
	then, _, err := w.engine.Candidate(ctx, &cascade.CandidateFiles{Whole: true}, cascade.Batch{})
	must(t, err)
	users := 0
	err = cascade.Compare(ctx, now, then, nil, func(d cascade.Difference) {
		if d.Subject.User != 0 {
			users = int(d.Subject.User)
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || users != 1 {
		t.Errorf("%v, after user %d", err, users)
	}
}
