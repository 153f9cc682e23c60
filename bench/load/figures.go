package main

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// figure is one thing that is measured: one or more numbers of one run.
type figure struct {
	label   string
	columns []column
	run     func(ctx context.Context, r *rig, p peer) (reading, error)
}

func (f figure) name() string { return f.label }

// column is a number with its aim.
type column struct {
	label  string
	factor float64 // of Socket.IO's number in the same run; 0: no aim
	more   bool    // at least, else at most
	limit  float64 // at most, whatever the peers reach; 0: none
}

var figures = []figure{
	{"idle", []column{{label: "resident KiB per socket", factor: 0.5}, {label: "the same, with the logins"}, {label: "resident MiB of the process"}}, idle},
	{"hold", []column{{label: "CPU us per socket and second", factor: 0.5}}, hold},
	{"accept", []column{{label: "CPU us per handshake", factor: 0.5}, {label: "handshakes/s"}}, accept},
	{"fanout16", []column{{label: "deliveries/s", factor: 8, more: true}, {label: "CPU us per delivery"}, {label: "p99 ms"}}, fanout(16)},
	{"fanout1", []column{{label: "deliveries/s", factor: 1.4, more: true}, {label: "CPU us per delivery"}, {label: "p99 ms"}}, fanout(1)},
	{"user", []column{{label: "deliveries/s", factor: 1.7, more: true}, {label: "CPU us per delivery"}, {label: "p50 ms"}, {label: "p99 ms", factor: 0.5}}, user},
	{"slow", []column{{label: "p50 ms of those that read"}, {label: "p99 ms of those that read", limit: 4}, {label: "messages/s that they got"}, {label: "resident MiB of the process"}}, slow},
}

// extent is how much of everything a figure takes.
type extent struct {
	dialing int // handshakes in flight
	ping    time.Duration

	idleSockets int
	settle      time.Duration // from the last handshake to reading the memory

	holdPing, hold time.Duration

	// Handshakes come in waves, because a process may have 20,000 descriptors.
	waves, perWave int

	fanout, payload        int // sockets, bytes
	warmUp, window, drain  time.Duration
	users, perUser         int
	inFlight, batch, posts int // messages, messages in a POST, POSTs at a time

	slow, stalled, slowPayload, slowPerSecond int
	slowFor                                   time.Duration
}

// full is the protocol of docs/bench.md.
var full = extent{
	dialing: 128, ping: 25 * time.Second,
	idleSockets: 10_000, settle: 2500 * time.Millisecond,
	holdPing: 5 * time.Second, hold: 15 * time.Second,
	waves: 2, perWave: 15_000,
	fanout: 5_000, payload: 128,
	warmUp: time.Second, window: 5 * time.Second, drain: 30 * time.Second,
	users: 5_000, perUser: 2, inFlight: 1024, batch: 32, posts: 8,
	slow: 200, stalled: 50, slowPayload: 4096, slowPerSecond: 300, slowFor: 15 * time.Second,
}

func idle(ctx context.Context, r *rig, p peer) (reading, error) {
	n := r.extent.idleSockets
	st, err := r.stand(ctx, p, n, n, r.extent.ping)
	if err != nil {
		return reading{}, err
	}
	defer st.close()
	m, err := startMeter(st.pid())
	if err != nil {
		return reading{}, err
	}
	if err := st.rest(ctx, r.extent.settle); err != nil {
		return reading{}, err
	}
	kib, err := resident(st.pid())
	if err != nil {
		return reading{}, err
	}
	u, err := m.stop()
	return reading{[]float64{(kib - st.before) / float64(n), (kib - st.fresh) / float64(n), kib / 1024}, u}, err
}

func hold(ctx context.Context, r *rig, p peer) (reading, error) {
	n := r.extent.idleSockets
	st, err := r.stand(ctx, p, n, n, r.extent.holdPing)
	if err != nil {
		return reading{}, err
	}
	defer st.close()
	if err := st.rest(ctx, r.extent.holdPing); err != nil {
		return reading{}, err
	}
	m, err := startMeter(st.pid())
	if err != nil {
		return reading{}, err
	}
	if err := st.rest(ctx, r.extent.hold); err != nil {
		return reading{}, err
	}
	u, err := m.stop()
	return reading{[]float64{micros(u.server) / float64(n) / u.took.Seconds()}, u}, err
}

func accept(ctx context.Context, r *rig, p peer) (reading, error) {
	x := r.extent
	s, err := p.start(ctx, r, x.perWave, x.ping)
	if err != nil {
		return reading{}, err
	}
	defer s.stop()
	c, err := newClients(x.perWave, s.dialect)
	if err != nil {
		return reading{}, err
	}
	defer c.close()
	var sum usage
	for range x.waves {
		if c.ready > 0 {
			if err := c.reset(); err != nil {
				return reading{}, err
			}
		}
		if err := s.quiet(ctx); err != nil {
			return reading{}, err
		}
		m, err := startMeter(s.pid())
		if err != nil {
			return reading{}, err
		}
		if err := c.connect(ctx, s.port, x.dialing, s.request); err != nil {
			return reading{}, err
		}
		u, err := m.stop()
		if err != nil {
			return reading{}, err
		}
		sum.server, sum.took = sum.server+u.server, sum.took+u.took
		sum.driver, sum.foreign = max(sum.driver, u.driver), max(sum.foreign, u.foreign)
	}
	n := float64(x.waves * x.perWave)
	return reading{[]float64{micros(sum.server) / n, n / sum.took.Seconds()}, sum}, nil
}

func fanout(inFlight int) func(context.Context, *rig, peer) (reading, error) {
	return func(ctx context.Context, r *rig, p peer) (reading, error) {
		n := r.extent.fanout
		st, err := r.stand(ctx, p, n, n, r.extent.ping)
		if err != nil {
			return reading{}, err
		}
		defer st.close()
		l := newLedger(n, r.extent.payload, inFlight, st.userOf, func(int) int { return n })
		u, delay, got, err := r.drive(ctx, st, l, inFlight, toAll(st, l), none)
		return reading{[]float64{float64(got) / u.took.Seconds(), micros(u.server) / float64(got), quantile(delay, 0.99)}, u}, err
	}
}

func user(ctx context.Context, r *rig, p peer) (reading, error) {
	x := r.extent
	n := x.users * x.perUser
	st, err := r.stand(ctx, p, n, x.users, x.ping)
	if err != nil {
		return reading{}, err
	}
	defer st.close()
	l := newLedger(n, x.payload, x.inFlight, st.userOf, func(int) int { return x.perUser })
	pick := func() int { return 1 + rand.IntN(x.users) }
	u, delay, got, err := r.drive(ctx, st, l, x.posts, toUsers(st, l, x.batch, pick), none)
	return reading{[]float64{float64(got) / u.took.Seconds(), micros(u.server) / float64(got), quantile(delay, 0.5), quantile(delay, 0.99)}, u}, err
}

// slowPosts is how many POSTs of the steady rate may be out at a time, so that
// a slow answer does not hold up the next message.
const slowPosts = 8

func slow(ctx context.Context, r *rig, p peer) (reading, error) {
	x := r.extent
	st, err := r.stand(ctx, p, x.slow, x.slow, x.ping)
	if err != nil {
		return reading{}, err
	}
	defer st.close()
	every := x.slow / x.stalled
	stalled := func(i int) bool { return i%every == 0 }
	for i := range x.slow {
		if stalled(i) {
			if err := st.ignore(i); err != nil {
				return reading{}, err
			}
		}
	}
	l := newLedger(x.slow, x.slowPayload, 0, st.userOf, func(int) int { return x.slow - x.stalled })
	steady := *r
	steady.extent.warmUp, steady.extent.window = 0, x.slowFor
	var next atomic.Int64
	u, delay, got, err := steady.drive(ctx, st, l, slowPosts, atRate(st, l, time.Now(), x.slowPerSecond, &next), stalled)
	if err != nil {
		return reading{}, err
	}
	rate := float64(got) / float64(x.slow-x.stalled) / u.took.Seconds()
	kib, err := resident(st.pid())
	return reading{[]float64{quantile(delay, 0.5), quantile(delay, 0.99), rate, kib / 1024}, u}, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
