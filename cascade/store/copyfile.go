package store

import (
	"errors"
	"time"
)

// keepCopy writes what is in force and not in the file. It is called by the
// owner.
func (s *Store) keepCopy() {
	c := &s.copy
	c.mu.Lock()
	list, before := c.pending, c.file
	if len(list) > followBatch {
		list = list[:followBatch]
	}
	c.mu.Unlock()
	if len(list) == 0 {
		return
	}
	err := s.writeCopy(list)
	c.mu.Lock()
	if err == nil {
		last := list[len(list)-1]
		c.file = last.Head()
		c.pending = c.pending[len(list):]
		if len(c.pending) == 0 {
			c.pending = nil
		}
		for i := range list {
			c.bytes -= len(list[i].Text)
			for _, ch := range list[i].Changes {
				if c.states[ch.Key].revision <= last.Revision {
					delete(c.states, ch.Key)
				}
			}
		}
	} else {
		c.file, c.tried = before, time.Now()
	}
	if c.broken = err; len(c.pending) > 0 && err == nil {
		signal(c.due)
	}
	c.changed.Broadcast()
	c.mu.Unlock()
}

// writeCopy writes entries that are in force already.
func (s *Store) writeCopy(list []Sealed) error {
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	head := s.fileHead()
	for i := range list {
		// What the file has is what counts: entries may come again after a copy was
		// taken.
		for _, ch := range list[i].Changes {
			err := guarded(s.opt.Path, func() error {
				old, err := get(tx, ch.Key)
				if err == nil {
					var state *State
					if old != nil {
						state = &old.State
					}
					s.stats.count(ch.Kind, state, ch.After)
				}
				return err
			})
			if err != nil {
				return s.fail(head, err)
			}
		}
		if err := s.record(tx, &list[i], &head); err != nil {
			return s.fail(s.fileHead(), err)
		}
	}
	err = guarded(s.opt.Path, func() error {
		if err := writeHead(tx, head); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return s.fail(s.fileHead(), err)
	}
	s.committed()
	return nil
}

// settled waits until the file has what was in force when it was asked, so that
// lists show it.
func (s *Store) settledCopy() error {
	c := &s.copy
	if s.opt.Truth == nil {
		return nil
	}
	want := s.Head().Revision
	timeout := time.AfterFunc(settleTimeout, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed.Broadcast()
	})
	defer timeout.Stop()
	start := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 && c.pending[0].Revision <= want {
		if c.broken != nil {
			return c.broken
		}
		if time.Since(start) >= settleTimeout {
			return &FailedError{errors.New("the disk is slow")}
		}
		signal(c.hurry)
		c.changed.Wait()
	}
	return nil
}

// pendingGet returns a record that is in force and not in the file.
func (s *Store) pendingGet(k Key) (r *Record, found bool) {
	c := &s.copy
	c.mu.Lock()
	defer c.mu.Unlock()
	p, found := c.states[k]
	if !found || p.state == nil {
		return nil, found
	}
	return &Record{k, *p.state}, true
}

// fileHead is what the file has: in a copy less than what is in force, for a
// moment.
func (s *Store) fileHead() Head {
	if s.opt.Truth == nil {
		return s.Head()
	}
	s.copy.mu.Lock()
	defer s.copy.mu.Unlock()
	return s.copy.file
}
