package remote

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redismodel"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/testkit"
)

// The times of a schedule, all virtual.
const (
	worldLease   = 2 * time.Second
	worldKeep    = 4 * time.Second // of an inbox beyond the lease
	worldStart   = 3 * time.Second // until the members know each other
	worldFaults  = 4 * time.Second // in which faults begin
	worldWhole   = 5 * time.Second // until everything is whole after the last fault
	worldPrompt  = 1500 * time.Millisecond
	worldLatency = 200 * time.Microsecond
	clockStep    = 5 * time.Second
	replicaLag   = 200 * time.Millisecond

	worldCluster  = "model"
	worldUsers    = 4
	worldPassword = "right"
)

// world is a cluster in a bubble.
type world struct {
	t     *testing.T
	seed  uint64
	loud  bool
	dice  *dice // of the goroutine that runs the schedule
	start time.Time
	redis *redismodel.Server
	work  sync.WaitGroup // what is to be over at the end
	ctx   context.Context
	stop  context.CancelFunc

	timings Timings

	streams atomic.Uint64 // of dice so far

	mu                sync.Mutex
	peers             []*peer // those that live
	all               []*peer
	sent              []*sentMessage
	byID              map[string]*sentMessage
	sockets           []*worldSocket
	stopping, stopped time.Time // the first and the last moment at which Redis or a line did not work
	faults            []string  // what there was, for the report
	broken            []string  // what of the promise was not held
	lossy             bool      // Redis has lost data
	away              bool      // a member was dead or cut for longer than a lease
	refused           int
	calm              bool // faults have not begun, or are over
}

func newWorld(t *testing.T, seed uint64, loud bool) *world {
	w := &world{t: t, seed: seed, loud: loud, start: time.Now(), byID: make(map[string]*sentMessage)}
	w.dice = w.newDice()
	w.ctx, w.stop = context.WithCancel(context.Background())
	lag := time.Duration(0)
	if w.dice.n(2) == 0 {
		lag = replicaLag
	}
	w.redis = redismodel.New(redismodel.Options{Seed: seed, Latency: worldLatency, Lag: lag})
	w.redis.Require("default", worldPassword)
	w.timings = Timings{Frequency: minFrequency}
	if w.dice.n(2) == 0 {
		w.timings = Timings{Delay: 100 * time.Millisecond, MaxDelay: 300 * time.Millisecond, Frequency: 50 * time.Millisecond}
	}
	return w
}

// say notes what happens, for the report of a schedule that fails.
func (w *world) say(format string, args ...any) {
	line := fmt.Sprintf("%8.3fs  ", time.Since(w.start).Seconds()) + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, line)
	if w.loud {
		fmt.Fprintln(os.Stderr, line)
	}
}

// breach notes that the promise was not held.
func (w *world) breach(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// dice are numbers that the seed decides, for one goroutine.
type dice struct{ rng *rand.Rand }

// newDice are further ones: each goroutine has its own, so that they do not hang
// on who comes first.
func (w *world) newDice() *dice {
	return &dice{rand.New(rand.NewPCG(w.seed, w.streams.Add(1)))}
}

// n is from 0 to below n.
func (d *dice) n(n int) int { return d.rng.IntN(n) }

// between is a time.
func (d *dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.n(int((to-from)/time.Millisecond)+1))*time.Millisecond
}

// sleep reports false when the schedule ends first.
func (w *world) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return w.ctx.Err() == nil
	case <-w.ctx.Done():
		return false
	}
}

// living is one of the members that live.
func (w *world) living(d *dice) *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.peers) == 0 {
		return nil
	}
	return w.peers[d.n(len(w.peers))]
}

// peer is a member of a world: a Link with sockets that are lists.
type peer struct {
	*Link
	w      *world
	name   string
	line   *redismodel.Line
	client *redis.Client
	cancel context.CancelFunc
	ended  chan struct{} // Run has returned

	accepting sync.Mutex // the order of accepted messages

	// Under w.mu.
	sockets   map[string]*worldSocket
	delivered map[string]bool // ids that senders gave, as the API keeps them
	dead      time.Time       // killed; zero: it lives
	buffered  int             // when it was killed
	kept      int             // then: what members that read had not acknowledged
	abandoned int             // sockets closed with 1012
	closing   bool
	stays     time.Time // when it could not take itself out; zero: it could, or did not try
}

// worldSocket is a socket of a client.
type worldSocket struct {
	shared.Registration
	peer   *peer
	live   bool      // it was admitted
	opened time.Time // then
	closed time.Time
	why    string
	got    []*sentMessage
	at     []time.Time
}

func (s *worldSocket) String() string {
	return fmt.Sprintf("%s of %d:%d on %s", s.ID, s.Context, s.User, s.peer.name)
}

// dialThrough has a client reach the model through a line.
type dialThrough struct{ line *redismodel.Line }

func (d dialThrough) DialHook(redis.DialHook) redis.DialHook {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return d.line.Dial(ctx) }
}
func (dialThrough) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (dialThrough) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// join starts a member.
func (w *world) join(name string) *peer {
	client, err := NewClient(Redis{
		Mode: Standalone, Hosts: []string{"model"}, Password: worldPassword, Database: 1,
		CommandTimeout: time.Second, ConnectTimeout: 500 * time.Millisecond,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	p := &peer{w: w, name: name, line: w.redis.Line(), client: client.(*redis.Client), ended: make(chan struct{}), sockets: make(map[string]*worldSocket), delivered: make(map[string]bool)}
	client.AddHook(dialThrough{p.line})
	log := slog.New(slog.DiscardHandler)
	if w.loud {
		log = slog.New(&worldLog{w: w, name: name})
	}
	p.Link = testkit.Open(w.t, New, Options{
		Client: client, Cluster: worldCluster, Member: name, Lease: worldLease, Timings: w.timings,
		Buffered: func() int { return 1000 }, Deliverer: p, Describe: func() Member { return Member{Version: "v"} },
		Logger: log, Keep: worldKeep,
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	w.mu.Lock()
	w.peers = append(w.peers, p)
	w.all = append(w.all, p)
	w.mu.Unlock()
	w.work.Go(func() {
		defer close(p.ended)
		p.Run(ctx)
	})
	return p
}

func (p *peer) gone() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return !p.dead.IsZero()
}

// heal mends the line of a member that was not killed.
func (p *peer) heal() {
	p.w.mu.Lock()
	killed := !p.dead.IsZero() && !p.closing
	p.w.mu.Unlock()
	if !killed {
		p.line.Heal()
	}
}

// kill ends a member as kill -9 does.
func (p *peer) kill() {
	stats := p.Stats()
	p.w.mu.Lock()
	p.buffered, p.kept = stats.Buffer.Buffered, stats.Kept
	p.end("killed")
	p.w.mu.Unlock()
	p.line.Cut()
	p.w.work.Go(func() { p.bury(0) })
}

// end takes a member out of the world, which is locked.
func (p *peer) end(why string) {
	p.dead = time.Now()
	for i, other := range p.w.peers {
		if other == p {
			p.w.peers = append(p.w.peers[:i:i], p.w.peers[i+1:]...)
			break
		}
	}
	for _, s := range p.sockets {
		s.end(why)
	}
	clear(p.sockets)
}

// bury waits for what a member has started; it has patience for its messages.
func (p *peer) bury(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if patience > 0 {
		p.Flush(ctx)
	}
	p.cancel()
	<-p.ended
	if patience == 0 {
		p.Flush(ctx)
	} else if err := p.Leave(ctx); err != nil {
		p.w.say("%s cannot leave: %v", p.name, err)
		p.w.mu.Lock()
		p.stays = time.Now()
		p.w.mu.Unlock()
		if p.w.ctx.Err() != nil { // nothing is wrong with Redis any more
			p.w.breach("not whole: %s cannot leave: %v", p.name, err)
		}
	}
	_ = p.client.Close() // of a test
}

// leave ends a member as a restart of its service does.
func (p *peer) leave() {
	p.w.mu.Lock()
	p.closing = true
	p.w.mu.Unlock()
	p.accepting.Lock() // what is being accepted is
	p.w.mu.Lock()
	p.end("drained")
	p.w.mu.Unlock()
	p.accepting.Unlock()
	p.bury(10 * time.Second)
}

func (s *worldSocket) end(why string) {
	if s.closed.IsZero() {
		s.closed, s.why = time.Now(), why
	}
}

// Deliver implements Deliverer.
func (p *peer) Deliver(m Message) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if !p.dead.IsZero() && !p.closing {
		return nil
	}
	sent := p.w.byID[m.ID]
	if sent == nil {
		return nil // of the link's own
	}
	p.deliver(sent)
	return nil
}

// deliver queues a message on the matching sockets, unless its sender's id says
// that it was here before; the world is locked.
func (p *peer) deliver(m *sentMessage) {
	if m.named && p.delivered[m.id] {
		return
	}
	p.delivered[m.id] = true
	for _, s := range p.sockets {
		if m.matches(s) {
			s.got = append(s.got, m)
			s.at = append(s.at, time.Now())
		}
	}
}

// Registrations implements Deliverer.
func (p *peer) Registrations(f func(shared.Registration) bool) {
	p.w.mu.Lock()
	var list []shared.Registration
	for _, s := range p.sockets {
		list = append(list, s.Registration)
	}
	p.w.mu.Unlock()
	for _, r := range list {
		if !f(r) {
			return
		}
	}
}

// Registered implements Deliverer.
func (p *peer) Registered(r shared.Registration) bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.sockets[r.ID] != nil
}

// Replace implements Deliverer.
func (p *peer) Replace(_, _ uint32, id string) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if s := p.sockets[id]; s != nil {
		s.end("replaced")
		delete(p.sockets, id)
		p.Unregister(s.Registration)
	}
}

// Abandon implements Deliverer.
func (p *peer) Abandon() int {
	p.w.say("%s sends its clients away with 1012", p.name)
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	n := len(p.sockets)
	for _, s := range p.sockets {
		s.end("1012")
		p.Unregister(s.Registration)
	}
	clear(p.sockets)
	p.abandoned += n
	return n
}

// Answer implements Deliverer.
func (p *peer) Told(string, string, []byte) {}

func (p *peer) Answer(_ string, body []byte) ([]byte, error) { return body, nil }

// worldLog writes what a member logs beside what happens.
type worldLog struct {
	w    *world
	name string
}

func (l *worldLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *worldLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *worldLog) WithGroup(string) slog.Handler            { return l }

func (l *worldLog) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	fmt.Fprintf(os.Stderr, "%8.3fs    %s: %s%s\n", time.Since(l.w.start).Seconds(), l.name, r.Message, b.String())
	return nil
}
