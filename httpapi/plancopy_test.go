package httpapi

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
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
