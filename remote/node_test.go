package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/testkit"
)

// node is a member whose sockets are a list.
type node struct {
	*Link
	t      testing.TB
	client redis.UniversalClient
	cancel context.CancelFunc
	ended  chan struct{}

	mu        sync.Mutex
	sockets   map[string]shared.Registration
	got       []Message
	replaced  []string
	abandoned int
	told      []string

	answers func(op string, body []byte) ([]byte, error) // nil: see Answer
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

func (n *node) Registrations(f func(shared.Registration) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.sockets {
		if !f(r) {
			return
		}
	}
}

func (n *node) Registered(r shared.Registration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, there := n.sockets[r.ID]
	return there
}

func (n *node) Replace(_, _ uint32, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replaced = append(n.replaced, id)
	delete(n.sockets, id)
}

func (n *node) Abandon() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.abandoned++
	for _, r := range n.sockets {
		n.Unregister(r)
	}
	n.sockets = map[string]shared.Registration{}
	return 1
}

func (n *node) Told(origin, op string, body []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, origin+" "+op+" "+string(body))
}

func (n *node) Answer(op string, body []byte) ([]byte, error) {
	n.mu.Lock()
	answers := n.answers
	n.mu.Unlock()
	if answers != nil {
		return answers(op, body)
	}
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
	n := &node{t: t, client: client, sockets: map[string]shared.Registration{}, ended: make(chan struct{})}
	o := Options{
		Client: client, Cluster: "test", Member: name, Lease: testLease,
		Timings: Timings{Frequency: minFrequency}, Buffered: func() int { return 100_000 },
		Deliverer: n, Describe: func() Member { return Member{Version: "v", Generation: 3} },
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	n.Link = testkit.Open(t, New, o)
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
	return Redis{Mode: Standalone, Hosts: []string{s.Addr}, Username: "test", Password: redistest.Password, CommandTimeout: time.Second, ConnectTimeout: time.Second}
}

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Poll(t, what, ok)
}

// meet waits until every node sees all of them, and all of its sockets are
// registered.
func meet(t testing.TB, nodes ...*node) {
	t.Helper()
	wait(t, "the members know each other", func() bool {
		for _, n := range nodes {
			v := n.view.Load()
			for _, m := range nodes {
				s := v.members[m.Incarnation()]
				if s == nil || !s.alive || !n.healthy() || n.Problem() != "" {
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
func (n *node) open(context_, user uint32, connection, session string, limit int) (shared.Registration, error) {
	r := shared.Registration{ID: newID(), Context: context_, User: user, Connection: connection, Session: fmt.Sprintf("%-16.16s", session)}
	n.mu.Lock()
	n.sockets[r.ID] = r
	n.mu.Unlock()
	_, err := n.Register(context.Background(), r, limit)
	if err != nil {
		n.shut(r)
	}
	return r, err
}

func (n *node) mustOpen(context_, user uint32, connection string) shared.Registration {
	n.t.Helper()
	r, err := n.open(context_, user, connection, "s", 8)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

func (n *node) shut(r shared.Registration) {
	n.mu.Lock()
	delete(n.sockets, r.ID)
	n.mu.Unlock()
	n.Unregister(r)
}

func (n *node) send(context_, user uint32, text string) {
	n.t.Helper()
	if err := n.Reserve(); err != nil {
		n.t.Fatal(err)
	}
	n.Offer(Message{Context: context_, User: user, Name: "n", Args: `["` + text + `"]`, Label: shared.Label{ID: text}})
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

// bucketKey is where a user's registrations are.
func bucketKey(n *node, context, user uint32) string {
	r := shared.Registration{Context: context, User: user}
	return n.keys.bucket(bucketOf(fieldOf(&r)))
}

// registeredOf is how many sockets the registry has of a user.
func registeredOf(s *redistest.Server, n *node, context, user uint32) int {
	r := shared.Registration{Context: context, User: user}
	list, _ := parseField(s.Client().HGet(context_(), bucketKey(n, context, user), fieldOf(&r)).Val())
	return len(list)
}

func context_() context.Context { return context.Background() }
