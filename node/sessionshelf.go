package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// sessionShelf keeps the sessions of a member that is alone in its store.
type sessionShelf struct{ store *store.Store }

func (s sessionShelf) Put(ctx context.Context, sessions ...*websockets.Session) error {
	texts := make(map[string][]byte, len(sessions))
	for _, ses := range sessions {
		text, err := json.Marshal(ses)
		if err != nil {
			return err
		}
		texts[ses.ID] = text
	}
	return s.store.PutSessions(ctx, texts)
}

func (s sessionShelf) Drop(ctx context.Context, ids ...string) error {
	return s.store.DropSessions(ctx, ids...)
}

func (s sessionShelf) Each(f func(*websockets.Session)) error {
	return s.store.EachSession(func(_ string, text []byte) error {
		var ses websockets.Session
		if err := json.Unmarshal(text, &ses); err != nil {
			// The id is a secret.
			return fmt.Errorf("a stored session does not parse: %w", err)
		}
		f(&ses)
		return nil
	})
}
