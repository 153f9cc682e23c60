package redismodel

import (
	"context"
	"net"
	"slices"
	"syscall"
	"time"
)

// faults are those with a probability, for each batch of commands.
type faults struct {
	drop    float64 // the batch is done, its answers are not sent and the connection is broken
	cut     float64 // only the first commands of the batch are done, or none, and the connection is broken
	shorten float64 // the answer of a command that has a known length lacks its last part
}

// Drops has batches of commands lose their answers with the probability done,
// and be cut short with the probability cut; 0, 0 ends it.
func (s *Server) Drops(done, cut float64) {
	s.fault(func() { s.faults.drop, s.faults.cut = done, cut })
}

// Shorten has arrays of a known length be answered without their last element.
func (s *Server) Shorten(p float64) { s.fault(func() { s.faults.shorten = p }) }

// Freeze stops the server: connections stay, what is sent is done at Thaw, also
// where its sender has given up.
func (s *Server) Freeze() { s.fault(func() { s.frozen = true }) }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.fault(func() { s.frozen = false }) }

// Stop ends the server, with everything in it; Start brings it back empty.
func (s *Server) Stop() {
	s.fault(func() {
		s.die()
		s.counts.Lost += int64(len(s.db))
		clear(s.db)
	})
}

// StopKept ends the server as one that keeps its data; Start brings it back.
func (s *Server) StopKept() {
	s.fault(s.die)
}

// Start ends Stop and FailOver.
func (s *Server) Start() {
	s.fault(func() {
		s.down = false
		s.newRun()
	})
}

// FailOver has the server die and its replica, which is behind by Options.Lag,
// be what Start brings back.
func (s *Server) FailOver() {
	s.fault(func() {
		s.die()
		since := time.Now().Add(-s.lag)
		for _, u := range slices.Backward(s.history) {
			if u.at.Before(since) {
				break
			}
			s.counts.Lost++
			if u.before == nil {
				delete(s.db, u.key)
			} else {
				s.db[u.key] = u.before
			}
		}
		s.history = nil
	})
}

// StepClock moves the clock of the server.
func (s *Server) StepClock(d time.Duration) { s.fault(func() { s.offset += d }) }

// Flush removes everything.
func (s *Server) Flush() { s.Lose(func(string) bool { return true }) }

// LoseShard removes what a cluster of n masters keeps in one of them.
func (s *Server) LoseShard(shard, n uint32) {
	s.Lose(func(key string) bool { return slot(key)%n == shard })
}

// Lose removes the keys that are picked, and returns them.
func (s *Server) Lose(pick func(key string) bool) (lost []string) {
	s.fault(func() {
		for _, key := range s.sorted() {
			if pick(key) {
				s.remove(key)
				s.counts.Lost++
				lost = append(lost, key)
			}
		}
	})
	return lost
}

// Evict removes n keys as a policy that evicts does: any of all.
func (s *Server) Evict(n int) (lost []string) {
	keys := s.Keys()
	s.mu.Lock()
	s.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	s.mu.Unlock()
	keys = keys[:min(n, len(keys))]
	return s.Lose(func(key string) bool { return slices.Contains(keys, key) })
}

// Keys are the names of all, in the order in which they were made.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sorted()
}

// Left are the keys that are there, and whether they go by themselves.
func (s *Server) Left() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make(map[string]bool)
	for _, key := range s.sorted() {
		left[key] = s.db[key].expires != 0
	}
	return left
}

// Field is that of a hash, or "".
func (s *Server) Field(key, field string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.look(key); v != nil && v.kind == kindHash {
		return v.hash[field]
	}
	return ""
}

// Policy sets what maxmemory-policy the server tells; it evicts with Evict only.
func (s *Server) Policy(name string) { s.fault(func() { s.policy = name }) }

// Require has logins as user want this password; an empty one takes any, and a
// user that is not named is not known. Connections that are there stay.
func (s *Server) Require(user, password string) { s.fault(func() { s.users[user] = password }) }

// Forget removes a user.
func (s *Server) Forget(user string) { s.fault(func() { delete(s.users, user) }) }

// Databases sets how many there are for SELECT.
func (s *Server) Databases(n int) { s.fault(func() { s.database = n }) }

// MaxClients has new connections be refused.
func (s *Server) MaxClients(reached bool) { s.fault(func() { s.full = reached }) }

// Refuse has commands be answered with the error that f returns for them, if it
// is not empty; nil ends it, as Start does. f is called with the server locked.
func (s *Server) Refuse(f func(name string, write bool) string) { s.fault(func() { s.refuse = f }) }

// BreakAll ends all connections; new ones come.
func (s *Server) BreakAll() { s.fault(func() { s.breakAll(nil) }) }

// Line is the network between one client and the server.
type Line struct {
	s        *Server
	id       uint64
	number   uint64 // of connections so far
	cut      bool
	up, down bool // the direction swallows what it is sent
}

// Line makes a network that works.
func (s *Server) Line() *Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines++
	return &Line{s: s, id: s.lines}
}

// Cut breaks the connections and lets none come.
func (l *Line) Cut() {
	l.s.fault(func() {
		l.cut = true
		l.s.breakAll(l)
	})
}

// Break ends the connections; new ones come.
func (l *Line) Break() { l.s.fault(func() { l.s.breakAll(l) }) }

// BlackHole has what is sent go nowhere, in the directions given: up is to the
// server. It is late and not lost: Heal lets it through.
func (l *Line) BlackHole(up, down bool) { l.s.fault(func() { l.up, l.down = up, down }) }

// Heal ends all faults of the line.
func (l *Line) Heal() { l.s.fault(func() { l.cut, l.up, l.down = false, false, false }) }

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// Dial connects to the server, as a dialer of a client does.
func (l *Line) Dial(ctx context.Context) (net.Conn, error) {
	s := l.s
	for {
		s.mu.Lock()
		if l.cut || s.down {
			s.mu.Unlock()
			return nil, errRefused
		}
		if !l.up && !l.down {
			c := s.accept(l)
			s.mu.Unlock()
			return c, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
