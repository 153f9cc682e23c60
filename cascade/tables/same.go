package tables

import "slices"

// Unchanged reports whether it is certain that no record and none of the properties is
// another than in old. It compares what the two do not share.
func (t *Tables) Unchanged(old *Tables, props []uint32) bool {
	if t == old {
		return true
	}
	changed := 0
	same := func(now, before []*Shard) bool {
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

func (t *Tables) sameShard(s *Shard, old *Tables, before *Shard, props []uint32) bool {
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
		j := before.find(sl.ctx, sl.user, sl.prop, HashUser(sl.ctx, sl.user))
		if n--; j < 0 || !t.sameSlot(s, i, old, before, j) {
			return false
		}
	}
	return n == 0
}

// all are the slots of a shard, which may be nil.
func (s *Shard) all() []slot {
	if s == nil {
		return nil
	}
	return s.slots
}

// sameSlot reports whether two slots of one key give the same answers.
func (t *Tables) sameSlot(s *Shard, i int, old *Tables, before *Shard, j int) bool {
	a, b := &s.slots[i], &before.slots[j]
	if a.prop != propRecord {
		const flags = 1<<valShift - 1
		return a.val&flags == b.val&flags && s.Text(i) == before.Text(j) && s.Final(i) == before.Final(j)
	}
	const flags = 1<<recShift - 1
	if a.val&flags != b.val&flags {
		return false
	}
	if a.user != 0 {
		return slices.Equal(t.perms[a.val>>recShift].names, old.perms[b.val>>recShift].names)
	}
	x, y := s.contexts[a.val>>recShift], before.contexts[b.val>>recShift]
	return x == y || x.Deleted == y.Deleted && x.Enabled == y.Enabled && x.Name == y.Name && slices.Equal(x.Tags, y.Tags)
}

// Final is the scope that the override at index i locks its property to, or "".
func (s *Shard) Final(i int) string { return s.metas[s.entries[s.slots[i].val>>valShift].meta].final }

// maxChangedShards bounds how many shards Unchanged compares: a write changes
// one, and each has some thousand slots.
const maxChangedShards = 8
