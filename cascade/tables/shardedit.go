package tables

import (
	"slices"
	"sync/atomic"
)

// shardEdit collects the entries of the shard to come.
type shardEdit struct {
	slots    []slot  // in use, in no order; val of an override only holds flags
	entries  []entry // of slots, at the same index
	arena    []byte
	metas    []overrideMeta
	contexts []*Entry

	// table finds slots by their key: 1 + the index, 0 where there is none. It has
	// a power of two of places, at least twice as many as slots.
	table []uint32

	texts  [1 << cachedTexts]cachedText
	textOf map[string]uint32 // value -> its offset in arena
	metaOf map[overrideMeta]uint32
	last   uint32 // what metaOf returned last: many in a row are alike
}

type slotKey struct{ ctx, user, prop uint32 }

// cachedTexts is the number of values, as a power of two, that are found without
// textOf: those of most overrides are few.
const cachedTexts = 3

type cachedText struct {
	text string
	off  uint32
}

// edit starts from the shard's present entries (nil: from nothing), and has room
// for more.
func (s *Shard) edit(more int) *shardEdit {
	e := &shardEdit{textOf: map[string]uint32{}, metaOf: map[overrideMeta]uint32{}}
	if s == nil {
		e.room(more)
		return e
	}
	e.room(len(s.slots)/2 + more)
	e.contexts = slices.Clone(s.contexts)
	moved := make([]uint32, len(s.metas)) // 1 + the index of each meta in e; 0: it is not there yet
	for i, sl := range s.slots {
		if sl.ctx == 0 {
			continue
		}
		var en entry
		if sl.prop != propRecord {
			en = s.entries[sl.val>>valShift]
			en.off = e.text(s.Text(i))
			if moved[en.meta] == 0 {
				moved[en.meta] = 1 + e.meta(s.metas[en.meta])
			}
			en.meta = moved[en.meta] - 1
			sl.val &= 1<<valShift - 1
		}
		e.add(sl, en)
	}
	return e
}

// room makes room for n slots.
func (e *shardEdit) room(n int) {
	e.slots, e.entries = slices.Grow(e.slots, n-len(e.slots)), slices.Grow(e.entries, n-len(e.entries))
	size := 8
	for size < 2*n {
		size *= 2
	}
	e.table = make([]uint32, size)
	for i := range e.slots {
		_, at := e.find(e.slots[i].key())
		e.table[at] = uint32(i) + 1
	}
}

func (sl *slot) key() slotKey { return slotKey{sl.ctx, sl.user, sl.prop} }

// start is where the search for a key begins in a table of a power of two.
func (k slotKey) start(mask uint32) uint32 {
	return uint32(Mix((uint64(k.ctx)<<32|uint64(k.user))^uint64(k.prop)*0x9e3779b97f4a7c15)) & mask
}

// find returns the index of a key's slot, or -1, and the place of the table that
// has it or may have it.
func (e *shardEdit) find(k slotKey) (i int, at uint32) {
	mask := uint32(len(e.table) - 1)
	for at = k.start(mask); ; at = (at + 1) & mask {
		n := e.table[at]
		if n == 0 {
			return -1, at
		}
		if sl := &e.slots[n-1]; sl.key() == k {
			return int(n - 1), at
		}
	}
}

// add adds a slot whose key is not there.
func (e *shardEdit) add(sl slot, en entry) {
	if 2*(len(e.slots)+1) > len(e.table) {
		e.room(2 * (len(e.slots) + 1))
	}
	_, at := e.find(sl.key())
	e.slots, e.entries = append(e.slots, sl), append(e.entries, en)
	e.table[at] = uint32(len(e.slots))
}

// put adds or replaces a slot.
func (e *shardEdit) put(sl slot, en entry) (replaced slot, had bool) {
	if i, _ := e.find(sl.key()); i >= 0 {
		replaced = e.slots[i]
		e.slots[i], e.entries[i] = sl, en
		return replaced, true
	}
	e.add(sl, en)
	return slot{}, false
}

// text returns the place of a value in the arena.
func (e *shardEdit) text(v string) uint32 {
	c := &e.texts[len(v)&(1<<cachedTexts-1)]
	if c.text == v && v != "" {
		return c.off
	}
	off, ok := e.textOf[v]
	if !ok {
		off = uint32(len(e.arena))
		e.arena = append(e.arena, v...)
		e.textOf[v] = off
	}
	*c = cachedText{v, off}
	return off
}

func (e *shardEdit) meta(m overrideMeta) uint32 {
	if int(e.last) < len(e.metas) && e.metas[e.last] == m {
		return e.last
	}
	i, ok := e.metaOf[m]
	if !ok {
		i = uint32(len(e.metas))
		e.metas = append(e.metas, m)
		e.metaOf[m] = i
	}
	e.last = i
	return i
}

// set adds or replaces an override; now is its slot.
func (e *shardEdit) set(o *Override, prop uint32) (now, replaced slot, had bool) {
	m := overrideMeta{final: o.Final, reason: o.Reason, actor: o.Actor, protected: o.Protected, platform: o.Platform}
	if !o.Expires.IsZero() {
		m.expires = o.Expires.UnixMilli()
	}
	sl := slot{o.Context, o.User, prop, BoolBits(o.Value)}
	if o.Final != "" {
		sl.val |= valFinal
	}
	en := entry{off: e.text(o.Value), len: uint32(len(o.Value)), meta: e.meta(m)}
	if !o.Time.IsZero() {
		ms := uint64(o.Time.UnixMilli())
		en.timeLo, en.timeHi = uint32(ms), uint32(ms>>32)
	}
	replaced, had = e.put(sl, en)
	return sl, replaced, had
}

func (e *shardEdit) unset(k slotKey) (slot, bool) {
	i, at := e.find(k)
	if i < 0 {
		return slot{}, false
	}
	e.vacate(at)
	old, last := e.slots[i], len(e.slots)-1
	if i != last {
		_, at := e.find(e.slots[last].key())
		e.table[at] = uint32(i) + 1
		e.slots[i], e.entries[i] = e.slots[last], e.entries[last]
	}
	e.slots, e.entries = e.slots[:last], e.entries[:last]
	return old, true
}

// vacate empties a place of the table. Those that follow move up, so that no
// search ends before what it looks for.
func (e *shardEdit) vacate(at uint32) {
	mask := uint32(len(e.table) - 1)
	for next := (at + 1) & mask; e.table[next] != 0; next = (next + 1) & mask {
		home := e.slots[e.table[next]-1].key().start(mask)
		if (next-home)&mask >= (next-at)&mask {
			e.table[at] = e.table[next]
			at = next
		}
	}
	e.table[at] = 0
}

// putContext adds or replaces the record of a context.
func (e *shardEdit) putContext(c *Entry, flags uint32) (added bool) {
	if i, _ := e.find(slotKey{c.ID, 0, propRecord}); i >= 0 {
		at := e.slots[i].val >> recShift
		e.contexts[at] = c
		e.slots[i].val = at<<recShift | flags
		return false
	}
	e.add(slot{c.ID, 0, propRecord, uint32(len(e.contexts))<<recShift | flags}, entry{})
	e.contexts = append(e.contexts, c)
	return true
}

func overrides(slots []slot) (n int) {
	for i := range slots {
		if slots[i].prop != propRecord {
			n++
		}
	}
	return n
}

// build lays the entries out for look-ups; near is the number of declared
// properties.
func (e *shardEdit) build(near uint32) *Shard {
	if len(e.slots) == 0 {
		return nil
	}
	size := tableSize(len(e.slots))
	s := &Shard{
		near: near, slots: make([]slot, size), used: len(e.slots), arena: string(e.arena), metas: slices.Clone(e.metas),
		contexts: e.contexts, sigs: make([]atomic.Uint64, len(e.contexts)),
	}
	s.entries = make([]entry, 0, overrides(e.slots))
	for i, sl := range e.slots {
		if sl.prop != propRecord {
			sl.val |= uint32(len(s.entries)) << valShift
			s.entries = append(s.entries, e.entries[i])
		}
		p := home(HashUser(sl.ctx, sl.user), sl.prop, near, size)
		for s.slots[p].ctx != 0 {
			if p++; p == size {
				p = 0
			}
		}
		s.slots[p] = sl
	}
	return s
}
