package store

import (
	"context"

	"go.etcd.io/bbolt"
)

// PutSessions keeps texts by their ids, and returns when they are on the disk.
// They are those of this member: no revision, no log, no other member.
func (s *Store) PutSessions(ctx context.Context, texts map[string][]byte) error {
	return s.local(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketSessions)
		for id, text := range texts {
			if err := b.Put([]byte(id), text); err != nil {
				return err
			}
		}
		return nil
	})
}

// DropSessions forgets texts.
func (s *Store) DropSessions(ctx context.Context, ids ...string) error {
	return s.local(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketSessions)
		for _, id := range ids {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// EachSession calls f with every text, which is only valid until f returns.
func (s *Store) EachSession(f func(id string, text []byte) error) error {
	return s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSessions).ForEach(func(id, text []byte) error { return f(string(id), text) })
	})
}

func (s *Store) local(ctx context.Context, f func(tx *bbolt.Tx) error) error {
	_, err := s.ask(ctx, s.queue, &request{local: f, done: make(chan struct{})})
	return err
}
