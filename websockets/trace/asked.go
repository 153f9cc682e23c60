package trace

import "sync"

// maxIndexed is how many of the messages that somebody waits for are found by
// their id at once: more than that may be asked for within the time that a
// caller waits.
const maxIndexed = 1 << 14

// asked finds the last messages whose callers asked for proof, by their ids.
type asked struct {
	mu    sync.Mutex
	of    map[string]*Record
	order []string // a ring once it is full
	next  int
}

// Index has ByAsked find a record.
func (m *Memory) Index(r *Record) {
	a := &m.asked
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[string]*Record)
	}
	if _, known := a.of[r.ID]; !known {
		if len(a.order) < maxIndexed {
			a.order = append(a.order, r.ID)
		} else {
			delete(a.of, a.order[a.next])
			a.order[a.next] = r.ID
			a.next = (a.next + 1) % maxIndexed
		}
	}
	a.of[r.ID] = r
}

// ByAsked returns the message with an id where its caller asked for proof, at
// the cost of one look.
func (m *Memory) ByAsked(id string) (Delivery, bool) {
	m.asked.mu.Lock()
	r := m.asked.of[id]
	m.asked.mu.Unlock()
	if r == nil {
		return Delivery{}, false
	}
	return r.Read(), true
}
