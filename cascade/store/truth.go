package store

import (
	"context"
	"errors"
	"fmt"
)

// Truth is where the writes of a store are decided that only keeps a copy: the
// store of a keeper, or a database. Its methods are safe for concurrent use.
type Truth interface {
	// Describe names it in a sentence, such as "the keeper node1".
	Describe() string
	// Propose has a group of writes decided in their order, each of them whole or
	// not at all, and sets the answer of each. It returns the entries that it
	// knows to have been made, in their order. A write whose name the truth has
	// is answered with the entry that it has.
	Propose(ctx context.Context, group []*Proposal) []Sealed
	// Since returns the entries after a state, limit at most, the oldest first,
	// and the identity and the head of the truth. It returns ErrHistory, with
	// both, where the truth has never been in that state, or has forgotten it.
	Since(ctx context.Context, at Head, limit int) (Standing, []Sealed, error)
	// Load calls records with everything that is kept, in parts, and entries with
	// the log, the oldest first. What is written meanwhile may be among the
	// records or not: the entries after the head that it returns bring it.
	Load(ctx context.Context, records func([]Record) error, entries func([]Sealed) error) (Standing, error)
	// Wait returns when there may be entries after a revision, after a second at
	// the latest, or when ctx ends.
	Wait(ctx context.Context, after uint64)
}

// Standing is what a truth says of itself.
type Standing struct {
	ID      string `json:"id"` // of its history: another one is another truth
	Head    Head   `json:"head"`
	Adopted bool   `json:"adopted"` // an administrator has said that it counts for all
}

// Proposal is a write on its way to the truth.
type Proposal struct {
	Write *Write
	Entry Entry
	Err   error
}

// Witness is asked by the store of a keeper, whose file is the truth of a
// cluster. It is called by one goroutine.
type Witness interface {
	// Ready returns nil where the cluster takes this file for the truth. head is
	// what the file has.
	Ready(id Identity, head Head) error
	// Confirm tells the cluster of entries before they are acknowledged. An error
	// says that it cannot be told, or takes another file for the truth.
	Confirm(id Identity, head Head, entries []Sealed) error
}

// ErrHistory is returned by a Truth that does not follow a state.
var ErrHistory = errors.New("the history is another one")

// The errors of a write in a cluster. Nothing has changed.
type (
	// UnavailableError is returned while the truth cannot be asked.
	UnavailableError struct{ Err error }
	// NoStoreError is returned in a cluster that does not say where its
	// decisions are kept, or whose members hold others than the truth does.
	NoStoreError struct{ Reason string }
	// KeeperError is returned where the members do not agree on their keeper.
	KeeperError struct{ Reason string }
	// UnconfirmedError is returned for a write that may be done, or not: asked
	// again with the same name, it is done once.
	UnconfirmedError struct{ Request string }
	// GivenUpError is returned for a write that is not done and never will be, under
	// this name.
	GivenUpError struct{ Request string }
)

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the store cannot take writes now (%v): nothing was changed; try again", e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

func (e *NoStoreError) Error() string { return e.Reason + ": nothing was changed" }

func (e *KeeperError) Error() string { return e.Reason + ": nothing was changed" }

func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("the write is not confirmed: it may have been done; ask again with the id %s, and it is done once", e.Request)
}

func (e *GivenUpError) Error() string {
	return fmt.Sprintf("the write with the id %s is given up: it is not done, and will not be; send it again with another id", e.Request)
}

// Is has errors.Is find ErrUnconfirmed.
func (e *UnconfirmedError) Is(target error) bool { return target == ErrUnconfirmed }

// unavailable wraps what is none of ours.
func unavailable(err error) error {
	if err == nil || isOwn(err) {
		return err
	}
	return &UnavailableError{err}
}

func isOwn(err error) bool {
	return errors.As(err, new(*UnavailableError)) || errors.As(err, new(*FailedError)) || errors.As(err, new(*NoStoreError)) ||
		errors.As(err, new(*KeeperError)) || errors.As(err, new(*GivenUpError)) || errors.As(err, new(*BadWriteError)) || errors.Is(err, ErrUnconfirmed) ||
		errors.Is(err, ErrBusy) || errors.Is(err, ErrClosed)
}

// NoTruth is that of a cluster which does not say where its decisions are kept:
// what the members hold stays in force, and nothing is written.
type NoTruth struct{ Reason string }

var _ Truth = NoTruth{}

// Describe implements Truth.
func (n NoTruth) Describe() string { return "no store" }

// Propose implements Truth.
func (n NoTruth) Propose(_ context.Context, group []*Proposal) []Sealed {
	for _, p := range group {
		p.Err = &NoStoreError{n.Reason}
	}
	return nil
}

// Since implements Truth.
func (n NoTruth) Since(context.Context, Head, int) (Standing, []Sealed, error) {
	return Standing{}, nil, &NoStoreError{n.Reason}
}

// Load implements Truth.
func (n NoTruth) Load(context.Context, func([]Record) error, func([]Sealed) error) (Standing, error) {
	return Standing{}, &NoStoreError{n.Reason}
}

// Wait implements Truth.
func (n NoTruth) Wait(ctx context.Context, _ uint64) { <-ctx.Done() }
