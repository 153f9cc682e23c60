package cascade

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
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
	shards   [1 << shardBits]*shard
	contexts [1 << contextBits]map[uint32]*contextEntry
	perms    []permSet         // index 0: none
	permOf   map[string]uint32 // read and written under the engine's lock only
	counts   []*[1 << countBits]propCount

	overrides, users, known int   // how many there are
	nextExpiry              int64 // Unix ms of the earliest one to come, math.MaxInt64: none
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
	sig     atomic.Uint64 // tag signature, see setIndex.contextSig
}

func newTables() *tables {
	return &tables{perms: []permSet{{}}, permOf: map[string]uint32{"": 0}, nextExpiry: math.MaxInt64}
}

func (t *tables) shard(userHash uint64) *shard { return t.shards[userHash>>(64-shardBits)] }

func contextShard(id uint32) uint64 { return mix(uint64(id)) >> (64 - contextBits) }

func (t *tables) context(id uint32) *contextEntry { return t.contexts[contextShard(id)][id] }

func (t *tables) user(s Subject) *userRec {
	h := hashUser(s.Context, s.User)
	if sh := t.shard(h); sh != nil {
		return sh.findUser(s.Context, s.User, h)
	}
	return nil
}

func (t *tables) count(prop uint32) propCount {
	if c := int(prop >> countBits); c < len(t.counts) && t.counts[c] != nil {
		return t.counts[c][prop&(1<<countBits-1)]
	}
	return propCount{}
}

// find returns the shard and slot of an override; the slot is -1 where there
// is none.
func (t *tables) find(ctx, user, prop uint32) (*shard, int) {
	h := hashUser(ctx, user)
	sh := t.shard(h)
	if sh == nil {
		return nil, -1
	}
	return sh, sh.find(ctx, user, prop, h)
}

// tablesEdit applies one batch.
type tablesEdit struct {
	t      *tables
	names  *nameEditor
	shards map[uint64]*shardEdit
	ctxs   map[uint64]bool // shards of contexts that are copied already
	chunks map[int]bool
	nowMs  int64
}

// apply makes the tables that follow from a batch. The batch has been checked.
// Times are compared with now once, here; what expires later is expire's.
func (t *tables) apply(b *Batch, names *nameEditor, now time.Time) (*tables, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	next := *t
	next.counts = slices.Clone(t.counts)
	e := &tablesEdit{
		t: &next, names: names, nowMs: now.UnixMilli(),
		shards: map[uint64]*shardEdit{}, ctxs: map[uint64]bool{}, chunks: map[int]bool{},
	}
	for _, id := range b.DeleteContexts {
		e.deleteContext(id)
	}
	for _, s := range b.DeleteUsers {
		e.deleteUser(s)
	}
	for _, k := range b.DeleteOverrides {
		e.unset(k)
	}
	for i := range b.Contexts {
		e.putContext(&b.Contexts[i])
	}
	for i := range b.Users {
		if err := e.putUser(&b.Users[i]); err != nil {
			return nil, err
		}
	}
	for i := range b.Overrides {
		e.set(&b.Overrides[i])
	}
	e.finish()
	return &next, nil
}

func (e *tablesEdit) finish() {
	for i, se := range e.shards {
		old := e.t.shards[i]
		if old != nil {
			e.t.overrides -= old.n
			e.t.users -= old.nu
		}
		s := se.build()
		e.t.shards[i] = s
		if s != nil {
			s.markExpired(e.nowMs)
			e.t.overrides += s.n
			e.t.users += s.nu
		}
	}
	e.t.nextExpiry = math.MaxInt64
	for _, s := range e.t.shards {
		if s != nil && s.nextExpiry != 0 {
			e.t.nextExpiry = min(e.t.nextExpiry, s.nextExpiry)
		}
	}
}

func (e *tablesEdit) shard(ctx, user uint32) *shardEdit {
	i := hashUser(ctx, user) >> (64 - shardBits)
	se, ok := e.shards[i]
	if !ok {
		se = e.t.shards[i].edit()
		e.shards[i] = se
	}
	return se
}

func (e *tablesEdit) contextMap(id uint32) map[uint32]*contextEntry {
	i := contextShard(id)
	if !e.ctxs[i] {
		e.ctxs[i] = true
		if m := maps.Clone(e.t.contexts[i]); m != nil {
			e.t.contexts[i] = m
		} else {
			e.t.contexts[i] = map[uint32]*contextEntry{}
		}
	}
	return e.t.contexts[i]
}

func (e *tablesEdit) addCount(sl slot, by int) {
	c := int(sl.prop >> countBits)
	for c >= len(e.t.counts) {
		e.t.counts = append(e.t.counts, nil)
	}
	if !e.chunks[c] {
		e.chunks[c] = true
		fresh := new([1 << countBits]propCount)
		if e.t.counts[c] != nil {
			*fresh = *e.t.counts[c]
		}
		e.t.counts[c] = fresh
	}
	p := &e.t.counts[c][sl.prop&(1<<countBits-1)]
	if sl.user != 0 {
		p.user += uint32(by)
	} else {
		p.context += uint32(by)
	}
	if sl.val&valFinal != 0 {
		p.final += uint32(by)
	}
}

func (e *tablesEdit) set(o *Override) {
	prop := e.names.add(o.Property)
	se := e.shard(o.Context, o.User)
	if old, had := se.set(o, prop); had {
		e.addCount(old, -1)
	}
	e.addCount(se.slots[se.at[slotKey{o.Context, o.User, prop}]], 1)
	e.typesChanged(o.Subject, prop)
}

func (e *tablesEdit) unset(k Key) {
	prop, ok := e.names.from.id(k.Property)
	if !ok {
		return
	}
	if old, had := e.shard(k.Context, k.User).unset(slotKey{k.Context, k.User, prop}); had {
		e.addCount(old, -1)
		e.typesChanged(k.Subject, prop)
	}
}

// typesChanged drops the remembered tag signature of a context whose own tags
// come from an override that changed.
func (e *tablesEdit) typesChanged(s Subject, prop uint32) {
	if prop != typesID || s.User != 0 {
		return
	}
	if c := e.t.context(s.Context); c != nil {
		e.contextMap(s.Context)[s.Context] = &contextEntry{Context: c.Context, deleted: c.deleted}
	}
}

func (e *tablesEdit) putContext(c *Context) {
	m := e.contextMap(c.ID)
	if m[c.ID] == nil {
		e.t.known++
	}
	fresh := &contextEntry{Context: *c}
	fresh.Tags = slices.Clone(c.Tags)
	m[c.ID] = fresh
}

func (e *tablesEdit) putUser(u *User) error {
	names := slices.Clone(u.Permissions)
	slices.Sort(names)
	names = slices.Compact(names)
	key := strings.Join(names, "\x00")
	id, ok := e.t.permOf[key]
	// A batch that failed half-way may have left a number that no table has.
	if !ok || int(id) >= len(e.t.perms) || !slices.Equal(e.t.perms[id].names, names) {
		if len(e.t.perms) > maxPermSets {
			return fmt.Errorf("user %d in context %d: more than %d distinct sets of permissions", u.ID, u.Context, maxPermSets)
		}
		id = uint32(len(e.t.perms))
		ps := permSet{names: names, tags: make([]string, len(names))}
		for i, n := range names {
			ps.tags[i] = "uc" + n
		}
		e.t.perms = append(e.t.perms, ps)
		e.t.permOf[key] = id
	}
	r := userRec{ctx: u.Context, user: u.ID, perms: id}
	if u.Enabled {
		r.flags = userEnabled
	}
	e.shard(u.Context, u.ID).putUser(r)
	return nil
}

func (e *tablesEdit) deleteUser(s Subject) {
	se := e.shard(s.Context, s.User)
	se.putUser(userRec{ctx: s.Context, user: s.User, flags: userDeleted})
	e.dropOverrides(se, func(sl slot) bool { return sl.ctx == s.Context && sl.user == s.User })
}

func (e *tablesEdit) deleteContext(id uint32) {
	m := e.contextMap(id)
	if m[id] == nil {
		e.t.known++
	}
	m[id] = &contextEntry{Context: Context{ID: id}, deleted: true}
	for i := range e.t.shards {
		se, open := e.shards[uint64(i)]
		if !open {
			if s := e.t.shards[i]; s == nil || !s.has(id) {
				continue
			}
			se = e.t.shards[i].edit()
			e.shards[uint64(i)] = se
		}
		e.dropOverrides(se, func(sl slot) bool { return sl.ctx == id })
		for j := range se.users {
			if se.users[j].ctx == id {
				se.users[j] = userRec{ctx: id, user: se.users[j].user, flags: userDeleted}
			}
		}
	}
}

func (e *tablesEdit) dropOverrides(se *shardEdit, drop func(slot) bool) {
	for _, sl := range slices.Clone(se.slots) {
		if drop(sl) {
			se.unset(slotKey{sl.ctx, sl.user, sl.prop})
			e.addCount(sl, -1)
		}
	}
}

// has reports whether the shard knows anything of a context.
func (s *shard) has(ctx uint32) bool {
	return slices.ContainsFunc(s.slots, func(sl slot) bool { return sl.ctx == ctx }) ||
		slices.ContainsFunc(s.users, func(r userRec) bool { return r.ctx == ctx })
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
	for i, s := range t.shards {
		if s == nil || s.nextExpiry == 0 {
			continue
		}
		if s.nextExpiry <= ms {
			c := *s
			c.slots = slices.Clone(s.slots)
			c.markExpired(ms)
			next.shards[i], s = &c, &c
		}
		if s.nextExpiry != 0 {
			next.nextExpiry = min(next.nextExpiry, s.nextExpiry)
		}
	}
	return &next, nil
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
		if sl.ctx == 0 {
			continue
		}
		switch at := s.metas[s.cold[i].meta].expires; {
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
	for i, s := range t.shards {
		if s == nil {
			continue
		}
		se := s.edit()
		for j := range se.slots {
			se.slots[j].prop = names.add(from.list[se.slots[j].prop])
			e.addCount(se.slots[j], 1)
		}
		fresh := se.build()
		fresh.nextExpiry = s.nextExpiry
		next.shards[i] = fresh
	}
	return &next
}
