package websockets

import (
	"sync"
	"time"
)

const (
	// maxEndedOwners bounds the contexts and users whose older sessions are
	// refused; some 60 bytes each.
	maxEndedOwners = 100_000
	// endedFor is how long that is remembered: no session of ours lives longer
	// without being touched, which those of a deleted owner are not.
	endedFor = 31 * 24 * time.Hour
)

// OwnerEnder is a store that can remove all sessions of an owner at once.
type OwnerEnder interface {
	// EndOwner removes the sessions of a user, or of a whole context (user 0),
	// that were made up to a moment.
	EndOwner(context, user int32, until time.Time)
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
			if time.Since(t) > endedFor {
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
	return !s.Created.After(e.at[subject{s.Context, s.User}]) || !s.Created.After(e.at[subject{s.Context, 0}])
}

// EndOwner ends the sessions of a user that was deleted at a moment, or of a
// whole context (user 0): they are removed where the store can do that, refused
// where it cannot, and their sockets are closed.
func (s *Server) EndOwner(context, user int32, at time.Time) {
	s.endedOwners.end(subject{context, user}, at)
	if store, ok := s.opts.Sessions.(OwnerEnder); ok {
		store.EndOwner(context, user, at)
	}
	s.CloseSockets(Selector{Context: context, User: user}, CauseSession)
}

// EndOwner implements OwnerEnder. It takes time with the number of sessions, as
// the deletion of an account is rare.
func (m *MemorySessions) EndOwner(context, user int32, until time.Time) {
	m.mu.Lock()
	var gone []*Session
	for _, h := range m.byID {
		if s := h.session; s.Context == context && (user == 0 || s.User == user) && !s.Created.After(until) {
			gone = append(gone, s)
		}
	}
	for _, s := range gone {
		m.removeLocked(m.byID[s.ID])
	}
	m.mu.Unlock()
	m.removed(gone...)
}
