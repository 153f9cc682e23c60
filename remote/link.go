package remote

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/shared"
)

// The keys of the log lines.
const (
	keyMember      = "member"
	keyIncarnation = "incarnation"
	keyKind        = "kind"
	keyCount       = "count"
	keyError       = "err"
	keyDuration    = "duration"
	keyOp          = "op"
)

// Deliverer is the sockets of this member, as the link needs them. Its methods
// are safe for concurrent use and, but for Answer, never block.
type Deliverer interface {
	// Deliver queues a message of another member on every local match.
	Deliver(m Message) error
	// Registrations calls f for every registered socket until f returns false.
	Registrations(f func(shared.Registration) bool)
	// Registered reports whether the socket is registered here now.
	Registered(r shared.Registration) bool
	// Replace closes the socket that another member has taken over.
	Replace(context, user uint32, id string)
	// Abandon closes every socket, with a code on which clients come back:
	// messages may have passed them by. It returns how many.
	Abandon() int
	// Told is what another member tells all with Tell.
	Told(origin, op string, body []byte)
	// Answer answers a question of another member.
	Answer(op string, body []byte) ([]byte, error)
}

// Options are what a Link needs. All are required.
type Options struct {
	Client    redis.UniversalClient
	Cluster   string
	Member    string        // name of this member
	Lease     time.Duration // how long a member that says nothing counts as alive
	Timings   Timings       // valid
	Buffered  func() int    // messages that the buffer may hold, asked at each
	Deliverer Deliverer
	Describe  func() Member // of this one: Version, Sockets, Generation, Digest, Degraded
	Logger    *slog.Logger
	// Keep is how long beyond its lease what a member lacks is kept for it, and
	// its registrations are; 0: two minutes.
	Keep time.Duration
	// Seen is told what happens to other members: SeenJoined and so on. It must
	// not block; nil: nobody is.
	Seen func(what string, m Member)
	// State is what a link of the same member had, and Since what its times count
	// from; nil: there was none.
	State *State
	Since time.Time
}

// Link connects this member with the others through Redis (docs/cluster.md).
type Link struct {
	opts   Options
	log    *slog.Logger
	keys   keys
	buffer *Buffer
	view   atomic.Pointer[view]
	counts counters
	beats  beats
	outbox outbox
	in     inbox
	asked  asked
	gone   removals
	said   onceAMinute
	policy atomic.Pointer[string] // of Redis; nil: not known yet

	shelves     shelves
	troubles    troubles
	incarnation string
	started     time.Time
	abandoned   atomic.Int64 // messages that Flush gave up
	resent      time.Time    // when entries were posted again for a member that asked; the reader's

	rebuild chan struct{} // the registry needs the own sockets once more
	beatNow chan struct{}

	ctx  context.Context // of everything that Run has started
	stop context.CancelFunc
	work sync.WaitGroup
}

// New makes a link; an option that is required and missing is an error. Nothing is
// sent before Run.
func New(o Options) (*Link, error) {
	if o.Client == nil || o.Cluster == "" || o.Member == "" || o.Buffered == nil || o.Deliverer == nil || o.Describe == nil || o.Logger == nil {
		return nil, errors.New("remote: Options need Client, Cluster, Member, Buffered, Deliverer, Describe and Logger")
	}
	l := &Link{
		opts: o, log: o.Logger, keys: keys{o.Cluster},
		rebuild: make(chan struct{}, 1), beatNow: make(chan struct{}, 1),
		incarnation: newIncarnation(), started: time.Now(),
	}
	if l.opts.Keep == 0 {
		l.opts.Keep = keepFor
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.view.Store(&view{})
	l.gone.wake = make(chan struct{}, 1)
	l.outbox.init()
	l.in.sources = make(map[string]*source)
	// A member that lives and lags slows its senders down.
	l.buffer = NewBuffer(o.Timings, func() int { return o.Buffered() - l.outbox.waiting() }, l.flush)
	if o.State != nil {
		l.thaw(o.State, o.Since)
	}
	o.Client.AddHook(&l.counts)
	return l, nil
}

// incarnationLen is the length of an incarnation's id, 64 bits in hex.
const incarnationLen = 16

func newIncarnation() string {
	var b [incarnationLen / 2]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// Incarnation is the id of this process in the cluster.
func (l *Link) Incarnation() string { return l.incarnation }

// Name is that of the cluster.
func (l *Link) Name() string { return l.opts.Cluster }

// Run joins the cluster and works until ctx ends. A Redis that cannot be
// reached is tried again for as long.
func (l *Link) Run(ctx context.Context) {
	defer context.AfterFunc(ctx, l.stop)()
	defer l.stop()
	l.work.Go(l.beat)
	l.work.Go(l.read)
	l.work.Go(l.write)
	l.work.Go(l.sing)
	l.work.Go(l.remove)
	l.work.Go(l.reconcile)
	l.work.Go(l.wakeReader)
	l.work.Go(l.watchPolicy)
	l.work.Wait()
}

// Flush refuses further messages and sends those that wait. When ctx ends
// first, what is left is dropped, counted and said.
func (l *Link) Flush(ctx context.Context) {
	defer context.AfterFunc(ctx, l.outbox.abandon)()
	l.buffer.Close()
	if n := l.abandoned.Load(); n > 0 {
		l.log.Error("messages for other members are lost: Redis did not take them before this member had to stop", slog.Int64(keyCount, n))
	}
	l.acknowledged(ctx)
}

// ackPatience bounds how long a member that stops waits for the others to
// acknowledge what it has sent. What they have not by then is in Redis.
const ackPatience = 3 * time.Second

// acknowledged waits until every member that reads has what was sent.
func (l *Link) acknowledged(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ackPatience)
	defer cancel()
	for l.outbox.waiting() > 0 && l.ctx.Err() == nil {
		if !pause(ctx, maxBeatEvery/4) {
			return
		}
		l.Announce()
	}
}

// Leave takes this member and its registrations out of the cluster. It is
// called when Run has returned and the sockets are closed.
func (l *Link) Leave(ctx context.Context) error {
	return l.leave(ctx)
}

// SetTimings changes the buffer's timings, which must be valid.
func (l *Link) SetTimings(t Timings) { l.buffer.SetTimings(t) }

// Announce has the next heartbeat come at once: what this member tells of itself
// has changed.
func (l *Link) Announce() { signal(l.beatNow) }

// Reserve takes a place in the buffer; see Buffer.Reserve.
func (l *Link) Reserve() error { return l.buffer.Reserve() }

// Release gives a place back.
func (l *Link) Release() { l.buffer.Release() }

// Offer puts a message into its place; see Buffer.Offer.
func (l *Link) Offer(m Message) (coalesced bool) { return l.buffer.Offer(m) }

// ErrUnconfirmed is returned by Send for a message that may arrive, or not.
var ErrUnconfirmed = errors.New("Redis has not confirmed the message in time: it may have been sent")

// Send puts a message into its place, due at once, and with it what waited for the
// same receivers. What it returns waits until Redis has it, with a replica until that
// has it too, and returns how many other members were addressed, or ErrUnconfirmed.
func (l *Link) Send(m Message) (confirmed func(context.Context) (members int, err error)) {
	done := &receipt{done: make(chan struct{})}
	m.receipt = done
	l.buffer.OfferNow(m)
	return func(ctx context.Context) (int, error) {
		select {
		case <-done.done:
			return done.members, done.err
		case <-ctx.Done():
			return 0, ErrUnconfirmed
		}
	}
}

// signal wakes the receiver of c, if it is not awake already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits, and reports false when the link ends first.
func (l *Link) pause(d time.Duration) bool { return pause(l.ctx, d) }

// pause waits, and reports false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
