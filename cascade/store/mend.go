package store

import (
	"fmt"
	"log/slog"
)

// fail notes that the file, which has an acknowledged head, cannot be written. It is opened anew: of what a
// failed sync has left, the kernel and bbolt may believe that it is on the disk.
func (s *Store) fail(acknowledged Head, err error) error {
	failed := &FailedError{err}
	s.failed(failed)
	if s.tx != nil { // bbolt would wait for it
		_ = guarded(s.opt.Path, s.tx.Rollback)
		s.tx = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = false
	if s.opt.Truth == nil {
		s.head.Store(&acknowledged)
	}
	s.drop()
	if err := s.reopen(); err != nil && s.db == nil {
		s.log.Error("the store cannot be read either", slog.Any("err", err), slog.String("path", s.opt.Path))
	}
	return failed
}

func (s *Store) failed(err *FailedError) {
	s.stats.failures.Add(1)
	if s.failure.Swap(err) == nil {
		s.log.Error("the store cannot be written: writes are refused until it can", slog.Any("err", err.Err), slog.String("path", s.opt.Path))
	}
}

// drop closes the file. The caller holds mu.
func (s *Store) drop() {
	if s.db == nil {
		return
	}
	if err := s.db.Close(); err != nil {
		s.log.Error("the store was not closed", slog.Any("err", err))
	}
	s.db = nil
}

// reopen opens the file where it is closed, as the last acknowledged write has
// left it. What may not be written is opened for look-ups, and the error says
// why. The caller holds mu.
func (s *Store) reopen() error {
	if s.db != nil && !s.db.IsReadOnly() {
		return nil
	}
	s.drop()
	acknowledged := s.fileHead()
	found, err := s.open(false)
	if notWritable(err) {
		if found, rerr := s.open(true); rerr == nil && found != acknowledged {
			s.drop()
		}
	}
	if err != nil || found == acknowledged {
		return err
	}
	s.drop()
	if err := revoke(s.opt.Path); err != nil {
		return err
	}
	if found, err = s.open(false); err != nil || found == acknowledged {
		return err
	}
	s.drop()
	return &DamagedError{s.opt.Path, fmt.Sprintf("it has %v instead of %v", found, acknowledged)}
}

// mend is called before each transaction of the owner. It makes sure that the
// disk takes writes, and has what the file shows.
func (s *Store) mend() error {
	if s.settled {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.reopen()
	if err == nil {
		err = settle(s.opt.Path)
	}
	if err != nil {
		failed := &FailedError{err}
		s.failed(failed)
		return failed
	}
	s.settled = true
	return nil
}

// committed notes that the file takes writes: a full disk takes the meta pages that
// mend writes, and nothing else.
func (s *Store) committed() {
	if s.failure.Swap(nil) != nil {
		s.log.Info("the store can be written again", slog.String("path", s.opt.Path))
	}
}
