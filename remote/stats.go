package remote

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/shared"
)

// Why messages for other members are dropped.
const (
	dropDead    = iota // the member was dead for Options.Keep and had not acknowledged them
	dropGone           // the member left and had not acknowledged them
	dropFull           // more than the buffer holds was kept for a member that does not read
	dropStopped        // this member had to stop before Redis took them
	dropMissed         // entries of others that this member will not get any more
	dropCount
)

var drops = [dropCount]string{"member_dead", "member_gone", "member_behind", "stopped", "missed"}

// unreadableKinds are what of the log and of the keys is skipped, and why.
var unreadableKinds = [...]string{"size", "number", "version", "envelope", "origin", "message", "kind", "busy", "member", "registration", "canary", "claim", "late"}

// counters are those of a link since its start.
type counters struct {
	sent, posted, received, repeated    atomic.Int64
	retries, readFailed, registerFailed atomic.Int64
	resent, gaps                        atomic.Int64
	beatsFailed, losses, reaped         atomic.Int64
	repairs, registered                 atomic.Int64
	dropped                             [dropCount]atomic.Int64
	skipped                             [len(unreadableKinds)]atomic.Int64
	lag, commands                       histogram
	commandErrors                       atomic.Int64
	replicas                            atomic.Int64
	clock                               atomic.Int64 // what must be added to our clock to have that of Redis, ns
}

// bounds are those of all histograms: a round trip on loopback to a silent link.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

type histogram struct {
	counts [len(bounds) + 1]atomic.Int64
	sum    atomic.Int64 // ns
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) read() shared.Latency {
	r := shared.Latency{Sum: time.Duration(h.sum.Load()).Seconds()}
	for i := range h.counts {
		r.Counts = append(r.Counts, h.counts[i].Load())
	}
	for _, b := range bounds {
		r.Bounds = append(r.Bounds, b.Seconds())
	}
	return r
}

// Stats are the counters of a link since its start; Buffer.Buffered, Healthy,
// LeaseAge, Members and Registered are of now.
type Stats struct {
	Buffer Counts

	Sent     int64            // messages that Redis has taken, or that no other member was to get
	Posted   int64            // entries put into the log
	Received int64            // messages of other members
	Repeated int64            // entries that came twice and were delivered once
	Dropped  map[string]int64 // messages, by reason
	Skipped  map[string]int64 // parts of an inbox that could not be read, by kind
	Retries  int64            // attempts to send that failed and were made again
	Resent   int64            // entries that were sent again, because a member lacked them
	Gaps     int64            // times that this member asked for entries that it lacked
	Kept     int              // messages that members which read have not acknowledged

	Healthy    bool
	LeaseAge   time.Duration // since Redis has confirmed the lease
	Members    int           // alive, this one included
	Losses     int64         // times that Redis was found to have lost data
	Reaped     int64         // dead members whose registrations this one has removed
	Registered int64         // sockets of this member in the registry, at the last pass
	Repairs    int64         // registrations that a pass has added or removed

	BeatsFailed, ReadsFailed, RegistersFailed int64

	InboxLag      shared.Latency // from Redis to here
	Commands      shared.Latency // latency of Redis, reading the inbox excluded
	CommandErrors int64
}

// Stats returns the counters.
func (l *Link) Stats() Stats {
	c := &l.counts
	s := Stats{
		Buffer: l.buffer.Counts(),
		Sent:   c.sent.Load(), Posted: c.posted.Load(), Received: c.received.Load(), Repeated: c.repeated.Load(),
		Dropped: make(map[string]int64), Skipped: make(map[string]int64), Retries: c.retries.Load(),
		Resent: c.resent.Load(), Gaps: c.gaps.Load(), Kept: l.outbox.waiting(),
		Healthy: l.healthy(),
		Losses:  c.losses.Load(), Reaped: c.reaped.Load(), Registered: c.registered.Load(), Repairs: c.repairs.Load(),
		BeatsFailed: c.beatsFailed.Load(), ReadsFailed: c.readFailed.Load(), RegistersFailed: c.registerFailed.Load(),
		InboxLag: c.lag.read(), Commands: c.commands.read(), CommandErrors: c.commandErrors.Load(),
	}
	for i, name := range drops {
		s.Dropped[name] = c.dropped[i].Load()
	}
	for i, name := range unreadableKinds {
		s.Skipped[name] = c.skipped[i].Load()
	}
	l.beats.mu.Lock()
	if !l.beats.at.IsZero() {
		s.LeaseAge = time.Since(l.beats.at)
	}
	l.beats.mu.Unlock()
	for _, m := range l.view.Load().members {
		if m.alive {
			s.Members++
		}
	}
	return s
}

// unreadable counts what is skipped, and says so once a minute for each kind.
func (l *Link) unreadable(kind string) {
	for i, name := range unreadableKinds {
		if name == kind {
			l.counts.skipped[i].Add(1)
		}
	}
	l.once("skip "+kind, "something in Redis could not be read and is skipped: does another program write below this cluster's keys?", slog.String(keyKind, kind))
}

// sayEvery is the time between two log lines of one kind.
const sayEvery = time.Minute

// onceAMinute keeps a fault from filling the log.
type onceAMinute struct {
	mu   sync.Mutex
	last map[string]time.Time // by kind, a few constants
}

func (l *Link) once(kind, text string, attrs ...any) {
	now := time.Now()
	l.said.mu.Lock()
	if l.said.last == nil {
		l.said.last = make(map[string]time.Time)
	}
	last, said := l.said.last[kind]
	if said && now.Sub(last) < sayEvery {
		l.said.mu.Unlock()
		return
	}
	l.said.last[kind] = now
	l.said.mu.Unlock()
	l.log.Warn(text, attrs...)
}

// DialHook implements redis.Hook.
func (c *counters) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (c *counters) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmd)
		if cmd.Name() != "xread" {
			c.observe(start, err)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (c *counters) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmds)
		c.observe(start, err)
		return err
	}
}

func (c *counters) observe(start time.Time, err error) {
	c.commands.observe(time.Since(start))
	if err != nil && err != redis.Nil {
		c.commandErrors.Add(1)
	}
}
