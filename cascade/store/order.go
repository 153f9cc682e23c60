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
	// none, since it is new or has lost its data.
	Head(ctx context.Context) (head Head, ok bool, err error)
	// Append adds entries that lead from one head to another. behind is true,
	// and nothing is added, where the cluster has another head. confirmed is
	// false where a replica that is there has not taken them.
	Append(ctx context.Context, from, to Head, entries []Sealed, records []Record) (confirmed, behind bool, err error)
	// Entries returns up to limit entries that follow a revision, the oldest
	// first. ErrTrimmed: those are not kept any more.
	Entries(ctx context.Context, after uint64, limit int) ([]Sealed, error)
	// Wait returns when there may be entries after a revision, or ctx ends.
	Wait(ctx context.Context, after uint64)
	// Snapshot calls f with all records, in parts, and returns the head that
	// was there before the first. What is written meanwhile may be in it or
	// not: the entries after that head bring it.
	Snapshot(ctx context.Context, f func([]Record) error) (Head, error)
	// Seed replaces everything by the records that load yields. It does nothing,
	// and reports false, where the head is not the expected one any more; nil
	// expects none.
	Seed(ctx context.Context, expect *Head, head Head, entries []Sealed, load func(yield func([]Record) error) error) (bool, error)
	// Peers are the heads of the other members that are alive.
	Peers() []Head
	// Announce has the other members told of this one's head soon.
	Announce()
}

// Sealed is an entry with the sum over it and all before it.
type Sealed struct {
	Revision uint64
	Chain    Chain
	Text     []byte // JSON of an Entry
}

// ErrTrimmed is returned by Order.Entries.
var ErrTrimmed = errors.New("the cluster does not keep these writes any more")

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
