package tables

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
	RecEnabled = 1
	RecDeleted = 2
	recShift   = 2
)

// Flags of slot.val below the index, beside BitTrue and BitFalse.
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

// Shard holds the overrides and users of some subjects. It is immutable once
// it is published: a write makes a new one and swaps it, so a single write
// copies a few thousand entries, not a million.
type Shard struct {
	slots   []slot
	used    int    // of slots
	near    uint32 // number of declared properties, see home
	entries []entry
	arena   string // the values, each once
	metas   []overrideMeta

	contexts []*Entry        // of the records of contexts
	sigs     []atomic.Uint64 // tag signatures of contexts, see Snapshot.contextSig

	nextExpiry int64 // Unix ms of the earliest override to expire, 0: none
}

// tableSize is the number of slots for n entries: half of them stay empty, so
// that most look-ups end in the first cache line; an override costs 52 bytes.
func tableSize(n int) int { return 2*n + 1 }

// Mix is a 64-bit finalizer (splitmix64); ids are small consecutive numbers,
// and their high bits must spread too.
func Mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// HashUser decides in which shard a context (user 0) or a user is, and where in it.
func HashUser(ctx, user uint32) uint64 { return Mix(uint64(ctx)<<32 | uint64(user)) }

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
	return Place(h, size)
}

// Place maps a hash to a table of any size without a division.
func Place(h uint64, size int) int {
	hi, _ := bits.Mul64(h, uint64(size))
	return int(hi)
}

// find returns the index of an override's slot, or -1.
func (s *Shard) find(ctx, user, prop uint32, userHash uint64) int {
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

// withUser returns the shard with the record of a user who is new in it, or nil
// where it has to be built anew: for a user who is there, and for a table that is
// two thirds full. A copy of the slots costs a tenth of building them, and users
// are met one by one.
func (s *Shard) withUser(ctx, user, val uint32) *Shard {
	if s == nil || s.used+1 > len(s.slots)*2/3 {
		return nil
	}
	h := HashUser(ctx, user)
	i := home(h, propRecord, s.near, len(s.slots))
	for s.slots[i].ctx != 0 {
		if sl := &s.slots[i]; sl.ctx == ctx && sl.user == user && sl.prop == propRecord {
			return nil
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	next := *s
	next.used++
	next.slots = slices.Clone(s.slots)
	next.slots[i] = slot{ctx, user, propRecord, val}
	return &next
}

// Bits tells which boolean the value of the slot at index i is.
func (s *Shard) Bits(i int) uint32 { return s.slots[i].val & bitsMask }

// Expired reports whether the override at index i is no value any more.
func (s *Shard) Expired(i int) bool { return s.slots[i].val&valExpired != 0 }

// Locks reports whether the override at index i locks its property to a scope.
func (s *Shard) Locks(i int) bool { return s.slots[i].val&valFinal != 0 }

// Record is what the record at index i says: see tables.record.
func (s *Shard) Record(i int) uint32 { return s.slots[i].val }

// Signature is that of the tags of a context, by its record.
func (s *Shard) Signature(record uint32) *atomic.Uint64 { return &s.sigs[record>>recShift] }

// Text returns the value of the slot at index i.
func (s *Shard) Text(i int) string {
	e := &s.entries[s.slots[i].val>>valShift]
	return s.arena[e.off : e.off+e.len]
}

// Override unpacks the slot at index i; name is the property's.
func (s *Shard) Override(i int, name string) Override {
	sl := &s.slots[i]
	e := &s.entries[sl.val>>valShift]
	m := &s.metas[e.meta]
	o := Override{
		Key:   Key{Subject{sl.ctx, sl.user}, name},
		Value: s.Text(i), Final: m.final, Protected: m.protected, Reason: m.reason, Actor: m.actor, Platform: m.platform,
	}
	if ms := int64(e.timeHi)<<32 | int64(e.timeLo); ms != 0 {
		o.Time = time.UnixMilli(ms).UTC()
	}
	if m.expires != 0 {
		o.Expires = time.UnixMilli(m.expires).UTC()
	}
	return o
}

// Pair finds the override of a declared property that has not expired, else the
// record of the subject, -1 where there is none: both begin at the same place,
// see home.
func (s *Shard) Pair(ctx, user, prop uint32, userHash uint64) (override, record int) {
	override, record = -1, -1
	if s == nil {
		return override, record
	}
	slots := s.slots
	for i := Place(userHash<<shardBits, len(slots)); ; {
		sl := &slots[i]
		if sl.ctx == ctx && sl.user == user {
			if sl.prop == prop && sl.val&valExpired == 0 {
				return i, record // the record matters only where this does not win
			} else if sl.prop == propRecord {
				record = i
			}
		} else if sl.ctx == 0 {
			return override, record
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}
