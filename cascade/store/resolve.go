package store

import (
	"context"
	"fmt"
)

// Keep names whose state counts where the two have diverged.
type Keep string

// The two.
const (
	KeepMember  Keep = "member"
	KeepCluster Keep = "cluster"
)

// Resolve ends a divergence: the state of this member becomes that of all, or
// the cluster's that of this member, whose file is copied beside itself first.
// backup names the copy.
func (s *Store) Resolve(ctx context.Context, keep Keep) (backup string, err error) {
	if keep != KeepMember && keep != KeepCluster {
		return "", &BadWriteError{fmt.Sprintf("%.64q is neither %s nor %s", string(keep), KeepMember, KeepCluster)}
	}
	r := &request{done: make(chan struct{})}
	r.tell = func() (Entry, error) {
		if err := s.mend(); err != nil {
			return Entry{}, err
		}
		d := s.cluster.diverged.Load()
		if d == nil {
			return Entry{}, &BadWriteError{"this member has not diverged from the cluster: there is nothing to decide"}
		}
		if keep == KeepMember {
			err = s.keepMember(d)
		} else {
			if backup, err = s.backup(); err == nil {
				err = s.adopt()
			}
		}
		if err != nil {
			return Entry{}, unavailable(err)
		}
		s.follow()
		return Entry{}, s.Standing()
	}
	_, err = s.ask(ctx, r)
	return backup, err
}

// keepMember gives the cluster this member's state as that of a new epoch.
func (s *Store) keepMember(d *DivergedError) error {
	head := s.Head()
	head.Epoch = d.Cluster.Epoch + 1
	if err := s.seedAs(&d.Cluster, head); err != nil {
		return err
	}
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	return s.finish(tx, s.Head(), head, nil)
}
