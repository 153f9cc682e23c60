package store

import (
	"context"
	"errors"
	"fmt"
)

// Order is what carries and orders the writes of a cluster. Its head moves only
// from one state to the one that follows, whoever asks first. An error of it
// that is not ErrUnconfirmed says that nothing has changed there.
type Order interface {
	// Head is the state that the cluster agrees on; ok is false where it has
	// none, since it is new or has lost its data. contested is true while a
	// member claims to have a newer one.
	Head(ctx context.Context) (head Head, ok, contested bool, err error)
	// Append adds entries that lead from one head to another. behind is true,
	// and nothing is added, where the cluster has another head, or a member
	// claims to have a newer one. confirmed is false where a replica that is
	// there has not taken them.
	Append(ctx context.Context, from, to Head, entries []Sealed, records []Record) (confirmed, behind bool, err error)
	// Entries returns the oldest that are kept of the entries after a revision,
	// limit at most.
	Entries(ctx context.Context, after uint64, limit int) ([]Sealed, error)
	// Was reports whether the cluster is known to have been in a state, of
	// whatever epoch, before its present one.
	Was(ctx context.Context, h Head) (bool, error)
	// Wait returns when there may be entries after a revision, or ctx ends.
	Wait(ctx context.Context, after uint64)
	// Snapshot calls f with all records, in parts, and returns the head that
	// was there before the first. What is written meanwhile may be in it or
	// not: the entries after that head bring it.
	Snapshot(ctx context.Context, f func([]Record) error) (Head, error)
	// Seed replaces everything by the records that load yields. It does nothing,
	// and reports false, where the head is not the expected one any more; nil
	// expects none. A head of a later epoch replaces any of the expected one's.
	// Entries without a text are known to have been, and no more.
	Seed(ctx context.Context, expect *Head, head Head, entries []Sealed, load func(yield func([]Record) error) error) (bool, error)
	// Claim tells the other members, where the cluster has the expected head, of
	// what this one has, and holds their writes back for some seconds where that
	// is newer. It returns what others have said, and how many that live have
	// not. moved is true where the cluster has another head.
	Claim(ctx context.Context, expect *Head, mine Head) (others []Head, missing int, moved bool, err error)
	// Announce has the other members told of this one's head soon.
	Announce()
}

// Sealed is an entry with the sum over it and all before it.
type Sealed struct {
	Revision uint64
	Chain    Chain
	Text     []byte // JSON of an Entry
}

// The errors of a write in a cluster. Nothing has changed.
type (
	// UnavailableError is returned while the cluster cannot order writes.
	UnavailableError struct{ Err error }
	// DivergedError is returned by a member whose file holds writes that the
	// cluster does not have, while the cluster has others.
	DivergedError struct {
		Mine    Head `json:"mine"`
		Cluster Head `json:"cluster"`
	}
)

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the cluster cannot order writes now (%v): nothing was changed; try again", e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

func (e *DivergedError) Error() string {
	return fmt.Sprintf("this member holds %v, and the cluster %v, and neither follows the other: nothing was changed; say which counts: sluice store keep member|cluster", e.Mine, e.Cluster)
}

// unavailable wraps what is none of ours.
func unavailable(err error) error {
	var own *UnavailableError
	var failed *FailedError
	var diverged *DivergedError
	switch {
	case err == nil:
		return &UnavailableError{errors.New("other members write all the time")}
	case errors.As(err, &own), errors.As(err, &failed), errors.As(err, &diverged), errors.Is(err, ErrUnconfirmed):
		return err
	}
	return &UnavailableError{err}
}
