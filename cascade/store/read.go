package store

import (
	"bytes"
	"encoding/binary"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

const (
	// loadBatch is how many records are handed to the engine at once at a start.
	loadBatch = 100_000
	// loadParts has subjects that share a shard of the engine come together: a
	// batch over all shards would copy all that came before.
	loadParts = 16
)

// Load hands everything over, in batches of a bounded size; one is applied while
// the next is read. apply does not keep the slices of a batch: they are used again.
// It is called once, before Start.
func (s *Store) Load(apply func(cascade.Batch) error) error {
	l := loading{s: s, batches: make(chan cascade.Batch, 1), free: make(chan []cascade.Override, 2)}
	applied := make(chan error, 1)
	go func() {
		var err error
		for b := range l.batches {
			if err == nil {
				b.Revision = s.Head().identity()
				err = apply(b)
			}
			clear(b.Overrides)
			select {
			case l.free <- b.Overrides[:0]:
			default:
			}
		}
		applied <- err
	}()
	err := s.view(func(tx *bbolt.Tx) error {
		for _, kind := range Kinds {
			if err := l.kind(tx, kind); err != nil {
				return err
			}
		}
		return nil
	})
	close(l.batches)
	return errors.Join(err, <-applied)
}

// loading is one Load.
type loading struct {
	s       *Store
	batches chan cascade.Batch
	free    chan []cascade.Override // of batches that were applied
}

// raw is a record in the file.
type raw struct{ name, value []byte }

// rawBlock is how many are kept in one piece: none is copied when more come.
const rawBlock = 2048

// kind hands the records of one kind over. Deletions come first in a batch:
// tombstones of one kind may not meet records of the next.
func (l *loading) kind(tx *bbolt.Tx, kind Kind) error {
	var parts [loadParts][][]raw
	err := tx.Bucket(bucketOf[kind]).ForEach(func(name, value []byte) error {
		p := &parts[subjectOf(kind, name).Part(loadParts)]
		last := len(*p) - 1
		if last < 0 || len((*p)[last]) == rawBlock {
			*p, last = append(*p, make([]raw, 0, rawBlock)), last+1
		}
		(*p)[last] = append((*p)[last], raw{name, value})
		return nil
	})
	if err != nil {
		return err
	}
	known, live := new(texts), int64(0)
	for _, blocks := range parts {
		b, n := l.batch(kind), 0
		for _, block := range blocks {
			if n+len(block) > loadBatch {
				l.batches <- b
				b, n = l.batch(kind), 0
			}
			n += len(block)
			for i := range block {
				r, err := known.parse(kind, block[i].name, block[i].value)
				if err != nil {
					return &DamagedError{l.s.opt.Path, err.Error()}
				}
				if !r.Deleted {
					live++
				}
				r.addTo(&b)
			}
		}
		if n > 0 {
			l.batches <- b
		}
	}
	l.s.stats.add(kind, live)
	return nil
}

// batch is an empty one.
func (l *loading) batch(kind Kind) (b cascade.Batch) {
	if kind != KindOverride {
		return b
	}
	select {
	case b.Overrides = <-l.free:
	default:
	}
	return b
}

// subjectOf is whose a record is, by its name in the bucket.
func subjectOf(kind Kind, name []byte) (su cascade.Subject) {
	if kind != KindToken && len(name) >= 4 {
		su.Context = binary.BigEndian.Uint32(name)
		if len(name) >= 8 {
			su.User = binary.BigEndian.Uint32(name[4:])
		}
	}
	return su
}

// Get returns a record or its tombstone, or nil.
func (s *Store) Get(k Key) (r *Record, err error) {
	if r, found := s.pendingGet(k); found {
		return r, nil
	}
	err = s.view(func(tx *bbolt.Tx) error {
		r, err = get(tx, k)
		return err
	})
	return r, err
}

// Reading calls f with a Get for many records.
func (s *Store) Reading(f func(get func(Key) (*Record, error)) error) error {
	if s.opt.Truth != nil {
		return f(s.Get) // what is not in the file yet moves there meanwhile
	}
	return s.view(func(tx *bbolt.Tx) error {
		return f(func(k Key) (*Record, error) { return get(tx, k) })
	})
}

// List returns up to limit records of a kind after a key, in their order: of a
// subject's context where one is named, and of exactly a user where that is.
// For overrides, exact leaves those of the users out of a context. more is
// false where nothing follows.
func (s *Store) List(kind Kind, of cascade.Subject, exact bool, after *Key, limit int, keep func(*Record) bool) (list []*Record, more bool, err error) {
	var prefix []byte
	switch {
	case of.User != 0 || of.Context != 0 && exact:
		prefix = UserKey(of.Context, of.User).bytes()
	case of.Context != 0:
		prefix = ContextKey(of.Context).bytes()
	}
	if err := s.settledCopy(); err != nil {
		return nil, false, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketOf[kind]).Cursor()
		name, value := c.Seek(prefix)
		if after != nil {
			from := after.bytes()
			if name, value = c.Seek(from); bytes.Equal(name, from) {
				name, value = c.Next()
			}
		}
		for ; name != nil && bytes.HasPrefix(name, prefix); name, value = c.Next() {
			r, err := parse(kind, name, value)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			if keep != nil && !keep(r) {
				continue
			}
			if len(list) == limit {
				more = true
				return nil
			}
			list = append(list, r)
		}
		return nil
	})
	return list, more, err
}

// maxScan bounds the entries that one look into the log reads.
const maxScan = 20_000

// Log returns up to limit entries that keep wants, the newest first, from the
// revision before on (0: from the newest). next is where to go on; 0: nothing
// is left.
func (s *Store) Log(before uint64, limit int, keep func(*Entry) bool) (list []Entry, next uint64, err error) {
	if err := s.settledCopy(); err != nil {
		return nil, 0, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		k, v := c.Last()
		if before != 0 {
			if found, _ := c.Seek(binary.BigEndian.AppendUint64(nil, before)); found == nil {
				k, v = c.Last()
			} else {
				k, v = c.Prev()
			}
		}
		for range maxScan {
			if k == nil {
				next = 0
				return nil
			}
			x, err := unseal(v)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			if keep == nil || keep(&x.Entry) {
				if len(list) == limit {
					return nil
				}
				list = append(list, x.Entry)
			}
			next = x.Revision
			k, v = c.Prev()
		}
		return nil
	})
	return list, next, err
}

// EntryOf returns the write that led to a revision, or nil where the log does
// not have it.
func (s *Store) EntryOf(revision uint64) (e *Entry, err error) {
	if err := s.settledCopy(); err != nil {
		return nil, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		x, err := entryAt(tx, revision)
		if err == nil && x != nil {
			e = &x.Entry
		}
		return err
	})
	return e, err
}

// Cursor is a key in a form that ParseCursor reads.
func (k Key) Cursor() []byte { return k.bytes() }

// ParseCursor reads what Cursor made of a key of this kind.
func ParseCursor(kind Kind, b []byte) (Key, error) { return parseKey(kind, b) }
