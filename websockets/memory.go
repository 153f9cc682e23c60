package websockets

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// MaxSessions bounds MemorySessions. At about 500 bytes a session that is
// 100 MiB, and as many as one member may have sockets.
const MaxSessions = 200_000

// sessionSweepInterval is how often Create looks for expired sessions that
// nobody asked for: often enough that they are not kept much longer than a
// twentieth of their life, seldom enough that the walk does not count.
const sessionSweepInterval = 3 * time.Minute

// ErrTooManySessions is returned by Create when MaxSessions are alive.
var ErrTooManySessions = fmt.Errorf("the session store holds its maximum of %d sessions: delete some or wait until they expire", MaxSessions)

// ErrSessionExists is returned by Create for an id that is taken.
var ErrSessionExists = errors.New("a session with this id exists: make a new one with NewSession")

// MemorySessions keeps sessions of one member in memory, until they expire or
// are deleted. It is safe for concurrent use.
type MemorySessions struct {
	onRemove func(*Session)

	mu       sync.Mutex
	byID     map[string]*Session // entries are replaced, never changed
	sweepDue time.Time
}

// NewMemorySessions returns an empty store. onRemove, which may be nil, is
// called without a lock for every session that was deleted or has expired;
// the owner closes the session's sockets there.
func NewMemorySessions(onRemove func(*Session)) *MemorySessions {
	return &MemorySessions{
		onRemove: onRemove,
		byID:     make(map[string]*Session),
		sweepDue: time.Now().Add(sessionSweepInterval),
	}
}

// Create stores a session. It returns ErrSessionExists or ErrTooManySessions.
func (m *MemorySessions) Create(_ context.Context, s *Session) error {
	now := time.Now()
	stored := *s
	m.mu.Lock()
	var gone []*Session
	if now.After(m.sweepDue) || len(m.byID) >= MaxSessions {
		gone = m.sweepLocked(now)
	}
	err := error(nil)
	switch {
	case m.byID[s.ID] != nil:
		err = ErrSessionExists
	case len(m.byID) >= MaxSessions:
		err = ErrTooManySessions
	default:
		m.byID[s.ID] = &stored
	}
	m.mu.Unlock()
	m.removed(gone)
	return err
}

// Get returns the session, or ErrNoSession when it is unknown or expired.
func (m *MemorySessions) Get(_ context.Context, id string) (*Session, error) {
	return m.look(id, false)
}

// Touch extends the session's life to its lifetime from now, or returns
// ErrNoSession.
func (m *MemorySessions) Touch(_ context.Context, id string) error {
	_, err := m.look(id, true)
	return err
}

// Delete removes a session and tells onRemove. It returns ErrNoSession when
// there is none.
func (m *MemorySessions) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	s := m.byID[id]
	delete(m.byID, id)
	m.mu.Unlock()
	if s == nil {
		return ErrNoSession
	}
	m.removed([]*Session{s})
	return nil
}

// Len is the number of sessions held, expired ones that were not yet swept
// included.
func (m *MemorySessions) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byID)
}

func (m *MemorySessions) look(id string, touch bool) (*Session, error) {
	now := time.Now()
	m.mu.Lock()
	s := m.byID[id]
	if s == nil {
		m.mu.Unlock()
		return nil, ErrNoSession
	}
	if s.Expired(now) {
		delete(m.byID, id)
		m.mu.Unlock()
		m.removed([]*Session{s})
		return nil, ErrNoSession
	}
	if touch {
		lifetime := s.Lifetime
		if lifetime <= 0 {
			lifetime = SessionLifetime
		}
		touched := *s
		touched.Expires = now.Add(lifetime)
		m.byID[id] = &touched
		s = &touched
	}
	m.mu.Unlock()
	return s, nil
}

func (m *MemorySessions) sweepLocked(now time.Time) []*Session {
	m.sweepDue = now.Add(sessionSweepInterval)
	var gone []*Session
	for id, s := range m.byID {
		if s.Expired(now) {
			delete(m.byID, id)
			gone = append(gone, s)
		}
	}
	return gone
}

func (m *MemorySessions) removed(gone []*Session) {
	if m.onRemove == nil {
		return
	}
	for _, s := range gone {
		m.onRemove(s)
	}
}
