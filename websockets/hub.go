package websockets

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed47708276/sluice/cascade"
)

// shardCount spreads the users over locks. 64 keeps the shards of 100,000
// sockets short enough to walk under their lock.
const shardCount = 64

// subject is a user as the hub's key.
type subject struct{ context, user uint32 }

// valid reports whether both are ids, as they are of every user.
func (k subject) valid() bool {
	return k.context > 0 && k.context <= cascade.MaxID && k.user > 0 && k.user <= cascade.MaxID
}

// hub finds the sockets of users. A user has at most MaxPerUser sockets, so
// the lists are searched from end to end.
type hub struct {
	shards [shardCount]shard
	count  atomic.Int64
}

type shard struct {
	counters counters
	mu       sync.RWMutex
	users    map[subject][]*socket
	// leaving are sockets that get no more messages and count for no limit, but
	// whose goroutines have not ended yet. Each leaves within closeWait.
	leaving   map[*socket]struct{}
	histories histories
}

func newHub() *hub {
	h := &hub{}
	for i := range h.shards {
		h.shards[i].users = make(map[subject][]*socket)
		h.shards[i].leaving = make(map[*socket]struct{})
	}
	return h
}

func (h *hub) shard(k subject) *shard {
	// Fibonacci hashing: consecutive ids must not all meet in one shard.
	x := (uint64(k.context)<<32 | uint64(k.user)) * 0x9E3779B97F4A7C15
	return &h.shards[x>>58]
}

// add registers a socket. A socket of the same user with the same connection
// id is replaced and returned when it belongs to the same session; one of
// another session refuses the new one, and so does a full list.
func (h *hub) add(s *socket, perUser, total int) (old *socket, err *refusal) {
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.users[s.subject]
	for i, other := range list {
		if other.connection != s.connection {
			continue
		}
		if other.session != s.session {
			return nil, refuseDuplicate
		}
		list[i] = s
		sh.leaving[other] = struct{}{}
		sh.endHistory(other)
		sh.beginHistory(s)
		return other, nil
	}
	if len(list) >= perUser {
		return nil, refuseTooMany
	}
	if h.count.Add(1) > int64(total) {
		h.count.Add(-1)
		return nil, refuseOverload
	}
	sh.users[s.subject] = append(list, s)
	sh.beginHistory(s)
	sh.absentLocked(s.subject)
	return nil, nil
}

// has reports whether the socket is in its user's list.
func (h *hub) has(s *socket) bool {
	s.shard.mu.RLock()
	defer s.shard.mu.RUnlock()
	return slices.Contains(s.shard.users[s.subject], s)
}

// leave takes this very socket out of the user's list, not one that has taken
// its id over, and keeps it among the leaving until forget. It reports whether
// the socket was there.
func (h *hub) leave(s *socket) bool {
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.users[s.subject]
	i := slices.Index(list, s)
	if i < 0 {
		return false
	}
	h.count.Add(-1)
	sh.leaving[s] = struct{}{}
	sh.endHistory(s)
	if len(list) == 1 {
		delete(sh.users, s.subject)
		sh.absentLocked(s.subject)
		return true
	}
	sh.users[s.subject] = slices.Delete(list, i, i+1)
	return true
}

// forget ends what leave, or a takeover, has begun.
func (h *hub) forget(s *socket) {
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.leaving, s)
}

// every returns all sockets, the leaving included.
func (h *hub) every() []*socket {
	var all []*socket
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		for _, list := range sh.users {
			all = append(all, list...)
		}
		for s := range sh.leaving {
			all = append(all, s)
		}
		sh.mu.RUnlock()
	}
	return all
}

// user calls f for the sockets of one user, under the shard's lock.
func (h *hub) user(k subject, f func(*socket)) {
	sh := h.shard(k)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, s := range sh.users[k] {
		f(s)
	}
}

// toUser calls f for one user, under the shard's lock.
func (h *hub) toUser(k subject, f receive) {
	sh := h.shard(k)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	list := sh.users[k]
	f(list, sh.historyOfLocked(k, list))
}

// toAll is toUser for all users that match.
func (h *hub) toAll(match func(subject) bool, f receive) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		for k, list := range sh.users {
			if match(k) {
				f(list, sh.historyOfLocked(k, list))
			}
		}
		for k, kept := range sh.histories.absent {
			if match(k) {
				f(nil, kept)
			}
		}
		sh.mu.RUnlock()
	}
}

// beginHistory has the messages of a socket's user be kept from now on. The
// caller holds the shard.
func (sh *shard) beginHistory(s *socket) {
	if s.rec == nil {
		return
	}
	h := sh.historyLocked(s.subject, s.server.clock(), s.server)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets++
	h.window = s.rec.window
	s.rec.history, s.rec.start = h, h.last
	for old := range sh.leaving {
		if old.rec != nil && old.subject == s.subject && old.session == s.session && old.connection == s.connection && (s.rec.before == nil || old.since.After(s.rec.before.since)) {
			s.rec.before = old
		}
	}
}

// endHistory notes that a socket is not open any more.
func (sh *shard) endHistory(s *socket) {
	if s.rec == nil {
		return
	}
	h := s.rec.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets--
	h.until = max(h.until, s.server.clock()+int64(s.rec.window))
}

// all calls f for every socket of the users that match, shard by shard, under
// the shard's lock.
func (h *hub) all(match func(subject) bool, f func(*socket)) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		for k, list := range sh.users {
			if !match(k) {
				continue
			}
			for _, s := range list {
				f(s)
			}
		}
		sh.mu.RUnlock()
	}
}

// subjects calls f without a lock for every user that has a socket, until it
// returns false. A user that comes or goes meanwhile may be missing.
func (h *hub) subjects(f func(subject) bool) {
	h.counted(func(k subject, _ int) bool { return f(k) })
}

// counted is subjects with the number of each user's sockets.
func (h *hub) counted(f func(k subject, sockets int) bool) {
	type user struct {
		subject
		sockets int
	}
	var users []user
	for i := range h.shards {
		sh := &h.shards[i]
		users = users[:0]
		sh.mu.RLock()
		for k, list := range sh.users {
			users = append(users, user{k, len(list)})
		}
		sh.mu.RUnlock()
		for _, u := range users {
			if !f(u.subject, u.sockets) {
				return
			}
		}
	}
}
