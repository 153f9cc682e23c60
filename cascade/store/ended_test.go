package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

// Deletions and new names end owners, in the order of the log backward; what
// changes anything else of a record does not.
func TestEachEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	s, _ := openAt(t, path, nil)
	owned := UserKey(2, 5)
	began := time.Now().UTC().Truncate(time.Millisecond)
	for _, c := range []struct {
		change Change
		ends   []cascade.Subject
	}{
		{put1(acme, &Context{Enabled: true}), nil},
		{put1(acme, &Context{Name: "acme", Enabled: true}), nil},
		{put1(acme, &Context{Name: "acme", Tags: []string{"a"}}), nil},
		{put1(user, &User{Enabled: true}), nil},
		{put1(user, &User{}), nil},
		{Change{Key: user}, []cascade.Subject{user.Subject()}},
		{put1(user, &User{Enabled: true}), nil},
		{put1(acme, &Context{Name: "other"}), []cascade.Subject{acme.Subject()}},
		{put1(owned, &User{Enabled: true}), nil},
		{Change{Key: owned, Forget: true}, nil},
		{Change{Key: acme}, []cascade.Subject{acme.Subject()}},
	} {
		if e := do(t, s, c.change); !slices.Equal(e.EndedOwners(), c.ends) {
			t.Errorf("%s %+v ends %v, want %v", c.change.Key, c.change.Body, e.EndedOwners(), c.ends)
		}
	}
	for i := range 3 * endedStride {
		do(t, s, put1(OverrideKey(acme.Subject(), fmt.Sprint("p", i%3)), &Override{Value: "x"}))
	}
	check := func(since time.Time, want ...cascade.Subject) {
		t.Helper()
		var got []cascade.Subject
		err := s.EachEnded(since, func(owner cascade.Subject, at time.Time) {
			if at.Before(began) || at.After(time.Now()) {
				t.Errorf("%s ended at %v", owner, at)
			}
			got = append(got, owner)
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v %v, want %v", got, err, want)
		}
	}
	check(began, acme.Subject(), acme.Subject(), user.Subject())
	check(time.Now().Add(time.Hour))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A file without the index has the log read, until a write makes the index.
	withoutIndex(t, path)
	s, _ = openAt(t, path, nil)
	check(began, acme.Subject(), acme.Subject(), user.Subject())
	do(t, s, put1(OverrideKey(acme.Subject(), "p"), &Override{Value: "y"}))
	check(began, acme.Subject(), acme.Subject(), user.Subject())
	indexed := 0
	err := s.view(func(tx *bbolt.Tx) error {
		indexed = tx.Bucket(bucketEnded).Stats().KeyN
		return nil
	})
	if err != nil || indexed == 0 || indexed > 11 {
		t.Errorf("%d entries are in the index, %v", indexed, err)
	}
}

// withoutIndex leaves a file as a version without the index wrote it.
func withoutIndex(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketEnded) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
