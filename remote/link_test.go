package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
)

// node is a member whose sockets are a list.
type node struct {
	*Link
	t      testing.TB
	client redis.UniversalClient
	cancel context.CancelFunc
	ended  chan struct{}

	mu        sync.Mutex
	sockets   map[string]Registration
	got       []Message
	replaced  []string
	abandoned int
}

func (n *node) Deliver(m Message) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if m.Name == "refused" {
		return errors.New("no message")
	}
	n.got = append(n.got, m)
	return nil
}

func (n *node) Registrations(f func(Registration) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.sockets {
		if !f(r) {
			return
		}
	}
}

func (n *node) Registered(r Registration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, there := n.sockets[r.ID]
	return there
}

func (n *node) Replace(_, _ int32, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replaced = append(n.replaced, id)
	delete(n.sockets, id)
}

func (n *node) Abandon() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.abandoned++
	n.sockets = map[string]Registration{}
	return 1
}

func (n *node) Answer(op string, body []byte) ([]byte, error) {
	if op == "fail" {
		return nil, errors.New("it failed")
	}
	return json.Marshal(map[string]json.RawMessage{op: body})
}

const testLease = time.Second

// newNode makes a member of the cluster "test" and runs it.
func newNode(t testing.TB, way Redis, name string, change ...func(*Options)) *node {
	t.Helper()
	client, err := NewClient(way)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, client: client, sockets: map[string]Registration{}, ended: make(chan struct{})}
	o := Options{
		Client: client, Cluster: "test", Member: name, Lease: testLease,
		Timings: Timings{Frequency: minFrequency}, Buffered: func() int { return 100_000 },
		Deliverer: n, Describe: func() Member { return Member{Version: "v", Generation: 3} },
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	n.Link = New(o)
	n.run()
	t.Cleanup(func() {
		n.kill()
		client.Close()
	})
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.ended)
		n.Run(ctx)
	}()
}

// kill ends the member without a word to the others.
func (n *node) kill() {
	n.cancel()
	<-n.ended
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n.Flush(ctx)
}

func way(s *redistest.Server) Redis {
	return Redis{Mode: Standalone, Hosts: []string{s.Addr}, CommandTimeout: time.Second, ConnectTimeout: time.Second}
}

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// meet waits until every node sees all of them and is seen as complete.
func meet(t testing.TB, nodes ...*node) {
	t.Helper()
	wait(t, "the members know each other", func() bool {
		for _, n := range nodes {
			v := n.view.Load()
			for _, m := range nodes {
				s := v.members[m.Incarnation()]
				if s == nil || !s.alive || s.Complete != v.registry || v.registry == "" || !n.healthy() {
					return false
				}
			}
		}
		return true
	})
}

var lastID = make(chan int, 1)

func init() { lastID <- 0 }

func newID() string {
	n := <-lastID + 1
	lastID <- n
	return fmt.Sprintf("%032x", n)
}

// open registers a socket.
func (n *node) open(context_, user int32, connection, session string, limit int) (Registration, error) {
	r := Registration{ID: newID(), Context: context_, User: user, Connection: connection, Session: fmt.Sprintf("%-16.16s", session)}
	n.mu.Lock()
	n.sockets[r.ID] = r
	n.mu.Unlock()
	err := n.Register(context.Background(), r, limit)
	if err != nil {
		n.shut(r)
	}
	return r, err
}

func (n *node) mustOpen(context_, user int32, connection string) Registration {
	n.t.Helper()
	r, err := n.open(context_, user, connection, "s", 8)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

func (n *node) shut(r Registration) {
	n.mu.Lock()
	delete(n.sockets, r.ID)
	n.mu.Unlock()
	n.Unregister(r)
}

func (n *node) send(context_, user int32, text string) {
	n.t.Helper()
	if err := n.Reserve(); err != nil {
		n.t.Fatal(err)
	}
	n.Offer(Message{ID: text, Context: context_, User: user, Name: "n", Args: `["` + text + `"]`})
}

func (n *node) ids() (ids []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.got {
		ids = append(ids, m.ID)
	}
	return ids
}

func (n *node) wantIDs(want ...string) {
	n.t.Helper()
	wait(n.t, fmt.Sprintf("%s has %v", n.opts.Member, want), func() bool { return len(n.ids()) >= len(want) })
	if got := n.ids(); !slices.Equal(got, want) {
		n.t.Errorf("%s has %v, want %v", n.opts.Member, got, want)
	}
}

func (n *node) drained() bool { return n.Stats().Buffer.Buffered == 0 }

// Only members that hold a socket of the user are addressed, and each message
// arrives once and in order.
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
	b.wantIDs("to b", "to the context", "to all")
	c.wantIDs("to c", "to the context", "to all")
	wait(t, "the buffer is empty", a.drained)
	if ids := a.ids(); len(ids) > 0 {
		t.Errorf("a has its own %v", ids)
	}
	if err := a.Reserve(); err != nil {
		t.Fatal(err)
	}
	members, err := a.Send(t.Context(), Message{ID: "sync", Context: 1, User: 5, Name: "n", Args: "[]"})
	if members != 1 || err != nil {
		t.Errorf("sync: %d members, %v", members, err)
	}
	b.wantIDs("to b", "to the context", "to all", "sync")
}

func TestLinkRegistry(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	first := a.mustOpen(1, 5, "x")
	if _, err := b.open(1, 5, "x", "another session", 8); !errors.Is(err, ErrDuplicate) {
		t.Errorf("duplicate: %v", err)
	}
	if _, err := b.open(1, 5, "y", "s", 1); !errors.Is(err, ErrTooMany) {
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
	entries := func() int64 { return s.Client().HLen(t.Context(), a.keys.sockets(1, 5)).Val() }
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
			case !errors.Is(err, ErrTooMany):
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
	short := func(o *Options) { o.keep = testLease }
	a, b := newNode(t, way(s), "a", short), newNode(t, way(s), "b", short)
	meet(t, a, b)
	a.mustOpen(1, 5, "x")
	for i := range 50 {
		b.mustOpen(2, int32(i/2+1), strconv.Itoa(i))
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
		return s.Client().Exists(t.Context(), a.keys.index(dead), a.keys.inbox(dead)).Val() == 0 &&
			s.Client().SCard(t.Context(), a.keys.members()).Val() == 2
	})
	if n := s.Client().HLen(t.Context(), a.keys.sockets(1, 5)).Val(); n != 1 {
		t.Errorf("user 5 has %d entries, want a's", n)
	}
	if n := s.Client().HLen(t.Context(), a.keys.sockets(2, 1)).Val(); n != 1 {
		t.Errorf("user 1 has %d entries, want that of the new b", n)
	}
	if n := s.Client().HLen(t.Context(), a.keys.sockets(2, 9)).Val(); n != 0 {
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
		"inbox of another type": func(s *redistest.Server, _, b *node) {
			s.Client().Set(context.Background(), b.keys.inbox(b.Incarnation()), "x", 0)
		},
		"keys of another type": func(s *redistest.Server, a, b *node) {
			c := s.Client()
			for _, key := range []string{a.keys.members(), a.keys.registry(), a.keys.record(b.Incarnation()), a.keys.sockets(1, 5), a.keys.index(b.Incarnation())} {
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
				return s.Client().HLen(t.Context(), a.keys.sockets(1, 5)).Val() == 1
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
	c, inbox := s.Client(), b.keys.inbox(b.Incarnation())
	good := func(origin, kind string) string {
		return `{"v":1,"id":"1","o":"` + origin + `","c":1,"u":5,"n":"n","a":[],"k":"` + kind + `"}`
	}
	big := make([]byte, maxChunkBytes+maxEnvelope+1)
	for _, values := range [][]any{
		{"x", "y"},
		{fieldOrigin, "o", fieldText, "{"},
		{fieldOrigin, "o", fieldText, `{"v":2}`},
		{fieldOrigin, "o", fieldText, good("another", "")},
		{fieldOrigin, "o", fieldText, good("o", "future")},
		{fieldOrigin, "o", fieldText, `{"v":1,"id":"1","o":"o","n":"refused","a":[]}`},
		{fieldOrigin, "o", fieldNumber, "-1", fieldText, good("o", "")},
		{fieldOrigin, "o", fieldText, big},
	} {
		if err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: inbox, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.SAdd(t.Context(), a.keys.members(), "junk", "nobody")
	c.Set(t.Context(), a.keys.record("junk"), "{", 0)
	c.HSet(t.Context(), a.keys.sockets(1, 5), "junk", "x")
	a.send(1, 5, "after")
	b.wantIDs("after")
	for _, kind := range []string{"envelope", "version", "origin", "kind", "message", "number", "size", "member"} {
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
		a.mustOpen(1, int32(i+1), "x")
	}
	a.kill()
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := s.Client().Keys(t.Context(), "*").Val()
	if !slices.Equal(keys, []string{a.keys.registry()}) {
		t.Errorf("left: %.20v", keys)
	}
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
