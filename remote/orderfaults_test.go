package remote

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote/redistest"
)

func through(p *redistest.Proxy) Redis {
	return Redis{Mode: Standalone, Hosts: []string{p.Addr}, CommandTimeout: 500 * time.Millisecond, ConnectTimeout: time.Second}
}

// A link that is cut, or silent in one direction or both, while writes are on
// their way: each is acknowledged and there, or refused, or said to be
// uncertain.
func TestOrderCut(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	a, b := newKeeper(t, way(s), "a", ""), newKeeper(t, through(p), "b", "")
	settle(t, a, b)
	for _, c := range []struct {
		name string
		fail func()
	}{
		{"cut", p.Cut},
		{"silent", func() { p.BlackHole(true, true) }},
		{"requests are late", func() { p.BlackHole(true, false) }},
		{"answers are late", func() { p.BlackHole(false, true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := write(t, a, b)
			l.more(t, 50)
			c.fail()
			wait(t, "the member notices", func() bool { return b.Standing() != nil })
			if err := b.put("refused", "v"); !errors.As(err, new(*store.UnavailableError)) && !errors.Is(err, store.ErrUnconfirmed) {
				t.Errorf("a write: %v", err)
			}
			l.more(t, 50) // of the other
			start := time.Now()
			p.Heal()
			wait(t, "the member is back", func() bool { return b.Standing() == nil && b.Head().Revision > 0 })
			t.Logf("back after %v", time.Since(start))
			l.more(t, 50)
			l.end(t, a, b)
		})
	}
}

// An answer that does not come: the write is said to be uncertain, and is done
// once.
func TestOrderAnswerLost(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	a, b := newKeeper(t, way(s), "a", ""), newKeeper(t, through(p), "b", "")
	settle(t, a, b)
	idle := func() bool { // both wait for what comes to their inboxes and stores
		info, err := s.Client().Info(t.Context(), "clients").Result()
		return err == nil && strings.Contains(info, "blocked_clients:4\r\n")
	}
	tries, uncertain := 0, 0
	for ; uncertain < 3 && tries < 30; tries++ {
		b.mustPut("warm"+strconv.Itoa(tries), "v") // over a connection that is kept
		wait(t, "the members wait", idle)
		name := "p" + strconv.Itoa(tries)
		p.BlackHole(false, true)
		err := b.put(name, "v")
		p.Cut()
		p.Heal()
		settle(t, a, b)
		_, there := a.value(name)
		switch {
		case errors.Is(err, store.ErrUnconfirmed) && there:
			uncertain++
		case errors.As(err, new(*store.UnavailableError)) && !there:
			// A heartbeat had the connection, and a new one was not answered.
		default:
			t.Errorf("there: %v, %v", there, err)
		}
	}
	if head := a.Head(); uncertain == 0 || head.Revision != uint64(tries+uncertain) {
		t.Errorf("head %v after %d writes and %d uncertain ones", head, tries, uncertain)
	}
}

// With a replica a write is acknowledged when that has it. One that is silent
// makes it uncertain, one that is gone is not waited for.
func TestOrderReplica(t *testing.T) {
	s := redistest.Start(t)
	a, b := newKeeper(t, way(s), "a", ""), newKeeper(t, way(s), "b", "")
	settle(t, a, b)
	a.mustPut("without", "v")
	if n := a.order.Stats().Replicas; n != 0 {
		t.Errorf("%d replicas", n)
	}
	r := redistest.StartReplica(t, s)
	// For a second after it came it says nothing.
	wait(t, "writes are confirmed", func() bool {
		err := a.put("with", "v")
		if err != nil && !errors.Is(err, store.ErrUnconfirmed) {
			t.Error(err)
		}
		return err == nil
	})
	a.mustPut("kept", "v")
	if n, err := r.Client().HExists(t.Context(), a.order.keys.state, "override:1:2:kept").Result(); err != nil || !n {
		t.Errorf("the replica does not have it: %v", err)
	}
	r.Pause()
	if err := a.put("silent", "v"); !errors.Is(err, store.ErrUnconfirmed) {
		t.Errorf("%v", err)
	}
	wait(t, "it is there all the same", func() bool { _, ok := b.value("silent"); return ok })
	settle(t, a, b)
	r.Resume()
	wait(t, "writes are confirmed again", func() bool { return a.put("again", "v") == nil })
	r.Kill()
	wait(t, "writes go on without it", func() bool { return a.put("alone", "v") == nil })
	settle(t, a, b)
	if n := a.order.Stats(); n.Unconfirmed == 0 || n.Replicas != 0 {
		t.Errorf("stats %+v", n)
	}
}

// A server that has become a replica takes no write, and none is lost when it is
// the master again, or another is.
func TestOrderReadOnly(t *testing.T) {
	s := redistest.Start(t)
	r := redistest.StartReplica(t, s)
	p := redistest.NewProxy(t, s.Addr)
	a, b := newKeeper(t, through(p), "a", ""), newKeeper(t, through(p), "b", "")
	settle(t, a, b)
	a.mustPut("before", "v")
	p.Retarget(r.Addr)
	err := a.put("refused", "v")
	if !errors.As(err, new(*store.UnavailableError)) && !errors.Is(err, store.ErrUnconfirmed) {
		t.Errorf("%v", err)
	}
	wait(t, "the reason is said", func() bool {
		err := a.put("refused", "v")
		return errors.As(err, new(*store.UnavailableError)) && strings.Contains(err.Error(), "READONLY")
	})
	s.Kill()
	if err := r.Client().Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	wait(t, "writes go on", func() bool { return a.put("after", "v") == nil })
	settle(t, a, b)
	for name, want := range map[string]bool{"before": true, "refused": false, "after": true} {
		if _, ok := b.value(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

// The master dies under load, and the sentinel makes its replica one: what was
// acknowledged is there.
func TestOrderFailover(t *testing.T) {
	s := redistest.Start(t)
	redistest.StartReplica(t, s)
	sentinel := redistest.StartSentinel(t, s)
	sentinel.Tune("500")
	way := Redis{Mode: Sentinel, Hosts: []string{sentinel.Addr}, MasterID: "mymaster", CommandTimeout: time.Second, ConnectTimeout: time.Second}
	wait(t, "the sentinel knows the replica", func() bool {
		m, err := sentinel.Client().Do(t.Context(), "sentinel", "replicas", "mymaster").Slice()
		return err == nil && len(m) == 1
	})
	members := three(t, way)
	l := write(t, members...)
	l.more(t, 50)
	start := time.Now()
	s.Kill()
	l.more(t, 50)
	t.Logf("writes go on after %v", time.Since(start))
	close(l.stop)
	l.work.Wait()
	// A write that was not acknowledged may be on one member alone, which then
	// says so.
	for _, k := range members {
		if errors.As(k.Standing(), new(*store.DivergedError)) {
			t.Logf("%s: %v", k.opts.Member, k.Standing())
			if _, err := k.Resolve(t.Context(), store.KeepCluster); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.stop = make(chan struct{})
	l.end(t, members...)
}

// A Redis that has no memory left refuses writes, and has not done a part.
func TestOrderMemory(t *testing.T) {
	s := redistest.Start(t)
	redis := s.Client()
	a, b := newKeeper(t, way(s), "a", ""), newKeeper(t, way(s), "b", "")
	settle(t, a, b)
	a.mustPut("before", "v")
	settle(t, a, b)
	if err := redis.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	before := a.Head()
	var unavailable *store.UnavailableError
	if err := a.put("refused", "v"); !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("%v", err)
	}
	if a.Head() != before {
		t.Errorf("head %v", a.Head())
	}
	if err := redis.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	wait(t, "writes go on", func() bool { return a.put("after", "v") == nil })
	settle(t, a, b)
	if _, ok := b.value("refused"); ok {
		t.Error("it was done")
	}
}

// In a Redis Cluster the keys may move, and their master die.
func TestOrderShards(t *testing.T) {
	s := redistest.StartShards(t)
	members := three(t, Redis{Mode: Cluster, Hosts: s.Addrs(), CommandTimeout: time.Second, ConnectTimeout: time.Second})
	l := write(t, members...)
	l.more(t, 50)
	slot := int(members[0].opts.Client.ClusterKeySlot(t.Context(), members[0].order.keys.head).Val())
	s.Migrate(slot)
	l.more(t, 50)
	if n := members[0].order.Stats().Replicas; n != 1 {
		t.Errorf("%d replicas", n)
	}
	start := time.Now()
	s.Failover(slot)
	l.more(t, 50)
	t.Logf("writes go on after %v", time.Since(start))
	close(l.stop)
	l.work.Wait()
	for _, k := range members {
		if errors.As(k.Standing(), new(*store.DivergedError)) {
			t.Logf("%s: %v", k.opts.Member, k.Standing())
			if _, err := k.Resolve(t.Context(), store.KeepCluster); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.stop = make(chan struct{})
	l.end(t, members...)
	t.Logf("%+v", members[0].order.Stats())
}
