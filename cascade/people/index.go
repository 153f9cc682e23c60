package people

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// Subject is a context (User 0) or a user.
type Subject struct{ Context, User uint32 }

// slot is what is known of a subject. It never changes, so that what sorts keys
// reads it without the lock. One that was replaced stays, because its keys stand in
// their order until they are dropped.
type slot struct {
	who  Subject
	text string // packed
}

// slots are all of an index, by what keys name.
type slots []slot

// key is one place at which a search may match: a slot, in two halves, and an
// offset into its text. It has six bytes, of which there are some five a user: a
// struct of the same would have eight.
type key [3]uint16

func newKey(slot uint32, off uint16) key { return key{uint16(slot), uint16(slot >> 16), off} }

func (k key) slot() uint32 { return uint32(k[0]) | uint32(k[1])<<16 }
func (k key) off() uint16  { return k[2] }

// mergeAt is the number of keys that are kept beside the large list, so that a
// write moves some 100 KiB and not all of it; a sixteenth of a longer list is.
const mergeAt = 16 << 10

// Index finds subjects by their names. Its methods may be called from many
// goroutines. The zero value is empty.
type Index struct {
	settling sync.Mutex // held by who sorts beside the readers; taken before mu

	mu      sync.RWMutex
	slots   slots
	gone    []uint64 // a bit for each slot that was replaced
	at      map[Subject]uint32
	base    []key // sorted, as fresh
	fresh   []key
	pending []key // not sorted yet
	sorting []key // of pending, what is being sorted
	settles bool  // who sorts puts new lists in the place of base and fresh: nobody else changes them
	dead    int   // slots that were replaced
	resets  int
}

func (x *Index) live(i uint32) bool { return x.gone[i/64]&(1<<(i%64)) == 0 }

// Put sets the names of a subject; without any it is not found.
func (x *Index) Put(su Subject, n *Names) {
	text := n.pack()
	x.mu.Lock()
	defer x.mu.Unlock()
	if i, ok := x.at[su]; ok {
		if x.slots[i].text == text {
			return
		}
		x.remove(su, i)
	}
	if text == "" || len(text) > math.MaxUint16 {
		return
	}
	if x.at == nil {
		x.at = map[Subject]uint32{}
	}
	i := uint32(len(x.slots))
	x.at[su] = i
	if x.slots = append(x.slots, slot{su, text}); len(x.gone) <= int(i/64) {
		x.gone = append(x.gone, 0)
	}
	each(text, func(p packed) bool {
		p.starts(func(off int) { x.pending = append(x.pending, newKey(i, uint16(off))) })
		return true
	})
}

// Delete forgets a subject, and with a context its users.
func (x *Index) Delete(su Subject) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i, ok := x.at[su]; ok {
		x.remove(su, i)
	}
	if su.User != 0 {
		return
	}
	for other, i := range x.at {
		if other.Context == su.Context {
			x.remove(other, i)
		}
	}
}

func (x *Index) remove(su Subject, i uint32) {
	delete(x.at, su)
	x.gone[i/64] |= 1 << (i % 64)
	x.dead++
}

// Reset forgets everybody.
func (x *Index) Reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.slots, x.gone, x.at, x.base, x.fresh, x.pending, x.sorting, x.dead = nil, nil, nil, nil, nil, nil, nil, 0
	x.resets++
}

// Len is the number of subjects that have names.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.at)
}

// What waits to be sorted.
const (
	settleFrom = 1 << 15     // keys; a search sorts fewer in some 20 ms, and does without more
	settleRest = time.Second // without a write, after which they are sorted: once for an import and not for each part of it
)

// SettleOnTime sorts what many writes put, once they have ended. It returns when
// ctx ends.
func (x *Index) SettleOnTime(ctx context.Context) {
	tick := time.NewTicker(settleRest)
	defer tick.Stop()
	for before := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, long := x.unsorted()
		if n == before && (n >= settleFrom || long) {
			x.Settle()
		}
		before = n
	}
}

// unsorted is the number of keys that wait to be sorted, and whether fresh is
// longer than is good for what goes into it.
func (x *Index) unsorted() (keys int, long bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.pending) + len(x.sorting), tooLong(x.fresh, x.base)
}

func tooLong(fresh, base []key) bool { return len(fresh) > max(mergeAt, len(base)/16) }

// Settle sorts what was put since. It takes two to eight seconds for a million
// users, once, by how much their names have in common; searches and writes go on
// meanwhile, without those names.
func (x *Index) Settle() {
	x.settling.Lock()
	defer x.settling.Unlock()
	x.mu.Lock()
	if x.dead > mergeAt && x.dead > len(x.slots)/2 {
		x.compact()
	}
	x.sorting, x.pending, x.settles = x.pending, nil, true
	in, sorting, base, fresh, resets := x.slots, x.sorting, x.base, x.fresh, x.resets
	x.mu.Unlock()

	fresh = in.merge(fresh, in.sort(sorting))
	if tooLong(fresh, base) {
		base, fresh = in.merge(base, fresh), nil
	}

	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sorting, x.settles = nil, false; x.resets == resets { // else they are of those who were forgotten
		x.base, x.fresh = base, fresh
	}
	if cap(x.slots) > len(x.slots)+len(x.slots)/16 {
		x.slots = slices.Clip(x.slots) // what many writes left over
	}
}

// Ready returns once all names that were put are sorted.
func (x *Index) Ready() {
	if keys, _ := x.unsorted(); keys > 0 {
		x.Settle()
	}
}

// few reports whether a search sorts what was put: it can wait for that.
func (x *Index) few() bool { return len(x.pending) > 0 && len(x.pending) <= settleFrom && !x.settles }

// compact makes the index anew without the subjects that were replaced.
func (x *Index) compact() {
	kept := make(slots, 0, len(x.at))
	moved := make([]uint32, len(x.slots))
	for i, s := range x.slots {
		moved[i] = math.MaxUint32
		if x.live(uint32(i)) {
			moved[i] = uint32(len(kept))
			x.at[s.who] = moved[i]
			kept = append(kept, s)
		}
	}
	for _, list := range []*[]key{&x.base, &x.fresh, &x.pending} {
		keys := (*list)[:0]
		for _, k := range *list {
			if moved[k.slot()] != math.MaxUint32 {
				keys = append(keys, newKey(moved[k.slot()], k.off()))
			}
		}
		*list = keys
	}
	x.slots, x.gone, x.dead = kept, make([]uint64, (len(kept)+63)/64), 0
}

// text is what a key matches: from its place to the end of its field.
func (x slots) text(k key) string {
	s, from := x[k.slot()].text, int(k.off())
	var out string
	each(s, func(p packed) bool {
		if end := p.off + len(p.folded); from < end {
			out = s[from:end]
			return false
		}
		return true
	})
	return out
}

func compareSubjects(a, b Subject) int {
	return cmp.Or(cmp.Compare(a.Context, b.Context), cmp.Compare(a.User, b.User))
}

// compare orders keys by text, then by subject.
func (x slots) compare(a, b key) int {
	if c := x.against(a, x.text(b), x[b.slot()].who); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.slot(), b.slot()), cmp.Compare(a.off(), b.off()))
}

// against compares a key with a text and a subject.
func (x slots) against(k key, text string, su Subject) int {
	if c := strings.Compare(x.text(k), text); c != 0 {
		return c
	}
	return compareSubjects(x[k.slot()].who, su)
}

// sort returns keys in their order. Their first eight bytes decide nearly always,
// and are compared without looking the text up.
func (x slots) sort(keys []key) []key {
	type prefixed struct {
		prefix uint64
		key    key
	}
	list := make([]prefixed, len(keys))
	for i, k := range keys {
		list[i] = prefixed{prefix(x.text(k)), k}
	}
	slices.SortFunc(list, func(a, b prefixed) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return x.compare(a.key, b.key)
	})
	sorted := make([]key, len(keys))
	for i := range list {
		sorted[i] = list[i].key
	}
	return sorted
}

func prefix(s string) (p uint64) {
	for i := range 8 {
		p <<= 8
		if i < len(s) {
			p |= uint64(s[i])
		}
	}
	return p
}

// merge joins two sorted lists into a new one, or returns the only one.
func (x slots) merge(a, b []key) []key {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make([]key, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		// Few of b go into a long a: copy what lies between at once.
		n, _ := slices.BinarySearchFunc(a, b[0], x.compare)
		out = append(append(out, a[:n]...), b[0])
		a, b = a[n:], b[1:]
	}
	return append(append(out, a...), b...)
}
