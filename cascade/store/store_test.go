package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// engine collects what a store tells an engine.
type engine struct {
	mu      sync.Mutex
	batches []cascade.Batch
	entries []Entry
}

func (e *engine) apply(b cascade.Batch, entries []Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.batches = append(e.batches, b)
	e.entries = append(e.entries, entries...)
}

func openAt(t testing.TB, path string, truth Truth) (*Store, *engine) {
	t.Helper()
	s, err := Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler), Truth: truth})
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{}
	err = s.Load(func(b cascade.Batch) error {
		b.Overrides = slices.Clone(b.Overrides) // they are used again
		e.apply(b, nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start(e.apply)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, e
}

func openNew(t testing.TB) (*Store, *engine) {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), FileName), nil)
}

func do(t testing.TB, s *Store, changes ...Change) Entry {
	t.Helper()
	e, err := s.Do(context.Background(), Write{Actor: "test", Reason: "r", Action: "a", Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func put1(k Key, body any) Change { return Change{Key: k, Body: body} }

func revision(n uint64) *uint64 { return &n }

var (
	acme  = ContextKey(1337)
	user  = UserKey(1337, 17)
	over  = OverrideKey(cascade.Subject{Context: 1337, User: 17}, "com.openexchange.websockets.enabled")
	whole = OverrideKey(cascade.Subject{Context: 1337}, "p")
)

// What was written is there after the file was opened again, in all its parts.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	s, _ := openAt(t, path, nil)
	at := time.Date(2026, 11, 23, 1, 2, 3, 4e6, time.UTC)
	bodies := map[Key]any{
		acme:               &Context{Name: "acme", Enabled: true, Tags: []string{"a", "ü"}},
		user:               &User{Enabled: true, Permissions: []string{"WebMail"}},
		over:               &Override{Value: "false", Final: "user", Protected: true, Reason: "why\n", Actor: "me", Time: at, Expires: &at},
		whole:              &Override{Value: "", Time: at},
		TokenKey("backup"): &Token{Role: "viewer", Hash: make([]byte, sha256.Size), Actor: "me", Created: at},
	}
	var w []Change
	for k, b := range bodies {
		w = append(w, put1(k, b))
	}
	entry := do(t, s, w...)
	head := s.Head()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, e := openAt(t, path, nil)
	if s.Head() != head || head.Revision != entry.Revision {
		t.Errorf("head %v, was %v", s.Head(), head)
	}
	for k, want := range bodies {
		r, err := s.Get(k)
		if err != nil || r == nil || !reflect.DeepEqual(r.Body, want) || r.Revision != 1 {
			t.Errorf("%s: %+v %v, want %+v", k, r, err, want)
		}
	}
	var contexts, users, overrides int
	for _, b := range e.batches {
		contexts, users, overrides = contexts+len(b.Contexts), users+len(b.Users), overrides+len(b.Overrides)
	}
	if contexts != 1 || users != 1 || overrides != 2 {
		t.Errorf("loaded %d contexts, %d users, %d overrides", contexts, users, overrides)
	}
	if name, token, ok := s.Token([32]byte{}); !ok || name != "backup" || token.Role != "viewer" {
		t.Errorf("token %q %+v %v", name, token, ok)
	}
	back, err := s.EntryOf(1)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(entry)
	b, _ := json.Marshal(back)
	if string(a) != string(b) {
		t.Errorf("entry\n%s\nwas\n%s", b, a)
	}
}

// A write is done whole or not at all, and says why not.
func TestConditions(t *testing.T) {
	s, _ := openNew(t)
	do(t, s, put1(acme, &Context{Enabled: true}))
	for _, c := range []struct {
		name    string
		changes []Change
		want    any
	}{
		{"created twice", []Change{{Key: acme, Body: &Context{}, If: revision(0)}}, new(*ConditionError)},
		{"stale", []Change{{Key: acme, Body: &Context{}, If: revision(7)}}, new(*ConditionError)},
		{"not there", []Change{{Key: user}}, new(*NotFoundError)},
		{"second is wrong", []Change{put1(whole, &Override{Value: "x"}), {Key: user}}, new(*NotFoundError)},
		{"twice", []Change{put1(whole, &Override{}), put1(whole, &Override{})}, new(*BadWriteError)},
		{"below what goes", []Change{{Key: acme}, {Key: acme}}, new(*BadWriteError)},
		{"nothing", nil, new(*BadWriteError)},
		{"no such kind", []Change{put1(Key{Kind: "x"}, &User{})}, new(*BadWriteError)},
		{"another body", []Change{put1(acme, &User{})}, new(*BadWriteError)},
		{"no id", []Change{put1(ContextKey(0), &Context{})}, new(*BadWriteError)},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dry := range []bool{true, false} {
				_, err := s.Do(t.Context(), Write{Changes: c.changes, DryRun: dry})
				if !errors.As(err, c.want) {
					t.Errorf("dry %v: %v", dry, err)
				}
			}
			if r, err := s.Get(whole); r != nil || err != nil || s.Head().Revision != 1 {
				t.Errorf("something was done: %+v %v, %v", r, err, s.Head())
			}
		})
	}
}

// A deleted context takes its users and overrides along and leaves tombstones;
// the log has all of it.
func TestTombstones(t *testing.T) {
	s, e := openNew(t)
	do(t, s, put1(acme, &Context{Enabled: true}), put1(user, &User{Enabled: true}), put1(over, &Override{Value: "x"}), put1(whole, &Override{Value: "y"}),
		put1(ContextKey(1338), &Context{}), put1(OverrideKey(cascade.Subject{Context: 1338}, "p"), &Override{}))
	entry := do(t, s, Change{Key: acme})
	if len(entry.Changes) != 4 {
		t.Errorf("changes %+v", entry.Changes)
	}
	last := e.batches[len(e.batches)-1]
	if len(last.DeleteContexts) != 1 || len(last.DeleteUsers) != 1 || len(last.DeleteOverrides) != 2 {
		t.Errorf("batch %+v", last)
	}
	for k, deleted := range map[Key]bool{acme: true, user: true} {
		if r, err := s.Get(k); err != nil || r == nil || r.Deleted != deleted {
			t.Errorf("%s: %+v %v", k, r, err)
		}
	}
	if list, more, err := s.List(KindOverride, cascade.Subject{}, false, nil, 10, nil); err != nil || more || len(list) != 1 {
		t.Errorf("overrides left: %v %v %v", list, more, err)
	}
	if got := s.Stats().Records; got[KindContext] != 1 || got[KindUser] != 0 || got[KindOverride] != 1 {
		t.Errorf("counts %v", got)
	}
}

// Writers that come together are in the file, in the log and at the engine in
// one order.
func TestTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	s, e := openAt(t, path, nil)
	var wg sync.WaitGroup
	const writers, writes = 16, 20
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				k := OverrideKey(cascade.Subject{Context: uint32(1 + i%3)}, "p")
				if _, err := s.Do(t.Context(), Write{Changes: []Change{put1(k, &Override{Value: strconv.Itoa(w)})}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s.Head().Revision != writers*writes || len(e.entries) != writers*writes {
		t.Fatalf("head %v, %d entries", s.Head(), len(e.entries))
	}
	for i, x := range e.entries {
		if x.Revision != uint64(i+1) {
			t.Fatalf("entry %d has revision %d", i, x.Revision)
		}
	}
	chain := Chain{}
	var before uint64
	for {
		list, next, err := s.Log(before, 7, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			if before != 0 && x.Revision != before-1 {
				t.Fatalf("%d after %d", x.Revision, before)
			}
			before = x.Revision
		}
		if before = next; next == 0 {
			break
		}
	}
	sealed, err := s.LogAfter(0, writers*writes, maxWriteBytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range sealed {
		if chain = chain.next(x.Text); chain != x.Chain {
			t.Fatalf("the chain breaks at %d", x.Revision)
		}
	}
	if chain != s.Head().Chain {
		t.Error("the head is another")
	}
	if c := s.Stats().Commits; c >= writers*writes {
		t.Errorf("%d commits for %d writes", c, writers*writes)
	}
}

// Files that are no store are named, and not touched.
func TestBadFiles(t *testing.T) {
	good := filepath.Join(t.TempDir(), FileName)
	s, _ := openAt(t, good, nil)
	for i := range 200 {
		do(t, s, put1(OverrideKey(cascade.Subject{Context: uint32(i + 1)}, "p"), &Override{Value: string(make([]byte, 500))}))
	}
	if _, err := Open(Options{Path: good, Logger: slog.New(slog.DiscardHandler)}); !errors.As(err, new(*LockedError)) {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"text":      []byte("hello"),
		"zeros":     make([]byte, 64<<10),
		"truncated": whole[:len(whole)/2],
		"one byte":  whole[:1],
		"one page":  whole[:4096],
		"overwritten": func() []byte {
			b := append([]byte(nil), whole...)
			clear(b[2*4096:])
			return b
		}(),
		"noise": func() []byte {
			b := append([]byte(nil), whole...)
			for i := 2 * 4096; i < len(b); i++ {
				b[i] = byte(i * 7)
			}
			return b
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				err = errors.Join(s.Load(func(cascade.Batch) error { return nil }), s.Close())
			}
			if !errors.As(err, new(*DamagedError)) {
				t.Errorf("%v", err)
			}
			if now, _ := os.ReadFile(path); string(now) != string(b) {
				t.Error("the file was changed")
			}
		})
	}
}

// A file that goes bad under a running store refuses writes, and holds nobody up.
func TestGoesBad(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	s, _ := openAt(t, path, nil)
	for i := range 200 {
		do(t, s, put1(OverrideKey(cascade.Subject{Context: uint32(i + 1)}, "p"), &Override{Value: string(make([]byte, 500))}))
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bad := make([]byte, len(whole)-2*4096)
	for i := range bad {
		bad[i] = byte(i * 7)
	}
	head := s.Head()
	write := Write{Changes: []Change{put1(OverrideKey(cascade.Subject{Context: 5}, "p"), &Override{Value: "new"})}}
	if _, err := f.WriteAt(bad, 2*4096); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Do(t.Context(), write); !errors.As(err, new(*FailedError)) {
			t.Errorf("%v", err)
		}
	}
	if s.Head() != head {
		t.Errorf("head %v, was %v", s.Head(), head)
	}
	if _, err := f.WriteAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Do(t.Context(), write); err != nil {
		t.Error(err)
	}
}

// Who asks a store that is closing is told, and does not wait.
func TestCloseMeanwhile(t *testing.T) {
	for range 20 {
		s, _ := openNew(t)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for {
					_, err := s.Do(context.Background(), Write{Changes: []Change{put1(ContextKey(uint32(w+1)), &Context{})}})
					if err == nil {
						continue
					}
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			})
		}
		do(t, s, put1(ContextKey(99), &Context{}))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}

func FuzzRecord(f *testing.F) {
	at := time.UnixMilli(1).UTC()
	for _, r := range []Record{
		{acme, State{Revision: 1, Body: &Context{Name: "n", Tags: []string{"a", ""}}}},
		{user, State{Revision: 2, Deleted: true}},
		{over, State{Revision: 3, Body: &Override{Value: "v", Expires: &at}}},
		{TokenKey("t"), State{Revision: 4, Body: &Token{Hash: make([]byte, 32)}}},
	} {
		f.Add(string(r.Kind), r.bytes(), r.encode())
	}
	f.Fuzz(func(t *testing.T, kind string, key, value []byte) {
		if bucketOf[Kind(kind)] == nil {
			return
		}
		r, err := parse(Kind(kind), key, value)
		if err != nil {
			return
		}
		again, err := parse(r.Kind, r.bytes(), r.encode())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v became %+v: %v", r, again, err)
		}
	})
}
