package remote

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/shared"
)

const (
	// passEvery is how often all sockets of this member are held against the
	// registry although nothing speaks for a difference: with ten million sockets
	// that is 17,000 commands a second.
	passEvery = 10 * time.Minute
	// passBatch and passPause bound the rate of a pass: 10,000 sockets a second.
	passBatch = 500
	passPause = 50 * time.Millisecond
)

// shelves are the counters of this member in the buckets, as Redis has answered
// them.
type shelves struct {
	mu sync.Mutex
	told
	suspect [buckets]bool // an answer came from a state older than one before it
}

// told is what Redis has answered.
type told struct {
	counts [buckets]int64 // 0: nothing of this member is there
	floors [buckets]int64 // the highest ever: a counter that is lost goes on above it
}

// answered notes that a counter is count, and was what it was before. since is
// what had been told when the command was sent: a counter below that is one of
// an older state, also where others of this member's commands have raised it
// before anybody looked.
func (s *shelves) answered(n int, count, was, since int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was < since || reborn(was, since) {
		s.suspect[n] = true
	}
	s.counts[n], s.floors[n] = max(s.counts[n], count), max(s.floors[n], count)
}

// reborn reports whether a counter was made anew since it was told, by a command
// whose answer never came.
func reborn(count, told int64) bool { return told > 0 && count-told >= bornAbove }

// forget notes that a bucket may have nothing of this member.
func (s *shelves) forget(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[n], s.suspect[n] = 0, false
}

func (s *shelves) read() told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// suspects are the buckets that may have an older state.
func (s *shelves) suspects() [buckets]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.suspect
}

// reconcile holds the registry against the sockets of this member: all of it
// after a failure and each passEvery, the buckets that have lost data within a
// quarter of the lease.
func (l *Link) reconcile() {
	tick := time.NewTicker(min(l.opts.Lease/beatsPerLease, maxBeatEvery*2))
	defer tick.Stop()
	var passed time.Time
	for {
		whole := false
		select {
		case <-tick.C:
			whole = time.Since(passed) > passEvery
		case <-l.rebuild:
			whole = true
		case <-l.ctx.Done():
			return
		}
		if !l.healthy() {
			if whole {
				signal(l.rebuild)
				if !l.pause(removeRetry) {
					return
				}
			}
			continue
		}
		start := time.Now()
		err := l.check(whole)
		switch {
		case l.ctx.Err() != nil:
			return
		case err == nil:
			l.troubles.clear(troubleRegistry)
			if whole {
				passed = start
			}
		default:
			l.troubles.set(troubleRegistry, err)
			l.once("registry", "registry is not complete yet: limits may not hold", slog.Any(keyError, err))
			if whole {
				signal(l.rebuild)
			}
			if !l.pause(removeRetry) {
				return
			}
		}
	}
}

// check looks for buckets that have lost data, and writes what is missing.
func (l *Link) check(whole bool) error {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	me, told, suspects := l.Incarnation(), l.shelves.read().counts, l.shelves.suspects()
	pipe := l.opts.Client.Pipeline()
	var counts [buckets]*redis.StringCmd
	for n := range told {
		if told[n] > 0 {
			counts[n] = pipe.HGet(ctx, l.keys.bucket(n), counter(me))
		}
	}
	if pipe.Len() > 0 {
		_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	}
	var lost [buckets]bool
	any := whole
	for n, c := range counts {
		lost[n] = whole
		if c == nil {
			continue
		}
		count, err := c.Int64()
		switch {
		case err != nil && !errors.Is(err, redis.Nil):
			return l.mendBucket(ctx, n, err)
		case err != nil || count < told[n] || reborn(count, told[n]) || suspects[n]:
			l.counts.losses.Add(1)
			l.log.Warn("a part of the registry of sockets is lost and is written anew", slog.String("key", l.keys.bucket(n)))
			l.shelves.forget(n)
			lost[n], any = true, true
			if whole {
				l.gone.forgot.Store(true) // what is closed may be back
			}
		}
	}
	if !any {
		return nil
	}
	return l.pass(me, &lost, whole)
}

// pass writes every socket of this member in these buckets that is missing
// there, and removes what is not here any more.
func (l *Link) pass(me string, in *[buckets]bool, whole bool) error {
	var own []shared.Registration
	total := 0
	l.opts.Deliverer.Registrations(func(r shared.Registration) bool {
		if total++; in[bucketOf(fieldOf(&r))] {
			own = append(own, r)
		}
		return true
	})
	for len(own) > 0 {
		n := min(len(own), passBatch)
		if err := l.put(me, own[:n]); err != nil {
			l.gone.forgot.Store(true) // Redis may do it later, when sockets are closed
			signal(l.rebuild)
			return err
		}
		if own = own[n:]; len(own) > 0 && !l.pause(passPause) {
			return l.ctx.Err()
		}
	}
	// What is whole has nothing of a socket that is closed, unless a removal was
	// forgotten.
	ghosts := whole && l.gone.forgot.Swap(false)
	for n := range in {
		if in[n] && (ghosts || !whole) {
			if err := l.sweep(me, n); err != nil {
				l.gone.forgot.Store(true)
				signal(l.rebuild)
				return err
			}
		}
	}
	if whole {
		l.counts.registered.Store(int64(total))
	}
	return nil
}

func (l *Link) put(me string, batch []shared.Registration) error {
	told := l.shelves.read()
	err := l.eachInBucket(putScript, batch, func(r *shared.Registration) []any {
		return []any{fieldOf(r), counter(me), valueOf(r, me), r.ID, told.floors[bucketOf(fieldOf(r))]}
	}, func(n int, c *redis.Cmd) error {
		answer, err := c.Int64Slice()
		if err == nil {
			err = redispipe.Len("the put script", len(answer), 3)
		}
		if err != nil {
			return err
		}
		l.shelves.answered(n, answer[0], answer[1], told.counts[n])
		l.counts.repairs.Add(answer[2])
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range batch {
		if !l.opts.Deliverer.Registered(r) { // it closed meanwhile
			l.Unregister(r)
		}
	}
	return nil
}

// sweep removes registrations of this member whose sockets are closed.
func (l *Link) sweep(me string, n int) error {
	return l.scan(l.ctx, n, func(_ string, list []entry) error {
		for _, e := range list {
			if e.holder == me && !l.opts.Deliverer.Registered(e.Registration) {
				l.counts.repairs.Add(1)
				l.Unregister(e.Registration)
			}
		}
		return nil
	})
}

// scan calls f for the users of a bucket. What does not parse is counted.
func (l *Link) scan(ctx context.Context, n int, f func(field string, list []entry) error) error {
	for cursor := uint64(0); ; {
		ctx, cancel := context.WithTimeout(ctx, maxBeatTimeout)
		pairs, next, err := l.opts.Client.HScan(ctx, l.keys.bucket(n), cursor, "", passBatch).Result()
		cancel()
		if err != nil {
			return l.mendBucket(l.ctx, n, err)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if strings.HasPrefix(pairs[i], "#") {
				continue
			}
			list, ok := parseField(pairs[i+1])
			user, known := parseUser(pairs[i])
			if !ok || !known {
				l.unreadable("registration")
			}
			if !known {
				continue
			}
			for j := range list {
				list[j].Context, list[j].User = user.Context, user.User
			}
			if err := f(pairs[i], list); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
