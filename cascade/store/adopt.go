package store

import (
	"errors"
	"fmt"
	"log/slog"
)

// Adoption is how the truth of a cluster is made of a member's file.
type Adoption struct {
	// Missing returns the entries after a state that the cluster has acknowledged
	// and this file may not have, and whether they are all; nil: there are none.
	Missing func(at Head) (list []Sealed, whole bool, err error)
	// Register has the cluster take the file for the truth, and returns its
	// identity. It is called between two commits.
	Register func(id Identity, head Head) (Identity, error)
	// Force adopts a file that does not have all that was acknowledged.
	Force bool
}

// ErrBehind is returned for a file that does not have what the cluster has
// acknowledged.
var ErrBehind = errors.New("this member's file does not have all that the cluster has acknowledged")

// Adopt makes this member's file the truth.
func (s *Store) Adopt(a Adoption) error {
	if s.opt.Truth != nil {
		s.copy.taking.Lock()
		defer s.copy.taking.Unlock()
	}
	err := s.asOwner(func() error {
		if err := s.mend(); err != nil {
			return err
		}
		s.keepCopy()
		if a.Missing != nil {
			list, whole, err := a.Missing(s.fileHead())
			if err != nil {
				return unavailable(err)
			}
			if err := s.append(list); err != nil {
				return err
			}
			if !whole && !a.Force {
				return fmt.Errorf("%w: it has %v", ErrBehind, s.fileHead())
			}
		}
		id, err := a.Register(s.Identity(), s.fileHead())
		if err != nil {
			return unavailable(err)
		}
		s.log.Warn("this member's file is adopted as the truth", slog.Uint64("revision", s.fileHead().Revision), slog.Uint64("term", id.Term))
		return s.setIdentity(id)
	})
	if err == nil && s.opt.Witness != nil {
		err = s.asOwner(s.witnessed)
	}
	return err
}

// append commits entries of another member. It is called by the owner of a file
// that follows nobody.
func (s *Store) append(list []Sealed) error {
	if len(list) == 0 {
		return nil
	}
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	before := s.fileHead()
	head := before
	for i := range list {
		if !list[i].Follows(head) {
			return fmt.Errorf("revision %d does not follow %v", list[i].Revision, head)
		}
		if err := s.record(tx, &list[i], &head); err != nil {
			return s.fail(before, err)
		}
	}
	return s.finish(tx, before, head, list)
}

// AdoptAlone makes the copy that a member alone has the truth.
func (s *Store) AdoptAlone() error {
	return s.Adopt(Adoption{Register: func(id Identity, _ Head) (Identity, error) {
		return Identity{ID: id.ID, Term: id.Term + 1, Adopted: true}, nil
	}})
}
