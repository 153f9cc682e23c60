package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed47708276/sluice/bench/internal/table"
)

// extent is how much of everything a figure takes.
type extent struct {
	payload      int // bytes
	users        int
	warmUp, span time.Duration
	rates        [2]int
	window       int // messages on their way where the rate is sought
	hold         time.Duration

	// With the documented timings.
	loneUsers, equalUsers int
	loneFor, equalFor     time.Duration

	members, registered, perUser []int
	// mostHeld is how many sockets a member and a holder have, of the 20,000
	// descriptors that a process may have.
	mostHeld int
}

// full is the protocol of docs/bench.md.
var full = extent{
	payload: 128, users: 1_000, warmUp: time.Second, span: 5 * time.Second, rates: [2]int{1_000, 5_000},
	window: 2_048, hold: 30 * time.Second,
	loneUsers: 400, loneFor: 20 * time.Second, equalUsers: 40, equalFor: 35 * time.Second,
	members: []int{2, 4, 8}, registered: []int{1_000, 10_000, 100_000}, perUser: []int{1, 8}, mostHeld: 12_500,
}

// The aims, against the streams adapter.
const (
	rateFactor    = 2.5
	delayFactor   = 0.4
	mostRoundTrip = 1
)

func (r *rig) figures() []table.Figure {
	steady := func(k int) table.Figure {
		return table.Figure{
			Label: fmt.Sprintf("%d/s", r.extent.rates[k]),
			Columns: []table.Column{
				{Label: "p50 ms"}, {Label: "p99 ms", Factor: delayFactor}, {Label: "Redis commands per message"}, {Label: "CPU us per message, members"}, {Label: "CPU us per message, Redis"},
			},
			Run: func(ctx context.Context, peer string) (table.Reading, error) {
				return r.steady(ctx, peer, r.extent.rates[k])
			},
		}
	}
	all := []table.Figure{steady(0), steady(1), {
		Label: "highest",
		Columns: []table.Column{
			{Label: "messages/s", Factor: rateFactor, More: true},
			{Label: "p50 ms"},
			{Label: "p99 ms"},
			{Label: "round trips of Redis per message", Limit: mostRoundTrip},
			{Label: "Redis commands per message"},
			{Label: "bytes to Redis per message"},
			{Label: "bytes from Redis per message"},
			{Label: "CPU us per message, sender"},
			{Label: "CPU us per message, receiver"},
			{Label: "CPU us per message, Redis"},
		},
		Run: r.highest,
	}}
	return slices.Concat(all, r.timings(), r.growth())
}

// steady measures at a rate, whatever the peer does.
func (r *rig) steady(ctx context.Context, peer string, perSecond int) (table.Reading, error) {
	x := r.extent
	st, err := r.stand(ctx, peer, plan{members: 2, users: x.users, perUser: 1, memberOf: onB})
	if err != nil {
		return table.Reading{}, err
	}
	defer st.close()
	m, err := st.steady(ctx, x, perSecond)
	if err != nil {
		return table.Reading{}, err
	}
	return table.Reading{
		Values: []float64{m.quantile(0.5), m.quantile(0.99), m.per(m.redis.Commands), m.micros(m.members()), m.micros(m.cpu[0])},
		Usage:  m.Usage,
	}, nil
}

func (st *stand) steady(ctx context.Context, x extent, perSecond int) (m measured, err error) {
	if err := st.send.rate(perSecond); err != nil {
		return m, err
	}
	if err := st.serve(ctx, x.warmUp, never); err != nil {
		return m, err
	}
	g, err := st.gauge()
	if err != nil {
		return m, err
	}
	if err := st.serve(ctx, x.span, never); err != nil {
		return m, err
	}
	if m, err = g.stop(); err != nil {
		return m, err
	}
	if err := st.send.rate(0); err != nil {
		return m, err
	}
	return m, st.settle(ctx)
}

// shares are the parts of the rate of a full window that are tried one after
// the other until one can be held.
var shares = []float64{1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4}

// highest seeks the rate of a full window, and then, with a fresh cluster each,
// the largest share of it that can be held.
func (r *rig) highest(ctx context.Context, peer string) (table.Reading, error) {
	x := r.extent
	p := plan{members: 2, users: x.users, perUser: 1, memberOf: onB}
	limit, err := r.saturated(ctx, peer, p)
	if err != nil {
		return table.Reading{}, err
	}
	for _, share := range shares {
		m, err := r.held(ctx, peer, p, int(share*limit))
		var behind *errBehind
		var lost *errLost
		switch {
		case errors.As(err, &behind) || errors.As(err, &lost):
			fmt.Fprintf(r.log, "  of %.0f/s, %.0f %% cannot be held: %v\n", limit, 100*share, err)
			continue
		case err != nil:
			return table.Reading{}, err
		}
		return table.Reading{
			Values: []float64{
				m.perSecond(), m.quantile(0.5), m.quantile(0.99), m.per(m.redis.Reads), m.per(m.redis.Commands), m.per(m.redis.In), m.per(m.redis.Out),
				m.micros(m.cpu[1]), m.micros(m.cpu[2]), m.micros(m.cpu[0]),
			},
			Usage: m.Usage,
		}, nil
	}
	return table.Reading{}, fmt.Errorf("no share of %.0f messages/s can be held", limit)
}

// saturated is the rate with a full window, in messages a second.
func (r *rig) saturated(ctx context.Context, peer string, p plan) (float64, error) {
	st, err := r.stand(ctx, peer, p)
	if err != nil {
		return 0, err
	}
	defer st.close()
	window := r.extent.window
	limit := 0
	refill := func() (bool, error) {
		next := st.messages() + window
		if next-limit < window/8 {
			return false, nil
		}
		limit = next
		return false, st.send.upTo(limit)
	}
	if err := st.serve(ctx, r.extent.warmUp, refill); err != nil {
		return 0, err
	}
	g, err := st.gauge()
	if err != nil {
		return 0, err
	}
	if err := st.serve(ctx, r.extent.span, refill); err != nil {
		return 0, err
	}
	m, err := g.stop()
	return m.perSecond(), err
}

// errBehind is of messages that pile up.
type errBehind struct {
	messages int
	after    time.Duration
}

func (e *errBehind) Error() string {
	return fmt.Sprintf("%d messages are behind after %s", e.messages, e.after.Round(time.Millisecond))
}

const (
	// tolerance is how much longer than in the first third of a hold the
	// messages may be behind, on average, in its last.
	tolerance = 50 * time.Millisecond
	// tooFar is when it is given up: a stall may take that long, and Socket.IO's
	// stream holds more.
	tooFar = 250 * time.Millisecond
)

// held sends at a rate for the time of a hold.
func (r *rig) held(ctx context.Context, peer string, p plan, perSecond int) (m measured, err error) {
	st, err := r.stand(ctx, peer, p)
	if err != nil {
		return m, err
	}
	defer st.close()
	if err := st.send.rate(perSecond / 2); err != nil {
		return m, err
	}
	if err := st.serve(ctx, r.extent.warmUp, never); err != nil {
		return m, err
	}
	if err := st.send.rate(0); err != nil {
		return m, err
	}
	if err := st.settle(ctx); err != nil {
		return m, err
	}
	g, err := st.gauge()
	if err != nil {
		return m, err
	}
	if err := st.send.rate(perSecond); err != nil {
		return m, err
	}
	began := time.Now()
	var behind [3]struct{ sum, n int }
	watch := func() (bool, error) {
		took := time.Since(began)
		n := int(took.Seconds()*float64(perSecond)) - (st.messages() - g.messages)
		if n > int(tooFar.Seconds()*float64(perSecond))+perSecond/100 {
			return false, &errBehind{n, took}
		}
		third := &behind[min(2, int(3*took/r.extent.hold))]
		third.sum += n
		third.n++
		return false, nil
	}
	if err := st.serve(ctx, r.extent.hold, watch); err != nil {
		return m, err
	}
	if m, err = g.stop(); err != nil {
		return m, err
	}
	mean := func(k int) int { return behind[k].sum / max(1, behind[k].n) }
	if grown := mean(2) - mean(0); grown > int(tolerance.Seconds()*float64(perSecond)) {
		return m, &errBehind{grown, r.extent.hold}
	}
	if err := st.send.rate(0); err != nil {
		return m, err
	}
	return m, st.settle(ctx)
}
