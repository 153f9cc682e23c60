package httpapi

import (
	"sync"
	"time"
)

const (
	// maxSentIDs takes 20 MiB at most, at 330 messages with an id a second;
	// above that rate the oldest ids go before their time.
	maxSentIDs = 100_000
)

// sentIDs remembers the ids of messages, so that a caller who did not get the
// answer may send again.
type sentIDs struct {
	mu    sync.Mutex
	at    map[string]time.Time
	order []string // oldest first, each once
}

// first reports whether the id was not seen within the window, and remembers it.
func (s *sentIDs) first(id string, now time.Time, window time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	for len(s.order) > 0 && now.Sub(s.at[s.order[0]]) > window {
		s.drop()
	}
	if _, known := s.at[id]; known {
		return false
	}
	// Not before: at the limit the oldest id would be taken for a new one.
	if len(s.order) >= maxSentIDs {
		s.drop()
	}
	s.at[id] = now
	s.order = append(s.order, id)
	return true
}

func (s *sentIDs) drop() {
	delete(s.at, s.order[0])
	s.order = s.order[1:]
}
