package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// A plan copies what a load reads: links that lead back to a folder above them
// end there, and the file of the master password is left alone.
func TestPlanCopiesWhatALoadReads(t *testing.T) {
	w := newWorld(t, tree)
	for _, link := range []string{"again", "and-again", "contextSets/up"} {
		must(t, os.Symlink(w.etc, filepath.Join(w.etc, link)))
	}
	must(t, os.WriteFile(filepath.Join(w.etc, "mpasswd"), []byte("oxadminmaster:secret"), 0o600))
	must(t, os.Symlink("x", filepath.Join(w.etc, "x")))
	to := filepath.Join(t.TempDir(), "copy")
	p := planCopy{ctx: t.Context()}
	must(t, p.tree(to, w.etc))
	if p.files != len(tree) {
		t.Errorf("%d files were copied, want %d", p.files, len(tree))
	}
	if _, err := os.Lstat(filepath.Join(to, "mpasswd")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mpasswd: %v", err)
	}
	if a := w.ask("POST", "/admin/v1/plan", `{"files":{"a.properties":"com.example.a=two\n"}}`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A plan ends with its request, and no more are made at once than there is room
// for.
func TestPlanIsBounded(t *testing.T) {
	w := newWorld(t, tree)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p := planCopy{ctx: ended}
	if err := p.tree(filepath.Join(t.TempDir(), "copy"), w.etc); !errors.Is(err, context.Canceled) || p.files != 0 {
		t.Errorf("%d files, %v", p.files, err)
	}
	p = planCopy{ctx: t.Context(), files: maxPlanCopied - 1}
	err := p.tree(filepath.Join(t.TempDir(), "copy"), w.etc)
	if err == nil || asProblem(planFailed(err)).Status != http.StatusUnprocessableEntity {
		t.Errorf("a file too many: %v", err)
	}
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
	for name, roots := range map[string][]string{"the present trees": nil, "others": {w.etc}} {
		if e, err := w.server.effectOf(ended, roots, cascade.Batch{}, nil); e != nil || err == nil || asProblem(err).Code != "bad_request" {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	now := w.engine.Snapshot()
	then, _, err := w.engine.Candidate(ctx, []string{t.TempDir()}, cascade.Batch{})
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

// What the plans of a killed server have left goes at its next start, and that
// of others stays.
func TestRemovePlans(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, state := range []string{"/var/lib/one", "/var/lib/one", "/var/lib/two"} {
		dir, err := os.MkdirTemp("", planFolder(state)+"*")
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "a.properties"), nil, 0o600))
	}
	must(t, RemovePlans("/var/lib/one"))
	must(t, RemovePlans("/var/lib/one"))
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if must(t, err); len(left) != 1 || !strings.HasPrefix(filepath.Base(left[0]), planFolder("/var/lib/two")) {
		t.Errorf("left: %v", left)
	}
}
