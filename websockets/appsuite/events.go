package appsuite

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/websockets"
)

// eventsTopic is where App Suite's members tell each other about sessions.
const eventsTopic = "ox-channel:sessionEvents"

const (
	// probeInterval is how often a silent subscription is asked whether it is
	// alive, and maxSilence how long it may say nothing before another is made.
	probeInterval = time.Second
	maxSilence    = 3 * time.Second
	// The time between two attempts to subscribe doubles from one to the other.
	minResubscribe = 100 * time.Millisecond
	maxResubscribe = 5 * time.Second
	// gatherTime is how long the ids of an event wait for those of the next, so
	// that a burst of events is one walk over the sockets.
	gatherTime = 50 * time.Millisecond
)

// Run follows the events of the existing system until ctx ends. An event is a
// hint and no more: each session that it names and that has a socket here is
// read again, and only one that is gone, expired or no longer fully
// authenticated is ended. A subscription that breaks or falls silent is made
// anew; what is missed meanwhile is found when the sockets' sessions are
// checked. Run returns when everything that it has started is over.
func (s *Store) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.workOff(ctx) })
	lost := false
	for wait := minResubscribe; ctx.Err() == nil; wait = min(2*wait, maxResubscribe) {
		subscribed, err := s.subscribe(ctx)
		if ctx.Err() != nil {
			return
		}
		if subscribed {
			wait, lost = minResubscribe, false
		}
		if !lost {
			s.log.Warn("session events are not heard: sessions that end are found by the check each minute", slog.Any("err", err))
			lost = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)): // so that members do not return as they left
		}
	}
}

// workOff looks at the sessions that events have named, until ctx ends.
func (s *Store) workOff(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hints.waiting:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gatherTime):
		}
		held := s.opts.Held(s.hints.drain())
		for batch := range slices.Chunk(held, maxBatch) {
			if err := s.lookAgain(ctx, batch); err != nil {
				if ctx.Err() == nil {
					s.log.Warn("sessions cannot be read again: their sockets stay open until the next check", slog.Any("err", err))
				}
				break
			}
		}
	}
}

func (s *Store) lookAgain(ctx context.Context, held []websockets.Selector) error {
	ids := make([]string, len(held))
	for i, sel := range held {
		ids[i] = sel.Session
	}
	sessions, err := s.read(ctx, ids)
	if err != nil {
		return err
	}
	for i, a := range sessions {
		if !a.usable() {
			s.opts.End(held[i])
		}
	}
	return nil
}

// subscribe listens until the subscription ends, and reports whether it was
// ever confirmed: go-redis returns from Subscribe when it has asked.
func (s *Store) subscribe(ctx context.Context) (subscribed bool, err error) {
	sub := s.opts.Client.Subscribe(ctx, eventsTopic)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var heard atomic.Int64
	heard.Store(time.Now().UnixNano())
	wg.Go(func() {
		defer sub.Close() // unblocks Receive, which no context does
		probe(ctx, sub, &heard)
	})
	defer s.hints.following.Store(false)
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			return subscribed, err
		}
		heard.Store(time.Now().UnixNano())
		switch m := m.(type) {
		case *redis.Subscription:
			if !subscribed {
				s.log.Info("session events are heard")
			}
			subscribed = true
			s.hints.following.Store(true)
		case *redis.Message:
			s.hints.take(m.Payload)
		}
	}
}

// probe ends when ctx does or the subscription has said nothing for too long.
func probe(ctx context.Context, sub *redis.PubSub, heard *atomic.Int64) {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.UnixNano()-heard.Load() > int64(maxSilence) {
				return
			}
			// What is wrong with it shows when nothing is heard.
			_ = sub.Ping(ctx)
		}
	}
}
