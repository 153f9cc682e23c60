package websockets

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed47708276/sluice/shared"
)

// Protocol is what a socket speaks.
type Protocol uint8

// The protocols.
const (
	EngineIO3 Protocol = iota
	EngineIO4
	PlainText // /ws/*
	protocolCount
)

// String is the protocol's name in lists and metrics.
func (p Protocol) String() string {
	return [...]string{"engine.io-v3", "engine.io-v4", "text"}[p]
}

// pathClasses are the roots by which sockets are counted: clients choose their
// paths, so that counting each would have no bound. The first that fits counts.
var pathClasses = [...]string{"/socket.io/appsuite/*", "/socket.io/*", "/ws/*"}

// socketKind is what sockets are counted by.
type socketKind struct {
	class    uint8 // of pathClasses
	protocol Protocol
}

const kindCount = len(pathClasses) * int(protocolCount)

func kindOf(path string, p Protocol) socketKind {
	for i, class := range pathClasses {
		if below(path, strings.TrimSuffix(class, "/*")) {
			return socketKind{uint8(i), p}
		}
	}
	return socketKind{uint8(len(pathClasses) - 1), p}
}

func (k socketKind) index() int { return int(k.class)*int(protocolCount) + int(k.protocol) }

// counters are those of a shard, so that sockets on different cores seldom
// count in the same place.
type counters struct {
	framesIn, framesOut atomic.Int64
	bytesIn, bytesOut   atomic.Int64
	events              atomic.Int64
	kinds               [kindCount]atomic.Int64
	latency             histogram
}

// latencyBounds are in nanoseconds: from a write that has nothing to wait for
// to one that ends with its deadline.
var latencyBounds = [...]int64{
	100e3, 250e3, 500e3, 1e6, 2500e3, 5e6, 10e6, 25e6, 50e6, 100e6, 250e6, 500e6, 1e9, 2500e6, 5e9, 10e9,
}

type histogram struct {
	counts [len(latencyBounds) + 1]atomic.Int64
	sum    atomic.Int64
}

func (h *histogram) observe(ns int64) {
	i := 0
	for i < len(latencyBounds) && ns > latencyBounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(ns)
}

// totals counts what has happened since the start.
type totals struct {
	messages atomic.Int64
	// conflated counts messages that were given up for newer ones, once per socket.
	conflated atomic.Int64
	closed    [causeCount]atomic.Int64

	rechecks, recheckUsers, recheckClosed atomic.Int64

	recoveries       [recoveryOutcomes]atomic.Int64
	resent, doubtful atomic.Int64
	browser, page    histogram // arrivals of messages that were asked for

	mu         sync.Mutex
	handshakes map[Handshake]int64 // codes and reasons are constants
}

func (t *totals) handshake(h Handshake) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handshakes == nil {
		t.handshakes = make(map[Handshake]int64)
	}
	t.handshakes[h]++
}

// Handshake is how a handshake went: "ok", or the code of its refusal with the
// check that failed where the code hides it from the client.
type Handshake struct{ Result, Reason string }

// Kind is a kind of sockets: a class of paths such as "/socket.io/appsuite/*",
// and a Protocol's name.
type Kind struct{ Path, Protocol string }

// Closing is a way in which sockets end: a Cause's name, and the code of the
// close frame, 0 for none.
type Closing struct {
	Cause string
	Code  uint16
}

// Arrivals are the times from SendTo... to a client's answer that it has the
// message, of those sockets that were asked.
type Arrivals struct{ Browser, Page shared.Latency }

// Stats are counters since the start; Sockets, Queued, QueuedBytes and Muted are
// of now.
type Stats struct {
	Sockets     map[Kind]int64
	Queued      int64 // frames that wait to be written
	QueuedBytes int64
	Muted       int64 // sockets whose users are switched off and held
	Handshakes  map[Handshake]int64
	Closed      map[Closing]int64
	Messages    int64 // service messages queued, once per socket
	Conflated   int64 // of these, given up for newer ones
	Events      int64 // events of clients
	FramesIn    int64 // messages of clients, heartbeats included
	FramesOut   int64
	BytesIn     int64 // on the wire, after the handshake
	BytesOut    int64
	// SendLatency is the time from SendTo... until the kernel has taken the message,
	// one observation for the oldest message of each write.
	SendLatency shared.Latency
	Arrivals    Arrivals
	Asking      int64 // sockets that have not answered yet whether a message has come
	Remembered  int64 // messages of which is known what became of them
	Memory      int64 // the bytes that these count as

	Rechecks      int64 // of the gate, for all connected users
	RecheckUsers  int64 // asked in all of them
	RecheckClosed int64 // sockets closed by them

	Recoveries map[string]int64 // clients that came back, by how that went
	Resent     int64            // messages that they got then
	Doubtful   int64            // of these, those that had been written before, and may have arrived twice
	Kept       int64            // messages that are kept now, once for each user
	KeptBytes  int64            // what they count as
	KeptUsers  int64            // users that may come back, those with sockets among them
	Departures int64            // sockets that ended and may be taken up
}

// Stats returns the counters. It looks at every socket for what is queued.
func (s *Server) Stats() Stats {
	st := Stats{
		Sockets:       make(map[Kind]int64),
		Handshakes:    make(map[Handshake]int64),
		Closed:        make(map[Closing]int64, causeCount),
		Messages:      s.totals.messages.Load(),
		Conflated:     s.totals.conflated.Load(),
		Muted:         s.muted.Load(),
		SendLatency:   noLatency(),
		Arrivals:      Arrivals{noLatency(), noLatency()},
		Asking:        s.asks.out.Load(),
		Rechecks:      s.totals.rechecks.Load(),
		RecheckUsers:  s.totals.recheckUsers.Load(),
		RecheckClosed: s.totals.recheckClosed.Load(),
	}
	for i := range s.hub.shards {
		st.add(&s.hub.shards[i].counters)
	}
	addTo(&st.Arrivals.Browser, &s.totals.browser)
	addTo(&st.Arrivals.Page, &s.totals.page)
	records, bytes := s.memory.Usage()
	st.Remembered, st.Memory = int64(records), int64(bytes)
	for c := CauseNone + 1; c < causeCount; c++ {
		st.Closed[Closing{closings[c].name, closings[c].code}] = s.totals.closed[c].Load()
	}
	s.hub.all(func(subject) bool { return true }, func(sock *socket) {
		sock.mu.Lock()
		defer sock.mu.Unlock()
		st.Queued += int64(sock.waiting.frames)
		st.QueuedBytes += int64(sock.waiting.bytes)
	})
	st.recovery(s)
	s.totals.mu.Lock()
	defer s.totals.mu.Unlock()
	for h, n := range s.totals.handshakes {
		st.Handshakes[h] = n
	}
	return st
}

// recovery adds what is known of clients that come back.
func (st *Stats) recovery(s *Server) {
	st.Recoveries = make(map[string]int64, recoveryOutcomes)
	for i, name := range recoveryNames {
		st.Recoveries[name] = s.totals.recoveries[i].Load()
	}
	st.Resent, st.Doubtful, st.KeptUsers, st.KeptBytes = s.totals.resent.Load(), s.totals.doubtful.Load(), s.histories.Load(), s.kept.bytes.Load()
	for i := range s.hub.shards {
		sh := &s.hub.shards[i]
		sh.mu.RLock()
		for _, h := range sh.histories.of {
			h.mu.Lock()
			st.Kept += int64(h.n)
			st.Departures += int64(len(h.departures))
			h.mu.Unlock()
		}
		sh.mu.RUnlock()
	}
}

func (st *Stats) add(c *counters) {
	st.FramesIn += c.framesIn.Load()
	st.FramesOut += c.framesOut.Load()
	st.BytesIn += c.bytesIn.Load()
	st.BytesOut += c.bytesOut.Load()
	st.Events += c.events.Load()
	for class := range pathClasses {
		for p := range protocolCount {
			k := socketKind{uint8(class), p}
			// Those of /ws/* speak text and no other sockets do.
			if (pathClasses[class] == "/ws/*") == (p == PlainText) {
				st.Sockets[Kind{pathClasses[class], p.String()}] += c.kinds[k.index()].Load()
			}
		}
	}
	addTo(&st.SendLatency, &c.latency)
}

func addTo(l *shared.Latency, h *histogram) {
	for i := range h.counts {
		l.Counts[i] += h.counts[i].Load()
	}
	l.Sum += float64(h.sum.Load()) / 1e9
}

// noLatency has the bounds of all histograms, and counts nothing yet.
func noLatency() shared.Latency {
	l := shared.Latency{Counts: make([]int64, len(latencyBounds)+1)}
	for _, b := range latencyBounds {
		l.Bounds = append(l.Bounds, float64(b)/1e9)
	}
	return l
}

// Brief are those of Stats that cost no look at the sockets.
type Brief struct {
	Sockets    int64
	Messages   int64
	Handshakes map[Handshake]int64
	Arrivals   Arrivals
}

// Brief returns counters often, at next to no cost.
func (s *Server) Brief() Brief {
	b := Brief{Sockets: s.Count(), Messages: s.totals.messages.Load(), Arrivals: Arrivals{noLatency(), noLatency()}}
	addTo(&b.Arrivals.Browser, &s.totals.browser)
	addTo(&b.Arrivals.Page, &s.totals.page)
	s.totals.mu.Lock()
	defer s.totals.mu.Unlock()
	b.Handshakes = maps.Clone(s.totals.handshakes)
	return b
}
