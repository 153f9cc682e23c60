package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	tell  func() (Entry, error) // instead: what else the owner is to do
	entry Entry
	err   error
	done  chan struct{}
}

// Do makes a change, and returns when it is on the disk and look-ups see it.
func (s *Store) Do(ctx context.Context, w Write) (Entry, error) {
	if w.DryRun {
		return s.try(&w)
	}
	return s.ask(ctx, &request{write: &w, done: make(chan struct{})})
}

func (s *Store) ask(ctx context.Context, r *request) (Entry, error) {
	select {
	case <-s.quit:
		return Entry{}, ErrClosed
	default:
	}
	select {
	case s.queue <- r:
	default:
		return Entry{}, ErrBusy
	}
	select {
	case <-r.done:
		return r.entry, r.err
	case <-ctx.Done():
		return Entry{}, ErrUnconfirmed
	case <-s.ended:
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
	verr := s.view(func(tx *bbolt.Tx) error {
		var changes []Changed
		changes, err = evaluate(tx, w)
		e = s.entry(w, changes, Head{Revision: s.Head().Revision})
		return nil
	})
	return e, errors.Join(verr, err)
}

func (s *Store) entry(w *Write, changes []Changed, after Head) Entry {
	e := Entry{
		Revision: after.Revision + 1, Time: time.Now().UTC().Truncate(time.Millisecond),
		Actor: w.Actor, Reason: w.Reason, Action: w.Action, Changes: changes,
	}
	for i := range changes {
		if after := changes[i].After; after != nil {
			after.Revision = e.Revision
			if o, ok := after.Body.(*Override); ok && o.Time.IsZero() {
				o.Time = e.Time
			}
		}
	}
	return e
}

// evaluate works out what a write changes. It only reads.
func evaluate(tx *bbolt.Tx, w *Write) ([]Changed, error) {
	if len(w.Actor) > cascade.MaxTextLen || len(w.Reason) > cascade.MaxTextLen {
		return nil, &BadWriteError{fmt.Sprintf("the reason or the actor is longer than %d bytes", cascade.MaxTextLen)}
	}
	if len(w.Changes) == 0 {
		return nil, &BadWriteError{"the write changes nothing"}
	}
	seen := make(map[Key]bool, len(w.Changes))
	var out []Changed
	add := func(c Changed) error {
		if seen[c.Key] {
			return &BadWriteError{fmt.Sprintf("%s is named twice in one write, or below what it deletes", c.Key)}
		}
		seen[c.Key] = true
		if out = append(out, c); len(out) > MaxChanges {
			return &BadWriteError{fmt.Sprintf("the write changes more than %d records: do it in parts, users before their context", MaxChanges)}
		}
		return nil
	}
	for _, c := range w.Changes {
		have, err := get(tx, c.Key)
		if err != nil {
			return nil, err
		}
		live := have != nil && !have.Deleted
		if c.If != nil {
			now := uint64(0)
			if live {
				now = have.Revision
			}
			if now != *c.If {
				return nil, &ConditionError{c.Key, now}
			}
		}
		changed := Changed{Key: c.Key}
		if have != nil {
			changed.Before = &have.State
		}
		if c.Body != nil {
			changed.After = &State{Body: cloneBody(c.Body)}
			if err := (&Record{c.Key, *changed.After}).check(); err != nil {
				return nil, &BadWriteError{err.Error()}
			}
			if err := add(changed); err != nil {
				return nil, err
			}
			continue
		}
		if !live && (!c.Forget || have == nil) {
			return nil, &NotFoundError{c.Key}
		}
		if !c.Forget && (c.Kind == KindContext || c.Kind == KindUser) {
			changed.After = &State{Deleted: true}
		}
		if err := add(changed); err != nil {
			return nil, err
		}
		if c.Forget {
			continue
		}
		if err := below(tx, c.Key, add); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// cloneBody copies an override, whose time is set by the write.
func cloneBody(body any) any {
	if o, ok := body.(*Override); ok {
		o := *o
		return &o
	}
	return body
}

// below adds what goes with a context or a user.
func below(tx *bbolt.Tx, k Key, add func(Changed) error) error {
	if k.Kind != KindContext && k.Kind != KindUser {
		return nil
	}
	prefix := k.bytes()
	for _, kind := range []Kind{KindUser, KindOverride} {
		if k.Kind == kind {
			continue
		}
		c := tx.Bucket(bucketOf[kind]).Cursor()
		for name, value := c.Seek(prefix); bytes.HasPrefix(name, prefix); name, value = c.Next() {
			r, err := parse(kind, name, value)
			if err != nil {
				return err
			}
			if r.Deleted {
				continue
			}
			changed := Changed{Key: r.Key, Before: &r.State}
			if kind == KindUser {
				changed.After = &State{Deleted: true}
			}
			if err := add(changed); err != nil {
				return err
			}
		}
	}
	return nil
}

// get returns a record or its tombstone, or nil.
func get(tx *bbolt.Tx, k Key) (*Record, error) {
	bucket, ok := bucketOf[k.Kind]
	if !ok {
		return nil, &BadWriteError{fmt.Sprintf("there is no kind %q", k.Kind)}
	}
	v := tx.Bucket(bucket).Get(k.bytes())
	if v == nil {
		return nil, nil
	}
	return decode(k, v, nil)
}

func parse(kind Kind, name, value []byte) (*Record, error) {
	return texts(nil).parse(kind, name, value)
}

func (t texts) parse(kind Kind, name, value []byte) (*Record, error) {
	k, err := t.parseKey(kind, name)
	if err != nil {
		return nil, err
	}
	return decode(k, value, t)
}

// put writes a state, or removes it where it is nil.
func put(tx *bbolt.Tx, k Key, state *State) error {
	b := tx.Bucket(bucketOf[k.Kind])
	if state == nil {
		return b.Delete(k.bytes())
	}
	return b.Put(k.bytes(), (&Record{k, *state}).encode())
}

// Batch is what a write means to the engine.
func (e *Entry) Batch() cascade.Batch { return batch([]Entry{*e}, Head{Revision: e.Revision}) }

// batch is what entries mean to the engine: the last state of each record.
func batch(entries []Entry, head Head) cascade.Batch {
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
	b := cascade.Batch{Revision: head.identity()}
	for _, k := range order {
		switch after := last[k]; {
		case after != nil:
			(&Record{k, *after}).addTo(&b)
		case k.Kind == KindOverride:
			b.DeleteOverrides = append(b.DeleteOverrides, cascade.Key{Subject: k.Subject(), Property: k.Name})
		case k.Kind != KindToken:
			b.Forget = append(b.Forget, k.Subject())
		}
	}
	return b
}
