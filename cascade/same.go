package cascade

import "slices"

func (t *tables) unchanged(old *tables, props []uint32) bool {
	if t == old {
		return true
	}
	changed := 0
	same := func(now, before []*shard) bool {
		for i, s := range now {
			if s == before[i] {
				continue
			}
			if changed++; changed > maxChangedShards || !t.sameShard(s, old, before[i], props) {
				return false
			}
		}
		return true
	}
	return same(t.contexts[:], old.contexts[:]) && same(t.users[:], old.users[:])
}

func (t *tables) sameShard(s *shard, old *tables, before *shard, props []uint32) bool {
	concern := func(sl *slot) bool {
		return sl.ctx != 0 && (sl.prop == propRecord || slices.Contains(props, sl.prop))
	}
	n := 0
	for i := range before.all() {
		if concern(&before.slots[i]) {
			n++
		}
	}
	for i := range s.all() {
		sl := &s.slots[i]
		if !concern(sl) {
			continue
		}
		if before == nil {
			return false
		}
		j := before.find(sl.ctx, sl.user, sl.prop, hashUser(sl.ctx, sl.user))
		if n--; j < 0 || !t.sameSlot(s, i, old, before, j) {
			return false
		}
	}
	return n == 0
}

// all are the slots of a shard, which may be nil.
func (s *shard) all() []slot {
	if s == nil {
		return nil
	}
	return s.slots
}

// sameSlot reports whether two slots of one key give the same answers.
func (t *tables) sameSlot(s *shard, i int, old *tables, before *shard, j int) bool {
	a, b := &s.slots[i], &before.slots[j]
	if a.prop != propRecord {
		const flags = 1<<valShift - 1
		return a.val&flags == b.val&flags && s.text(i) == before.text(j) && s.final(i) == before.final(j)
	}
	const flags = 1<<recShift - 1
	if a.val&flags != b.val&flags {
		return false
	}
	if a.user != 0 {
		return slices.Equal(t.perms[a.val>>recShift].names, old.perms[b.val>>recShift].names)
	}
	x, y := s.contexts[a.val>>recShift], before.contexts[b.val>>recShift]
	return x == y || x.deleted == y.deleted && x.Enabled == y.Enabled && x.Name == y.Name && slices.Equal(x.Tags, y.Tags)
}

// final is the scope that the override at index i locks its property to, or "".
func (s *shard) final(i int) string { return s.metas[s.entries[s.slots[i].val>>valShift].meta].final }

// maxChangedShards bounds how many shards Unchanged compares: a write changes
// one, and each has some thousand slots.
const maxChangedShards = 8
