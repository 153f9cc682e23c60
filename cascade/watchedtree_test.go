package cascade

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed47708276/sluice/testkit"
)

// TestWatchedIsFromNothing changes a tree that is watched in the ways in which trees
// change, several at once, and waits until the engine has what a new one reads. Its
// rescan comes too late to help.
func TestWatchedIsFromNothing(t *testing.T) {
	for seed := range uint64(rounds(4, 100)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &watchedTree{r: rand.New(rand.NewPCG(seed, 7)), dir: t.TempDir()}
			for i := range 12 {
				w.write(t, fmt.Sprintf("d%d/f%d.properties", i%3, i))
			}
			write(t, w.dir, "sluice.properties", PropRescan+"=1h\n"+PropShrinkHold+"=100\n")
			w.write(t, ".one/l")
			w.write(t, ".two/l")
			must(t, os.Symlink(".one", in(w.dir, ".data")))
			must(t, os.Symlink(".data/l", in(w.dir, "l.properties")))
			must(t, os.Symlink("../.two/l", in(w.dir, "d1/m.properties")))
			e := running(t, Options{Roots: []string{w.dir}})
			for step := range 12 {
				what := ""
				for range 1 + w.r.IntN(3) {
					what += w.change(t) + "; "
				}
				var want *Snapshot
				testkit.Poll(t, fmt.Sprintf("step %d, %s the state of a new engine", step, what), func() bool {
					want = openEngine(t, Options{Roots: []string{w.dir}}).Snapshot()
					return e.Snapshot().Digest() == want.Digest() && len(errorsOf(e.Snapshot())) == 0 && statusesOK(e.Snapshot())
				})
				sn := e.Snapshot()
				for _, name := range want.AllNames() {
					if have, want := sn.Explain(Subject{}, name, ExplainOptions{}), want.Explain(Subject{}, name, ExplainOptions{}); *have.Value != *want.Value || have.Origin.String() != want.Origin.String() {
						t.Fatalf("step %d, %s%s is %s from %s, want %s from %s", step, what, name, *have.Value, have.Origin, *want.Value, want.Origin)
					}
				}
			}
			r, err := e.Reload(context.Background())
			must(t, err)
			if len(r.Changed) > 0 {
				t.Errorf("a look at everything still found %+v", r.Changed)
			}
		})
	}
}

func statusesOK(sn *Snapshot) bool {
	return !slices.ContainsFunc(sn.Files(), func(f FileReport) bool { return f.Status != FileOK })
}

type watchedTree struct {
	r   *rand.Rand
	dir string
	n   int // of the last value: each is another
}

func (w *watchedTree) text() string {
	w.n++
	return fmt.Sprintf("key%d=value %d\nmine%d=1\n", w.r.IntN(6), w.n, w.n)
}

func (w *watchedTree) write(t *testing.T, rel string) { write(t, w.dir, rel, w.text()) }

// file is one of the files that folders d0 to d2, or what became of them, hold.
func (w *watchedTree) file(t *testing.T) string {
	t.Helper()
	all, err := filepath.Glob(in(w.dir, "d*/f*.properties"))
	must(t, err)
	return pick(w.r, all)
}

func (w *watchedTree) change(t *testing.T) string {
	t.Helper()
	path := w.file(t)
	rel, err := filepath.Rel(w.dir, path)
	must(t, err)
	w.n++
	switch w.r.IntN(12) {
	case 0:
		if all, err := filepath.Glob(in(w.dir, "d*/f*.properties")); err != nil || len(all) < 5 {
			return "nothing"
		}
		must(t, os.Remove(path))
		return "removed " + rel
	case 1:
		to := fmt.Sprintf("d0/f%d.properties", w.n)
		must(t, os.MkdirAll(in(w.dir, "d0"), 0o755))
		w.write(t, to)
		return "made " + to
	case 2:
		to := filepath.Join(filepath.Dir(path), fmt.Sprintf("f%d.properties", w.n))
		must(t, os.Rename(path, to))
		return "renamed " + rel
	case 3:
		to := in(w.dir, fmt.Sprintf("d%d", w.n))
		must(t, os.Rename(filepath.Dir(path), to))
		return "moved the folder of " + rel
	case 4:
		next := pick(w.r, []string{".one", ".two"})
		must(t, os.Symlink(next, in(w.dir, ".next")))
		must(t, os.Rename(in(w.dir, ".next"), in(w.dir, ".data")))
		return "swapped to " + next
	case 5:
		to := pick(w.r, []string{".one/l", ".two/l"})
		w.write(t, to)
		return "wrote " + to
	case 6:
		must(t, os.Mkdir(in(w.dir, ".new"), 0o755))
		w.write(t, fmt.Sprintf(".new/f%d.properties", w.n))
		must(t, os.Rename(in(w.dir, ".new"), in(w.dir, fmt.Sprintf("d%d", w.n))))
		return "moved a folder in"
	case 7, 8, 9:
		rewrite(t, path, w.text())
		return "renamed over " + rel
	}
	must(t, os.WriteFile(path, []byte(w.text()), 0o600))
	return "wrote " + rel
}
