package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// maxLog is how many entries of the log are kept: years of an
	// administrator's work, some hundred megabytes.
	maxLog = 1_000_000
	// trimAtOnce bounds what one commit removes of it.
	trimAtOnce = 2 * maxGroup
)

// run is the owner of the file: it alone writes.
func (s *Store) run() {
	for {
		select {
		case r := <-s.queue:
			if !r.take() {
				continue
			}
			s.serve(s.collect(r))
		case <-s.copy.due:
			s.keepCopy()
		case <-s.quit:
			s.keepCopy() // what is applied and not kept yet
			refuse(s.queue)
			return
		}
	}
}

// refuse answers what waits when the store is closed.
func refuse(queue chan *request) {
	for {
		select {
		case r := <-queue:
			r.err = ErrClosed
			close(r.done)
		default:
			return
		}
	}
}

// collect takes what waits together with r, but nothing that is no write.
func (s *Store) collect(r *request) []*request {
	group, size := []*request{r}, len(r.changes())
	for r.tell == nil && len(group) < maxGroup && size < MaxChanges {
		select {
		case next := <-s.queue:
			if !next.take() {
				continue
			}
			group = append(group, next)
			size += len(next.changes())
			if next.tell != nil {
				return group
			}
		default:
			return group
		}
	}
	return group
}

func (r *request) changes() []Change {
	if r.write == nil {
		return nil
	}
	return r.write.Changes
}

// serve answers a group, the last of which may be something else than a write.
func (s *Store) serve(group []*request) {
	if last := group[len(group)-1]; last.tell != nil {
		s.commit(group[:len(group)-1])
		last.err = last.tell()
	} else {
		s.commit(group)
	}
	for _, r := range group {
		close(r.done)
	}
}

// commit does a group of writes, each of them whole or not at all, and sets
// their answers.
func (s *Store) commit(group []*request) {
	if len(group) == 0 {
		return
	}
	start := time.Now()
	if err := s.ready(group); err != nil {
		answer(group, err)
		return
	}
	if err := s.commitOnce(group); err != nil {
		answer(group, err)
	}
	s.stats.observe(len(group), time.Since(start))
}

// ready is asked before each group.
func (s *Store) ready(group []*request) error {
	if err := s.mend(); err != nil {
		return err
	}
	if s.opt.Witness == nil {
		if id := s.Identity(); id.Copy && hasWrite(group) {
			return &NoStoreError{"this member's store is a copy of " + id.Of + ", and this member is alone: configure what it belongs to, or say that this copy counts (sluice store adopt)"}
		}
		return nil
	}
	if !hasWrite(group) {
		return nil
	}
	return s.witnessed()
}

// witnessed asks whether this file is the truth of its cluster. It is called by
// the owner.
func (s *Store) witnessed() error {
	if err := s.mend(); err != nil {
		return err
	}
	if s.Identity().ID == "" { // of a file of an earlier format
		if err := s.setIdentity(Identity{ID: NewRequest()}); err != nil {
			return err
		}
	}
	err := s.opt.Witness.Ready(s.Identity(), s.Head())
	s.setProblem(err)
	return unavailable(err)
}

func hasWrite(group []*request) bool {
	for _, r := range group {
		if r.write != nil {
			return true
		}
	}
	return false
}

// answer sets the error of those that have none of their own.
func answer(group []*request, err error) {
	for _, r := range group {
		if r.err != nil {
			continue
		}
		r.entry, r.err = Entry{}, err
		if r.write != nil && errors.Is(err, ErrUnconfirmed) {
			r.err = &UnconfirmedError{r.write.Request}
		}
	}
}

func (s *Store) commitOnce(group []*request) error {
	before := s.Head()
	head := before
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	var done []Sealed
	size, local := 0, 0
	for _, r := range group {
		r.err = nil
		if r.local != nil {
			if err := guarded(s.opt.Path, func() error { return r.local(tx) }); err != nil {
				return s.fail(before, err)
			}
			local++
			continue
		}
		x, old, err := s.decide(tx, r.write, head)
		if errors.As(err, new(*DamagedError)) {
			return s.fail(before, err)
		}
		if err != nil || old {
			r.entry, r.err = x.Entry, err
			continue
		}
		if size += len(x.Text); size > maxGroupBytes && len(done) > 0 {
			r.err = ErrBusy
			continue
		}
		if err := s.record(tx, &x, &head); err != nil {
			return s.fail(before, err)
		}
		r.entry = x.Entry
		done = append(done, x)
	}
	if len(done)+local == 0 {
		return nil
	}
	if err := s.finish(tx, before, head, done); err != nil {
		return err
	}
	if s.opt.Witness == nil || len(done) == 0 {
		return nil
	}
	if err := s.opt.Witness.Confirm(s.Identity(), head, done); err != nil {
		s.setProblem(err)
		return ErrUnconfirmed
	}
	return nil
}

// decide seals a write, or returns the entry of one that was done before.
func (s *Store) decide(tx *bbolt.Tx, w *Write, head Head) (x Sealed, old bool, err error) {
	err = guarded(s.opt.Path, func() error {
		before, err := requested(tx, w.Request)
		if err != nil || before != nil {
			if before != nil {
				x, old, err = *before, true, Again(&before.Entry, w)
			}
			return err
		}
		changes, err := Decide(fileRecords{tx}, w)
		if err == nil {
			x, err = Seal(head, w, changes)
		}
		return err
	})
	return x, old, err
}

// begin opens the transaction of the owner.
func (s *Store) begin() (*bbolt.Tx, error) {
	if err := s.mend(); err != nil {
		return nil, err
	}
	var tx *bbolt.Tx
	err := guarded(s.opt.Path, func() (err error) {
		if tx, err = s.db.Begin(true); err != nil {
			return err
		}
		if err = upgrade(tx); err == nil {
			var id Identity
			if id, err = readIdentity(tx, s.opt.Path); err == nil {
				s.identity.Store(&id)
			}
		}
		return err
	})
	s.tx = tx
	if err != nil {
		return nil, s.fail(s.fileHead(), err)
	}
	return tx, nil
}

// record puts an entry and what it changes into a transaction.
func (s *Store) record(tx *bbolt.Tx, x *Sealed, head *Head) error {
	return guarded(s.opt.Path, func() error {
		for _, c := range x.Changes {
			if err := put(tx, c.Key, c.After); err != nil {
				return err
			}
		}
		if err := putEntry(tx, x); err != nil {
			return err
		}
		*head = x.Head()
		return trimLog(tx, x.Revision)
	})
}

// putEntry puts an entry into the log.
func putEntry(tx *bbolt.Tx, x *Sealed) error {
	key := binary.BigEndian.AppendUint64(nil, x.Revision)
	if x.Request != "" {
		if err := tx.Bucket(bucketRequests).Put([]byte(x.Request), key); err != nil {
			return err
		}
	}
	if len(x.EndedOwners()) > 0 {
		if err := tx.Bucket(bucketEnded).Put(key, nil); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketLog).Put(key, append(append(make([]byte, 0, len(x.Chain)+len(x.Text)), x.Chain[:]...), x.Text...))
}

func trimLog(tx *bbolt.Tx, head uint64) error {
	if head <= maxLog {
		return nil
	}
	c := tx.Bucket(bucketLog).Cursor()
	for range trimAtOnce {
		k, v := c.First()
		if k == nil || binary.BigEndian.Uint64(k) > head-maxLog {
			return nil
		}
		x, err := unseal(v)
		if err == nil && x.Request != "" {
			err = tx.Bucket(bucketRequests).Delete([]byte(x.Request))
		}
		if err == nil {
			err = tx.Bucket(bucketEnded).Delete(k)
		}
		if err == nil {
			err = c.Delete()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish commits what the owner decided, and tells the engine.
func (s *Store) finish(tx *bbolt.Tx, before, head Head, done []Sealed) error {
	err := guarded(s.opt.Path, func() error {
		if err := writeHead(tx, head); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return s.fail(before, err)
	}
	s.committed()
	s.head.Store(&head)
	if before != head {
		s.applyEntries(head, done, true)
	}
	return nil
}

// applyEntries has tokens and engine know of entries. count has their records
// counted by what they say was there before.
func (s *Store) applyEntries(head Head, done []Sealed, count bool) {
	entries := make([]Entry, len(done))
	for i := range done {
		entries[i] = done[i].Entry
		s.tokens.take(&entries[i])
		if count {
			s.stats.take(&entries[i])
		}
	}
	s.apply(batch(entries, head), entries)
}

// unseal reads an entry of the log.
func unseal(v []byte) (x Sealed, err error) {
	if len(v) < len(x.Chain) {
		return x, errBadRecord
	}
	x.Chain = Chain(v[:len(x.Chain)])
	x.Text = append([]byte(nil), v[len(x.Chain):]...)
	return x, json.Unmarshal(x.Text, &x.Entry)
}
