package appsuite

import (
	"encoding/json"
	"maps"
	"sync"
	"sync/atomic"
)

const (
	// maxEvent bounds an event in bytes, and maxPending the ids of all events
	// that wait: beyond it they are dropped, and the periodic check finds them.
	// The existing system collects the ids of 5 s in an event.
	maxEvent   = 1 << 20
	maxPending = 50_000
)

// hints are the ids of sessions that events have named and nobody has looked at
// yet.
type hints struct {
	following atomic.Bool
	waiting   chan struct{} // has something when pending is not empty

	mu      sync.Mutex
	pending map[string]bool
	counts  map[string]int64
}

func newHints() hints {
	return hints{
		waiting: make(chan struct{}, 1), pending: make(map[string]bool),
		counts: map[string]int64{"invalidate": 0, "other": 0, "strange": 0, "dropped": 0},
	}
}

// parseEvent reads an event (docs/reference/sessions.md#session-events): its
// data is JSON in a text. ok is false for what is no event; ids is empty for
// one that is about something else.
func parseEvent(payload string) (ids []string, ok bool) {
	if len(payload) > maxEvent {
		return nil, false
	}
	var envelope struct {
		Data *string `json:"data"`
	}
	if err := json.Unmarshal([]byte(payload), &envelope); err != nil || envelope.Data == nil {
		return nil, false
	}
	var event struct {
		Operation  string   `json:"operation"`
		SessionIDs []string `json:"sessionIds"`
	}
	if err := json.Unmarshal([]byte(*envelope.Data), &event); err != nil {
		return nil, false
	}
	if event.Operation != "invalidate" {
		return nil, true
	}
	return event.SessionIDs, true
}

// take keeps the ids of an event until drain. It never blocks.
func (h *hints) take(payload string) {
	ids, ok := parseEvent(payload)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !ok:
		h.counts["strange"]++
		return
	case len(ids) == 0:
		h.counts["other"]++
		return
	}
	h.counts["invalidate"]++
	for _, id := range ids {
		if !h.pending[id] && len(h.pending) >= maxPending {
			h.counts["dropped"]++
			continue
		}
		h.pending[id] = true
	}
	select {
	case h.waiting <- struct{}{}:
	default:
	}
}

// drain returns the ids that wait.
func (h *hints) drain() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := h.pending
	h.pending = make(map[string]bool)
	return ids
}

func (h *hints) counters() (counts map[string]int64, following bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.counts), h.following.Load()
}
