package cascade

import (
	"math/bits"
	"time"
)

// slot is one override as a look-up needs it: no pointers, so that a million
// of them cost the garbage collector nothing. ctx 0 is an empty slot.
type slot struct {
	ctx, user, prop uint32
	val             uint32 // index into shard.cells << valShift | flags
}

// Flags of slot.val below the cell index, beside bitTrue and bitFalse.
const (
	valFinal   = 4 // the override locks (final)
	valExpired = 8 // kept for the explanation, not a value any more
	valShift   = 4
)

// cold is what only an explanation needs of an override, at the slot's index.
type cold struct {
	meta           uint32 // index into shard.metas
	timeLo, timeHi uint32 // Unix ms; two halves keep the struct at 12 bytes
}

// cell is a value's place in shard.arena.
type cell struct{ off, len uint32 }

// overrideMeta is shared by the overrides of a shard that were set alike.
type overrideMeta struct {
	final, reason, actor string
	protected            bool
	expires              int64 // Unix ms, 0: never
}

// userRec is a user of the directory. ctx 0 is an empty place.
type userRec struct {
	ctx, user uint32
	perms     uint32 // index into Tables.perms
	flags     uint32
}

const (
	userEnabled = 1
	userDeleted = 2
)

// shard holds the overrides and users of some subjects. It is immutable once
// it is published: a write makes a new one and swaps it, so a single write
// copies a few thousand entries, not a million.
type shard struct {
	slots []slot
	cold  []cold
	n     int // slots in use

	users []userRec
	nu    int // users in use

	cells []cell
	arena string // the values, each once
	metas []overrideMeta

	nextExpiry int64 // Unix ms of the earliest override to expire, 0: none
}

// loadNum/loadDen is how full the open-addressing tables get: at 2/3 a miss
// looks at 5 neighbouring slots on average, and an override costs 42 bytes.
const loadNum, loadDen = 2, 3

// tableSize is the number of places for n entries.
func tableSize(n int) int { return n*loadDen/loadNum + 1 }

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

// hashSlot spreads the properties of one user over the user's shard.
func hashSlot(userHash uint64, prop uint32) uint64 {
	return (userHash ^ uint64(prop)*0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
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
	for i := place(hashSlot(userHash, prop), size); ; {
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

// placeUser is where a user's record starts to be looked for: other bits of
// the hash than the shard's number uses.
func placeUser(userHash uint64, size int) int { return place(userHash<<shardBits, size) }

func (s *shard) findUser(ctx, user uint32, userHash uint64) *userRec {
	size := len(s.users)
	if size == 0 {
		return nil
	}
	for i := placeUser(userHash, size); ; {
		r := &s.users[i]
		if r.ctx == ctx && r.user == user {
			return r
		}
		if r.ctx == 0 {
			return nil
		}
		if i++; i == size {
			i = 0
		}
	}
}

// text returns the value of the slot at index i.
func (s *shard) text(i int) string {
	c := s.cells[s.slots[i].val>>valShift]
	return s.arena[c.off : c.off+c.len]
}

// override unpacks the slot at index i; name is the property's.
func (s *shard) override(i int, name string) Override {
	sl, co := &s.slots[i], &s.cold[i]
	m := &s.metas[co.meta]
	o := Override{
		Key:   Key{Subject{sl.ctx, sl.user}, name},
		Value: s.text(i), Final: m.final, Protected: m.protected, Reason: m.reason, Actor: m.actor,
	}
	if ms := int64(co.timeHi)<<32 | int64(co.timeLo); ms != 0 {
		o.Time = time.UnixMilli(ms).UTC()
	}
	if m.expires != 0 {
		o.Expires = time.UnixMilli(m.expires).UTC()
	}
	return o
}

// shardEdit collects the entries of the shard to come.
type shardEdit struct {
	slots []slot // in use, in no order
	cold  []cold
	users []userRec
	cells []cell
	arena []byte
	metas []overrideMeta

	cellOf map[string]uint32
	metaOf map[overrideMeta]uint32
	at     map[slotKey]int // index into slots of what this edit knows
	userAt map[Subject]int
}

type slotKey struct{ ctx, user, prop uint32 }

// edit starts from the shard's present entries (nil: from nothing).
func (s *shard) edit() *shardEdit {
	e := &shardEdit{
		cellOf: map[string]uint32{}, metaOf: map[overrideMeta]uint32{},
		at: map[slotKey]int{}, userAt: map[Subject]int{},
	}
	if s == nil {
		return e
	}
	for i := range s.slots {
		sl := s.slots[i]
		if sl.ctx == 0 {
			continue
		}
		sl.val = e.cell(s.text(i))<<valShift | sl.val&(1<<valShift-1)
		e.at[slotKey{sl.ctx, sl.user, sl.prop}] = len(e.slots)
		e.slots = append(e.slots, sl)
		co := s.cold[i]
		co.meta = e.meta(s.metas[co.meta])
		e.cold = append(e.cold, co)
	}
	for _, r := range s.users {
		if r.ctx != 0 {
			e.userAt[Subject{r.ctx, r.user}] = len(e.users)
			e.users = append(e.users, r)
		}
	}
	return e
}

func (e *shardEdit) cell(v string) uint32 {
	if i, ok := e.cellOf[v]; ok {
		return i
	}
	i := uint32(len(e.cells))
	e.cells = append(e.cells, cell{uint32(len(e.arena)), uint32(len(v))})
	e.arena = append(e.arena, v...)
	e.cellOf[v] = i
	return i
}

func (e *shardEdit) meta(m overrideMeta) uint32 {
	if i, ok := e.metaOf[m]; ok {
		return i
	}
	i := uint32(len(e.metas))
	e.metas = append(e.metas, m)
	e.metaOf[m] = i
	return i
}

func (e *shardEdit) set(o *Override, prop uint32) (replaced slot, had bool) {
	m := overrideMeta{final: o.Final, reason: o.Reason, actor: o.Actor, protected: o.Protected}
	if !o.Expires.IsZero() {
		m.expires = o.Expires.UnixMilli()
	}
	sl := slot{o.Context, o.User, prop, e.cell(o.Value)<<valShift | boolBits(o.Value)}
	if o.Final != "" {
		sl.val |= valFinal
	}
	co := cold{meta: e.meta(m)}
	if !o.Time.IsZero() {
		ms := uint64(o.Time.UnixMilli())
		co.timeLo, co.timeHi = uint32(ms), uint32(ms>>32)
	}
	k := slotKey{sl.ctx, sl.user, sl.prop}
	if i, ok := e.at[k]; ok {
		replaced = e.slots[i]
		e.slots[i], e.cold[i] = sl, co
		return replaced, true
	}
	e.at[k] = len(e.slots)
	e.slots = append(e.slots, sl)
	e.cold = append(e.cold, co)
	return slot{}, false
}

func (e *shardEdit) unset(k slotKey) (slot, bool) {
	i, ok := e.at[k]
	if !ok {
		return slot{}, false
	}
	old, last := e.slots[i], len(e.slots)-1
	moved := e.slots[last]
	e.slots[i], e.cold[i] = moved, e.cold[last]
	e.at[slotKey{moved.ctx, moved.user, moved.prop}] = i
	e.slots, e.cold = e.slots[:last], e.cold[:last]
	delete(e.at, k)
	return old, true
}

func (e *shardEdit) putUser(r userRec) (old userRec, had bool) {
	k := Subject{r.ctx, r.user}
	if i, ok := e.userAt[k]; ok {
		old = e.users[i]
		e.users[i] = r
		return old, true
	}
	e.userAt[k] = len(e.users)
	e.users = append(e.users, r)
	return userRec{}, false
}

// build lays the entries out for look-ups.
func (e *shardEdit) build() *shard {
	if len(e.slots) == 0 && len(e.users) == 0 {
		return nil
	}
	s := &shard{n: len(e.slots), nu: len(e.users)}
	if s.n > 0 {
		size := tableSize(s.n)
		s.slots, s.cold = make([]slot, size), make([]cold, size)
		for i, sl := range e.slots {
			p := place(hashSlot(hashUser(sl.ctx, sl.user), sl.prop), size)
			for s.slots[p].ctx != 0 {
				if p++; p == size {
					p = 0
				}
			}
			s.slots[p], s.cold[p] = sl, e.cold[i]
		}
		s.cells = append([]cell(nil), e.cells...)
		s.arena = string(e.arena)
		s.metas = append([]overrideMeta(nil), e.metas...)
	}
	if s.nu > 0 {
		size := tableSize(s.nu)
		s.users = make([]userRec, size)
		for _, r := range e.users {
			p := placeUser(hashUser(r.ctx, r.user), size)
			for s.users[p].ctx != 0 {
				if p++; p == size {
					p = 0
				}
			}
			s.users[p] = r
		}
	}
	return s
}
