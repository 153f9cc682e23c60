package cascade

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/tree"
)

// TestBurstOfRenames replaces a file 50 times, 5 ms apart: one reload follows.
func TestBurstOfRenames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := in(dir, "p.properties")
	rewrite(t, path, "a=start\n")
	e := running(t, Options{Roots: []string{dir}})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for try := range 20 {
		before := e.Snapshot().Generation()
		last, gap := time.Now(), time.Duration(0)
		for n := range 50 {
			<-tick.C
			rewrite(t, path, fmt.Sprintf("a=%d.%d\n", try, n))
			gap, last = max(gap, time.Since(last)), time.Now()
		}
		within(t, saveLimit, "the last of them", func() bool { return text(e.Snapshot(), "a") == fmt.Sprintf("%d.49", try) })
		if gap >= tree.PutQuiet/2 {
			continue // a machine this busy makes several bursts of one
		}
		if g := e.Snapshot().Generation(); g != before+1 {
			t.Errorf("%d reloads of one burst, whose longest gap is %v", g-before, gap)
		}
		return
	}
	t.Log("the machine is too busy for renames 5 ms apart")
}

// TestPutThenWritten moves a file in and goes on writing it through the
// descriptor that is still open: half of it never counts.
func TestPutThenWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "p.properties", manyKeys(4, "0"))
	e := running(t, Options{Roots: []string{dir}})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 1; n <= rounds(5, 200); n++ {
		f, err := os.Create(in(dir, "next"))
		must(t, err)
		must(t, os.Rename(in(dir, "next"), in(dir, "p.properties")))
		last, gap := time.Now(), time.Duration(0)
		for k := range 4 {
			for range 4 {
				<-tick.C
			}
			_, err := fmt.Fprintf(f, "key%d=%d\n", k, n)
			must(t, err)
			gap, last = max(gap, time.Since(last)), time.Now()
			if got := text(e.Snapshot(), "key3"); got != fmt.Sprint(n-1) && gap < tree.SettleAge*9/10 {
				t.Fatalf("round %d, after %d lines: key3 is %s", n, k+1, got)
			}
		}
		must(t, f.Close())
		within(t, saveLimit, "the whole file", func() bool { return text(e.Snapshot(), "key3") == fmt.Sprint(n) })
	}
}
