package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Restores judges writes of a ledger whose truth gets backups while members write:
// which of those that were acknowledged a backup has rightly taken back.
type Restores struct {
	mu           sync.Mutex
	began, ended int
	has          []uint64 // the revision of each backup
}

// Acknowledged is a write of which a member has said that it is done.
type Acknowledged struct {
	Revision uint64 // 0: not known
	// asked is how many backups were loaded when it was asked for, answered how many
	// had begun to be when it was acknowledged.
	asked, answered int
}

// Asked is what Done wants to know of when a write was asked for.
func (r *Restores) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// Done notes that a write is acknowledged.
func (r *Restores) Done(asked int, revision uint64) Acknowledged {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Acknowledged{revision, asked, r.began}
}

// Load has load bring back a backup of a database of MariaDB.
func (r *Restores) Load(t testing.TB, dump string, load func()) {
	t.Helper()
	_, row, _ := strings.Cut(dump, "INSERT INTO `sluice_head` VALUES\n(1,")
	var schema int
	var has uint64
	if _, err := fmt.Sscanf(row, "%d,%d,", &schema, &has); err != nil {
		t.Fatalf("the dump has no head: %v\n%.2000s", err, dump)
	}
	r.mu.Lock()
	r.began, r.has = r.began+1, append(r.has, has)
	r.mu.Unlock()
	load()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended++
}

// Number is how many there were.
func (r *Restores) Number() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// Fate tells whether a write is to be there, or is not to be. It is neither where
// it was decided while a backup was loaded, or is of an unknown revision.
func (r *Restores) Fate(a Acknowledged) (there, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there = true
	for i, has := range r.has {
		before := a.answered <= i
		switch {
		case a.asked > i, before && a.Revision != 0 && a.Revision <= has:
		case before && a.Revision != 0:
			return false, true
		default:
			there = false
		}
	}
	return there, false
}
