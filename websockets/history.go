package websockets

import (
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
	maxKept      = 1024
	maxKeptBytes = 1 << 20
	// maxHistoryBytes bounds what a member keeps of all users: two minutes of 2,000
	// messages a second of 300 bytes. Each shard has its share.
	maxHistoryBytes = 128 << 20
	// firstIndex leaves room for older messages that other members have.
	firstIndex = 1 << 20
	// keptCost is what a kept message counts as beside its frame.
	keptCost = 200
	// MaxRecovery bounds how long a message can be kept.
	MaxRecovery = 10 * time.Minute
)

// kept is a message in the history of a user. It is not changed.
type kept struct {
	outgoing // for Socket.IO
	stamp    *stamp
	to       *Target // nil: every socket
	at       int64   // by Server.clock
}

func (k *kept) matches(s *socket) bool {
	return k.to == nil || k.to.matches(s)
}

func (t *Target) matches(s *socket) bool {
	return (t.SourceToken == "" || t.SourceToken != s.connection) && pathMatches(t.PathFilter, s.path)
}

// history is what is kept of one user.
type history struct {
	owner      subject
	mu         sync.Mutex
	list       []*kept // oldest first, of consecutive indices
	last       uint64  // index of the newest; the first has 1
	bytes      int
	ahead      int          // messages that are gone, but not yet from the shard's order; below 0: they are there and not in it
	whole      int64        // every message since then was kept, by Server.clock
	lost       int64        // the newest message that is gone came then; 0: none is
	off        bool         // the user is switched off: nothing is kept
	departures []*departure // of sockets that ended, oldest first
	sockets    int          // that may recover and are open here
	until      int64        // it is needed without a socket until then
	window     time.Duration
}

// keepLocked adds a message and returns what is left to the shard to count.
func (h *history) keepLocked(k *kept) (bytes int) {
	h.last++
	k.index = h.last
	h.list = append(h.list, k)
	h.bytes += k.size()
	bytes = k.size()
	for len(h.list) > maxKept || h.bytes > maxKeptBytes || h.list[0].at < k.at-int64(h.window) {
		bytes -= h.dropLocked()
		h.ahead++
	}
	return bytes
}

func (k *kept) size() int { return len(k.data) + keptCost }

// dropLocked forgets the oldest message, and returns its size.
func (h *history) dropLocked() int {
	k := h.list[0]
	h.list[0] = nil
	h.list = h.list[1:]
	h.bytes -= k.size()
	h.lost = k.at
	if len(h.list) == 0 {
		h.list = nil
	}
	return k.size()
}

// switchOff forgets all, for as long as the user is not served.
func (h *history) switchOff(off bool, now int64) (bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off == off {
		return 0
	}
	h.off = off
	bytes, h.ahead = h.bytes, h.ahead+len(h.list)
	h.list, h.bytes, h.lost, h.whole = nil, 0, 0, now
	// What was not accepted for a client is not missing.
	for _, d := range h.departures {
		d.from = max(d.from, now)
	}
	return bytes
}

// histories are those of a shard.
type histories struct {
	of map[subject]*history // guarded by the shard

	mu    sync.Mutex // taken after a history's
	order []ordered  // of all messages that are kept, by age
	head  int
	bytes int
}

// ordered is a message of a history, the oldest of it that order has.
type ordered struct {
	h  *history
	at int64
}

// added counts a message, and returns the histories whose oldest is to go.
func (l *histories) added(h *history, at int64, bytes int, expired int64) (drop []*history) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h != nil {
		l.order = append(l.order, ordered{h, at})
	}
	l.bytes += bytes
	left := l.bytes
	for l.head < len(l.order) && (left > maxHistoryBytes/shardCount || l.order[l.head].at < expired) {
		drop = append(drop, l.order[l.head].h)
		left -= keptCost // at least; what is still too much goes with the next
		l.order[l.head] = ordered{}
		l.head++
	}
	switch {
	case l.head == len(l.order):
		l.order, l.head = nil, 0
	case l.head > len(l.order)/2:
		n := copy(l.order, l.order[l.head:])
		clear(l.order[n:])
		l.order, l.head = l.order[:n], 0
	}
	return drop
}

// trim counts a message that was kept, and forgets what is too old or too much.
// The caller holds no history.
func (l *histories) trim(h *history, at int64, bytes int, now int64) {
	for drop := l.added(h, at, bytes, now-int64(MaxRecovery)); len(drop) > 0; {
		bytes = 0
		for _, d := range drop {
			d.mu.Lock()
			switch {
			case d.ahead > 0:
				d.ahead--
			default:
				for n := 1 - d.ahead; n > 0 && len(d.list) > 0; n-- {
					bytes -= d.dropLocked()
				}
				d.ahead = 0
			}
			d.mu.Unlock()
		}
		drop = l.added(nil, 0, bytes, now-int64(MaxRecovery))
	}
}

// shed gives bytes back that are not in the order any more.
func (l *histories) shed(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= bytes
}

// historyOf returns the history of a user, made where it is to be.
func (sh *shard) historyOf(k subject, make bool, now int64, count *atomic.Int64) *history {
	sh.mu.RLock()
	h := sh.histories.of[k]
	sh.mu.RUnlock()
	if h != nil || !make {
		return h
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.historyLocked(k, now, count)
}

func (sh *shard) historyLocked(k subject, now int64, count *atomic.Int64) *history {
	h := sh.histories.of[k]
	if h == nil {
		if sh.histories.of == nil {
			sh.histories.of = make(map[subject]*history)
		}
		h = &history{owner: k, whole: now, last: firstIndex}
		count.Add(1)
		sh.histories.of[k] = h
	}
	return h
}

// sweep forgets what is older than each user's time, and the histories that
// nobody needs.
func (sh *shard) sweep(now int64, count *atomic.Int64) {
	sh.histories.trim(nil, 0, 0, now)
	var over []subject
	sh.mu.RLock()
	for k, h := range sh.histories.of {
		h.mu.Lock()
		h.expireLocked(now)
		bytes := 0
		for len(h.list) > 0 && h.list[0].at < now-int64(h.window) {
			bytes += h.dropLocked()
			h.ahead++
		}
		if h.sockets == 0 && h.until < now && len(h.departures) == 0 {
			over = append(over, k)
		}
		h.mu.Unlock()
		sh.histories.shed(bytes)
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
		if h.sockets == 0 && h.until < now && len(h.departures) == 0 {
			delete(sh.histories.of, k)
			count.Add(-1)
			sh.histories.shed(h.bytes)
			h.ahead += len(h.list)
			h.list, h.bytes = nil, 0
		}
		h.mu.Unlock()
	}
}

// clock is the time since the server's start, which no step of the system's
// clock changes.
func (s *Server) clock() int64 { return int64(time.Since(s.started)) }
