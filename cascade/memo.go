package cascade

import (
	"math/rand/v2"
	"sync/atomic"
)

// memo remembers answers of declared booleans for the subjects that are asked
// for most, as a sender of many messages to one user asks. It belongs to one
// snapshot, so nothing in it is ever out of date.
type memo []atomic.Pointer[answers]

// answers is direct-mapped. A word holds context (31 bits), user (31 bits) and
// the answer as bitTrue or bitFalse; 0 is empty.
type answers [answerSlots]atomic.Uint64

const (
	answerSlots = 256 // 2 KiB a property and snapshot
	// storeEach: a look-up that was not remembered is stored once in so many,
	// so that readers of ever new subjects do not take the cache lines from
	// each other.
	storeEach = 16
)

func newMemo(schema *Schema) memo { return make(memo, len(schema.decls)) }

func answerKey(su Subject) (key uint64, slot uint32) {
	key = uint64(su.Context)<<33 | uint64(su.User)<<2
	return key, (su.Context*0x9e3779b1 ^ su.User*0x85ebca77) >> 16 % answerSlots
}

// get returns the remembered bits, 0 where there are none.
func (m memo) get(p uint32, key uint64, slot uint32) uint64 {
	if a := m[p].Load(); a != nil {
		if v := a[slot].Load(); v&^bitsMask == key {
			return v & bitsMask
		}
	}
	return 0
}

func (m memo) put(p uint32, key uint64, slot uint32, value bool) {
	if rand.Uint32()%storeEach != 0 {
		return
	}
	a := m[p].Load()
	if a == nil {
		m[p].CompareAndSwap(nil, new(answers))
		a = m[p].Load()
	}
	bits := uint64(bitFalse)
	if value {
		bits = bitTrue
	}
	a[slot].Store(key | bits)
}
