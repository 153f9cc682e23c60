package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

const (
	// seedTimeout bounds handing over a million records, or taking them.
	seedTimeout = 2 * time.Minute
	// seedEntries and seedBytes are how much of the log a seeded cluster gets:
	// for members that are behind, and for the audit log of those that come new.
	seedEntries = 10_000
	seedBytes   = 64 << 20
	// seedPast is of how many entries it is told that they were: members that
	// are behind by more cannot be told from those that have diverged.
	seedPast = 100_000
	// peersPatience is how long a cluster without data waits for all members to
	// say what they have. The one that has most is waited for as long as it says
	// so, seedTimeout at most.
	peersPatience = 5 * time.Second
)

// Newer reports whether a state has more than another where both are of one
// history.
func (h Head) Newer(than Head) bool {
	return h.Epoch > than.Epoch || h.Epoch == than.Epoch && h.Revision > than.Revision
}

var errContested = errors.New("another member brings writes that the cluster has lost")

// yield has a member that brings newer data know what this one has.
func (s *Store) yield(theirs, mine Head) error {
	ctx, cancel := s.asking()
	defer cancel()
	_, _, moved, err := s.opt.Order.Claim(ctx, &theirs, mine)
	switch {
	case err != nil:
		return err
	case moved:
		return errMoved
	}
	return errContested
}

// seed gives a cluster that has lost its data, or is new, those of the member
// that has most. While the cluster has no head nobody can write, so that what
// all members that live have said is all there is.
func (s *Store) seed(expect *Head, mine Head) error {
	claim := mine
	diverged := s.cluster.diverged.Load()
	if expect == nil && diverged != nil {
		claim = Head{} // what was refused does not win because the rest was lost
	}
	ctx, cancel := s.asking()
	others, missing, moved, err := s.opt.Order.Claim(ctx, expect, claim)
	cancel()
	switch {
	case err != nil:
		s.cluster.waiting = time.Time{}
		return err
	case moved:
		return errMoved
	case s.cluster.waiting.IsZero():
		s.cluster.waiting = time.Now()
	}
	waited := time.Since(s.cluster.waiting)
	for _, peer := range others {
		if peer.Newer(claim) && waited < seedTimeout {
			err = fmt.Errorf("the cluster has lost data: the member with %v is to bring them back", peer)
		}
	}
	if err == nil && missing > 0 && waited < peersPatience {
		err = fmt.Errorf("the cluster is new, or has lost data: of its members %d have not said what they have", missing)
	}
	if err != nil && claim != mine {
		return diverged
	}
	if err != nil {
		return err
	}
	return s.seedAs(expect, mine)
}

func (s *Store) seedAs(expect *Head, head Head) error {
	entries, err := s.lastEntries()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	done, err := s.opt.Order.Seed(ctx, expect, head, entries, func(yield func([]Record) error) error {
		var part []Record
		for _, kind := range Kinds {
			err := s.view(func(tx *bbolt.Tx) error {
				return tx.Bucket(bucketOf[kind]).ForEach(func(name, value []byte) error {
					r, err := parse(kind, name, value)
					if err != nil {
						return &DamagedError{s.opt.Path, err.Error()}
					}
					if part = append(part, *r); len(part) < followBatch {
						return nil
					}
					err = yield(part)
					part = part[:0]
					return err
				})
			})
			if err != nil {
				return err
			}
		}
		return yield(part)
	})
	if err != nil {
		return err
	}
	if !done {
		return errMoved
	}
	s.cluster.seeds.Add(1)
	s.log.Warn("the cluster had no state or an older one: it has that of this member now", slog.Uint64("revision", head.Revision))
	return nil
}

// lastEntries returns the newest entries, and before them those of which only
// the sum is told.
func (s *Store) lastEntries() (list []Sealed, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		size := 0
		for k, v := c.Last(); k != nil && len(list) < seedPast; k, v = c.Prev() {
			if len(k) != 8 || len(v) < len(Chain{}) {
				return &DamagedError{s.opt.Path, errBadRecord.Error()}
			}
			x := Sealed{Revision: binary.BigEndian.Uint64(k), Chain: Chain(v[:len(Chain{})])}
			if text := v[len(x.Chain):]; len(list) < seedEntries && size < seedBytes {
				x.Text, size = append([]byte(nil), text...), size+len(text)
			}
			list = append(list, x)
		}
		return nil
	})
	slices.Reverse(list)
	return list, err
}

// adopt replaces everything by what the cluster has. Where the cluster has never
// been where this member is, the file is copied beside itself first.
func (s *Store) adopt() error {
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	before := s.Head()
	was, err := s.opt.Order.Was(ctx, before)
	if err != nil {
		return err
	}
	if !was {
		if _, err := s.backup(); err != nil {
			return err
		}
	}
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	err = guarded(s.opt.Path, func() error {
		for _, name := range [][]byte{bucketLog, bucketOf[KindContext], bucketOf[KindUser], bucketOf[KindOverride], bucketOf[KindToken]} {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return s.fail(before, err)
	}
	head, err := s.opt.Order.Snapshot(ctx, func(list []Record) error {
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
	})
	if err != nil {
		return err
	}
	if err := s.adoptLog(ctx, tx, head); err != nil {
		return err
	}
	s.cluster.stale = true
	if err := s.finish(tx, before, head, nil); err != nil {
		return err
	}
	s.cluster.resyncs.Add(1)
	s.log.Warn("this member took the state of the cluster over", slog.Uint64("revision", head.Revision), slog.Uint64("before", before.Revision))
	return s.reload()
}

// adoptLog takes what the cluster still has of the log.
func (s *Store) adoptLog(ctx context.Context, tx *bbolt.Tx, head Head) error {
	at := Head{}
	for at.Revision < head.Revision {
		entries, err := s.opt.Order.Entries(ctx, at.Revision, followBatch)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil // there are none
		}
		for _, e := range entries {
			if e.Revision > head.Revision {
				break
			}
			if at.Revision > 0 && (e.Revision != at.Revision+1 || at.Chain.next(e.Text) != e.Chain) {
				return fmt.Errorf("revision %d does not follow the one before", e.Revision)
			}
			at.Revision, at.Chain = e.Revision, e.Chain
			v := append(append(make([]byte, 0, len(e.Chain)+len(e.Text)), e.Chain[:]...), e.Text...)
			err := guarded(s.opt.Path, func() error {
				return tx.Bucket(bucketLog).Put(binary.BigEndian.AppendUint64(nil, e.Revision), v)
			})
			if err != nil {
				return err
			}
		}
		if entries[len(entries)-1].Revision > head.Revision {
			break
		}
	}
	if at.Revision == head.Revision && at.Chain != head.Chain {
		return fmt.Errorf("revision %d is not that of the cluster's head", head.Revision)
	}
	return nil
}

// backup copies the file beside itself, under the name of its state.
func (s *Store) backup() (path string, err error) {
	head := s.Head()
	path = fmt.Sprintf("%s.diverged-%d-%x", s.opt.Path, head.Revision, head.Chain[:4])
	if err := s.view(func(tx *bbolt.Tx) error { return tx.CopyFile(path, 0o600) }); err != nil {
		return "", fmt.Errorf("the copy of the store was not written: %w", err)
	}
	s.log.Warn("the cluster does not have what this member has, and replaces it: a copy of the store was written", slog.String("path", path))
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
	if err == nil {
		s.cluster.stale = false
	}
	return err
}
