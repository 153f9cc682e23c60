package store

import (
	"bytes"
	"encoding/json"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

// EndedOwners are the contexts (User 0) and users that a write took their ids
// from: the deleted ones, and contexts whose name became another one, which are
// new owners of old ids. A user has nothing that tells one owner from the next,
// so that only a deletion ends it. Users of a context that ends are left out.
func (e *Entry) EndedOwners() (list []cascade.Subject) {
	whole := make(map[uint32]bool)
	for i := range e.Changes {
		if c := &e.Changes[i]; c.Kind == KindContext && c.endsOwner() {
			whole[c.Context] = true
			list = append(list, c.Subject())
		}
	}
	for i := range e.Changes {
		if c := &e.Changes[i]; c.Kind == KindUser && !whole[c.Context] && c.endsOwner() {
			list = append(list, c.Subject())
		}
	}
	return list
}

func (c *Changed) endsOwner() bool {
	if c.After != nil && c.After.Deleted {
		return true
	}
	if c.Before == nil || c.After == nil {
		return false
	}
	before, had := c.Before.Body.(*Context)
	after, has := c.After.Body.(*Context)
	return had && has && before.Name != "" && after.Name != "" && before.Name != after.Name
}

// The log names the kinds of the records of an entry in these words, so that most
// entries need not be read.
var (
	textContext = []byte(`"kind":"context"`)
	textUser    = []byte(`"kind":"user"`)
	// An entry that only makes records, as those of an import, has neither of these.
	textBefore  = []byte(`"before":{`)
	textDeleted = []byte(`"deleted":true`)
)

// mayEnd reports whether the owner of an id may have ended with an entry.
func mayEnd(v []byte) bool {
	return (bytes.Contains(v, textContext) || bytes.Contains(v, textUser)) && (bytes.Contains(v, textBefore) || bytes.Contains(v, textDeleted))
}

// indexEnded makes the index of a file that has none.
func indexEnded(tx *bbolt.Tx) error {
	index, err := tx.CreateBucket(bucketEnded)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketLog).ForEach(func(k, v []byte) error {
		if !mayEnd(v) {
			return nil
		}
		return index.Put(k, nil)
	})
}

// endedStride is how many entries without a context or a user are passed between
// two looks at the time of one, in a file without the index.
const endedStride = 256

// EachEnded calls f with the owners that ended since a moment, the last ones
// first, as far as the log goes back.
func (s *Store) EachEnded(since time.Time, f func(owner cascade.Subject, at time.Time)) error {
	return s.view(func(tx *bbolt.Tx) error {
		log, passed := tx.Bucket(bucketLog), 0
		index := tx.Bucket(bucketEnded)
		if index == nil { // no write has made it yet
			index = log
		}
		c := index.Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			if index != log {
				v = log.Get(k)
			}
			concerns := mayEnd(v)
			if passed++; !concerns && passed%endedStride != 0 {
				continue
			}
			if len(v) < len(Chain{}) {
				return &DamagedError{s.opt.Path, errBadRecord.Error()}
			}
			var e struct{ Time time.Time }
			if err := json.Unmarshal(v[len(Chain{}):], &e); err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			if e.Time.Before(since) {
				return nil
			}
			if !concerns {
				continue
			}
			x, err := unseal(v)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			for _, owner := range x.EndedOwners() {
				f(owner, x.Time)
			}
		}
		return nil
	})
}
