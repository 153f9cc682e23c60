package cascade

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

// tables are the directory and the overrides: resident, immutable, and shared
// shard by shard with the tables that they were made from.
type tables struct {
	users    [1 << shardBits]*shard   // records and overrides of users
	contexts [1 << contextBits]*shard // records and overrides of contexts
	near     uint32                   // number of declared properties
	perms    []permSet                // index 0: none
	permOf   map[string]uint32        // read and written under the engine's lock only
	counts   []*[1 << countBits]propCount

	subjects   int   // records and overrides together: no fewer than there are subjects
	nextExpiry int64 // Unix ms of the earliest one to come, math.MaxInt64: none
}

// propCount tells a look-up which scopes cannot define a property at all.
type propCount struct{ user, context, final uint32 }

// permSet is one distinct set of permissions, with the tags that it gives.
type permSet struct {
	names []string
	tags  []string // uc + name
}

// contextEntry is a context of the directory.
type contextEntry struct {
	Context
	deleted bool
}

// newTables makes empty tables for some number of declared properties.
func newTables(declared int) *tables {
	return &tables{
		near: uint32(declared), perms: []permSet{{}}, permOf: map[string]uint32{"": 0}, nextExpiry: math.MaxInt64,
	}
}

// shard is where the entries of a context (user 0) or a user are.
func (t *tables) shard(user uint32, hash uint64) *shard {
	if user == 0 {
		return t.contexts[hash>>(64-contextBits)]
	}
	return t.users[hash>>(64-shardBits)]
}

// record returns the record of a context (user 0) or a user; its shard is nil
// where there is none.
func (t *tables) record(ctx, user uint32) (*shard, uint32) {
	sh, i := t.find(ctx, user, propRecord)
	if i < 0 {
		return nil, 0
	}
	return sh, sh.slots[i].val
}

func (t *tables) context(id uint32) *contextEntry {
	if sh, rec := t.record(id, 0); sh != nil {
		return sh.contexts[rec>>recShift]
	}
	return nil
}

// permissions returns the index of a user's permission set; 0 is none.
func (t *tables) permissions(su Subject) uint32 {
	if su.User == 0 {
		return 0
	}
	if sh, rec := t.record(su.Context, su.User); sh != nil {
		return permissionsOf(rec)
	}
	return 0
}

// permissionsOf is the index of a permission set in the record of a user.
func permissionsOf(record uint32) uint32 { return record >> recShift }

// permissionTags are the tags that a permission set gives.
func (t *tables) permissionTags(perms uint32) []string { return t.perms[perms].tags }

func (t *tables) count(prop uint32) propCount {
	if c := int(prop >> countBits); c < len(t.counts) && t.counts[c] != nil {
		return t.counts[c][prop&(1<<countBits-1)]
	}
	return propCount{}
}

// find returns the shard and slot of an override or a record; the slot is -1
// where there is none.
func (t *tables) find(ctx, user, prop uint32) (*shard, int) {
	h := hashUser(ctx, user)
	sh := t.shard(user, h)
	if sh == nil {
		return nil, -1
	}
	return sh, sh.find(ctx, user, prop, h)
}

// Part maps a subject to one of some parts, a power of two up to 256: no shard
// has subjects of two. Batches that each keep to a part copy the least.
func (su Subject) Part(parts int) int { return place(hashUser(su.Context, su.User), parts) }

// shards yields every shard.
func (t *tables) shards(yield func(*shard) bool) {
	for _, list := range [][]*shard{t.contexts[:], t.users[:]} {
		for _, s := range list {
			if s != nil && !yield(s) {
				return
			}
		}
	}
}

// has reports whether the shard knows anything of a context.
func (s *shard) has(ctx uint32) bool {
	return slices.ContainsFunc(s.slots, func(sl slot) bool { return sl.ctx == ctx })
}

// errNothingExpired stops a timer that fired early.
var errNothingExpired = errors.New("nothing expired")

// expire marks what has expired by now. It touches only shards that hold such
// an override.
func (t *tables) expire(now time.Time) (*tables, error) {
	next, ms := *t, now.UnixMilli()
	if t.nextExpiry > ms {
		return nil, errNothingExpired
	}
	next.nextExpiry = math.MaxInt64
	for _, list := range [][]*shard{next.contexts[:], next.users[:]} {
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
				next.nextExpiry = min(next.nextExpiry, s.nextExpiry)
			}
		}
	}
	return &next, nil
}

// clone copies what markExpired changes, and forgets the tag signatures.
func (s *shard) clone() *shard {
	return &shard{
		slots: slices.Clone(s.slots), near: s.near, entries: s.entries, arena: s.arena,
		metas: s.metas, contexts: s.contexts, sigs: make([]atomic.Uint64, len(s.contexts)), nextExpiry: s.nextExpiry,
	}
}

// markExpired flags the overrides whose time has come and notes the next one.
// The shard is not published yet.
func (s *shard) markExpired(nowMs int64) {
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

// renumber makes the same tables with the property numbers of other names.
func (t *tables) renumber(from *nameTable, names *nameEditor) *tables {
	next := *t
	next.counts = nil
	e := &tablesEdit{t: &next, chunks: map[int]bool{}}
	for _, list := range [][]*shard{next.contexts[:], next.users[:]} {
		for i, s := range list {
			if s == nil {
				continue
			}
			se := s.edit(0)
			for j := range se.slots {
				if sl := &se.slots[j]; sl.prop != propRecord {
					sl.prop = names.add(from.list[sl.prop])
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
