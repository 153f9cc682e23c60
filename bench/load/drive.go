package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// stand is a running server with the sockets that are open to it.
type stand struct {
	*server
	*sockets.Clients
	before float64 // resident KiB before the first connection
}

// stand starts a peer for so many users and opens n sockets.
func (r *rig) stand(ctx context.Context, p peer, n, users int, ping time.Duration) (*stand, error) {
	s, err := p.start(ctx, r, users, ping)
	if err != nil {
		return nil, err
	}
	st := &stand{server: s}
	if st.Clients, err = r.clients(n, s); err != nil {
		s.Stop()
		return nil, err
	}
	if err = s.Quiet(ctx); err == nil {
		st.before, err = process.Resident(s.PID())
	}
	if err == nil {
		err = st.Connect(ctx, r.extent.dialing, s.target)
	}
	if err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// clients are of a server, n of them.
func (r *rig) clients(n int, s *server) (*sockets.Clients, error) {
	if r.secure {
		return sockets.NewSecure(n, s.dialect)
	}
	return sockets.New(n, s.dialect)
}

// close drops the sockets and ends the server.
func (st *stand) close() {
	st.Clients.Close()
	st.server.Stop()
}

func none(int) bool { return false }

// publisher sends messages until stop is closed; ctx ends at once.
type publisher func(ctx context.Context, stop <-chan struct{}) error

// drive runs so many publishers while it serves the sockets, and meters the
// time after the warm-up. Nothing on its way to a socket that is not stalled may
// get lost. The delays are in order.
func (r *rig) drive(ctx context.Context, st *stand, l *ledger, n int, publish publisher, stalled func(i int) bool) (u process.Usage, delay []time.Duration, deliveries int, err error) {
	st.Message = l.delivered
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	var left atomic.Int32
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	left.Store(int32(n))
	for range n {
		wg.Go(func() {
			if err := publish(ctx, stop); err != nil {
				cancel(fmt.Errorf("publishing: %w", err))
			}
			left.Add(-1)
		})
	}
	serve := func(d time.Duration, until func() bool) error {
		for end := time.Now().Add(d); time.Now().Before(end) && !until(); {
			if err := st.Poll(ctx, 5*time.Millisecond); err != nil {
				if cause := context.Cause(ctx); cause != nil {
					return cause
				}
				return err
			}
		}
		return nil
	}
	never := func() bool { return false }
	if err = serve(r.extent.warmUp, never); err != nil {
		return u, nil, 0, err
	}
	m, err := process.StartMeter(st.PID())
	if err != nil {
		return u, nil, 0, err
	}
	before := l.start()
	if err = serve(r.extent.window, never); err != nil {
		return u, nil, 0, err
	}
	delay, deliveries = l.end()
	if u, err = m.Stop(); err != nil {
		return u, nil, 0, err
	}
	close(stop)
	if err = serve(r.extent.drain, func() bool { return left.Load() == 0 && l.settled() }); err != nil {
		return u, nil, 0, err
	}
	if st.Lost > 0 {
		return u, nil, 0, fmt.Errorf("%d sockets were lost: %w", st.Lost, st.Dead)
	}
	return u, delay, deliveries - before, l.check(stalled)
}

// toAll publishes one message after the other, each to everybody.
func toAll(st *stand, l *ledger) publisher {
	return func(ctx context.Context, stop <-chan struct{}) error {
		for {
			m, ok := l.message(ctx, stop, everybody)
			if !ok {
				return nil
			}
			if err := st.post(ctx, []message{m}); err != nil {
				return err
			}
		}
	}
}

// toUsers publishes batches of messages, each to a user that pick chooses.
func toUsers(st *stand, l *ledger, batch int, pick func() int) publisher {
	return func(ctx context.Context, stop <-chan struct{}) error {
		for {
			var list []message
			for len(list) < batch {
				m, ok := l.message(ctx, stop, pick())
				if !ok {
					break
				}
				list = append(list, m)
			}
			if len(list) > 0 {
				if err := st.post(ctx, list); err != nil {
					return err
				}
			}
			if len(list) < batch {
				return nil
			}
		}
	}
}

// atRate publishes to everybody at a steady rate, whatever the server does:
// the messages of all publishers that share next are spread over the time from
// start on.
func atRate(st *stand, l *ledger, start time.Time, perSecond int, next *atomic.Int64) publisher {
	return func(ctx context.Context, stop <-chan struct{}) error {
		for {
			due := start.Add(time.Duration(next.Add(1)-1) * time.Second / time.Duration(perSecond))
			select {
			case <-time.After(time.Until(due)):
			case <-stop:
				return nil
			case <-ctx.Done():
				return nil
			}
			m, ok := l.message(ctx, stop, everybody)
			if !ok {
				return nil
			}
			if err := st.post(ctx, []message{m}); err != nil {
				return err
			}
		}
	}
}
