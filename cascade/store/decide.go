package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

// Records is what a write is decided on: the records as one transaction of
// whatever keeps them sees them.
type Records interface {
	// Get returns a record or its tombstone, or nil.
	Get(k Key) (*Record, error)
	// Below calls f for each record of a kind that belongs to a context or a
	// user.
	Below(k Key, kind Kind, f func(*Record) error) error
}

// Decide works out what a write changes, or why it may not: a ConditionError, a
// NotFoundError or a BadWriteError. It only reads.
func Decide(records Records, w *Write) ([]Changed, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	seen := make(map[Key]bool, len(w.Changes))
	out := make([]Changed, 0, len(w.Changes))
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
	for i := range w.Changes {
		c := &w.Changes[i]
		changed, err := decideOne(records, c)
		if err == nil {
			err = add(changed)
		}
		if err == nil && c.Body == nil && !c.Forget {
			err = below(records, c.Key, add)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (w *Write) check() error {
	switch {
	case w.checked:
		return nil
	case len(w.Actor) > cascade.MaxTextLen || len(w.Reason) > cascade.MaxTextLen:
		return &BadWriteError{fmt.Sprintf("the reason or the actor is longer than %d bytes", cascade.MaxTextLen)}
	case len(w.Request) > MaxRequest:
		return &BadWriteError{fmt.Sprintf("the request's id is longer than %d bytes", MaxRequest)}
	case len(w.Changes) == 0 && w.Platform == nil:
		return &BadWriteError{"the write changes nothing"}
	}
	var b cascade.Batch
	for i := range w.Changes {
		c := &w.Changes[i]
		if bucketOf[c.Kind] == nil {
			return &BadWriteError{fmt.Sprintf("there is no kind %q", c.Kind)}
		}
		if c.Body == nil {
			continue
		}
		if err := (&Record{c.Key, State{Body: c.Body}}).checkIn(&b); err != nil {
			return &BadWriteError{err.Error()}
		}
	}
	w.checked = true
	return nil
}

func decideOne(records Records, c *Change) (Changed, error) {
	changed := Changed{Key: c.Key}
	have, err := records.Get(c.Key)
	if err != nil {
		return changed, err
	}
	live := have != nil && !have.Deleted
	if c.If != nil {
		now := uint64(0)
		if live {
			now = have.Revision
		}
		if now != *c.If {
			return changed, &ConditionError{c.Key, now}
		}
	}
	if have != nil {
		changed.Before = &have.State
	}
	if c.Body != nil {
		changed.After = &State{Body: cloneBody(c.Body)}
		return changed, nil
	}
	if !live && (!c.Forget || have == nil) {
		return changed, &NotFoundError{c.Key}
	}
	if !c.Forget && (c.Kind == KindContext || c.Kind == KindUser) {
		changed.After = &State{Deleted: true}
	}
	return changed, nil
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
func below(records Records, k Key, add func(Changed) error) error {
	if k.Kind != KindContext && k.Kind != KindUser {
		return nil
	}
	for _, kind := range []Kind{KindUser, KindOverride} {
		if k.Kind == kind {
			continue
		}
		err := records.Below(k, kind, func(r *Record) error {
			if r.Deleted {
				return nil
			}
			changed := Changed{Key: r.Key, Before: &r.State}
			if kind == KindUser {
				changed.After = &State{Deleted: true}
			}
			return add(changed)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Sealed is an entry with the sum over it and all before it.
type Sealed struct {
	Entry
	Chain Chain
	Text  []byte // JSON of the entry
}

// Seal makes the entry that follows a head.
func Seal(head Head, w *Write, changes []Changed) (Sealed, error) {
	x := Sealed{Entry: entryOf(w, changes, head)}
	var err error
	if x.Text, err = json.Marshal(x.Entry); err != nil {
		return x, &BadWriteError{err.Error()}
	}
	if len(x.Text) > maxWriteBytes {
		return x, &BadWriteError{fmt.Sprintf("the write has more than %d bytes: do it in parts", maxWriteBytes)}
	}
	x.Chain = head.Chain.next(x.Text)
	return x, nil
}

// Unseal reads an entry and refuses one that does not say its revision.
func Unseal(revision uint64, chain Chain, text []byte) (Sealed, error) {
	x := Sealed{Chain: chain, Text: text}
	if err := json.Unmarshal(text, &x.Entry); err != nil {
		return x, fmt.Errorf("revision %d does not parse (%w): is this member older than the others?", revision, err)
	}
	if x.Revision != revision {
		return x, fmt.Errorf("revision %d calls itself %d", revision, x.Revision)
	}
	for i := range x.Changes {
		if c := &x.Changes[i]; c.After != nil {
			if err := (&Record{c.Key, *c.After}).Check(); err != nil {
				return x, fmt.Errorf("revision %d: %w", revision, err)
			}
		}
	}
	return x, nil
}

// Head is the state that the entry leads to.
func (x *Sealed) Head() Head { return Head{x.Revision, x.Chain} }

// Follows reports whether the entry is the one after a head.
func (x *Sealed) Follows(h Head) bool {
	return x.Revision == h.Revision+1 && h.Chain.next(x.Text) == x.Chain
}

func entryOf(w *Write, changes []Changed, after Head) Entry {
	e := Entry{
		Revision: after.Revision + 1, Time: time.Now().UTC().Truncate(time.Millisecond),
		Actor: w.Actor, Reason: w.Reason, Action: w.Action, Changes: changes, Request: w.Request,
		Platform: w.Platform,
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

// NewRequest makes a name for a write: 128 random bits.
func NewRequest() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// fileRecords are those of a transaction on the file.
type fileRecords struct{ tx *bbolt.Tx }

func (f fileRecords) Get(k Key) (*Record, error) { return get(f.tx, k) }

func (f fileRecords) Below(k Key, kind Kind, do func(*Record) error) error {
	prefix := k.bytes()
	c := f.tx.Bucket(bucketOf[kind]).Cursor()
	for name, value := c.Seek(prefix); bytes.HasPrefix(name, prefix); name, value = c.Next() {
		r, err := parse(kind, name, value)
		if err != nil {
			return err
		}
		if err := do(r); err != nil {
			return err
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
	return (*texts)(nil).parse(kind, name, value)
}

// parse reads a record. With a t it is valid until the next one, where it is an
// override: a start reads a million.
func (t *texts) parse(kind Kind, name, value []byte) (*Record, error) {
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

// Again checks that an entry is the write that is asked for again by its name,
// and not another with the same.
func Again(e *Entry, w *Write) error {
	if e.Action == ActionGivenUp {
		return &GivenUpError{w.Request}
	}
	if e.Action != w.Action || e.Reason != w.Reason || e.Actor != w.Actor {
		return &BadWriteError{fmt.Sprintf("the id %s names another write, that of revision %d: use another", w.Request, e.Revision)}
	}
	return nil
}

// ActionGivenUp is that of an entry without changes, which says that a write of
// this name is not done and never will be.
const ActionGivenUp = "write.given_up"
