package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/storetest"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// keepers are members with stores, one of which is the keeper.
type keepers struct {
	t       testing.TB
	way     Redis
	cluster string
	count   int
}

// storeNode is one of them.
type storeNode struct {
	*node
	*storetest.Member
	storeLink *StoreLink
}

var clusters atomic.Int64

func newKeepers(t testing.TB, way Redis) *keepers {
	t.Helper()
	return &keepers{t: t, way: way, cluster: fmt.Sprintf("test:%d", clusters.Add(1))}
}

// member starts one by its name, whose files name a keeper.
func (k *keepers) member(name, keeper, path string) *storeNode {
	k.t.Helper()
	var head atomic.Pointer[store.Head]
	head.Store(&store.Head{})
	n := newNode(k.t, k.way, name, func(o *Options) {
		o.Cluster = k.cluster
		o.Describe = func() Member { return Member{Version: "v", Store: head.Load(), Keeper: keeper} }
	})
	x := &storeNode{node: n, storeLink: n.StoreLink(keeper)}
	o := store.Options{Path: path}
	if name == keeper {
		o.Witness = x.storeLink
	} else {
		o.Truth = Follower{x.storeLink}
	}
	x.Member = storetest.Open(k.t, o)
	n.mu.Lock()
	n.answers = func(op string, body []byte) ([]byte, error) { return x.storeLink.Answer(x.Store, op, body) }
	n.mu.Unlock()
	return x
}

// follower starts a member of a new name.
func (k *keepers) follower(path string) *storeNode {
	k.count++
	return k.member(fmt.Sprintf("f%d", k.count), "k", path)
}

// Followers of a keeper hold to the contract of all makes.
func TestStoreContract(t *testing.T) {
	s := redistest.Start(t)
	t.Run("suite", func(t *testing.T) {
		storetest.Contract(t, func(t *testing.T) func(string) *storetest.Member {
			k := newKeepers(t, way(s))
			keeper := k.member("k", "k", "")
			keeper.Ready(t)
			return func(path string) *storetest.Member { return k.follower(path).Member }
		})
	})
}

var everyone = cascade.Subject{Context: 1}

func refusedWith[E error](t testing.TB, x *storeNode, what string) {
	t.Helper()
	testkit.Poll(t, what, func() bool {
		_, err := x.Put(t.Context(), everyone, "refused", "v")
		var want E
		return errors.As(err, &want)
	})
}

// A keeper whose term is over acknowledges nothing, although it does not know
// that yet.
func TestStoreTerm(t *testing.T) {
	k := newKeepers(t, way(redistest.Start(t)))
	a := k.member("a", "a", "")
	a.Ready(t)
	if _, err := a.Put(t.Context(), everyone, "p", "1"); err != nil {
		t.Fatal(err)
	}
	id, head := a.Store.Identity(), a.Head()
	next, err := (&StoreLink{link: a.Link, keeper: "b", log: a.log, registration: a.storeLink.registration, entries: a.storeLink.entries}).Adopt(t.Context(), id, head)
	if err != nil || next.Term != id.Term+1 || next.ID != id.ID {
		t.Fatalf("%+v %v", next, err)
	}
	_, err = a.Put(t.Context(), everyone, "p", "2")
	if !errors.As(err, new(*store.KeeperError)) && !errors.Is(err, store.ErrUnconfirmed) {
		t.Errorf("%v", err)
	}
	refusedWith[*store.KeeperError](t, a, "it knows that its term is over")
	if err := a.storeLink.Confirm(id, head, nil); !errors.As(err, new(*store.KeeperError)) {
		t.Errorf("a confirmation of the old term: %v", err)
	}
	// A write that carries the old term is refused by the new keeper as well.
	q := &proposeQuestion{Term: id.Term + 7, Writes: []store.Write{{Actor: "x"}}}
	answer, err := a.storeLink.answerPropose(t.Context(), a.Store, q)
	if err != nil || answer.(proposeAnswer).Results[0].Problem.Code != "keeper" {
		t.Errorf("%+v %v", answer, err)
	}
}

// What the keeper has acknowledged is with Redis, so that one that is named
// next need not ask it.
func TestStoreMissing(t *testing.T) {
	s := redistest.Start(t)
	k := newKeepers(t, way(s))
	a := k.member("a", "a", "")
	a.Ready(t)
	b := k.member("b", "a", "")
	b.Ready(t)
	for i := range 20 {
		if _, err := a.Put(t.Context(), everyone, fmt.Sprint("p", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Poll(t, "the follower has all", func() bool { return b.Head() == a.Head() })
	list, whole, err := b.storeLink.Missing(t.Context(), b.Store.Identity(), store.Head{})
	if err != nil || !whole || len(list) != 20 {
		t.Errorf("%d entries, whole %v, %v", len(list), whole, err)
	}
	if err := s.Client().Del(t.Context(), a.storeLink.entries).Err(); err != nil {
		t.Fatal(err)
	}
	if _, whole, err = b.storeLink.Missing(t.Context(), b.Store.Identity(), store.Head{}); err != nil || whole {
		t.Errorf("without the entries: whole %v, %v", whole, err)
	}
	// The members go on: the keeper itself is asked.
	if _, err := a.Put(t.Context(), everyone, "after", "v"); err != nil {
		t.Fatal(err)
	}
	testkit.Poll(t, "the follower goes on", func() bool { return b.Head() == a.Head() })
}

// Two members whose files name different keepers, and two of one name.
func TestStoreConflicts(t *testing.T) {
	k := newKeepers(t, way(redistest.Start(t)))
	a := k.member("a", "a", "")
	a.Ready(t)
	b := k.member("b", "a", "")
	b.Ready(t)
	c := k.member("c", "c", "")
	for _, x := range []*storeNode{a, b, c} {
		refusedWith[*store.KeeperError](t, x, "the members do not agree")
	}
	c.kill()
	testkit.Poll(t, "they agree again", func() bool { _, err := b.Put(t.Context(), everyone, "p", "v"); return err == nil })
	twin := k.member("a", "a", "")
	for _, x := range []*storeNode{a, b, twin} {
		refusedWith[*store.KeeperError](t, x, "two have the name")
	}
}

// A member that has decided things of its own keeps them until somebody says
// what counts; one that has nothing else than the keeper follows it.
func TestStoreForeign(t *testing.T) {
	k := newKeepers(t, way(redistest.Start(t)))
	alone := storetest.Open(t, store.Options{})
	if _, err := alone.Put(t.Context(), everyone, "own", "v"); err != nil {
		t.Fatal(err)
	}
	path := alone.Path
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	a := k.member("a", "a", "")
	a.Ready(t)
	if _, err := a.Put(t.Context(), everyone, "p", "v"); err != nil {
		t.Fatal(err)
	}
	b := k.member("b", "a", path)
	refusedWith[*store.NoStoreError](t, b, "it has decisions of its own")
	if _, ok := b.Value(everyone, "own"); !ok {
		t.Error("they do not count any more")
	}
	if err := a.Store.Adopt(store.Adoption{Register: func(id store.Identity, head store.Head) (store.Identity, error) {
		return a.storeLink.Adopt(context.Background(), id, head)
	}}); err != nil {
		t.Fatal(err)
	}
	testkit.Poll(t, "it follows", func() bool { return b.Head() == a.Head() && b.Standing() == nil })
	if _, ok := b.Value(everyone, "own"); ok {
		t.Error("what was given up is in force")
	}
	list, _, err := a.Page(store.KindOverride, nil, 10, 1<<20)
	if err != nil || len(list) != 1 {
		t.Errorf("%v", list)
	}
}

// A follower loses its answers, or its link, while it writes: each write is acknowledged and
// there, or refused, or done once when it is asked again.
func TestStoreLinkFails(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	k := newKeepers(t, way(s))
	a := k.member("a", "a", "")
	a.Ready(t)
	k.way = through(p)
	b := k.member("b", "a", "")
	b.Ready(t)
	acknowledged, unsure := map[string]uint64{}, []store.Write{}
	for i := range 40 {
		switch i % 20 {
		case 5:
			p.BlackHole(false, true)
		case 10:
			p.Cut()
		case 15:
			p.Heal()
		}
		w := store.Write{Actor: "t", Reason: "r", Action: "a", Request: fmt.Sprint("request-", i), Changes: []store.Change{storetest.Set(everyone, fmt.Sprint("p", i), "v")}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		e, err := b.Do(ctx, w)
		cancel()
		switch {
		case err == nil:
			acknowledged[w.Request] = e.Revision
		case errors.Is(err, store.ErrUnconfirmed):
			unsure = append(unsure, w)
		case !errors.As(err, new(*store.UnavailableError)):
			t.Errorf("%d: %v", i, err)
		}
	}
	p.Heal()
	for _, w := range unsure {
		testkit.Poll(t, "a write is asked again", func() bool {
			e, err := b.Do(t.Context(), w)
			if err == nil {
				acknowledged[w.Request] = e.Revision
			}
			return err == nil
		})
	}
	testkit.Poll(t, "the follower has all", func() bool { return b.Head() == a.Head() })
	for _, x := range []*storeNode{a, b} {
		list, _, err := x.Log(0, 1000, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]uint64{}
		for _, e := range list {
			if seen[e.Request] != 0 {
				t.Errorf("%s is there twice", e.Request)
			}
			seen[e.Request] = e.Revision
		}
		for request, rev := range acknowledged {
			if seen[request] != rev {
				t.Errorf("%s was acknowledged as revision %d and is %d", request, rev, seen[request])
			}
		}
	}
	t.Logf("%d acknowledged, %d asked again", len(acknowledged), len(unsure))
}

// through is a way over a proxy that fails soon.
func through(p *redistest.Proxy) Redis {
	return Redis{Mode: Standalone, Hosts: []string{p.Addr}, CommandTimeout: 500 * time.Millisecond, ConnectTimeout: time.Second}
}

// A body that is longer than an inbox takes goes beside it.
func TestAskMemberLong(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	wait(t, "they know each other", func() bool { return a.freshest("b") != nil })
	b.mu.Lock()
	b.answers = func(_ string, body []byte) ([]byte, error) {
		body, err := b.unshelve(context.Background(), body)
		if err != nil {
			return nil, err
		}
		return b.shelve(context.Background(), slices.Concat([]byte(`["`), []byte(strings.Repeat("y", len(body))), []byte(`"]`)))
	}
	b.mu.Unlock()
	for _, n := range []int{1, maxInline - 2, maxInline, 5 << 20} {
		body, err := a.AskMember(t.Context(), "b", "op", []byte(`"`+strings.Repeat("x", n)+`"`))
		if err != nil || len(body) != n+2+4 {
			t.Errorf("%d: %d bytes, %v", n, len(body), err)
		}
	}
	if _, err := a.AskMember(t.Context(), "nobody", "op", nil); !errors.Is(err, errNotThere) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := a.AskMember(t.Context(), "b", "op", make([]byte, maxBody+1)); !errors.Is(err, errTooLong) {
		t.Errorf("too long: %v", err)
	}
}
