package cascade

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// slot is one override as a look-up needs it, or the record of a context or
// user: no pointers, so that a million of them cost the garbage collector
// nothing. ctx 0 is an empty slot; user 0 belongs to the context itself.
type slot struct {
	ctx, user, prop uint32
	val             uint32 // index into shard.entries << valShift | flags; of a record see there
}

// propRecord is the prop of a slot that is no override but the directory's
// record. val is an index << recShift | flags: into tables.perms for a user,
// into shard.contexts for a context.
const propRecord = 1<<32 - 1

// Flags of a record.
const (
	recEnabled = 1
	recDeleted = 2
	recShift   = 2
)

// Flags of slot.val below the index, beside bitTrue and bitFalse.
const (
	valFinal   = 4 // the override locks (final)
	valExpired = 8 // kept for the explanation, not a value any more
	valShift   = 4
)

// entry is the rest of an override, which slots point to.
type entry struct {
	off, len       uint32 // the value's place in shard.arena
	meta           uint32 // index into shard.metas
	timeLo, timeHi uint32 // Unix ms; two halves keep the struct at 20 bytes
}

// overrideMeta is shared by the overrides of a shard that were set alike.
type overrideMeta struct {
	final, reason, actor string
	protected, platform  bool
	expires              int64 // Unix ms, 0: never
}

// shard holds the overrides and users of some subjects. It is immutable once
// it is published: a write makes a new one and swaps it, so a single write
// copies a few thousand entries, not a million.
type shard struct {
	slots   []slot
	near    uint32 // number of declared properties, see home
	entries []entry
	arena   string // the values, each once
	metas   []overrideMeta

	contexts []*contextEntry // of the records of contexts
	sigs     []atomic.Uint64 // tag signatures of contexts, see Snapshot.contextSig

	nextExpiry int64 // Unix ms of the earliest override to expire, 0: none
}

// tableSize is the number of slots for n entries: half of them stay empty, so
// that most look-ups end in the first cache line; an override costs 52 bytes.
func tableSize(n int) int { return 2*n + 1 }

// mix is a 64-bit finalizer (splitmix64); ids are small consecutive numbers,
// and their high bits must spread too.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func hashUser(ctx, user uint32) uint64 { return mix(uint64(ctx)<<32 | uint64(user)) }

// home is where the search for a slot begins. The record of a user and the
// overrides of declared properties, which the code looks up all the time, begin
// at the same place: a look-up that falls through to the tags of the user finds
// them in memory that it has just touched. Everything else is spread, so that a
// user with many overrides makes no long runs.
func home(userHash uint64, prop, near uint32, size int) int {
	h := userHash << shardBits
	if prop >= near && prop != propRecord {
		h = (userHash ^ uint64(prop)*0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
	}
	return place(h, size)
}

// place maps a hash to a table of any size without a division.
func place(h uint64, size int) int {
	hi, _ := bits.Mul64(h, uint64(size))
	return int(hi)
}

// find returns the index of an override's slot, or -1.
func (s *shard) find(ctx, user, prop uint32, userHash uint64) int {
	size := len(s.slots)
	if size == 0 {
		return -1
	}
	for i := home(userHash, prop, s.near, size); ; {
		sl := &s.slots[i]
		if sl.ctx == ctx && sl.user == user && sl.prop == prop {
			return i
		}
		if sl.ctx == 0 {
			return -1
		}
		if i++; i == size {
			i = 0
		}
	}
}

// text returns the value of the slot at index i.
func (s *shard) text(i int) string {
	e := &s.entries[s.slots[i].val>>valShift]
	return s.arena[e.off : e.off+e.len]
}

// override unpacks the slot at index i; name is the property's.
func (s *shard) override(i int, name string) Override {
	sl := &s.slots[i]
	e := &s.entries[sl.val>>valShift]
	m := &s.metas[e.meta]
	o := Override{
		Key:   Key{Subject{sl.ctx, sl.user}, name},
		Value: s.text(i), Final: m.final, Protected: m.protected, Reason: m.reason, Actor: m.actor, platform: m.platform,
	}
	if ms := int64(e.timeHi)<<32 | int64(e.timeLo); ms != 0 {
		o.Time = time.UnixMilli(ms).UTC()
	}
	if m.expires != 0 {
		o.Expires = time.UnixMilli(m.expires).UTC()
	}
	return o
}

// shardEdit collects the entries of the shard to come.
type shardEdit struct {
	slots    []slot  // in use, in no order; val of an override only holds flags
	entries  []entry // of slots, at the same index
	arena    []byte
	metas    []overrideMeta
	contexts []*contextEntry

	textOf map[string]uint32 // value -> its offset in arena
	metaOf map[overrideMeta]uint32
	last   uint32          // what metaOf returned last: many in a row are alike
	at     map[slotKey]int // slots in use
}

type slotKey struct{ ctx, user, prop uint32 }

// edit starts from the shard's present entries (nil: from nothing).
func (s *shard) edit() *shardEdit {
	e := &shardEdit{textOf: map[string]uint32{}, metaOf: map[overrideMeta]uint32{}, at: map[slotKey]int{}}
	if s == nil {
		return e
	}
	e.contexts = slices.Clone(s.contexts)
	for i, sl := range s.slots {
		if sl.ctx == 0 {
			continue
		}
		var en entry
		if sl.prop != propRecord {
			en = s.entries[sl.val>>valShift]
			en.off = e.text(s.text(i))
			en.meta = e.meta(s.metas[en.meta])
			sl.val &= 1<<valShift - 1
		}
		e.put(sl, en)
	}
	return e
}

// put adds or replaces a slot.
func (e *shardEdit) put(sl slot, en entry) (replaced slot, had bool) {
	k := slotKey{sl.ctx, sl.user, sl.prop}
	if i, ok := e.at[k]; ok {
		replaced = e.slots[i]
		e.slots[i], e.entries[i] = sl, en
		return replaced, true
	}
	e.at[k] = len(e.slots)
	e.slots, e.entries = append(e.slots, sl), append(e.entries, en)
	return slot{}, false
}

func (e *shardEdit) text(v string) uint32 {
	if off, ok := e.textOf[v]; ok {
		return off
	}
	off := uint32(len(e.arena))
	e.arena = append(e.arena, v...)
	e.textOf[v] = off
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
	m := overrideMeta{final: o.Final, reason: o.Reason, actor: o.Actor, protected: o.Protected, platform: o.platform}
	if !o.Expires.IsZero() {
		m.expires = o.Expires.UnixMilli()
	}
	sl := slot{o.Context, o.User, prop, boolBits(o.Value)}
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
	i, ok := e.at[k]
	if !ok {
		return slot{}, false
	}
	old, last := e.slots[i], len(e.slots)-1
	moved := e.slots[last]
	e.slots[i], e.entries[i] = moved, e.entries[last]
	e.at[slotKey{moved.ctx, moved.user, moved.prop}] = i
	e.slots, e.entries = e.slots[:last], e.entries[:last]
	delete(e.at, k)
	return old, true
}

// putContext adds or replaces the record of a context.
func (e *shardEdit) putContext(c *contextEntry, flags uint32) (added bool) {
	i, ok := e.at[slotKey{c.ID, 0, propRecord}]
	if ok {
		at := e.slots[i].val >> recShift
		e.contexts[at] = c
		e.slots[i].val = at<<recShift | flags
		return false
	}
	e.put(slot{c.ID, 0, propRecord, uint32(len(e.contexts))<<recShift | flags}, entry{})
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
func (e *shardEdit) build(near uint32) *shard {
	if len(e.slots) == 0 {
		return nil
	}
	size := tableSize(len(e.slots))
	s := &shard{
		near: near, slots: make([]slot, size), arena: string(e.arena), metas: slices.Clone(e.metas),
		contexts: e.contexts, sigs: make([]atomic.Uint64, len(e.contexts)),
	}
	s.entries = make([]entry, 0, overrides(e.slots))
	for i, sl := range e.slots {
		if sl.prop != propRecord {
			sl.val |= uint32(len(s.entries)) << valShift
			s.entries = append(s.entries, e.entries[i])
		}
		p := home(hashUser(sl.ctx, sl.user), sl.prop, near, size)
		for s.slots[p].ctx != 0 {
			if p++; p == size {
				p = 0
			}
		}
		s.slots[p] = sl
	}
	return s
}
