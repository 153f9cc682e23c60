package tables

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// An edit holds what a map would, whatever comes and goes, and so does the shard
// that is built of it.
func TestShardEdit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "true", "false", "x", "yes", "a longer value", "b longer value", "12345678", "1234567890123456"}
	for round := range 200 {
		var sh *Shard
		want := map[slotKey]string{}
		for range 3 { // a shard is made of the one before it
			e := sh.edit(r.IntN(40))
			for range r.IntN(120) {
				k := slotKey{1 + uint32(r.IntN(3)), uint32(r.IntN(8)), uint32(r.IntN(6))}
				had, there := want[k]
				if r.IntN(3) == 0 {
					if old, ok := e.unset(k); ok != there || ok && old.key() != k {
						t.Fatalf("round %d: unset %v: %v %v instead of %v", round, k, old, ok, there)
					}
					delete(want, k)
					continue
				}
				v := texts[r.IntN(len(texts))]
				o := &Override{Key: Key{Subject: Subject{k.ctx, k.user}}, Value: v, Reason: texts[r.IntN(3)], Actor: had}
				if _, _, ok := e.set(o, k.prop); ok != there {
					t.Fatalf("round %d: set %v: replaced %v", round, k, ok)
				}
				want[k] = v
			}
			sh = e.build(3)
			found := 0
			for k, v := range want {
				i := sh.find(k.ctx, k.user, k.prop, HashUser(k.ctx, k.user))
				if i < 0 || sh.Text(i) != v {
					t.Fatalf("round %d: %v is not %q", round, k, v)
				}
				found++
			}
			if sh != nil && len(sh.entries) != found {
				t.Fatalf("round %d: %d entries instead of %d", round, len(sh.entries), found)
			}
		}
	}
}

// An override of the usual kind takes at most 56 bytes beside its strings, whether it
// came with many others or in small batches: slots, entries, and what they share.
func TestOverrideMemory(t *testing.T) {
	const n, limit = 200_000, 56
	for _, batch := range []int{n, 20_000} {
		const property = "com.openexchange.websockets.enabled"
		tables, names := New(1), NewNames([]string{property}).Edit()
		for from := 0; from < n; from += batch {
			var b Batch
			for i := from; i < from+batch; i++ {
				b.Overrides = append(b.Overrides, Override{
					Key:   Key{Subject{uint32(i/100 + 1), uint32(i%100 + 1)}, property},
					Value: []string{"true", "false"}[i%2], Reason: "roll-out", Actor: "admin", Time: time.UnixMilli(int64(1e12 + i)),
				})
			}
			var err error
			if tables, err = tables.Apply(&b, names, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		bytes, entries := uintptr(0), 0
		for s := range tables.shards {
			bytes += unsafe.Sizeof(*s) + uintptr(cap(s.slots))*unsafe.Sizeof(slot{}) + uintptr(cap(s.entries))*unsafe.Sizeof(entry{}) +
				uintptr(cap(s.metas))*unsafe.Sizeof(overrideMeta{}) + uintptr(cap(s.contexts))*unsafe.Sizeof(uintptr(0)) + uintptr(cap(s.sigs))*8
			entries += len(s.entries)
		}
		if each := float64(bytes) / n; entries != n || each > limit {
			t.Errorf("batches of %d: %d overrides of %.1f bytes, at most %d", batch, entries, each, limit)
		} else {
			t.Logf("batches of %d: %.1f bytes an override", batch, each)
		}
	}
}

// Users who come one by one are in the shard like those that come together, beside
// what else is in it, and none twice.
func TestShardWithUser(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	e := (*Shard)(nil).edit(0)
	override := slotKey{1, 1, 2}
	e.set(&Override{Key: Key{Subject: Subject{override.ctx, override.user}}, Value: "x"}, override.prop)
	sh, want, copies := e.build(3), map[uint32]uint32{}, 0
	for range 2000 {
		user, val := 1+uint32(r.IntN(1000)), r.Uint32()
		before := *sh
		next := sh.withUser(1, user, val)
		if _, there := want[user]; there && next != nil {
			t.Fatalf("user %d is put twice", user)
		}
		if next == nil {
			e := sh.edit(0)
			e.put(slot{1, user, propRecord, val}, entry{})
			next = e.build(3)
		} else {
			copies++
			if before.find(1, user, propRecord, HashUser(1, user)) >= 0 {
				t.Fatalf("user %d is in the shard before", user)
			}
		}
		sh, want[user] = next, val
	}
	for user, val := range want {
		if i := sh.find(1, user, propRecord, HashUser(1, user)); i < 0 || sh.slots[i].val != val {
			t.Fatalf("user %d is not there with %d", user, val)
		}
	}
	if i := sh.find(override.ctx, override.user, override.prop, HashUser(1, 1)); i < 0 || sh.Text(i) != "x" {
		t.Fatal("the override is not there")
	}
	if sh.used != len(want)+1 || 2*sh.used > len(sh.slots)*4/3+2 {
		t.Errorf("%d of %d slots are used, %d are wanted", sh.used, len(sh.slots), len(want)+1)
	}
	if copies < len(want)/2 {
		t.Errorf("%d of %d users came by a copy", copies, len(want))
	}
}
