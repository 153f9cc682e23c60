package tables

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tablesEdit applies one batch.
type tablesEdit struct {
	t        *Tables
	names    *NameEdit
	users    [1 << shardBits]*shardEdit
	contexts [1 << contextBits]*shardEdit
	chunks   map[int]bool
	nowMs    int64

	// The last property and the last set of permissions with their numbers: many in
	// a row are alike.
	name  string
	prop  uint32
	perms []string
	perm  uint32
}

// Apply makes the tables that follow from a batch. The batch has been checked.
// Times are compared with now once, here; what expires later is expire's.
func (t *Tables) Apply(b *Batch, names *NameEdit, now time.Time) (*Tables, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	next := *t
	next.counts = slices.Clone(t.counts)
	e := &tablesEdit{t: &next, names: names, nowMs: now.UnixMilli(), chunks: map[int]bool{}}
	e.open(b)
	for _, s := range b.Forget {
		e.shard(s.Context, s.User).unset(slotKey{s.Context, s.User, propRecord})
	}
	for _, s := range b.Missing {
		e.shard(s.Context, 0).putContext(&Entry{Context: Context{ID: s.Context}, Deleted: true}, RecDeleted)
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

// manyEntries is from how many on a batch is worth all processors.
const manyEntries = 4096

// open begins the edits of a large batch, each with room for what comes.
func (e *tablesEdit) open(b *Batch) {
	if len(b.Users)+len(b.Overrides) < manyEntries {
		return
	}
	var more [1 << shardBits]int
	for i := range b.Users {
		more[HashUser(b.Users[i].Context, b.Users[i].ID)>>(64-shardBits)]++
	}
	for i := range b.Overrides {
		if o := &b.Overrides[i]; o.User != 0 {
			more[HashUser(o.Context, o.User)>>(64-shardBits)]++
		}
	}
	parallel(len(more), func(i int) {
		if more[i] > 0 {
			e.users[i] = e.t.users[i].edit(more[i])
		}
	})
}

// parallel calls f with 0 to n-1, on all processors.
func parallel(n int, f func(int)) {
	var next atomic.Int64
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	work.Wait()
}

func (e *tablesEdit) finish() {
	type change struct {
		at   **Shard
		edit *shardEdit
	}
	var list []change
	entries := 0
	for i, se := range e.contexts {
		if se != nil {
			list, entries = append(list, change{&e.t.contexts[i], se}), entries+len(se.slots)
		}
	}
	for i, se := range e.users {
		if se != nil {
			list, entries = append(list, change{&e.t.users[i], se}), entries+len(se.slots)
		}
	}
	build := func(i int) {
		sh := list[i].edit.build(e.t.near)
		if sh != nil {
			sh.markExpired(e.nowMs)
		}
		*list[i].at = sh
	}
	if entries < manyEntries {
		for i := range list {
			build(i)
		}
	} else {
		parallel(len(list), build)
	}
	e.t.NextExpiry, e.t.Subjects = math.MaxInt64, 0
	for s := range e.t.shards {
		e.t.Subjects += len(s.slots) / 2
		if s.nextExpiry != 0 {
			e.t.NextExpiry = min(e.t.NextExpiry, s.nextExpiry)
		}
	}
}

func (e *tablesEdit) shard(ctx, user uint32) *shardEdit {
	h := HashUser(ctx, user)
	if user == 0 {
		i := h >> (64 - contextBits)
		if e.contexts[i] == nil {
			e.contexts[i] = e.t.contexts[i].edit(0)
		}
		return e.contexts[i]
	}
	return e.userShard(int(h >> (64 - shardBits)))
}

func (e *tablesEdit) userShard(i int) *shardEdit {
	if e.users[i] == nil {
		e.users[i] = e.t.users[i].edit(0)
	}
	return e.users[i]
}

func (e *tablesEdit) addCount(sl slot, by int) {
	c := int(sl.prop >> countBits)
	for c >= len(e.t.counts) {
		e.t.counts = append(e.t.counts, nil)
	}
	if !e.chunks[c] {
		e.chunks[c] = true
		fresh := new([1 << countBits]PropCount)
		if e.t.counts[c] != nil {
			*fresh = *e.t.counts[c]
		}
		e.t.counts[c] = fresh
	}
	p := &e.t.counts[c][sl.prop&(1<<countBits-1)]
	if sl.user != 0 {
		p.User += uint32(by)
	} else {
		p.Context += uint32(by)
	}
	if sl.val&valFinal != 0 {
		p.Final += uint32(by)
	}
}

func (e *tablesEdit) set(o *Override) {
	if o.Property != e.name {
		e.name, e.prop = o.Property, e.names.Add(o.Property)
	}
	now, old, had := e.shard(o.Context, o.User).set(o, e.prop)
	if had {
		e.addCount(old, -1)
	}
	e.addCount(now, 1)
}

func (e *tablesEdit) unset(k Key) {
	prop, ok := e.names.From.ID(k.Property)
	if !ok {
		return
	}
	if old, had := e.shard(k.Context, k.User).unset(slotKey{k.Context, k.User, prop}); had {
		e.addCount(old, -1)
	}
}

func (e *tablesEdit) putContext(c *Context) {
	entry := &Entry{Context: *c}
	entry.Tags = slices.Clone(c.Tags)
	flags := uint32(0)
	if c.Enabled {
		flags = RecEnabled
	}
	e.shard(c.ID, 0).putContext(entry, flags)
}

// permissionSet returns the number of a set of permissions.
func (e *tablesEdit) permissionSet(u *User) (uint32, error) {
	if e.perms != nil && slices.Equal(u.Permissions, e.perms) {
		return e.perm, nil
	}
	names := slices.Clone(u.Permissions)
	slices.Sort(names)
	names = slices.Compact(names)
	key := strings.Join(names, "\x00")
	id, ok := e.t.permOf[key]
	// A batch that failed half-way may have left a number that no table has.
	if !ok || int(id) >= len(e.t.perms) || !slices.Equal(e.t.perms[id].names, names) {
		if len(e.t.perms) > maxPermSets {
			return 0, fmt.Errorf("user %d in context %d: more than %d distinct sets of permissions", u.ID, u.Context, maxPermSets)
		}
		id = uint32(len(e.t.perms))
		ps := permSet{names: names, tags: make([]string, len(names))}
		for i, n := range names {
			ps.tags[i] = "uc" + n
		}
		e.t.perms = append(e.t.perms, ps)
		e.t.permOf[key] = id
	}
	e.perms, e.perm = u.Permissions, id
	return id, nil
}

func (e *tablesEdit) putUser(u *User) error {
	id, err := e.permissionSet(u)
	if err != nil {
		return err
	}
	flags := uint32(0)
	if u.Enabled {
		flags = RecEnabled
	}
	val := id<<recShift | flags
	i := HashUser(u.Context, u.ID) >> (64 - shardBits)
	if e.users[i] == nil {
		if sh := e.t.users[i].withUser(u.Context, u.ID, val); sh != nil {
			e.t.users[i] = sh
			return nil
		}
	}
	e.shard(u.Context, u.ID).put(slot{u.Context, u.ID, propRecord, val}, entry{})
	return nil
}

func (e *tablesEdit) deleteUser(s Subject) {
	se := e.shard(s.Context, s.User)
	se.put(slot{s.Context, s.User, propRecord, RecDeleted}, entry{})
	e.dropOverrides(se, func(sl slot) bool { return sl.ctx == s.Context && sl.user == s.User })
}

func (e *tablesEdit) deleteContext(id uint32) {
	se := e.shard(id, 0)
	se.putContext(&Entry{Context: Context{ID: id}, Deleted: true}, RecDeleted)
	e.dropOverrides(se, func(sl slot) bool { return sl.ctx == id })
	for i, sh := range e.t.users {
		if e.users[i] == nil && (sh == nil || !sh.has(id)) {
			continue
		}
		se := e.userShard(i)
		e.dropOverrides(se, func(sl slot) bool { return sl.ctx == id })
		for j := range se.slots {
			if sl := &se.slots[j]; sl.ctx == id && sl.prop == propRecord {
				sl.val = RecDeleted
			}
		}
	}
}

func (e *tablesEdit) dropOverrides(se *shardEdit, drop func(slot) bool) {
	for i := len(se.slots) - 1; i >= 0; i-- { // unset puts the last one, which was looked at, in its place
		if sl := se.slots[i]; sl.prop != propRecord && drop(sl) {
			se.unset(sl.key())
			e.addCount(sl, -1)
		}
	}
}
