package websockets

import (
	"context"
	"slices"
	"time"
)

// MaxUserSessions bounds what a store tells of the sessions of one user.
const MaxUserSessions = 1000

// SessionHash stands for the id of a session where that must not be shown: 16
// hex digits, too few to find an id by.
func SessionHash(id string) string { return sessionDigest(id) }

// HashedID is SessionHash of the session's id, which a store may not know.
func (s *Session) HashedID() string {
	if s.IDHash != "" {
		return s.IDHash
	}
	return SessionHash(s.ID)
}

// UserSessions is a store that knows the sessions of a user.
type UserSessions interface {
	// OfUser returns up to MaxUserSessions of them; the ID may be missing, the
	// HashedID is there.
	OfUser(ctx context.Context, context, user uint32) ([]*Session, error)
}

// UserSessionEnder is one whose sessions are ours to end.
type UserSessionEnder interface {
	UserSessions
	// EndOfUser removes those of a user, or the one with a hash, and returns how
	// many they were.
	EndOfUser(ctx context.Context, context, user uint32, hash string) (ended int, err error)
}

// OfUser implements UserSessions. It looks at all sessions.
func (m *MemorySessions) OfUser(_ context.Context, context, user uint32) (list []*Session, err error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.perUser[subject{context, user}] == 0 {
		return nil, nil
	}
	for _, h := range m.byID {
		if s := h.session; s.Context == context && s.User == user && !s.Expired(now) && len(list) < MaxUserSessions {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, byAge)
	return list, nil
}

// byAge sorts sessions, the newest first.
func byAge(a, b *Session) int { return b.Created.Compare(a.Created) }

// EndOfUser implements UserSessionEnder.
func (m *MemorySessions) EndOfUser(ctx context.Context, context, user uint32, hash string) (ended int, err error) {
	list, err := m.OfUser(ctx, context, user)
	if err != nil {
		return 0, err
	}
	for _, s := range list {
		if hash != "" && s.HashedID() != hash {
			continue
		}
		switch err := m.Delete(ctx, s.ID); err {
		case nil:
			ended++
		case ErrNoSession: // it has ended meanwhile
		default:
			return ended, err
		}
	}
	return ended, nil
}
