package httpapi

import (
	"sync"
	"time"
)

// maxSentIDs takes 20 MiB at most, at 330 messages with an id a second; above
// that rate the oldest ids go before their time.
const maxSentIDs = 100_000

// sentIDs remembers the ids that callers gave their messages.
type sentIDs struct {
	mu    sync.Mutex
	at    map[string]time.Time
	order []string // oldest first, each once
}

// first reports whether one of the ids was not seen within the window, and
// remembers them all.
func (s *sentIDs) first(now time.Time, window time.Duration, ids ...string) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	for len(s.order) > 0 && now.Sub(s.at[s.order[0]]) > window {
		s.drop()
	}
	for _, id := range ids {
		if _, known := s.at[id]; known {
			continue
		}
		// Not before: at the limit the oldest id would be taken for a new one.
		if len(s.order) >= maxSentIDs {
			s.drop()
		}
		first = true
		s.at[id] = now
		s.order = append(s.order, id)
	}
	return first
}

func (s *sentIDs) drop() {
	delete(s.at, s.order[0])
	s.order = s.order[1:]
}
