package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/bbolt"
)

// ErrHasTokens is returned by PutFirstToken.
var ErrHasTokens = errors.New("the store has tokens already: use one of them to make another, on the running server")

// PutFirstToken puts a token into the file of a server that does not run. It is
// no write of its own yet: the server makes one of it when it starts, and when
// its cluster, whose state may be another, takes writes.
func PutFirstToken(path, name string, token *Token) (err error) {
	s, err := Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.AnyToken() {
		return ErrHasTokens
	}
	r := Record{TokenKey(name), State{Body: token}}
	if err := r.check(); err != nil {
		return err
	}
	return guarded(path, func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return put(tx, r.Key, &r.State) })
	})
}

// offlineRetry is how often a token that was made offline is offered to a
// cluster that takes no writes.
const offlineRetry = time.Second

// claimOffline makes writes of the tokens that were made offline.
func (s *Store) claimOffline(tokens map[string]*Token) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.work.Go(func() {
		select {
		case <-s.quit:
			cancel()
		case <-ctx.Done():
		}
	})
	for name, token := range tokens {
		for {
			_, err := s.Do(ctx, Write{
				Actor: token.Actor, Action: "token.create", Reason: "made offline in the state folder",
				Changes: []Change{{Key: TokenKey(name), Body: token}},
			})
			if err == nil {
				break
			}
			s.log.Debug("a token that was made offline is not stored yet", slog.String("token", name), slog.Any("err", err))
			t := time.NewTimer(offlineRetry)
			select {
			case <-t.C:
			case <-s.quit:
				t.Stop()
				return
			}
		}
		s.log.Info(fmt.Sprintf("the token %q, made offline, is stored", name))
	}
}
