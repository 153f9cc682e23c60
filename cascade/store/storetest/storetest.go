// Package storetest holds every make of a store to one contract.
package storetest

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/testkit"
)

// patience bounds what a member is waited for; the machine may be busy.
const patience = 60 * time.Second

// Member is a store with what it told its engine.
type Member struct {
	*store.Store
	Path string

	mu      sync.Mutex
	entries []store.Entry
	batches []cascade.Batch
	values  map[cascade.Key]string
}

// Open opens a member's store; it is closed with the test. o needs no path:
// without one the file is new.
func Open(t testing.TB, o store.Options) *Member {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), store.FileName)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Member{Path: o.Path, values: make(map[cascade.Key]string)}
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	m.Store = s
	if err := s.Load(func(b cascade.Batch) error { m.apply(b, nil); return nil }); err != nil {
		t.Fatal(err)
	}
	s.Start(m.apply)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *Member) apply(b cascade.Batch, entries []store.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches, m.entries = append(m.batches, b), append(m.entries, entries...)
	if b.Reset {
		clear(m.values)
	}
	for _, k := range b.DeleteOverrides {
		delete(m.values, k)
	}
	for _, o := range b.Overrides {
		m.values[o.Key] = o.Value
	}
}

// Value is an override as look-ups of this member see it.
func (m *Member) Value(su cascade.Subject, property string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[cascade.Key{Subject: su, Property: property}]
	return v, ok
}

// Values are all of them.
func (m *Member) Values() map[cascade.Key]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[cascade.Key]string, len(m.values))
	for k, v := range m.values {
		out[k] = v
	}
	return out
}

// Put writes one override.
func (m *Member) Put(ctx context.Context, su cascade.Subject, property, value string) (store.Entry, error) {
	return m.Do(ctx, store.Write{Actor: "test", Reason: "r", Action: "override.set", Changes: []store.Change{Set(su, property, value)}})
}

// Set is a change of an override.
func Set(su cascade.Subject, property, value string) store.Change {
	return store.Change{Key: store.OverrideKey(su, property), Body: &store.Override{Value: value, Actor: "test", Reason: "r"}}
}

// Ready waits until a member takes writes.
func (m *Member) Ready(t testing.TB) *Member {
	t.Helper()
	testkit.Poll(t, "the store takes writes", func() bool { return m.Standing() == nil })
	return m
}
