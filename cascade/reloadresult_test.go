package cascade

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A reload that somebody asks for tells what the watch has noticed before it,
// once.
func TestNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "a=1\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	settled := func(name, data string) {
		t.Helper()
		write(t, dir, name, data)
		at := time.Now().Add(-time.Minute) // it waits for no quiet
		must(t, os.Chtimes(in(dir, name), at, at))
	}
	settled("a.properties", "a=2\n")
	e.reload(false, false)
	r := reload(t, e)
	if n := r.Noticed; len(r.Changed) != 0 || n == nil || len(n.Changed) != 1 || *n.Changed[0].New != "2" || n.Generation != r.Generation {
		t.Errorf("%+v, noticed %+v", r, n)
	}
	if r = reload(t, e); r.Noticed != nil {
		t.Errorf("told again: %+v", r.Noticed)
	}
	var many strings.Builder
	for i := range maxNoticed + 7 {
		fmt.Fprintf(&many, "key%d=x\n", i)
	}
	settled("b.properties", many.String())
	e.reload(false, false)
	write(t, dir, "a.properties", "a=3\n")
	if r = reload(t, e); len(r.Changed) != 1 || len(r.Noticed.Changed) != maxNoticed || r.Noticed.Omitted != 7 {
		t.Errorf("%d changes, noticed %+v", len(r.Changed), r.Noticed)
	}
	old := ReloadResult{Changed: []Change{{Property: "a"}}}
	e.notice(&old, false, time.Now().Add(-noticedFor-time.Second))
	if r = reload(t, e); r.Noticed != nil {
		t.Errorf("told after %v: %+v", noticedFor, r.Noticed)
	}
}
