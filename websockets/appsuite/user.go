package appsuite

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed47708276/sluice/websockets"
)

// userKey is the set of the ids of a user's sessions.
func userKey(contextID, user uint32) string {
	return fmt.Sprintf("ox-sessionids:%d:%d", contextID, user)
}

// OfUser implements websockets.UserSessions. The sessions are App Suite's: they
// are listed, and ended there.
func (s *Store) OfUser(ctx context.Context, contextID, user uint32) ([]*websockets.Session, error) {
	asked, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	ids, err := s.opts.Client.SMembers(asked, userKey(contextID, user)).Result()
	if err != nil {
		return nil, s.failed(asked, err)
	}
	sessions, err := s.read(ctx, ids[:min(len(ids), websockets.MaxUserSessions)])
	if err != nil {
		return nil, err
	}
	var list []*websockets.Session
	for _, a := range sessions {
		// The set may be older than the documents.
		if a.Session != nil && a.Context == contextID && a.User == user {
			list = append(list, a.Session)
		}
	}
	slices.SortFunc(list, func(a, b *websockets.Session) int { return b.Created.Compare(a.Created) })
	return list, nil
}
