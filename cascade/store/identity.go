package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"go.etcd.io/bbolt"
)

// Identity says what a file is: a truth with an id of its own, or a copy of one.
type Identity struct {
	ID   string `json:"id"`   // of the history
	Term uint64 `json:"term"` // counts how often a keeper has been made of a file of this history
	// Copy is true for what follows a truth, which may be behind it.
	Copy    bool   `json:"copy"`
	Of      string `json:"of,omitempty"` // what it is a copy of, for people
	Adopted bool   `json:"adopted,omitempty"`
}

var metaIdentity = []byte("identity")

// readIdentity returns what a file is; one of an earlier format does not say it,
// and is the truth of a member alone.
func readIdentity(tx *bbolt.Tx, path string) (Identity, error) {
	var id Identity
	v := tx.Bucket(bucketMeta).Get(metaIdentity)
	if v == nil {
		return id, nil
	}
	if err := json.Unmarshal(v, &id); err != nil {
		return id, &DamagedError{path, "its identity does not parse"}
	}
	return id, nil
}

func writeIdentity(tx *bbolt.Tx, id Identity) error {
	text, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketMeta).Put(metaIdentity, text)
}

// upgrade makes a file of this format of one of an earlier one.
func upgrade(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if binary.BigEndian.Uint64(meta.Get(metaFormat)) < format {
		if _, err := tx.CreateBucketIfNotExists(bucketRequests); err != nil {
			return err
		}
		if err := meta.Put(metaFormat, binary.BigEndian.AppendUint64(nil, format)); err != nil {
			return err
		}
	}
	if tx.Bucket(bucketEnded) == nil {
		if err := indexEnded(tx); err != nil {
			return err
		}
	}
	if meta.Get(metaIdentity) != nil {
		return nil
	}
	return writeIdentity(tx, Identity{ID: NewRequest()})
}

// Identity says what the file is.
func (s *Store) Identity() Identity { return *s.identity.Load() }

var errNotEntry = errors.New("the log has no such entry")

// entryAt reads an entry of the log, or returns nil.
func entryAt(tx *bbolt.Tx, revision uint64) (*Sealed, error) {
	v := tx.Bucket(bucketLog).Get(binary.BigEndian.AppendUint64(nil, revision))
	if v == nil {
		return nil, nil
	}
	x, err := unseal(v)
	return &x, err
}

// requested returns the entry of a write by its name, or nil.
func requested(tx *bbolt.Tx, request string) (*Sealed, error) {
	if request == "" {
		return nil, nil
	}
	v := tx.Bucket(bucketRequests).Get([]byte(request))
	if len(v) != 8 {
		return nil, nil
	}
	x, err := entryAt(tx, binary.BigEndian.Uint64(v))
	if err == nil && x == nil {
		err = errNotEntry
	}
	return x, err
}

// was reports whether a file has been in a state.
func was(tx *bbolt.Tx, now, h Head) (bool, error) {
	switch {
	case h.Revision == 0:
		return h.Chain == Chain{}, nil
	case h.Revision == now.Revision:
		return h == now, nil
	}
	x, err := entryAt(tx, h.Revision)
	return err == nil && x != nil && x.Chain == h.Chain, err
}

// Had reports whether this file has been in a state.
func (s *Store) Had(h Head) (had bool, err error) {
	err = s.view(func(tx *bbolt.Tx) (err error) {
		had, err = was(tx, s.fileHead(), h)
		return err
	})
	return had, err
}

// Since returns the entries after a state, for those who follow this file:
// limit at most, the first whatever its size, and others up to maxBytes.
func (s *Store) Since(at Head, limit, maxBytes int) (st Standing, list []Sealed, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		head, err := readHead(tx, s.opt.Path)
		if err != nil {
			return err
		}
		// Never more than what is acknowledged: a commit may still be undone.
		if acknowledged := s.Head(); head.Revision > acknowledged.Revision {
			head = acknowledged
		}
		id := s.Identity()
		st = Standing{id.ID, head, id.Adopted}
		follows, err := was(tx, head, at)
		if err != nil {
			return err
		}
		if !follows {
			return ErrHistory
		}
		size := 0
		c := tx.Bucket(bucketLog).Cursor()
		for k, v := c.Seek(binary.BigEndian.AppendUint64(nil, at.Revision+1)); k != nil && len(list) < limit; k, v = c.Next() {
			if size += len(v); size > maxBytes && len(list) > 0 {
				return nil
			}
			x, err := unseal(v)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			if x.Revision > head.Revision {
				return nil
			}
			if len(list) == 0 && x.Revision != at.Revision+1 {
				return ErrHistory // the log does not go back so far
			}
			list = append(list, x)
		}
		return nil
	})
	return st, list, err
}

// Page returns records after a key of a kind (nil: from the first), limit at
// most and up to maxBytes of values, for those who take a copy of this file.
func (s *Store) Page(kind Kind, after []byte, limit, maxBytes int) (list []Record, next []byte, err error) {
	bucket, ok := bucketOf[kind]
	if !ok {
		return nil, nil, &BadWriteError{"there is no such kind of records"}
	}
	err = s.view(func(tx *bbolt.Tx) error {
		size := 0
		c := tx.Bucket(bucket).Cursor()
		k, v := c.First()
		if after != nil {
			if k, v = c.Seek(after); k != nil && string(k) == string(after) {
				k, v = c.Next()
			}
		}
		for ; k != nil; k, v = c.Next() {
			if size += len(k) + len(v); len(list) == limit || size > maxBytes && len(list) > 0 {
				next = list[len(list)-1].bytes()
				return nil
			}
			r, err := parse(kind, k, v)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			list = append(list, *r)
		}
		return nil
	})
	return list, next, err
}

// LogAfter returns entries of the log after a revision, whatever came before,
// as Since does.
func (s *Store) LogAfter(after uint64, limit, maxBytes int) (list []Sealed, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		size := 0
		c := tx.Bucket(bucketLog).Cursor()
		for k, v := c.Seek(binary.BigEndian.AppendUint64(nil, after+1)); k != nil && len(list) < limit; k, v = c.Next() {
			if size += len(v); size > maxBytes && len(list) > 0 {
				return nil
			}
			x, err := unseal(v)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			list = append(list, x)
		}
		return nil
	})
	return list, err
}
