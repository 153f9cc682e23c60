package websockets

import (
	"iter"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// The last messages of users that have, or lately had, sockets anywhere in the
// cluster are kept in memory, in the order in which they came here, so that a
// client that comes back gets what it missed.

const (
	// maxKept and maxKeptBytes bound what is kept of one user: more than the queue
	// of a socket holds, and less than a client that comes back would wait for.
	maxKept      = 1024 // a power of two
	maxKeptBytes = 1 << 20
	// firstIndex leaves room for older messages that other members have.
	firstIndex = 1 << 20
	// leastRing is the length of the first ring of a history.
	leastRing = 4
	// MaxRecovery bounds how long a message can be kept.
	MaxRecovery = 10 * time.Minute
)

func (k *kept) matches(s *socket) bool {
	t := k.to
	return t == nil || (t.SourceToken == "" || t.SourceToken != s.connection) && pathMatches(t.PathFilter, s.path)
}

// history is what is kept of one user. What a delivery needs comes first.
type history struct {
	mu     sync.Mutex
	ring   []*kept // of a power of two, of which n from head on are in use, of consecutive indices; nil: none is kept
	head   int32
	n      int32
	last   uint64 // index of the newest; the first has 1
	bytes  int
	window time.Duration // 0: not known yet
	off    bool          // the user is switched off: nothing is kept

	begun      int64         // by Server.clock
	counted    *keptMessages // where the messages are counted
	whole      int64         // every message since then was kept, by Server.clock; below 0: by others before this one started
	lost       int64         // the newest message that is gone came then; 0: none is
	departures []*departure  // of sockets that ended, oldest first
	sockets    int           // that may recover and are open here
	until      int64         // it is needed without a socket until then
}

// at is the message at a place, counted from the oldest.
func (h *history) at(i int32) *kept { return h.ring[int(h.head+i)&(len(h.ring)-1)] }

// keepLocked adds a message, forgets those that are too old or too many, and returns
// the message's index. The caller counts the history among those that have it.
func (h *history) keepLocked(k *kept) (index uint64) {
	for h.n > 0 {
		oldest := h.at(0)
		if h.n < maxKept && h.bytes+int(k.size) <= maxKeptBytes && (h.window == 0 || oldest.at >= k.at-int64(h.window)) && oldest.frame.Load() != nil {
			break
		}
		h.dropLocked()
	}
	if int(h.n) == len(h.ring) {
		h.sizeLocked(max(leastRing, 2*len(h.ring)))
	}
	h.last++
	h.n++
	h.bytes += int(k.size)
	h.ring[int(h.head+h.n-1)&(len(h.ring)-1)] = k
	return h.last
}

// sizeLocked has the ring take n messages, a power of two.
func (h *history) sizeLocked(n int) {
	ring := make([]*kept, n)
	for i := range h.n {
		ring[i] = h.at(i)
	}
	h.ring, h.head = ring, 0
}

// dropLocked forgets the oldest message.
func (h *history) dropLocked() {
	k := h.at(0)
	h.ring[h.head] = nil
	h.head = (h.head + 1) & int32(len(h.ring)-1)
	h.n--
	h.bytes -= int(k.size)
	if h.lost == 0 || k.at > h.lost {
		h.lost = k.at
	}
	h.counted.release(k)
	if h.n == 0 {
		h.ring, h.head = nil, 0
	}
}

// ever is before every message: one that another member had before this one
// started came at a time below zero.
const ever = math.MinInt64

// forgetLocked forgets the messages from before a time, and those that are gone.
func (h *history) forgetLocked(before int64) {
	for h.n > 0 && (h.at(0).at < before || h.at(0).frame.Load() == nil) {
		h.dropLocked()
	}
}

// clearLocked forgets all messages.
func (h *history) clearLocked() {
	for h.n > 0 {
		h.dropLocked()
	}
}

// fillLocked has the history consist of these messages, the last of which has the
// index last. Those that it has are among them.
func (h *history) fillLocked(list []*kept) {
	h.n, h.head, h.ring, h.bytes = 0, 0, nil, 0
	if len(list) == 0 {
		return
	}
	h.ring = make([]*kept, max(leastRing, 1<<bits.Len(uint(len(list)-1))))
	h.n = int32(copy(h.ring, list))
	for _, k := range list {
		h.bytes += int(k.size)
	}
}

// beginLocked has a new history begin with messages that came before it, the newest
// of them that it has room for.
func (h *history) beginLocked(list []*kept) {
	first := len(list)
	for bytes := 0; first > 0 && len(list)-first < maxKept; first-- {
		if bytes += int(list[first-1].size); bytes > maxKeptBytes {
			break
		}
	}
	for _, k := range list[:first] {
		h.whole = max(h.whole, k.at)
		h.counted.release(k)
	}
	h.last += uint64(len(list) - first)
	h.fillLocked(list[first:])
}

// begunWithLocked is the index of a stray with which the history has begun; 0: it has
// not, as where it was there before the message.
func (h *history) begunWithLocked(k *kept) uint64 {
	if h.begun < k.at {
		return 0
	}
	for i := h.n - 1; i >= 0; i-- {
		if h.at(i) == k {
			return h.last - uint64(h.n-1-i)
		}
	}
	return 0
}

// keptOf is a message as a user has it.
type keptOf struct {
	*kept
	frame *outgoing // of it, for Socket.IO
	index uint64
}

// allLocked are the messages that are kept, the oldest first.
func (h *history) allLocked() iter.Seq[keptOf] {
	return func(yield func(keptOf) bool) {
		for i := range h.n {
			k := h.at(i)
			if f := k.frame.Load(); f != nil && !yield(keptOf{k, f, h.last - uint64(h.n-1-i)}) {
				return
			}
		}
	}
}

// lackLocked is when the newest message came that is not kept any more: what came
// since is there.
func (h *history) lackLocked() int64 {
	h.forgetLocked(ever)
	if h.lost == 0 {
		return h.whole
	}
	return max(h.lost, h.whole)
}

// switchOff forgets all, for as long as the user is not served.
func (h *history) switchOff(off bool, now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off == off {
		return
	}
	h.off = off
	h.clearLocked()
	h.lost, h.whole = 0, now
	// What was not accepted for a client is not missing.
	for _, d := range h.departures {
		d.from = max(d.from, now)
	}
}

// histories are those of a shard, and guarded by it.
type histories struct {
	of     map[subject]*history
	absent map[subject]*history // of users without a socket here
}

// historyOf returns the history of a user, made where it is to be.
func (sh *shard) historyOf(k subject, make bool, now int64, s *Server) *history {
	sh.mu.RLock()
	h := sh.histories.of[k]
	sh.mu.RUnlock()
	if h != nil || !make {
		return h
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.historyLocked(k, now, s)
}

func (sh *shard) historyLocked(k subject, now int64, s *Server) *history {
	l := &sh.histories
	h := l.of[k]
	if h == nil {
		if l.of == nil {
			l.of, l.absent = make(map[subject]*history), make(map[subject]*history)
		}
		// Not now, which is of before the shard was locked: what came between is a stray.
		h = &history{counted: &s.kept, begun: s.clock(), whole: now, last: firstIndex}
		if s.opts.Peers != nil {
			var list []*kept
			list, h.whole = s.strays.of(k, now)
			h.beginLocked(list)
		}
		s.histories.Add(1)
		l.of[k] = h
		sh.absentLocked(k)
	}
	return h
}

// absentLocked notes whether a user who may have a history has a socket here.
func (sh *shard) absentLocked(k subject) {
	if h := sh.histories.of[k]; h != nil && sh.users[k] == nil {
		sh.histories.absent[k] = h
	} else {
		delete(sh.histories.absent, k)
	}
}

// historyOfLocked is the history of the user of sockets.
func (sh *shard) historyOfLocked(k subject, list []*socket) *history {
	for _, s := range list {
		if s.rec != nil {
			return s.rec.history
		}
	}
	return sh.histories.of[k]
}

// sweep forgets what is older than each user's time, and the histories that
// nobody needs.
func (sh *shard) sweep(now int64, count *atomic.Int64) {
	var over []subject
	sh.mu.RLock()
	for k, h := range sh.histories.of {
		h.mu.Lock()
		h.expireLocked(now)
		h.forgetLocked(now - int64(h.window))
		if h.unneededLocked(now) {
			over = append(over, k)
		}
		h.mu.Unlock()
	}
	sh.mu.RUnlock()
	if len(over) == 0 {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, k := range over {
		h := sh.histories.of[k]
		h.mu.Lock()
		if h.unneededLocked(now) {
			delete(sh.histories.of, k)
			delete(sh.histories.absent, k)
			count.Add(-1)
			h.clearLocked()
		}
		h.mu.Unlock()
	}
}

func (h *history) unneededLocked(now int64) bool {
	return h.sockets == 0 && h.until < now && len(h.departures) == 0
}

// clock is the time since the server's start, which no step of the system's
// clock changes.
func (s *Server) clock() int64 { return int64(time.Since(s.started)) }
