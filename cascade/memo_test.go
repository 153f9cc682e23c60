package cascade

import (
	"fmt"
	"sync"
	"testing"
)

// TestMemoKeepsSubjectsApart asks for more subjects than the smallest tables
// hold, over more swaps than they have epochs, from several readers: nobody
// ever gets the answer of another subject or of an older snapshot.
func TestMemoKeepsSubjectsApart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.properties", "com.openexchange.websockets.enabled=true\n")
	e, err := Open(Options{Roots: []string{dir}, Schema: testSchema(t)})
	if err != nil {
		t.Fatal(err)
	}
	h := e.Bool("com.openexchange.websockets.enabled")
	const users, rounds = 6000, 300
	for round := range rounds {
		// Each round switches off those whose number and round are alike.
		off := Override{Key: Key{Subject{1, uint32(round%users) + 1}, "com.openexchange.websockets.enabled"}, Value: "false"}
		if err := e.Apply(Batch{Overrides: []Override{off}}); err != nil {
			t.Fatal(err)
		}
		sn := e.Snapshot()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for u := range uint32(users) {
					if got, want := h.In(sn, Subject{1, u + 1}), u > uint32(round); got != want {
						t.Errorf("round %d, user %d: %t, want %t", round, u+1, got, want)
						return
					}
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
	}
	if used := e.Snapshot().memo; used.epoch > used.tables.epochs() {
		t.Errorf("epoch %d of %d", used.epoch, used.tables.epochs())
	}
}

// TestMemoTables holds the arithmetic of the words: set and tag give the key
// back, whatever the size.
func TestMemoTables(t *testing.T) {
	for size := minMemoSize; size <= maxMemoSize; size++ {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			tables := &memoTables{size: size}
			seen := map[[2]uint64]Subject{}
			for i := range uint32(20_000) {
				su := Subject{i%97 + 1, i/97 + 1}
				m := memo{tables, tables.epochs()}
				set, word := m.key(su)
				if set >= 1<<(size-wayBits) || word&bitsMask != 0 || word>>2&tables.epochs() != m.epoch {
					t.Fatalf("%v: set %d, word %x", su, set, word)
				}
				if other, dup := seen[[2]uint64{set, word}]; dup {
					t.Fatalf("%v and %v share set and word", su, other)
				}
				seen[[2]uint64{set, word}] = su
			}
		})
	}
}
