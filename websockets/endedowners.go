package websockets

import (
	"sync"
	"time"
)

const (
	// maxEndedOwners bounds the contexts and users whose older sessions are
	// refused; some 60 bytes each.
	maxEndedOwners = 100_000
	// EndedFor is how long that is remembered: no session of ours lives longer
	// without being touched, which those of a deleted owner are not.
	EndedFor = 31 * 24 * time.Hour
	// createdStep is how exact the times of sessions and deletions are where they
	// are stored.
	createdStep = time.Millisecond
)

// EndedOwner is a user, or a whole context (User 0), that lost its ids at a
// moment: it was deleted, or they have a new owner.
type EndedOwner struct {
	Context, User uint32
	At            time.Time
}

// OwnerEnder is a store that can remove the sessions of owners at once.
type OwnerEnder interface {
	// EndSessions removes the sessions that are over.
	EndSessions(over func(*Session) bool)
}

// endedOwners are the contexts and users that were deleted: their sessions are
// over, whatever the store says, also when the ids have a new owner. The zero
// value is empty.
type endedOwners struct {
	mu sync.RWMutex
	at map[subject]time.Time // user 0: the whole context
}

func (e *endedOwners) end(owner subject, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at == nil {
		e.at = make(map[subject]time.Time)
	}
	if _, known := e.at[owner]; !known && len(e.at) >= maxEndedOwners {
		for o, t := range e.at {
			if time.Since(t) > EndedFor {
				delete(e.at, o)
			}
		}
		for o := range e.at {
			if len(e.at) < maxEndedOwners {
				break
			}
			delete(e.at, o)
		}
	}
	if at.After(e.at[owner]) {
		e.at[owner] = at
	}
}

// over reports whether a session is of an owner who was deleted since it was
// made. One of which nobody knows when it was made is not judged.
func (e *endedOwners) over(s *Session) bool {
	if s.Created.IsZero() {
		return false
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if len(e.at) == 0 {
		return false
	}
	made := s.Created.Truncate(createdStep)
	return !made.After(e.at[subject{s.Context, s.User}]) || !made.After(e.at[subject{s.Context, 0}])
}

// EndOwners ends the sessions of owners: they are removed where the store can do
// that, refused where it cannot, and their sockets are closed. Sessions that were
// made after the moment are those of a new owner. It takes time with the number
// of sessions, as the deletion of an account is rare.
func (s *Server) EndOwners(list []EndedOwner) {
	if len(list) == 0 {
		return
	}
	for _, o := range list {
		s.endedOwners.end(subject{o.Context, o.User}, o.At)
	}
	if store, ok := s.opts.Sessions.(OwnerEnder); ok {
		store.EndSessions(s.endedOwners.over)
	}
	for _, o := range list {
		s.CloseSockets(Selector{Context: o.Context, User: o.User}, CauseSession)
	}
}

// EndSessions implements OwnerEnder.
func (m *MemorySessions) EndSessions(over func(*Session) bool) {
	m.mu.Lock()
	var gone []*Session
	for _, h := range m.byID {
		if over(h.session) {
			gone = append(gone, h.session)
		}
	}
	for _, s := range gone {
		m.removeLocked(m.byID[s.ID])
	}
	m.mu.Unlock()
	m.removed(gone...)
}
