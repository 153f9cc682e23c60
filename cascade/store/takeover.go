package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

// takeTimeout bounds taking a million records and their log.
const takeTimeout = 10 * time.Minute

// maxDoubts is how often a copy begins anew since the truth became another
// meanwhile.
const maxDoubts = 3

// takeOver replaces what this member has by what the truth has, unless this
// member has decisions that nobody has given up. The caller holds taking.
func (s *Store) takeOver(ctx context.Context, st Standing) error {
	id, head := s.Identity(), s.Head()
	same := id.Copy && id.ID == st.ID
	switch {
	case same, st.Adopted, head.Revision == 0:
	case id.Copy:
		return &NoStoreError{fmt.Sprintf("this member has a copy of another store (%s, %v) than %s has now (%v): what it has stays in force until an administrator says what counts: sluice store adopt", id.Of, head, s.opt.Truth.Describe(), st.Head)}
	default:
		return &NoStoreError{fmt.Sprintf("this member has decisions of its own (%v) that %s does not have: they stay in force until an administrator says what counts: sluice store adopt, on the member that has the right ones", head, s.opt.Truth.Describe())}
	}
	if same {
		s.log.Warn("the truth has gone back to an earlier state, such as a backup: this member takes it",
			slog.String("truth", s.opt.Truth.Describe()), slog.Uint64("revision", st.Head.Revision), slog.Uint64("before", head.Revision))
	}
	return s.asOwner(func() error { return s.replace(ctx, head) })
}

// replace takes everything from the truth. It is called by the owner, while
// taking is held for it.
func (s *Store) replace(ctx context.Context, before Head) error {
	s.keepCopy()
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	if before.Revision > 0 {
		if _, err := s.backup("replaced"); err != nil {
			return err
		}
	}
	var st Standing
	for doubts := 0; ; doubts++ {
		var err error
		if st, err = s.loadFrom(ctx, before); err == nil {
			break
		}
		if !errors.Is(err, errTorn) || doubts == maxDoubts {
			return err
		}
	}
	s.copy.resyncs.Add(1)
	s.log.Warn("this member took the whole state over", slog.String("truth", s.opt.Truth.Describe()),
		slog.Uint64("revision", st.Head.Revision), slog.Uint64("before", before.Revision))
	return s.reload()
}

// errTorn is returned where the log that came does not lead to the head.
var errTorn = errors.New("the truth has become another one while it was read")

func (s *Store) loadFrom(ctx context.Context, before Head) (st Standing, err error) {
	tx, err := s.begin()
	if err != nil {
		return st, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := guarded(s.opt.Path, func() error { return empty(tx) }); err != nil {
		return st, s.fail(s.fileHead(), err)
	}
	at := Head{}
	st, err = s.opt.Truth.Load(ctx, func(list []Record) error {
		return guarded(s.opt.Path, func() error {
			for i := range list {
				if err := list[i].check(); err != nil {
					return err
				}
				if err := put(tx, list[i].Key, &list[i].State); err != nil {
					return err
				}
			}
			return nil
		})
	}, func(list []Sealed) error {
		return guarded(s.opt.Path, func() error {
			for i := range list {
				// The sums are those of the truth: of an entry that someone changed by
				// hand it is not that of its text.
				if at.Revision > 0 && list[i].Revision != at.Revision+1 {
					return errTorn
				}
				at = list[i].Head()
				if err := putEntry(tx, &list[i]); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return st, err
	}
	if at != st.Head {
		return st, errTorn
	}
	id := Identity{ID: st.ID, Copy: true, Of: s.opt.Truth.Describe(), Term: s.Identity().Term}
	err = guarded(s.opt.Path, func() error {
		if err := writeIdentity(tx, id); err != nil {
			return err
		}
		if err := writeHead(tx, st.Head); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return st, s.fail(s.fileHead(), err)
	}
	s.committed()
	s.identity.Store(&id)
	s.head.Store(&st.Head)
	c := &s.copy
	c.mu.Lock()
	c.pending, c.bytes, c.file, c.broken = nil, 0, st.Head, nil
	clear(c.states)
	c.changed.Broadcast()
	c.mu.Unlock()
	return st, nil
}

// empty removes all records and the log from a transaction.
func empty(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketLog, bucketRequests, bucketEnded, bucketOf[KindContext], bucketOf[KindUser], bucketOf[KindOverride], bucketOf[KindToken]} {
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return nil
}

// backup copies the file beside itself, under the name of its state.
func (s *Store) backup(why string) (path string, err error) {
	head := s.fileHead()
	path = fmt.Sprintf("%s.%s-%d-%x", s.opt.Path, why, head.Revision, head.Chain[:4])
	if err := s.view(func(tx *bbolt.Tx) error { return tx.CopyFile(path, 0o600) }); err != nil {
		return "", fmt.Errorf("the copy of the store was not written: %w", err)
	}
	s.log.Warn("a copy of the store was written before it is replaced", slog.String("path", path))
	return path, nil
}

// reload has the engine and the tokens forget what they had.
func (s *Store) reload() error {
	all := cascade.Batch{Reset: true, Revision: s.Head().identity()}
	for i := range s.stats.records {
		s.stats.records[i].Store(0)
	}
	err := s.view(func(tx *bbolt.Tx) error {
		for _, kind := range Kinds {
			err := tx.Bucket(bucketOf[kind]).ForEach(func(name, value []byte) error {
				r, err := parse(kind, name, value)
				if err != nil {
					return &DamagedError{s.opt.Path, err.Error()}
				}
				s.stats.count(kind, nil, &r.State)
				r.addTo(&all)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.tokens.mu.Lock()
	err = s.tokens.load(s)
	s.tokens.mu.Unlock()
	s.apply(all, nil)
	return err
}
