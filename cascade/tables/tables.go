package tables

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

const (
	shardBits   = 9 // 512 shards: a write copies 1/512 of a million overrides
	contextBits = 8
	countBits   = 8
)

// Tables are the directory and the overrides: resident, immutable, and shared
// shard by shard with the tables that they were made from.
type Tables struct {
	users    [1 << shardBits]*Shard   // records and overrides of users
	contexts [1 << contextBits]*Shard // records and overrides of contexts
	near     uint32                   // number of declared properties
	perms    []permSet                // index 0: none
	permOf   map[string]uint32        // read and written under the engine's lock only
	counts   []*[1 << countBits]PropCount

	Subjects   int   // records and overrides together: no fewer than there are subjects
	NextExpiry int64 // Unix ms of the earliest one to come, math.MaxInt64: none
}

// PropCount tells a look-up which scopes cannot define a property at all.
type PropCount struct{ User, Context, Final uint32 }

// permSet is one distinct set of permissions, with the tags that it gives.
type permSet struct {
	names []string
	tags  []string // uc + name
}

// Entry is a context of the directory.
type Entry struct {
	Context
	Deleted bool
}

// New makes empty tables for some number of declared properties.
func New(declared int) *Tables {
	return &Tables{
		near: uint32(declared), perms: []permSet{{}}, permOf: map[string]uint32{"": 0}, NextExpiry: math.MaxInt64,
	}
}

// Shard is where the entries of a context (user 0) or a user are.
func (t *Tables) Shard(user uint32, hash uint64) *Shard {
	if user == 0 {
		return t.contexts[hash>>(64-contextBits)]
	}
	return t.users[hash>>(64-shardBits)]
}

// Record returns the record of a context (user 0) or a user; its shard is nil
// where there is none.
func (t *Tables) Record(ctx, user uint32) (*Shard, uint32) {
	sh, i := t.Find(ctx, user, propRecord)
	if i < 0 {
		return nil, 0
	}
	return sh, sh.slots[i].val
}

// Context is a context of the directory, deleted or not; nil where there is none.
func (t *Tables) Context(id uint32) *Entry {
	if sh, rec := t.Record(id, 0); sh != nil {
		return sh.contexts[rec>>recShift]
	}
	return nil
}

// Permissions returns the index of a user's permission set; 0 is none.
func (t *Tables) Permissions(su Subject) uint32 {
	if su.User == 0 {
		return 0
	}
	if sh, rec := t.Record(su.Context, su.User); sh != nil {
		return PermissionsOf(rec)
	}
	return 0
}

// PermissionsOf is the index of a permission set in the record of a user.
func PermissionsOf(record uint32) uint32 { return record >> recShift }

// PermissionTags are the tags that a permission set gives.
func (t *Tables) PermissionTags(perms uint32) []string { return t.perms[perms].tags }

// Count tells how many overrides of a property there are.
func (t *Tables) Count(prop uint32) PropCount {
	if c := int(prop >> countBits); c < len(t.counts) && t.counts[c] != nil {
		return t.counts[c][prop&(1<<countBits-1)]
	}
	return PropCount{}
}

// Find returns the shard and slot of an override or a record; the slot is -1
// where there is none.
func (t *Tables) Find(ctx, user, prop uint32) (*Shard, int) {
	h := HashUser(ctx, user)
	sh := t.Shard(user, h)
	if sh == nil {
		return nil, -1
	}
	return sh, sh.find(ctx, user, prop, h)
}

// Part maps a subject to one of some parts, a power of two up to 256: no shard
// has subjects of two. Batches that each keep to a part copy the least.
func (su Subject) Part(parts int) int { return Place(HashUser(su.Context, su.User), parts) }

// shards yields every shard.
func (t *Tables) shards(yield func(*Shard) bool) {
	for _, list := range [][]*Shard{t.contexts[:], t.users[:]} {
		for _, s := range list {
			if s != nil && !yield(s) {
				return
			}
		}
	}
}

// has reports whether the shard knows anything of a context.
func (s *Shard) has(ctx uint32) bool {
	return slices.ContainsFunc(s.slots, func(sl slot) bool { return sl.ctx == ctx })
}

// errNothingExpired stops a timer that fired early.
var errNothingExpired = errors.New("nothing expired")

// Expire marks what has expired by now. It touches only shards that hold such
// an override.
func (t *Tables) Expire(now time.Time) (*Tables, error) {
	next, ms := *t, now.UnixMilli()
	if t.NextExpiry > ms {
		return nil, errNothingExpired
	}
	next.NextExpiry = math.MaxInt64
	for _, list := range [][]*Shard{next.contexts[:], next.users[:]} {
		for i, s := range list {
			if s == nil || s.nextExpiry == 0 {
				continue
			}
			if s.nextExpiry <= ms {
				c := s.clone()
				c.markExpired(ms)
				list[i], s = c, c
			}
			if s.nextExpiry != 0 {
				next.NextExpiry = min(next.NextExpiry, s.nextExpiry)
			}
		}
	}
	return &next, nil
}

// clone copies what markExpired changes, and forgets the tag signatures.
func (s *Shard) clone() *Shard {
	return &Shard{
		slots: slices.Clone(s.slots), near: s.near, entries: s.entries, arena: s.arena,
		metas: s.metas, contexts: s.contexts, sigs: make([]atomic.Uint64, len(s.contexts)), nextExpiry: s.nextExpiry,
	}
}

// markExpired flags the overrides whose time has come and notes the next one.
// The shard is not published yet.
func (s *Shard) markExpired(nowMs int64) {
	s.nextExpiry = 0
	if !slices.ContainsFunc(s.metas, func(m overrideMeta) bool { return m.expires != 0 }) {
		return
	}
	for i := range s.slots {
		sl := &s.slots[i]
		if sl.ctx == 0 || sl.prop == propRecord {
			continue
		}
		switch at := s.metas[s.entries[sl.val>>valShift].meta].expires; {
		case at == 0:
		case at <= nowMs:
			sl.val |= valExpired
		case s.nextExpiry == 0 || at < s.nextExpiry:
			s.nextExpiry = at
		}
	}
}

// Renumber makes the same tables with the property numbers of other names.
func (t *Tables) Renumber(from *Names, names *NameEdit) *Tables {
	next := *t
	next.counts = nil
	e := &tablesEdit{t: &next, chunks: map[int]bool{}}
	for _, list := range [][]*Shard{next.contexts[:], next.users[:]} {
		for i, s := range list {
			if s == nil {
				continue
			}
			se := s.edit(0)
			for j := range se.slots {
				if sl := &se.slots[j]; sl.prop != propRecord {
					sl.prop = names.Add(from.List[sl.prop])
					e.addCount(*sl, 1)
				}
			}
			fresh := se.build(next.near)
			fresh.nextExpiry = s.nextExpiry
			list[i] = fresh
		}
	}
	return &next
}
