package main

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// figure is one thing that is measured: one or more numbers of one run.
type figure struct {
	label   string
	columns []table.Column
	run     func(ctx context.Context, r *rig, p peer) (table.Reading, error)
	only    []string // peers that have it; nil: all

	yardstick string // its ratio is to it; "": to Socket.IO
}

var figures = []figure{
	{label: "idle", columns: []table.Column{{Label: "resident KiB per socket", Factor: 0.5}, {Label: "the same, with the logins"}, {Label: "resident MiB of the process"}}, run: idle},
	{label: "hold", columns: []table.Column{{Label: "CPU us per socket and second", Factor: 0.5}}, run: hold},
	{label: "accept", columns: []table.Column{{Label: "CPU us per handshake", Factor: 0.5}, {Label: "handshakes/s", More: true}}, run: accept},
	{label: "fanout16", columns: []table.Column{{Label: "deliveries/s", Factor: 8, More: true}, {Label: "CPU us per delivery"}, {Label: "p99 ms"}}, run: fanout(16)},
	{label: "fanout1", columns: []table.Column{{Label: "deliveries/s", Factor: 1.4, More: true}, {Label: "CPU us per delivery"}, {Label: "p99 ms"}}, run: fanout(1)},
	{label: "user", columns: []table.Column{{Label: "deliveries/s", Factor: 1.7, More: true}, {Label: "CPU us per delivery"}, {Label: "p50 ms"}, {Label: "p99 ms", Factor: 0.5}}, run: user},
	{label: "slow", columns: []table.Column{{Label: "p50 ms of those that read"}, {Label: "p99 ms of those that read", Limit: 4}, {Label: "messages/s that they got", More: true}, {Label: "resident MiB of the process"}}, run: slow},
	{
		label: "tls-idle", columns: []table.Column{{Label: "resident KiB per socket", Factor: 0.5}, {Label: "the same, with the logins", Factor: 0.5}, {Label: "resident MiB of the process"}},
		run: secured(idle), only: overTLS, yardstick: labelUsual,
	},
	{label: "tls-accept", columns: []table.Column{{Label: "CPU us per handshake", Factor: 0.5}, {Label: "handshakes/s", More: true}}, run: secured(accept), only: overTLS, yardstick: labelUsual},
	{
		label: "tls-user", columns: []table.Column{{Label: "deliveries/s", More: true}, {Label: "CPU us per delivery", Factor: 0.5}, {Label: "p50 ms"}, {Label: "p99 ms"}},
		run: secured(user), only: overTLS, yardstick: labelUsual,
	},
}

// overTLS are the peers that are measured with their own TLS.
var overTLS = []string{labelSluice, labelUsual}

// securePing is longer than the handshakes of all sockets take on a machine with
// other work: while it makes them, the driver is late with its pongs.
const securePing = 2 * time.Minute

// secured is a figure with the server's own TLS.
func secured(run func(context.Context, *rig, peer) (table.Reading, error)) func(context.Context, *rig, peer) (table.Reading, error) {
	return func(ctx context.Context, r *rig, p peer) (table.Reading, error) {
		with := *r
		with.secure = true
		with.extent.ping = max(r.extent.ping, securePing)
		return run(ctx, &with, p)
	}
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

func idle(ctx context.Context, r *rig, p peer) (table.Reading, error) {
	n := r.extent.idleSockets
	st, err := r.stand(ctx, p, n, n, r.extent.ping)
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	m, err := process.StartMeter(st.PID())
	if err != nil {
		return table.Reading{}, err
	}
	if err := st.Rest(ctx, r.extent.settle); err != nil {
		return table.Reading{}, err
	}
	kib, err := process.Resident(st.PID())
	if err != nil {
		return table.Reading{}, err
	}
	u, err := m.Stop()
	return table.Reading{Values: []float64{(kib - st.before) / float64(n), (kib - st.Fresh) / float64(n), kib / 1024}, Usage: u}, err
}

func hold(ctx context.Context, r *rig, p peer) (table.Reading, error) {
	n := r.extent.idleSockets
	st, err := r.stand(ctx, p, n, n, r.extent.holdPing)
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	if err := st.Rest(ctx, r.extent.holdPing); err != nil {
		return table.Reading{}, err
	}
	m, err := process.StartMeter(st.PID())
	if err != nil {
		return table.Reading{}, err
	}
	if err := st.Rest(ctx, r.extent.hold); err != nil {
		return table.Reading{}, err
	}
	u, err := m.Stop()
	return table.Reading{Values: []float64{micros(u.Server) / float64(n) / u.Took.Seconds()}, Usage: u}, err
}

func accept(ctx context.Context, r *rig, p peer) (table.Reading, error) {
	x := r.extent
	s, err := p.start(ctx, r, x.perWave, x.ping)
	if err != nil {
		return table.Reading{}, err
	}
	defer s.Stop()
	c, err := r.clients(x.perWave, s)
	if err != nil {
		return table.Reading{}, err
	}
	defer c.Close()
	var sum process.Usage
	for range x.waves {
		if c.Ready > 0 {
			if err := c.Reset(); err != nil {
				return table.Reading{}, err
			}
		}
		if err := s.Quiet(ctx); err != nil {
			return table.Reading{}, err
		}
		m, err := process.StartMeter(s.PID())
		if err != nil {
			return table.Reading{}, err
		}
		if err := c.Connect(ctx, x.dialing, s.target); err != nil {
			return table.Reading{}, err
		}
		u, err := m.Stop()
		if err != nil {
			return table.Reading{}, err
		}
		sum.Server, sum.Took = sum.Server+u.Server, sum.Took+u.Took
		sum.Driver, sum.Foreign = max(sum.Driver, u.Driver), max(sum.Foreign, u.Foreign)
	}
	n := float64(x.waves * x.perWave)
	return table.Reading{Values: []float64{micros(sum.Server) / n, n / sum.Took.Seconds()}, Usage: sum}, nil
}

func fanout(inFlight int) func(context.Context, *rig, peer) (table.Reading, error) {
	return func(ctx context.Context, r *rig, p peer) (table.Reading, error) {
		n := r.extent.fanout
		st, err := r.stand(ctx, p, n, n, r.extent.ping)
		if err != nil {
			return table.Reading{}, err
		}
		defer st.close()
		l := newLedger(n, r.extent.payload, inFlight, st.userOf, func(int) int { return n })
		u, delay, got, err := r.drive(ctx, st, l, inFlight, toAll(st, l), none)
		return table.Reading{Values: []float64{float64(got) / u.Took.Seconds(), micros(u.Server) / float64(got), table.Quantile(delay, 0.99)}, Usage: u}, err
	}
}

func user(ctx context.Context, r *rig, p peer) (table.Reading, error) {
	x := r.extent
	n := x.users * x.perUser
	st, err := r.stand(ctx, p, n, x.users, x.ping)
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	l := newLedger(n, x.payload, x.inFlight, st.userOf, func(int) int { return x.perUser })
	pick := func() int { return 1 + rand.IntN(x.users) }
	u, delay, got, err := r.drive(ctx, st, l, x.posts, toUsers(st, l, x.batch, pick), none)
	return table.Reading{Values: []float64{float64(got) / u.Took.Seconds(), micros(u.Server) / float64(got), table.Quantile(delay, 0.5), table.Quantile(delay, 0.99)}, Usage: u}, err
}

// slowPosts is how many POSTs of the steady rate may be out at a time, so that
// a slow answer does not hold up the next message.
const slowPosts = 8

func slow(ctx context.Context, r *rig, p peer) (table.Reading, error) {
	x := r.extent
	st, err := r.stand(ctx, p, x.slow, x.slow, x.ping)
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	every := x.slow / x.stalled
	stalled := func(i int) bool { return i%every == 0 }
	for i := range x.slow {
		if stalled(i) {
			if err := st.Ignore(i); err != nil {
				return table.Reading{}, err
			}
		}
	}
	l := newLedger(x.slow, x.slowPayload, 0, st.userOf, func(int) int { return x.slow - x.stalled })
	steady := *r
	steady.extent.warmUp, steady.extent.window = 0, x.slowFor
	var next atomic.Int64
	u, delay, got, err := steady.drive(ctx, st, l, slowPosts, atRate(st, l, time.Now(), x.slowPerSecond, &next), stalled)
	if err != nil {
		return table.Reading{}, err
	}
	rate := float64(got) / float64(x.slow-x.stalled) / u.Took.Seconds()
	kib, err := process.Resident(st.PID())
	return table.Reading{Values: []float64{table.Quantile(delay, 0.5), table.Quantile(delay, 0.99), rate, kib / 1024}, Usage: u}, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
