package websockets

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// MaxSessions bounds MemorySessions. At about 600 bytes a session that is
// 120 MiB, and as many as one member may have sockets.
const MaxSessions = 200_000

// expiryBatch is how many sessions expire under one lock: when all of a
// morning's sessions end at once, handshakes go on in between.
const expiryBatch = 1000

// The errors of Create.
var (
	ErrTooManySessions = errors.New("this member holds its maximum of sessions: delete some, wait until they expire, or raise " + PropMaxSessions)
	ErrSessionExists   = errors.New("a session with this id exists: make a new one with NewSession")
)

// UserSessionsError is returned by Create for a user that has its maximum of
// sessions. It is an ErrTooManySessions as well.
type UserSessionsError struct {
	Context, User uint32
	Limit         int
}

func (e *UserSessionsError) Error() string {
	return fmt.Sprintf("user %d in context %d has its maximum of %d sessions: delete some, wait until they expire, or raise %s",
		e.User, e.Context, e.Limit, PropMaxSessionsPerUser)
}

// Is makes errors.Is(err, ErrTooManySessions) hold.
func (e *UserSessionsError) Is(target error) bool { return target == ErrTooManySessions }

// MemorySessions keeps sessions of one member in memory, until they expire or
// are deleted, and over a restart where it has a shelf. It is safe for concurrent use.
type MemorySessions struct {
	onRemove func(*Session)

	mu      sync.Mutex
	limits  func() SessionConfig
	byID    map[string]*held
	perUser map[subject]int
	queue   expiryQueue // of those that expire
	timer   *time.Timer // of the first in the queue; nil before there was one
	closed  bool
	firing  sync.WaitGroup // of expire

	shelf    SessionShelf // nil: nothing outlives the process
	shelfLog *slog.Logger
	touched  map[string]bool // not on the shelf as they are; no more than there are sessions
	gone     map[string]bool // still on the shelf; no more than it has
	stop     chan struct{}
	shelved  chan struct{} // closed when the last was written
}

// held is a session in the store.
type held struct {
	session *Session // replaced, never changed
	place   int      // in the queue; neverExpires
}

const neverExpires = -1

// NewMemorySessions returns an empty store with the default limits. onRemove,
// which may be nil, is called without a lock for every session that was
// deleted or has expired, at the moment when it does; the owner closes the
// session's sockets there. Close ends the store.
func NewMemorySessions(onRemove func(*Session)) *MemorySessions {
	return &MemorySessions{
		onRemove: onRemove,
		limits:   func() SessionConfig { return DefaultConfig().Sessions },
		byID:     make(map[string]*held),
		perUser:  make(map[subject]int),
	}
}

// Limit has Create ask f for its limits. Sessions beyond a limit that was
// lowered stay.
func (m *MemorySessions) Limit(f func() SessionConfig) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = f
}

// Create stores a session. It returns ErrSessionExists, ErrTooManySessions or
// a UserSessionsError.
func (m *MemorySessions) Create(ctx context.Context, s *Session) error {
	stored := s.Sealed()
	if err := m.create(stored); err != nil || m.shelf == nil {
		return err
	}
	err := m.shelf.Put(ctx, stored)
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if h := m.byID[s.ID]; h != nil {
			m.removeLocked(h)
		}
	}
	return err
}

func (m *MemorySessions) create(s *Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	limits, owner := m.limits(), subject{s.Context, s.User}
	total := limits.Max
	if total <= 0 || total > MaxSessions {
		total = MaxSessions
	}
	switch {
	case m.byID[s.ID] != nil:
		return ErrSessionExists
	case limits.MaxPerUser > 0 && m.perUser[owner] >= limits.MaxPerUser:
		return &UserSessionsError{s.Context, s.User, limits.MaxPerUser}
	case len(m.byID) >= total:
		return ErrTooManySessions
	}
	m.addLocked(s)
	return nil
}

func (m *MemorySessions) addLocked(s *Session) {
	h := &held{session: s, place: neverExpires}
	m.byID[s.ID] = h
	m.perUser[subject{s.Context, s.User}]++
	if !s.Expires.IsZero() {
		heap.Push(&m.queue, h)
		m.armLocked()
	}
}

// Get returns the session, or ErrNoSession when it is unknown or expired.
func (m *MemorySessions) Get(_ context.Context, id string) (*Session, error) {
	return m.change(id, nil)
}

// Touch extends the session's life to its lifetime from now, or returns
// ErrNoSession.
func (m *MemorySessions) Touch(_ context.Context, id string) error {
	_, err := m.change(id, func(s *Session) {
		lifetime := s.Lifetime
		if lifetime <= 0 {
			lifetime = SessionLifetime
		}
		if !s.Expires.IsZero() {
			s.Expires = time.Now().Add(lifetime)
		}
	})
	return err
}

// Move sets the address from which a session is used, or returns ErrNoSession.
func (m *MemorySessions) Move(_ context.Context, id string, address netip.Addr) error {
	_, err := m.change(id, func(s *Session) { s.Address = address })
	return err
}

// Delete removes a session and tells onRemove. It returns ErrNoSession when
// there is none.
func (m *MemorySessions) Delete(ctx context.Context, id string) error {
	m.mu.Lock()
	h := m.byID[id]
	if h == nil {
		m.mu.Unlock()
		return ErrNoSession
	}
	m.removeLocked(h)
	m.mu.Unlock()
	m.removed(h.session)
	if m.shelf == nil {
		return nil
	}
	// It is over here in any case; who asked must know that a restart would
	// bring it back.
	if err := m.shelf.Drop(ctx, id); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.gone, id)
	return nil
}

// Len is the number of sessions held.
func (m *MemorySessions) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byID)
}

// Close ends the expiry and waits until what it has begun is over. Sessions
// that have expired are still not found afterwards, but nobody is told.
func (m *MemorySessions) Close() {
	m.mu.Lock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
	m.mu.Unlock()
	m.firing.Wait()
	if m.shelf != nil {
		close(m.stop)
		<-m.shelved
	}
}

// change returns the session with that id after f, if any, has changed it. One
// whose time is over is removed, should its timer be late.
func (m *MemorySessions) change(id string, f func(*Session)) (*Session, error) {
	m.mu.Lock()
	h := m.byID[id]
	if h == nil {
		m.mu.Unlock()
		return nil, ErrNoSession
	}
	if h.session.Expired(time.Now()) {
		m.removeLocked(h)
		m.mu.Unlock()
		m.removed(h.session)
		return nil, ErrNoSession
	}
	defer m.mu.Unlock()
	if f == nil {
		return h.session, nil
	}
	changed := *h.session
	f(&changed)
	h.session = &changed
	if m.shelf != nil {
		m.touched[id] = true
	}
	if h.place != neverExpires {
		heap.Fix(&m.queue, h.place)
		m.armLocked()
	}
	return h.session, nil
}

func (m *MemorySessions) removeLocked(h *held) {
	s := h.session
	delete(m.byID, s.ID)
	if m.shelf != nil {
		delete(m.touched, s.ID)
		m.gone[s.ID] = true
	}
	owner := subject{s.Context, s.User}
	if m.perUser[owner]--; m.perUser[owner] == 0 {
		delete(m.perUser, owner)
	}
	if h.place != neverExpires {
		heap.Remove(&m.queue, h.place)
		m.armLocked()
	}
}

// armLocked has the timer follow the first of the queue. A timer that fires
// too early finds nothing to do.
func (m *MemorySessions) armLocked() {
	switch {
	case m.closed || len(m.queue) == 0:
		if m.timer != nil {
			m.timer.Stop()
		}
	case m.timer == nil:
		m.timer = time.AfterFunc(time.Until(m.queue[0].session.Expires), m.expire)
	default:
		m.timer.Reset(time.Until(m.queue[0].session.Expires))
	}
}

// expire is what the timer calls.
func (m *MemorySessions) expire() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.firing.Add(1)
	defer m.firing.Done()
	now := time.Now()
	var gone []*Session
	for len(gone) < expiryBatch && len(m.queue) > 0 && m.queue[0].session.Expired(now) {
		h := m.queue[0]
		m.removeLocked(h)
		gone = append(gone, h.session)
	}
	m.armLocked()
	m.mu.Unlock()
	m.removed(gone...)
}

func (m *MemorySessions) removed(gone ...*Session) {
	if m.onRemove == nil {
		return
	}
	for _, s := range gone {
		m.onRemove(s)
	}
}

// expiryQueue is a heap by the time of expiry.
type expiryQueue []*held

func (q expiryQueue) Len() int { return len(q) }

func (q expiryQueue) Less(i, j int) bool {
	return q[i].session.Expires.Before(q[j].session.Expires)
}

func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *expiryQueue) Push(x any) {
	h := x.(*held)
	h.place = len(*q)
	*q = append(*q, h)
}

// Pop implements heap.Interface.
func (q *expiryQueue) Pop() any {
	old := *q
	last := len(old) - 1
	h := old[last]
	old[last] = nil
	h.place = neverExpires
	*q = old[:last]
	return h
}
