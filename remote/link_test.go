package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

// Each message arrives at all other members once and in order, and not at its
// own.
func TestLinkAddresses(t *testing.T) {
	s := redistest.Start(t)
	a, b, c := newNode(t, way(s), "a"), newNode(t, way(s), "b"), newNode(t, way(s), "c")
	meet(t, a, b, c)
	b.mustOpen(1, 5, "x")
	b.mustOpen(1, 5, "y")
	c.mustOpen(1, 6, "x")
	a.mustOpen(1, 5, "z")
	a.send(1, 5, "to b")
	a.send(1, 6, "to c")
	a.send(1, 7, "to nobody")
	a.send(1, 0, "to the context")
	a.send(0, 0, "to all")
	all := []string{"to b", "to c", "to nobody", "to the context", "to all"}
	b.wantIDs(all...)
	c.wantIDs(all...)
	wait(t, "the buffer is empty", a.drained)
	if ids := a.ids(); len(ids) > 0 {
		t.Errorf("a has its own %v", ids)
	}
	if err := a.Reserve(); err != nil {
		t.Fatal(err)
	}
	members, err := a.Send(Message{Context: 1, User: 5, Name: "n", Args: "[]", Label: shared.Label{ID: "sync"}})(t.Context())
	if members != 2 || err != nil {
		t.Errorf("sync: %d members, %v", members, err)
	}
	b.wantIDs(append(all, "sync")...)
}

func TestLinkRegistry(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	first := a.mustOpen(1, 5, "x")
	if _, err := b.open(1, 5, "x", "another session", 8); !errors.Is(err, shared.ErrDuplicate) {
		t.Errorf("duplicate: %v", err)
	}
	if _, err := b.open(1, 5, "y", "s", 1); !errors.Is(err, shared.ErrTooMany) {
		t.Errorf("limit: %v", err)
	}
	b.mustOpen(1, 5, "x") // the same session takes over
	wait(t, "a's socket is replaced", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.Equal(a.replaced, []string{first.ID})
	})
	a.shut(first) // late, and of nobody any more
	second := a.mustOpen(1, 5, "y")
	entries := func() int { return registeredOf(s, a, 1, 5) }
	if n := entries(); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
	a.shut(second)
	wait(t, "the entry is removed", func() bool { return entries() == 1 })

	// Those of a member whose lease is over do not count.
	b.kill()
	wait(t, "the lease of b is over", func() bool { return s.Client().Exists(t.Context(), b.keys.lease(b.Incarnation())).Val() == 0 })
	if _, err := a.open(1, 5, "x", "another session", 1); err != nil {
		t.Errorf("after b's death: %v", err)
	}
}

// The limit holds exactly, whoever comes first.
func TestLinkLimitTogether(t *testing.T) {
	s := redistest.Start(t)
	nodes := []*node{newNode(t, way(s), "a"), newNode(t, way(s), "b"), newNode(t, way(s), "c")}
	meet(t, nodes...)
	var wg sync.WaitGroup
	var mu sync.Mutex
	admitted := 0
	for i := range 60 {
		wg.Go(func() {
			_, err := nodes[i%3].open(1, 5, strconv.Itoa(i), "s", 8)
			switch {
			case err == nil:
				mu.Lock()
				admitted++
				mu.Unlock()
			case !errors.Is(err, shared.ErrTooMany):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if admitted != 8 {
		t.Errorf("%d sockets are admitted, want 8", admitted)
	}
}

// A dead member disappears, and its registrations are removed, exactly those.
func TestLinkDeath(t *testing.T) {
	s := redistest.Start(t)
	short := func(o *Options) { o.Keep = testLease }
	a, b := newNode(t, way(s), "a", short), newNode(t, way(s), "b", short)
	meet(t, a, b)
	a.mustOpen(1, 5, "x")
	for i := range 50 {
		b.mustOpen(2, uint32(i/2+1), strconv.Itoa(i))
	}
	b.mustOpen(1, 5, "y")
	b.kill()
	dead := b.Incarnation()
	again := newNode(t, way(s), "b")
	meet(t, a, again)
	again.mustOpen(2, 1, "new")
	wait(t, "b is not listed", func() bool {
		list, _ := a.Members()
		return !slices.ContainsFunc(list, func(m Member) bool { return m.Incarnation == dead })
	})
	wait(t, "b's registrations are removed", func() bool {
		return registeredOf(s, a, 2, 9) == 0 && s.Client().HGet(t.Context(), bucketKey(a, 2, 9), counter(dead)).Err() != nil &&
			s.Client().SCard(t.Context(), a.keys.members()).Val() == 2
	})
	if n := registeredOf(s, a, 1, 5); n != 1 {
		t.Errorf("user 5 has %d entries, want a's", n)
	}
	if n := registeredOf(s, a, 2, 1); n != 1 {
		t.Errorf("user 1 has %d entries, want that of the new b", n)
	}
	if n := registeredOf(s, a, 2, 9); n != 0 {
		t.Errorf("user 9 has %d entries", n)
	}
}

// Whatever happens to Redis, what was accepted arrives once and in order.
func TestLinkFaults(t *testing.T) {
	const flood = 300
	faults := map[string]func(s *redistest.Server, a, b *node){
		"FLUSHALL":     func(s *redistest.Server, _, _ *node) { s.Client().FlushAll(context.Background()) },
		"SCRIPT FLUSH": func(s *redistest.Server, _, _ *node) { s.Client().ScriptFlush(context.Background()) },
		"restart":      func(s *redistest.Server, _, _ *node) { s.Kill(); s.Restart() },
		"pause":        func(s *redistest.Server, _, _ *node) { s.Pause(); time.AfterFunc(2500*time.Millisecond, s.Resume) },
		"clients die": func(s *redistest.Server, _, _ *node) {
			s.Client().ClientKillByFilter(context.Background(), "TYPE", "normal")
		},
		"out of memory": func(s *redistest.Server, _, _ *node) {
			s.Client().ConfigSet(context.Background(), "maxmemory", "1")
			time.AfterFunc(2*time.Second, func() { s.Client().ConfigSet(context.Background(), "maxmemory", "0") })
		},
		"log of another type": func(s *redistest.Server, _, b *node) {
			s.Client().Set(context.Background(), b.keys.log(), "x", 0)
		},
		"keys of another type": func(s *redistest.Server, a, b *node) {
			c := s.Client()
			for _, key := range []string{a.keys.members(), a.keys.log(), a.keys.record(b.Incarnation()), a.keys.lease(b.Incarnation()), bucketKey(a, 1, 5)} {
				c.Del(context.Background(), key)
				c.RPush(context.Background(), key, "x")
			}
		},
	}
	for name, strike := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
			meet(t, a, b)
			b.mustOpen(1, 5, "x")
			var want []string
			for i := range 3 * flood {
				if i == flood {
					// Before it nothing is on its way: Redis may lose what it has acknowledged.
					wait(t, "the first part has arrived", func() bool { return len(b.ids()) == flood })
					strike(s, a, b)
				}
				id := fmt.Sprint(i)
				want = append(want, id)
				a.send(1, 5, id)
			}
			wait(t, "all has left", a.drained)
			b.wantIDs(want...)
			meet(t, a, b)
			wait(t, "the registry is whole", func() bool {
				return registeredOf(s, a, 1, 5) == 1
			})
		})
	}
}

// What another program has written is counted and skipped.
func TestLinkStrangers(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	b.mustOpen(1, 5, "x")
	c, log := s.Client(), b.keys.log()
	const stranger = "0123456789abcdef"
	good := func(origin, kind string) string {
		return `{"v":1,"id":"1","o":"` + origin + `","c":1,"u":5,"n":"n","a":[],"k":"` + kind + `"}`
	}
	number := 0
	entry := func(text any) []any {
		number++
		return []any{fieldOrigin, stranger, fieldNumber, number, fieldBase, 1, fieldText, text}
	}
	big := make([]byte, maxChunkBytes+maxEnvelope+1)
	for _, values := range [][]any{
		{"x", "y"},
		{fieldOrigin, "o", fieldNumber, "1", fieldBase, "1", fieldText, "x"},
		{fieldOrigin, stranger, fieldNumber, "1", fieldText, "x"},
		{fieldOrigin, stranger, fieldNumber, "-1", fieldBase, "1", fieldText, "x"},
		{fieldOrigin, stranger, fieldNumber, "1", fieldBase, "2", fieldText, "x"},
		{fieldOrigin, stranger, fieldNumber, "1", fieldBase, "1", fieldText, big},
		{fieldOrigin, stranger, fieldNumber, "1", fieldBase, "1", fieldText, "x", fieldAge, "-1"},
		entry("{"),
		entry(`{"v":2}`),
		entry(good("another", "")),
		entry(good(stranger, "future")),
		entry(good(stranger, kindCanary)),
		entry(`{"v":1,"id":"1","o":"` + stranger + `","n":"refused","a":[]}`),
	} {
		if err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: log, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.SAdd(t.Context(), a.keys.members(), "junk", "nobody")
	c.Set(t.Context(), a.keys.record("junk"), "{", 0)
	c.HSet(t.Context(), bucketKey(a, 1, 5), "1:5", "x", "junk", "x")
	if _, err := a.open(1, 5, "y", "s", 8); err != nil {
		t.Errorf("a socket beside junk: %v", err)
	}
	c.HSet(t.Context(), bucketKey(a, 1, 5), "1:5", "x")
	b.gone.forgot.Store(true)
	signal(b.rebuild)
	a.send(1, 5, "after")
	b.wantIDs("after")
	for _, kind := range []string{"envelope", "version", "origin", "kind", "message", "number", "size", "member", "canary", "registration"} {
		wait(t, kind+" is counted", func() bool { return b.Stats().Skipped[kind] >= 1 })
	}
}

func TestLinkAsk(t *testing.T) {
	s := redistest.Start(t)
	a, b, c := newNode(t, way(s), "a"), newNode(t, way(s), "b"), newNode(t, way(s), "c")
	meet(t, a, b, c)
	answers := a.Ask(t.Context(), "op", []byte(`{"x":1}`))
	if len(answers) != 2 || answers[0].Member != "b" || answers[1].Member != "c" || string(answers[0].Body) != `{"op":{"x":1}}` || answers[1].Err != nil {
		t.Errorf("%+v", answers)
	}
	for _, r := range a.Ask(t.Context(), "fail", nil) {
		if r.Err == nil || r.Err.Error() != "it failed" {
			t.Errorf("%+v", r)
		}
	}
	c.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if r := a.Ask(ctx, "op", nil); r[0].Err != nil || !errors.Is(r[1].Err, errNoAnswer) {
		t.Errorf("%+v", r)
	}
}

// A member that leaves takes everything with it.
func TestLinkLeave(t *testing.T) {
	s := redistest.Start(t)
	a := newNode(t, way(s), "a")
	meet(t, a)
	for i := range 1200 {
		a.mustOpen(1, uint32(i+1), "x")
	}
	a.kill()
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := s.Client().Keys(t.Context(), "*").Val()
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == a.keys.log() }) // its canary may have made it
	if !slices.Equal(keys, []string{a.keys.record(a.Incarnation())}) {
		t.Errorf("left: %.20v", keys)
	}
	if life := s.Client().PTTL(t.Context(), a.keys.record(a.Incarnation())).Val(); life <= 0 {
		t.Errorf("what says that it has left stays for %v", life)
	}
}

// A member that is dead, or has left, holds up nothing for the others, however
// long a lease is, and what it lacks is counted.
func TestLinkDeadHoldsNobody(t *testing.T) {
	s := redistest.Start(t)
	long := func(o *Options) { o.Lease = time.Hour }
	a, b, c := newNode(t, way(s), "a", long), newNode(t, way(s), "b", long), newNode(t, way(s), "c", long)
	meet(t, a, b, c)
	b.mustOpen(1, 1, "b")
	c.mustOpen(1, 1, "c")
	b.kill()
	s.Client().FlushAll(t.Context())
	a.send(1, 1, "x")
	c.wantIDs("x")
	wait(t, "all has left", a.drained)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, "the other is counted", func() bool { return a.Stats().Dropped["member_gone"] == 1 })
}

// Without Redis a member serves, and joins when Redis comes.
func TestLinkLateRedis(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	if _, err := b.open(1, 5, "x", "s", 8); !errors.Is(err, ErrUnready) {
		t.Errorf("a socket of which nobody can know: %v", err)
	}
	a.send(1, 6, "early")
	if _, status := a.Members(); status != "degraded" {
		t.Errorf("status %s", status)
	}
	s.Restart()
	wait(t, "b admits a socket", func() bool { _, err := b.open(1, 5, "x", "s", 8); return err == nil })
	a.send(1, 5, "now")
	wait(t, "all has left", a.drained)
	wait(t, "it arrives", func() bool { return slices.Contains(b.ids(), "now") })
	meet(t, a, b)
}

// A full buffer refuses.
func TestLinkBound(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	a := newNode(t, way(s), "a", func(o *Options) { o.Buffered = func() int { return 10 } })
	for i := range 10 {
		a.send(1, 5, fmt.Sprint(i))
	}
	if err := a.Reserve(); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
}
