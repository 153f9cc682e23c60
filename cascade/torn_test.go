package cascade

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/tree"
)

// TestNoTornRead reloads 100 times a second a file that is replaced by rename,
// under eight readers: two properties that always change together are never
// seen apart.
func TestNoTornRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := in(dir, "pair.properties")
	save := func(n int) {
		rewrite(t, path, fmt.Sprintf("a.value=%d\ncom.openexchange.websockets.enabled=%t\ncom.openexchange.websockets.restart=%d\n", n, n%2 == 0, n))
	}
	save(0)
	e := openEngine(t, Options{Roots: []string{dir}})
	var stop atomic.Bool
	var reads atomic.Uint64
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			rest := time.NewTicker(time.Millisecond)
			defer rest.Stop()
			for last := -1; !stop.Load(); {
				sn := e.Snapshot()
				a, b := text(sn, "a.value"), text(sn, "com.openexchange.websockets.restart")
				on, _ := sn.Bool(Subject{Context: 3, User: 4}, "com.openexchange.websockets.enabled")
				var n int
				if _, err := fmt.Sscan(a, &n); err != nil || a != b || on != (n%2 == 0) {
					t.Errorf("generation %d: %s, %s and %t", sn.Generation(), a, b, on)
					return
				}
				if n < last {
					t.Errorf("%d after %d", n, last)
				}
				last = n
				if reads.Add(1)%20 == 0 {
					<-rest.C // leave the reloads some of two processors
				}
			}
		})
	}
	count := rounds(100, 6000)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for n := 1; n <= count; n++ {
		<-tick.C
		save(n)
		if r := reload(t, e); len(r.Changed) != 3 || len(r.Errors) != 0 {
			t.Errorf("reload %d: %+v", n, r)
		}
	}
	stop.Store(true)
	readers.Wait()
	t.Logf("%d reloads in %v, %d reads", count, time.Since(start), reads.Load())
	if g := e.Snapshot().Generation(); g != uint64(count)+1 {
		t.Errorf("generation %d after %d reloads", g, count)
	}
}

// TestReloadsWhileWriting reloads on demand while a file is replaced all the
// time: each reload sees an old or a new file.
func TestReloadsWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	content := func(n int) string { return manyKeys(50, fmt.Sprint(n)) }
	path := in(dir, "a.properties")
	rewrite(t, path, content(0))
	e := openEngine(t, Options{Roots: []string{dir}})
	var stop atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; !stop.Load(); n++ {
			rewrite(t, path, content(n))
		}
	})
	for range rounds(100, 20_000) {
		reload(t, e)
		sn := e.Snapshot()
		if first, last := text(sn, "key0"), text(sn, "key49"); first != last || first == "(undefined)" {
			t.Fatalf("key0 is %s, key49 is %s", first, last)
		}
	}
	stop.Store(true)
	writer.Wait()
}

// TestHalfWritten writes a file in place and byte by byte while readers look:
// they only ever see the old or the new contents.
func TestHalfWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const keys = 12
	content := func(n int) []byte { return []byte(manyKeys(keys, fmt.Sprint(n))) }
	must(t, os.WriteFile(in(dir, "a.properties"), content(0), 0o644))
	e := running(t, Options{Roots: []string{dir}})
	var stop atomic.Bool
	var torn sync.Map // round -> what was seen
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			rest := time.NewTicker(time.Millisecond)
			defer rest.Stop()
			for !stop.Load() {
				<-rest.C
				sn := e.Snapshot()
				want := text(sn, "key0")
				for k := range keys {
					if got := text(sn, fmt.Sprintf("key%d", k)); got != want || got == "(undefined)" {
						torn.Store(want, fmt.Sprintf("key0 is %s, key%d is %q", want, k, got))
					}
				}
			}
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	slow := map[string]bool{}
	for n := 1; n <= rounds(4, 1000); n++ {
		f, err := os.Create(in(dir, "a.properties"))
		must(t, err)
		before, gap := time.Now(), time.Duration(0)
		for _, b := range content(n) {
			<-tick.C
			now := time.Now()
			_, err := f.Write([]byte{b})
			must(t, err)
			gap, before = max(gap, time.Since(before)), now
		}
		must(t, f.Close())
		within(t, saveLimit, "the whole file", func() bool { return text(e.Snapshot(), "key0") == fmt.Sprint(n) })
		slow[fmt.Sprint(n)] = gap > tree.SettleAge*9/10
	}
	stop.Store(true)
	readers.Wait()
	torn.Range(func(round, seen any) bool {
		// A writer that pauses longer than a file has to rest cannot be told
		// from one that is done.
		if !slow[round.(string)] {
			t.Error(seen)
		}
		return true
	})
}

// TestTruncatedAtEveryOffset looks at a young file that ends anywhere: what is
// in force is the old contents, whatever the length.
func TestTruncatedAtEveryOffset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := []byte("a=1\nlong.key.of.a=some \\\n  value\nb=1\n")
	write(t, dir, "a.properties", string(old))
	write(t, dir, "contextSets/b.yml", "b:\n  withTags: x\n  p: 1\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	e.set.Now = func() time.Time {
		fi, err := os.Stat(in(dir, "a.properties"))
		must(t, err)
		return fi.ModTime().Add(tree.SettleAge - time.Nanosecond)
	}
	digest := e.Snapshot().Digest()
	for _, data := range [][]byte{bytes.ReplaceAll(old, []byte("1"), []byte("2")), []byte("\\u00fcber=\\uD83D\\uDE00\n")} {
		for n := range data {
			must(t, os.WriteFile(in(dir, "a.properties"), data[:n], 0o644))
			if _, again := e.reload(false, false); again == 0 || e.Snapshot().Digest() != digest {
				t.Fatalf("%d bytes count: look again in %v", n, again)
			}
		}
	}
}
