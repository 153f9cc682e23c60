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

// slot is what is known of a subject. One that was replaced keeps its text and
// subject, because its keys stand in their order until they are dropped.
type slot struct {
	who  Subject // User has the bit replaced
	text string  // packed
}

// replaced is a bit that no id has.
const replaced = 1 << 31

func (s *slot) live() bool { return s.who.User&replaced == 0 }

func (s *slot) subject() Subject { return Subject{s.who.Context, s.who.User &^ replaced} }

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
	mu      sync.RWMutex
	slots   []slot
	at      map[Subject]uint32
	base    []key // sorted, as fresh
	fresh   []key
	pending []key // not sorted yet
	dead    int   // slots that were replaced
}

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
	x.slots = append(x.slots, slot{su, text})
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
	x.slots[i].who.User |= replaced
	x.dead++
}

// Reset forgets everybody.
func (x *Index) Reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.slots, x.at, x.base, x.fresh, x.pending, x.dead = nil, nil, nil, nil, nil, 0
}

// Len is the number of subjects that have names.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.at)
}

// What waits to be sorted.
const (
	settleFrom = 1 << 16     // keys; a search sorts fewer in some 30 ms
	settleRest = time.Second // without a write, after which it is done: once for an import and not for each part of it
)

// SettleOnTime sorts what many writes put, once they have ended, so that no
// search waits for it. It returns when ctx ends.
func (x *Index) SettleOnTime(ctx context.Context) {
	tick := time.NewTicker(settleRest)
	defer tick.Stop()
	for before := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n := x.unsorted()
		if n >= settleFrom && n == before {
			x.Settle()
		}
		before = n
	}
}

// unsorted is the number of keys that wait to be sorted.
func (x *Index) unsorted() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.pending)
}

// Settle sorts what was put since; a search does it where nobody has. It takes
// two to eight seconds for a million users, once, by how much their names have
// in common.
func (x *Index) Settle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settle()
	if cap(x.slots) > len(x.slots)+len(x.slots)/16 {
		x.slots = slices.Clip(x.slots) // what many writes left over
	}
}

func (x *Index) settle() {
	if x.dead > mergeAt && x.dead > len(x.slots)/2 {
		x.compact()
	}
	if len(x.pending) == 0 {
		return
	}
	x.sort(x.pending)
	x.fresh = x.merge(x.fresh, x.pending)
	x.pending = nil
	if len(x.fresh) > max(mergeAt, len(x.base)/16) {
		x.base, x.fresh = x.merge(x.base, x.fresh), nil
	}
}

// compact makes the index anew without the subjects that were replaced.
func (x *Index) compact() {
	slots := make([]slot, 0, len(x.at))
	moved := make([]uint32, len(x.slots))
	for i, s := range x.slots {
		moved[i] = math.MaxUint32
		if s.live() {
			moved[i] = uint32(len(slots))
			x.at[s.who] = moved[i]
			slots = append(slots, s)
		}
	}
	for _, list := range []*[]key{&x.base, &x.fresh, &x.pending} {
		kept := (*list)[:0]
		for _, k := range *list {
			if moved[k.slot()] != math.MaxUint32 {
				kept = append(kept, newKey(moved[k.slot()], k.off()))
			}
		}
		*list = kept
	}
	x.slots, x.dead = slots, 0
}

// text is what a key matches: from its place to the end of its field.
func (x *Index) text(k key) string {
	s, from := x.slots[k.slot()].text, int(k.off())
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
func (x *Index) compare(a, b key) int {
	if c := x.against(a, x.text(b), x.slots[b.slot()].subject()); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.slot(), b.slot()), cmp.Compare(a.off(), b.off()))
}

// against compares a key with a text and a subject.
func (x *Index) against(k key, text string, su Subject) int {
	if c := strings.Compare(x.text(k), text); c != 0 {
		return c
	}
	return compareSubjects(x.slots[k.slot()].subject(), su)
}

// sort orders keys. Their first eight bytes decide nearly always, and are
// compared without looking the text up.
func (x *Index) sort(keys []key) {
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
	for i := range list {
		keys[i] = list[i].key
	}
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

// merge joins two sorted lists.
func (x *Index) merge(a, b []key) []key {
	if len(a) == 0 {
		return slices.Clip(b)
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
