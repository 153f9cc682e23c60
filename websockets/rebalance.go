package websockets

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// A member whose others have restarted keeps all sockets, because a proxy moves
// no socket that is open. It closes the surplus in rounds, spread over
// Config.RebalanceSpread: the clients come back within a second or two, most of
// them elsewhere.
const (
	// rebalanceLooks is how often the members are compared within one spread: with
	// 60 s each 2 s, a little more than the time between their heartbeats.
	rebalanceLooks = 30
	// settledLooks is how many looks in a row must find a surplus before a round
	// begins: a restart is over by then, and its clients are back.
	settledLooks = 5
	// A surplus begins at a fifth of a fair share, and never below five sockets:
	// closing costs each client a second, and chance alone makes small differences.
	surplusShare = 5
	leastSurplus = 5
	// closingsPerSurplus bounds a round. A proxy that takes no account of the
	// sockets that each member has sends half of those that are closed back.
	closingsPerSurplus = 2
	// maxPauses is the longest pause between rounds that do not help, in spreads:
	// an hour by default.
	maxPauses = 60
)

// balance decides when how many sockets are closed. It keeps no time of its own.
type balance struct {
	looks   int           // in a row that found a surplus
	pause   time.Duration // after a round; 0: the last one helped
	resume  time.Time     // no round begins before
	members int           // that the last look found

	until   time.Time // end of the round; zero: there is none
	initial float64   // surplus at its beginning
	owed    float64   // closings that are due, with fractions
	closed  int       // in this round
}

// look compares this member's sockets with those of the others and returns how
// many sockets to close. begun: a round begins with this look. failed: one has
// ended that did not halve the surplus.
func (b *balance) look(now time.Time, own int64, others []int64, spread time.Duration) (n int, begun, failed bool) {
	if len(others) != b.members {
		// Another cluster: what did not help before may help now.
		*b = balance{members: len(others)}
	}
	if len(others) == 0 {
		return 0, false, false
	}
	sum := own
	for _, o := range others {
		sum += o
	}
	share := float64(sum) / float64(len(others)+1)
	surplus := float64(own) - share
	if b.until.IsZero() {
		if surplus < max(leastSurplus, share/surplusShare) {
			b.looks = 0
			return 0, false, false
		}
		if b.looks++; b.looks < settledLooks || now.Before(b.resume) {
			return 0, false, false
		}
		b.until, b.initial, b.owed, b.closed, begun = now.Add(spread), surplus, 0, 0, true
	}
	left := b.until.Sub(now)
	if surplus < 1 || left <= 0 || b.closed >= int(closingsPerSurplus*b.initial) {
		failed = surplus > b.initial/2
		b.end(now, spread, failed)
		return 0, false, failed
	}
	// What is left of the surplus is spread over what is left of the round.
	b.owed += surplus * float64(spread/rebalanceLooks) / float64(max(left, spread/rebalanceLooks))
	n = min(int(b.owed), int(closingsPerSurplus*b.initial)-b.closed)
	b.owed -= float64(n)
	return n, begun, false
}

// end ends a round. One that did not help is not soon repeated: where every
// client comes back to this member, closing it is of no use.
func (b *balance) end(now time.Time, spread time.Duration, failed bool) {
	b.until, b.looks = time.Time{}, 0
	if !failed {
		b.pause = 0
		return
	}
	b.pause = min(max(spread, 2*b.pause), maxPauses*spread)
	b.resume = now.Add(b.pause)
}

// rebalance compares the members until the server stops, and closes what this
// one has too many: each socket at most once in a round.
func (s *Server) rebalance() {
	var (
		b    balance
		list []*socket // of the round, in random order
	)
	for {
		cfg := s.opts.Config()
		wait := time.NewTimer(cfg.RebalanceSpread / rebalanceLooks)
		select {
		case <-wait.C:
		case <-s.stopped.Done():
			wait.Stop()
			return
		}
		if cfg = s.opts.Config(); !cfg.Rebalance {
			b, list = balance{}, nil
			continue
		}
		own := s.hub.count.Load()
		n, begun, failed := b.look(time.Now(), own, s.opts.Others(), cfg.RebalanceSpread)
		if begun {
			list = s.hub.every()
			rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			list = slices.Clip(list[:min(len(list), int(closingsPerSurplus*b.initial))])
			s.log.Info("this member has more sockets than the others: the surplus is closed and comes back elsewhere",
				slog.Int64(keyCount, own), slog.Int("surplus", int(b.initial)), slog.Duration(keyDuration, cfg.RebalanceSpread))
		}
		for ; n > 0 && len(list) > 0; list = list[1:] {
			if list[0].close(CauseRebalance) {
				b.closed++
				n--
			}
			list[0] = nil
		}
		if b.until.IsZero() {
			list = nil
		}
		if failed {
			s.log.Warn("sockets that were closed for the others came back to this member: let the proxy choose the member with the fewest connections, or set "+PropRebalance+"=false",
				slog.Int64(keyCount, s.hub.count.Load()), slog.Duration("next", b.pause))
		}
	}
}
