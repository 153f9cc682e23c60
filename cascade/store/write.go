package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

const (
	// MaxChanges bounds what one write changes, what it removes below a context
	// included: an entry of the log stays below some megabytes.
	MaxChanges = 20_000
	// maxWriteBytes bounds an entry of the log.
	maxWriteBytes = 16 << 20
	// MaxRequest bounds the name of a write, in bytes.
	MaxRequest = 64
	// maxQueue is how many writers wait at most.
	maxQueue = 4096
	// maxGroup and maxGroupBytes bound what one commit takes together.
	maxGroup      = 512
	maxGroupBytes = maxWriteBytes
)

// Write is what somebody wants to change: all of it or nothing.
type Write struct {
	Actor   string
	Reason  string
	Action  string // for people, such as override.set
	Changes []Change
	DryRun  bool // answer what would happen, and change nothing
	// Request names this write: one that is asked again with the same name, for
	// its answer was lost, is not done again. At most MaxRequest bytes; Do makes
	// a name where there is none.
	Request string
	// Platform is a change of the platform's own database, which the log is to
	// have. Changes may be empty then.
	Platform *PlatformChange

	checked bool // check was passed
}

// PlatformChange is what was written into the platform's own database: an
// attribute of a context or a user, as it is stored there.
type PlatformChange struct {
	Context   uint32  `json:"context"`
	User      uint32  `json:"user,omitempty"`
	Attribute string  `json:"attribute"` // such as config/com.openexchange.x
	Table     string  `json:"table"`     // with its database
	Before    *string `json:"before"`    // nil: there was none
	After     *string `json:"after"`     // nil: there is none
}

// Change is one of a write.
type Change struct {
	Key
	// Body is what to put: a *Context, *User, *Override or *Token; nil deletes.
	// A deleted context or user leaves a tombstone, and takes its overrides and
	// its users along.
	Body any
	// Forget deletes a context or a user without a tombstone and nothing below:
	// it is again one that the directory has never heard of.
	Forget bool
	// If is the revision that the record must have; 0: there must be none.
	// nil: whatever there is.
	If *uint64
}

// Entry is a write that was done, as the log keeps it.
type Entry struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	Action   string    `json:"action"`
	Changes  []Changed `json:"changes"`
	Request  string    `json:"request,omitempty"` // the write's name
	// Platform is what was changed beside the store.
	Platform *PlatformChange `json:"platform,omitempty"`
}

// Changed is one record before and after; nil: there is none.
type Changed struct {
	Key
	Before *State `json:"before"`
	After  *State `json:"after"`
}

// UnmarshalJSON reads a change of a kind that this version knows.
func (c *Changed) UnmarshalJSON(b []byte) error {
	var w struct {
		Key
		Before, After *wireState
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	before, err := w.Before.state(w.Kind)
	if err != nil {
		return err
	}
	after, err := w.After.state(w.Kind)
	if err == nil {
		*c = Changed{w.Key, before, after}
	}
	return err
}

// The errors of a write. Nothing has changed.
type (
	// ConditionError is returned where a record does not have the revision
	// that its change names.
	ConditionError struct {
		Key
		Have uint64 // 0: there is none
	}
	// NotFoundError is returned where there is nothing to delete.
	NotFoundError struct{ Key }
	// BadWriteError is returned for a write that cannot be one.
	BadWriteError struct{ Reason string }
	// FailedError is returned while the file cannot be written.
	FailedError struct{ Err error }
)

func (e *ConditionError) Error() string {
	if e.Have == 0 {
		return fmt.Sprintf("%s is not there", e.Key)
	}
	return fmt.Sprintf("%s has revision %d", e.Key, e.Have)
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s is not there", e.Key) }

func (e *BadWriteError) Error() string { return e.Reason }

func (e *FailedError) Error() string {
	return fmt.Sprintf("the store cannot be written: %v: nothing was changed; see to its disk", e.Err)
}

func (e *FailedError) Unwrap() error { return e.Err }

var (
	// ErrClosed is returned while the server stops. Nothing has changed.
	ErrClosed = errors.New("the store is closed: ask another member, or again after the restart")
	// ErrBusy is returned when too many writers wait. Nothing has changed.
	ErrBusy = fmt.Errorf("%d writes wait already: try again", maxQueue)
	// ErrUnconfirmed is returned for a write that may be done, or not.
	ErrUnconfirmed = errors.New("the write is not confirmed: it may have been applied; look before you repeat it")
)

// request is a write that waits.
type request struct {
	write *Write
	local func(*bbolt.Tx) error // instead: what concerns this member alone
	tell  func() error          // instead: what else the owner is to do
	entry Entry
	err   error
	done  chan struct{}
	// settled is set by who takes the request out of the queue to do it, or by who
	// has asked and gives up before.
	settled atomic.Bool
}

// take reports whether a request is to be done: nobody may do it who gets false.
func (r *request) take() bool { return r.settled.CompareAndSwap(false, true) }

var errWaited = errors.New("it was not begun in the time that the request has")

// Do makes a change, and returns when it is on the disk and look-ups see it.
func (s *Store) Do(ctx context.Context, w Write) (Entry, error) {
	if w.DryRun {
		return s.try(&w)
	}
	if err := w.check(); err != nil {
		return Entry{}, err
	}
	if w.Request == "" {
		w.Request = NewRequest()
	}
	queue := s.queue
	if s.opt.Truth != nil {
		queue = s.copy.proposals
	}
	e, err := s.ask(ctx, queue, &request{write: &w, done: make(chan struct{})})
	if err == ErrUnconfirmed {
		err = &UnconfirmedError{w.Request}
	}
	return e, err
}

func (s *Store) ask(ctx context.Context, queue chan *request, r *request) (Entry, error) {
	ended := s.ended
	if queue == s.copy.proposals {
		ended = s.proposed
	}
	select {
	case <-s.quit:
		return Entry{}, ErrClosed
	default:
	}
	select {
	case queue <- r:
	default:
		return Entry{}, ErrBusy
	}
	select {
	case <-r.done:
		return r.entry, r.err
	case <-ctx.Done():
		if r.take() {
			return Entry{}, &UnavailableError{errWaited}
		}
		return Entry{}, ErrUnconfirmed
	case <-ended:
	}
	select {
	case <-r.done:
		return r.entry, r.err
	default: // it came after the last look into the queue
		return Entry{}, ErrClosed
	}
}

// try works out what a write would do.
func (s *Store) try(w *Write) (e Entry, err error) {
	if err := s.settledCopy(); err != nil {
		return e, err
	}
	verr := s.view(func(tx *bbolt.Tx) error {
		var changes []Changed
		changes, err = Decide(fileRecords{tx}, w)
		e = entryOf(w, changes, Head{Revision: s.Head().Revision})
		return nil
	})
	return e, errors.Join(verr, err)
}

// Batch is what a write means to the engine.
func (e *Entry) Batch() cascade.Batch { return batch([]Entry{*e}, Head{Revision: e.Revision}) }

// batch is what entries mean to the engine: the last state of each record.
func batch(entries []Entry, head Head) cascade.Batch {
	b := cascade.Batch{Revision: head.identity()}
	if len(entries) == 1 { // it names no record twice
		for i := range entries[0].Changes {
			c := &entries[0].Changes[i]
			addState(&b, c.Key, c.After)
		}
		return b
	}
	last := make(map[Key]*State)
	var order []Key
	for _, e := range entries {
		for _, c := range e.Changes {
			if _, seen := last[c.Key]; !seen {
				order = append(order, c.Key)
			}
			last[c.Key] = c.After
		}
	}
	slices.SortFunc(order, compareKeys)
	for _, k := range order {
		addState(&b, k, last[k])
	}
	return b
}

// addState adds what a record has become; nil: it is gone.
func addState(b *cascade.Batch, k Key, after *State) {
	switch {
	case after != nil:
		(&Record{k, *after}).addTo(b)
	case k.Kind == KindOverride:
		b.DeleteOverrides = append(b.DeleteOverrides, cascade.Key{Subject: k.Subject(), Property: k.Name})
	case k.Kind != KindToken:
		b.Forget = append(b.Forget, k.Subject())
	}
}
