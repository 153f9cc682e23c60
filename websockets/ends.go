package websockets

import (
	"sync"
	"time"
)

// maxEnds bounds how many users' last ends are remembered: some 2 MiB. Where
// more users lose their sockets, those who were remembered first are forgotten.
const maxEnds = 20_000

// End is how the last socket of a user ended.
type End struct {
	Cause Cause
	At    time.Time
}

// Code is that of the close frame; 0: none was sent.
func (e End) Code() int { return int(closings[e.Cause].code) }

// ends remembers the last end of users, in the order in which they were first
// remembered.
type ends struct {
	mu    sync.Mutex
	of    map[subject]End
	order []subject // a ring once it is full
	next  int
}

func (l *ends) add(k subject, e End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.of[k]; !known {
		if l.of == nil {
			l.of = make(map[subject]End)
		}
		if len(l.order) < maxEnds {
			l.order = append(l.order, k)
		} else {
			delete(l.of, l.order[l.next])
			l.order[l.next] = k
			l.next = (l.next + 1) % maxEnds
		}
	}
	l.of[k] = e
}

// LastEnd tells how the last socket of a user ended here, as far as that is
// remembered.
func (s *Server) LastEnd(context, user uint32) (End, bool) {
	s.ends.mu.Lock()
	defer s.ends.mu.Unlock()
	e, ok := s.ends.of[subject{context, user}]
	return e, ok
}
