package remote

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

func shortKeep(o *Options) { o.Keep = testLease }

// flood sends numbered messages and returns their ids.
func (n *node) flood(from, to int) (ids []string) {
	n.t.Helper()
	for i := from; i < to; i++ {
		id := fmt.Sprintf("%s%d", n.opts.Member, i)
		n.send(1, 5, id)
		ids = append(ids, id)
	}
	return ids
}

func (n *node) sentAway() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.abandoned
}

// Whatever Redis loses while messages are on their way, each arrives once and in
// order, and nobody is sent away.
func TestLossOfLog(t *testing.T) {
	ctx := context.Background()
	for name, strike := range map[string]func(c *redis.Client, a *node){
		"the log":             func(c *redis.Client, a *node) { c.Del(ctx, a.keys.log()) },
		"the end of the log":  func(c *redis.Client, a *node) { cutLog(c, a) },
		"everything":          func(c *redis.Client, _ *node) { c.FlushAll(ctx) },
		"the records":         func(c *redis.Client, a *node) { c.Del(ctx, c.Keys(ctx, a.keys.record("*")).Val()...) },
		"the leases":          func(c *redis.Client, a *node) { c.Del(ctx, c.Keys(ctx, a.keys.lease("*")).Val()...) },
		"the set of members":  func(c *redis.Client, a *node) { c.Del(ctx, a.keys.members()) },
		"a server's position": func(c *redis.Client, a *node) { c.Do(ctx, "XSETID", a.keys.log(), "1-1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
			meet(t, a, b)
			var toB, toA []string
			for round := range 5 {
				toB = append(toB, a.flood(100*round, 100*round+100)...)
				toA = append(toA, b.flood(100*round, 100*round+100)...)
				strike(s.Client(), a)
			}
			b.wantIDs(toB...)
			a.wantIDs(toA...)
			meet(t, a, b)
			if n := a.sentAway() + b.sentAway(); n > 0 {
				t.Errorf("clients were sent away %d times", n)
			}
		})
	}
}

// cutLog removes the last entries, as a replica has lost them that lagged.
func cutLog(c *redis.Client, a *node) {
	list := c.XRevRangeN(context.Background(), a.keys.log(), "+", "-", 20).Val()
	for _, e := range list {
		c.XDel(context.Background(), a.keys.log(), e.ID)
	}
}

// A server takes over whose clock is behind: its ids are before those that were
// read.
func TestClockBehind(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	ahead := time.Now().Add(time.Hour).UnixMilli()
	err := s.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: a.keys.log(), ID: fmt.Sprintf("%d-1", ahead), Values: []any{"x", "y"}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	want := a.flood(0, 50)
	b.wantIDs(want...)
	if at := b.in.at(); compareIDs(at, fmt.Sprintf("%d-0", ahead)) < 0 {
		t.Fatalf("it has read up to %s, which is not ahead", at)
	}
	if err := s.Client().Del(t.Context(), a.keys.log()).Err(); err != nil {
		t.Fatal(err)
	}
	want = append(want, a.flood(50, 100)...)
	b.wantIDs(want...)
	meet(t, a, b)
}

// A member is away and comes back: within Options.Keep it gets everything,
// whatever Redis has lost meanwhile, and so do the others.
func TestAwayAndBack(t *testing.T) {
	for name, strike := range map[string]func(s *redistest.Server){
		"Redis keeps all":   func(*redistest.Server) {},
		"Redis loses all":   func(s *redistest.Server) { s.Client().FlushAll(context.Background()) },
		"Redis starts anew": func(s *redistest.Server) { s.Kill(); s.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			p := redistest.NewProxy(t, s.Addr)
			proxied := way(s)
			proxied.Hosts = []string{p.Addr}
			a, b := newNode(t, way(s), "a"), newNode(t, proxied, "b")
			meet(t, a, b)
			b.mustOpen(1, 5, "x")
			toB, toA := a.flood(0, 50), b.flood(0, 50)
			p.Cut()
			toA = append(toA, b.flood(50, 100)...)
			wait(t, "a takes b for lost", func() bool { return a.others() == 0 })
			toB = append(toB, a.flood(50, 100)...)
			strike(s)
			toB = append(toB, a.flood(100, 150)...)
			wait(t, "all has left", a.drained)
			p.Heal()
			b.wantIDs(toB...)
			a.wantIDs(toA...)
			meet(t, a, b)
			wait(t, "the registry is whole", func() bool { return registeredOf(s, a, 1, 5) == 1 })
			if n := b.sentAway(); n > 0 {
				t.Error("clients were sent away")
			}
		})
	}
}

// A member that is away for longer: what it had accepted arrives once, in order
// and at the others only; what passed it by is counted, and its clients are sent
// away.
func TestTakenForDead(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	proxied := way(s)
	proxied.Hosts = []string{p.Addr}
	a, b := newNode(t, way(s), "a", shortKeep), newNode(t, proxied, "b", shortKeep)
	meet(t, a, b)
	b.mustOpen(1, 5, "x")
	before := a.flood(0, 20)
	b.wantIDs(before...)
	toA := b.flood(0, 50)
	a.wantIDs(toA...)
	p.Cut()
	toA = append(toA, b.flood(50, 100)...)
	lost := a.flood(20, 60)
	wait(t, "b is removed", func() bool { return a.view.Load().members[b.Incarnation()] == nil && a.drained() })
	// And those that b took and had no time to acknowledge.
	wait(t, "what b lacks is counted", func() bool { return a.Stats().Dropped["member_dead"] >= int64(len(lost)) })
	// What the log still has would serve it.
	s.Client().Del(t.Context(), a.keys.log())
	p.Heal()
	meet(t, a, b)
	after := a.flood(60, 80)
	b.wantIDs(append(before, after...)...)
	a.wantIDs(toA...)
	wait(t, "its clients are sent away", func() bool { return b.sentAway() > 0 && b.Stats().Dropped["missed"] > 0 })
	b.mustOpen(1, 5, "y")
	wait(t, "the registry is whole", func() bool { return registeredOf(s, a, 1, 5) == 1 })
}

// A part of the registry is lost, or is as it was before: it is noticed and
// mended, and no message depends on it.
func TestLossOfRegistry(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	c := s.Client()
	const users = 12
	whole := func() bool {
		for u := range users {
			if registeredOf(s, a, 1, uint32(u+1)) != 2 {
				return false
			}
		}
		return true
	}
	dumps := map[string]string{}
	for n := range buckets {
		// As a replica has it that lags.
		dumps[a.keys.bucket(n)] = c.Dump(t.Context(), a.keys.bucket(n)).Val()
	}
	for u := range users {
		a.mustOpen(1, uint32(u+1), "x")
		b.mustOpen(1, uint32(u+1), "y")
	}
	if !whole() {
		t.Fatal("the sockets are not registered")
	}
	first := a.flood(0, 10)
	for key, dump := range dumps {
		c.Del(t.Context(), key)
		if dump != "" {
			if err := c.RestoreReplace(t.Context(), key, 0, dump).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	first = append(first, a.flood(10, 20)...)
	wait(t, "a registry that is as before is mended", whole)
	for n := range buckets {
		dumps[a.keys.bucket(n)] = c.Dump(t.Context(), a.keys.bucket(n)).Val()
	}
	gone := a.mustOpen(2, 1, "x")
	a.shut(gone)
	wait(t, "the socket is removed", func() bool { return registeredOf(s, a, 2, 1) == 0 })
	for u := range users {
		r := shared.Registration{Context: 1, User: uint32(u + 1)}
		c.Del(t.Context(), a.keys.bucket(bucketOf(fieldOf(&r))))
	}
	wait(t, "single keys are mended", whole)
	// A command whose answer never came makes a key anew, with a counter above what
	// has been told.
	for u := range users {
		r := shared.Registration{ID: "late", Context: 1, User: uint32(u + 1), Session: strings.Repeat("s", sessionLen)}
		n, me := bucketOf(fieldOf(&r)), a.Incarnation()
		tx := c.TxPipeline()
		tx.Del(t.Context(), a.keys.bucket(n))
		putScript.Eval(t.Context(), tx, []string{a.keys.bucket(n)}, fieldOf(&r), counter(me), valueOf(&r, me), r.ID, a.shelves.read().floors[n])
		if _, err := tx.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "keys that were made anew are mended", whole)
	b.wantIDs(first...)
}

// One shard of a Redis Cluster comes back empty, each in its turn.
func TestLossOfShard(t *testing.T) {
	s := redistest.StartShards(t)
	way := Redis{Mode: Cluster, Hosts: s.Addrs(), CommandTimeout: time.Second, ConnectTimeout: time.Second}
	a, b := newNode(t, way, "a"), newNode(t, way, "b")
	meet(t, a, b)
	const users = 12
	for u := range users {
		b.mustOpen(1, uint32(u+1), "x")
	}
	registered := func() (n int) {
		for u := range users {
			r := shared.Registration{Context: 1, User: uint32(u + 1)}
			text, err := a.client.HGet(context.Background(), bucketKey(a, 1, r.User), fieldOf(&r)).Result()
			list, _ := parseField(text)
			if err == nil {
				n += len(list)
			}
		}
		return n
	}
	var want []string
	i := 0
	for _, server := range s.Servers {
		want = append(want, a.flood(i, i+50)...)
		c := server.Client()
		if err := c.FlushAll(t.Context()).Err(); err != nil {
			continue // a replica
		}
		want = append(want, a.flood(i+50, i+100)...)
		i += 100
		b.wantIDs(want...)
		wait(t, "the registry is whole", func() bool { return registered() == users })
	}
	meet(t, a, b)
	if n := b.sentAway(); n > 0 {
		t.Errorf("clients were sent away %d times", n)
	}
}

// A member that reads nothing slows nobody down: it loses what is above the
// bound, counted, and its clients are sent away when it reads again.
func TestBehind(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	proxied := way(s)
	proxied.Hosts = []string{p.Addr}
	few := func(o *Options) { o.Buffered = func() int { return 100 } }
	a, b, c := newNode(t, way(s), "a", few), newNode(t, proxied, "b"), newNode(t, way(s), "c")
	meet(t, a, b, c)
	b.mustOpen(1, 5, "x")
	first := a.flood(0, 10)
	b.wantIDs(first...)
	p.Cut()
	wait(t, "b is lost", func() bool { return a.others() == 1 })
	want := first
	for i := range 400 {
		wait(t, "there is room", func() bool { return a.Reserve() == nil })
		id := fmt.Sprint(i)
		a.Offer(Message{Context: 1, User: 5, Name: "n", Args: `["` + id + `"]`, Label: shared.Label{ID: id}})
		want = append(want, id)
	}
	c.wantIDs(want...)
	wait(t, "what b lacks is bounded", func() bool { return a.Stats().Dropped["member_behind"] > 0 })
	s.Client().Del(t.Context(), a.keys.log())
	p.Heal()
	wait(t, "its clients are sent away", func() bool { return b.sentAway() > 0 })
	got := b.ids()
	if len(got) >= len(want) {
		t.Errorf("b has all %d", len(got))
	}
	meet(t, a, b, c)
}
