package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
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

// sealed is an entry as it stands in the log of every member.
type sealed struct {
	Entry
	chain Chain
	text  []byte
}

// run is the owner of the file: it alone writes.
func (s *Store) run() {
	for {
		select {
		case r := <-s.queue:
			s.serve(s.collect(r))
		case <-s.cluster.poke:
			s.follow()
			s.cluster.looked <- struct{}{} // taken before the next poke
		case <-s.quit:
			for {
				select {
				case r := <-s.queue:
					r.err = ErrClosed
					close(r.done)
				default:
					return
				}
			}
		}
	}
}

// collect takes what waits together with r, but nothing that is no write.
func (s *Store) collect(r *request) []*request {
	group, size := []*request{r}, len(r.changes())
	for r.tell == nil && len(group) < maxGroup && size < MaxChanges {
		select {
		case next := <-s.queue:
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
		last.entry, last.err = last.tell()
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
	if err := s.ready(); err != nil {
		answer(group, err)
		return
	}
	for try := 0; ; try++ {
		tried, err := s.commitOnce(group)
		if err != nil {
			answer(group, err)
		}
		if tried == nil {
			break
		}
		err = s.catchUp()
		if err == nil && s.had(*tried) {
			// The cluster took it, only the answer was lost.
			answer(group, ErrUnconfirmed)
			break
		}
		if err != nil || try >= maxTries {
			s.note(err)
			answer(group, unavailable(err))
			break
		}
	}
	s.stats.observe(len(group), time.Since(start))
}

// answer sets the error of those that have none of their own.
func answer(group []*request, err error) {
	for _, r := range group {
		if r.err == nil {
			r.entry, r.err = Entry{}, err
		}
	}
}

// commitOnce returns the head that it was to lead to where other members have
// written meanwhile, and nothing was done.
func (s *Store) commitOnce(group []*request) (tried *Head, err error) {
	before := s.Head()
	head := before
	var done []sealed
	tx, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	size, local := 0, 0
	for _, r := range group {
		r.err = nil
		if r.local != nil {
			if err := guarded(s.opt.Path, func() error { return r.local(tx) }); err != nil {
				return nil, s.fail(before, err)
			}
			local++
			continue
		}
		var changes []Changed
		err := guarded(s.opt.Path, func() (err error) {
			changes, err = evaluate(tx, r.write)
			return err
		})
		if errors.As(err, new(*DamagedError)) {
			return nil, s.fail(before, err)
		}
		if err != nil {
			r.err = err
			continue
		}
		x := sealed{Entry: s.entry(r.write, changes, head)}
		if x.text, err = json.Marshal(x.Entry); err != nil {
			r.err = &BadWriteError{err.Error()}
			continue
		}
		if len(x.text) > maxWriteBytes {
			r.err = &BadWriteError{fmt.Sprintf("the write has more than %d bytes: do it in parts", maxWriteBytes)}
			continue
		}
		if size += len(x.text); size > maxGroupBytes && len(done) > 0 {
			r.err = ErrBusy
			continue
		}
		x.chain = head.Chain.next(x.text)
		if err := s.record(tx, &x, &head); err != nil {
			return nil, s.fail(before, err)
		}
		r.entry = x.Entry
		done = append(done, x)
	}
	if len(done)+local == 0 {
		return nil, nil
	}
	unconfirmed := false
	if s.opt.Order != nil && len(done) > 0 {
		confirmed, behind, err := s.publish(before, head, done)
		if err != nil {
			return nil, err
		}
		if behind {
			return &head, nil
		}
		unconfirmed = !confirmed
	}
	if err := s.finish(tx, before, head, done); err != nil {
		if s.opt.Order != nil && len(done) > 0 {
			return nil, fmt.Errorf("%w (%w)", ErrUnconfirmed, err)
		}
		return nil, err
	}
	if unconfirmed {
		return nil, ErrUnconfirmed
	}
	return nil, nil
}

// begin opens the transaction of the owner.
func (s *Store) begin() (*bbolt.Tx, error) {
	if err := s.mend(); err != nil {
		return nil, err
	}
	var tx *bbolt.Tx
	err := guarded(s.opt.Path, func() (err error) {
		tx, err = s.db.Begin(true)
		return err
	})
	if err != nil {
		return nil, s.fail(s.Head(), err)
	}
	s.tx = tx
	return tx, nil
}

// record puts an entry and what it changes into a transaction.
func (s *Store) record(tx *bbolt.Tx, x *sealed, head *Head) error {
	return guarded(s.opt.Path, func() error {
		for _, c := range x.Changes {
			if err := put(tx, c.Key, c.After); err != nil {
				return err
			}
		}
		log := tx.Bucket(bucketLog)
		if err := log.Put(binary.BigEndian.AppendUint64(nil, x.Revision), append(append(make([]byte, 0, len(x.chain)+len(x.text)), x.chain[:]...), x.text...)); err != nil {
			return err
		}
		head.Revision, head.Chain = x.Revision, x.chain
		return trimLog(log, x.Revision)
	})
}

func trimLog(log *bbolt.Bucket, head uint64) error {
	if head <= maxLog {
		return nil
	}
	c := log.Cursor()
	for range trimAtOnce {
		k, _ := c.First()
		if k == nil || binary.BigEndian.Uint64(k) > head-maxLog {
			return nil
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// finish commits, and tells the engine.
func (s *Store) finish(tx *bbolt.Tx, before, head Head, done []sealed) error {
	err := guarded(s.opt.Path, func() error {
		if err := writeHead(tx, head); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return s.fail(before, err)
	}
	s.head.Store(&head)
	entries := make([]Entry, len(done))
	for i := range done {
		entries[i] = done[i].Entry
		s.tokens.take(&entries[i])
		s.stats.take(&entries[i])
	}
	if before != head && !s.cluster.stale { // else reload hands over everything
		s.apply(batch(entries, head), entries)
	}
	return nil
}

// unseal reads an entry of the log.
func unseal(v []byte) (x sealed, err error) {
	if len(v) < len(x.chain) {
		return x, errBadRecord
	}
	x.chain = Chain(v[:len(x.chain)])
	x.text = append([]byte(nil), v[len(x.chain):]...)
	return x, json.Unmarshal(x.text, &x.Entry)
}
