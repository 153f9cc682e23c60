package tables

import (
	"math/bits"
	"sync/atomic"
)

// Memo remembers the answers of declared booleans. A look-up through the scopes
// waits for memory at places that depend on each other; a remembered one is a
// single load, of which the processor has many under way at once.
//
// Its tables are shared by the snapshots that follow each other. Each answer
// carries the epoch of the snapshot that gave it, and counts for that one only,
// so a swap forgets everything at no cost.
type Memo struct {
	tables *memoTables
	epoch  uint64 // 1 to tables.epochs()
}

// memoTables hold a table for each declared property, made when it is first
// used. A table has 1<<size words in sets of four, half a cache line. A word is
// the tag, the epoch and the answer: set and tag together are a subject's whole
// key, mixed reversibly, so two subjects are never taken for each other.
type memoTables struct {
	size  int
	props []atomic.Pointer[[]atomic.Uint64]
}

// The tables have two words for each subject that is known, so that nearly all
// of them find a place, within 32 KiB and 16 MiB a property.
const (
	minMemoSize = 12
	maxMemoSize = 21
	wayBits     = 2 // four words in a set
)

func memoSize(subjects int) int {
	return min(max(bits.Len(uint(2*subjects)), minMemoSize), maxMemoSize)
}

// epochs is how many epochs fit into a word beside tag and answer.
func (t *memoTables) epochs() uint64 { return 1<<(t.size-wayBits-2) - 1 }

// Next is the memo of the snapshot that follows, for some number of declared
// properties: with the same tables, unless the epochs are used up or there are
// many more subjects now.
func (m Memo) Next(declared, subjects int) Memo {
	if t := m.tables; t != nil && m.epoch < t.epochs() && t.size >= memoSize(subjects) {
		return Memo{t, m.epoch + 1}
	}
	return Memo{&memoTables{size: memoSize(subjects), props: make([]atomic.Pointer[[]atomic.Uint64], declared)}, 1}
}

// Key returns the set of a subject, and the word without the answer.
func (m Memo) Key(su Subject) (set uint64, word uint64) {
	h := Mix(uint64(su.Context)<<32 | uint64(su.User)) // reversible
	shift := m.tables.size - wayBits
	return h >> (64 - shift), h<<shift | m.epoch<<2
}

// Get returns the remembered answer as BitTrue or BitFalse, or 0.
func (m Memo) Get(p uint32, set, word uint64) uint64 {
	t := m.tables.props[p].Load()
	if t == nil {
		return 0
	}
	// No branch depends on which of the four it is: the processor goes on to
	// the next look-up while this one waits for memory.
	words := (*t)[set<<wayBits:][:1<<wayBits]
	a, b, c, d := words[0].Load(), words[1].Load(), words[2].Load(), words[3].Load()
	if b&^bitsMask == word {
		a = b
	}
	if c&^bitsMask == word {
		a = c
	}
	if d&^bitsMask == word {
		a = d
	}
	if a&^bitsMask == word {
		return a & bitsMask
	}
	return 0
}

// Put remembers an answer for a set and word of Key.
func (m Memo) Put(p uint32, set, word uint64, value bool) {
	t := m.tables.props[p].Load()
	if t == nil {
		fresh := make([]atomic.Uint64, 1<<m.tables.size)
		m.tables.props[p].CompareAndSwap(nil, &fresh)
		t = m.tables.props[p].Load()
	}
	if value {
		word |= BitTrue
	} else {
		word |= BitFalse
	}
	// An answer of this epoch is only replaced where all four words have one.
	epochs := m.tables.epochs() << 2
	words := (*t)[set<<wayBits:][:1<<wayBits]
	at := word >> (64 - wayBits)
	for i := range words {
		if words[i].Load()&epochs != m.epoch<<2 {
			at = uint64(i)
			break
		}
	}
	words[at].Store(word)
}
