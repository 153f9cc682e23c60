package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/redis"
	"github.com/seed47708276/sluice/bench/internal/sockets"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// stand is a cluster with the sockets that are open to it.
type stand struct {
	*cluster
	*sockets.Clients
	*track
	perUser int
	// What opening all sockets took: bytes of Redis, time.
	registered float64
	connected  time.Duration
}

const (
	dialing    = 64 // handshakes in flight
	pollWait   = time.Millisecond
	probeEvery = 500 * time.Millisecond
	// settleLimit is how long what is on its way may take.
	settleLimit = 20 * time.Second
)

// stand starts a cluster, opens the sockets, and returns when each has had a
// message: an adapter may not listen yet when it is there.
func (r *rig) stand(ctx context.Context, peer string, p plan) (*stand, error) {
	c, err := r.start(ctx, peer, p)
	if err != nil {
		return nil, err
	}
	st := &stand{cluster: c, perUser: p.perUser}
	n := p.users * p.perUser
	if st.Clients, err = sockets.New(n, c.dialect); err != nil {
		c.close()
		return nil, err
	}
	userOf := func(i int) int { return i%p.users + 1 }
	st.track = newTrack(n, p.users, r.extent.payload, userOf)
	st.Message = st.delivered
	if err = st.open(ctx, func(i int) (int, []byte) { return c.target(p.memberOf(userOf(i)), userOf(i), i) }); err == nil {
		if err = st.send.begin(p.users, r.extent.payload-head); err == nil {
			err = st.probe(ctx, p.users)
		}
	}
	if err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// open connects the sockets.
func (st *stand) open(ctx context.Context, target func(i int) (int, []byte)) error {
	before, err := st.redis.Work()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := st.Connect(ctx, dialing, target); err != nil {
		return err
	}
	st.connected = time.Since(began)
	after, err := st.redis.Work()
	st.registered = after.Since(before).Memory
	return err
}

func (st *stand) close() {
	st.Clients.Close()
	st.cluster.close()
}

// serve serves the sockets for a while, or until it is told.
func (st *stand) serve(ctx context.Context, d time.Duration, until func() (bool, error)) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := st.Poll(ctx, pollWait); err != nil {
			return err
		}
		if err := st.send.failed(); err != nil {
			return err
		}
		if st.Lost > 0 {
			return fmt.Errorf("%d sockets were lost: %w", st.Lost, st.Dead)
		}
		if done, err := until(); done || err != nil {
			return err
		}
	}
	return nil
}

func never() (bool, error) { return false, nil }

// probe sends a message to each user, until all sockets had one.
func (st *stand) probe(ctx context.Context, users int) error {
	for n, end := users, time.Now().Add(settleLimit); ; n += users {
		if err := st.send.upTo(n); err != nil {
			return err
		}
		heard := func() (bool, error) { return st.settled(n), nil }
		if err := st.serve(ctx, probeEvery, heard); err != nil {
			return err
		}
		if st.settled(n) {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("the sockets do not get what is sent to them")
		}
	}
}

// settle waits until all that was sent is there.
func (st *stand) settle(ctx context.Context) error {
	sent, err := st.send.sent()
	if err != nil {
		return err
	}
	if err := st.serve(ctx, settleLimit, func() (bool, error) { return st.settled(sent), nil }); err != nil {
		return err
	}
	if !st.settled(sent) {
		return fmt.Errorf("not all of %d messages came within %s", sent, settleLimit)
	}
	return nil
}

// messages is how many came to all sockets of their users, on the whole.
func (st *stand) messages() int { return st.total / st.perUser }

// measured is what a stretch of time took.
type measured struct {
	process.Usage
	delay    []time.Duration
	messages int
	redis    redis.Work // of Redis
	cpu      []time.Duration
}

// gauge is a measurement that has begun.
type gauge struct {
	st       *stand
	meter    process.Meter
	messages int
	redis    redis.Work
	cpu      []time.Duration
}

func (st *stand) gauge() (g gauge, err error) {
	g.st, g.messages = st, st.messages()
	if g.redis, err = st.redis.Work(); err != nil {
		return g, err
	}
	if g.cpu, err = st.cpu(); err != nil {
		return g, err
	}
	st.track.start()
	g.meter, err = process.StartMeter(st.pids()...)
	return g, err
}

// cpu is the time of each process: Redis, then the members.
func (st *stand) cpu() ([]time.Duration, error) {
	var list []time.Duration
	for _, pid := range st.pids() {
		t, err := process.CPUTime(pid)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

func (g gauge) stop() (m measured, err error) {
	if m.Usage, err = g.meter.Stop(); err != nil {
		return m, err
	}
	m.delay, m.messages = g.st.delays(), g.st.messages()-g.messages
	if m.cpu, err = g.st.cpu(); err != nil {
		return m, err
	}
	for i := range m.cpu {
		m.cpu[i] -= g.cpu[i]
	}
	after, err := g.st.redis.Work()
	m.redis = after.Since(g.redis)
	return m, err
}

func (m measured) perSecond() float64 { return float64(m.messages) / m.Took.Seconds() }

// per is so much for each message.
func (m measured) per(v float64) float64 { return v / float64(max(m.messages, 1)) }

func (m measured) micros(d time.Duration) float64 {
	return m.per(float64(d) / float64(time.Microsecond))
}

func (m measured) quantile(q float64) float64 { return table.Quantile(m.delay, q) }

// members is the CPU time of all members.
func (m measured) members() (sum time.Duration) {
	for _, d := range m.cpu[1:] {
		sum += d
	}
	return sum
}
