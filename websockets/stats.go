package websockets

import (
	"sync"
	"sync/atomic"
)

// totals counts what has happened since the start.
type totals struct {
	opened   atomic.Int64
	messages atomic.Int64
	events   atomic.Int64
	closed   [causeCount]atomic.Int64

	mu      sync.Mutex
	refused map[string]int64 // by code; the codes are constants
}

func (t *totals) refuse(code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused == nil {
		t.refused = make(map[string]int64)
	}
	t.refused[code]++
}

// Stats are counters since the start, beside Sockets, which is the number of
// sockets in the hub now.
type Stats struct {
	Sockets  int64
	Opened   int64
	Messages int64            // service messages queued, once per socket
	Events   int64            // events of clients
	Closed   map[string]int64 // by Cause.String
	Refused  map[string]int64 // handshakes by the code of the answer
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	st := Stats{
		Sockets:  s.hub.count.Load(),
		Opened:   s.totals.opened.Load(),
		Messages: s.totals.messages.Load(),
		Events:   s.totals.events.Load(),
		Closed:   make(map[string]int64, causeCount),
		Refused:  make(map[string]int64),
	}
	for c := CauseNone + 1; c < causeCount; c++ {
		st.Closed[c.String()] = s.totals.closed[c].Load()
	}
	s.totals.mu.Lock()
	defer s.totals.mu.Unlock()
	for code, n := range s.totals.refused {
		st.Refused[code] = n
	}
	return st
}
