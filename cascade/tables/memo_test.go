package tables

import (
	"fmt"
	"testing"
)

// TestMemoTables holds the arithmetic of the words: set and tag give the key
// back, whatever the size.
func TestMemoTables(t *testing.T) {
	for size := minMemoSize; size <= maxMemoSize; size++ {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			tables := &memoTables{size: size}
			seen := map[[2]uint64]Subject{}
			for i := range uint32(20_000) {
				su := Subject{i%97 + 1, i/97 + 1}
				m := Memo{tables, tables.epochs()}
				set, word := m.Key(su)
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

// TestMemoEpochs follows more snapshots than the words have epochs, of ever more
// subjects: none has an epoch that does not fit into a word.
func TestMemoEpochs(t *testing.T) {
	m, renewed := Memo{}, 0
	for i := range 5000 {
		before := m
		if m = m.Next(1, i); m.epoch == 0 || m.epoch > m.tables.epochs() {
			t.Fatalf("epoch %d of %d", m.epoch, m.tables.epochs())
		}
		if m.tables != before.tables {
			renewed++
		} else if m.epoch == before.epoch {
			t.Fatalf("snapshot %d has the epoch of the one before it", i)
		}
	}
	if renewed < 2 {
		t.Errorf("%d tables were made: no epoch was used up", renewed)
	}
}
