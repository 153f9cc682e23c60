package cascade

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestExpiry lets overrides end on time, also one that ends later than the
// engine sleeps at most, and explains them afterwards.
func TestExpiry(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.properties", "p=server\n")
	schema := testSchema(t)
	synctest.Test(t, func(t *testing.T) {
		e := openEngine(t, Options{Roots: []string{dir}, Schema: schema})
		start := time.Now()
		key := func(user uint32) Key { return Key{Subject: Subject{Context: 1, User: user}, Property: "p"} }
		var batch Batch
		ends := map[uint32]time.Duration{1: time.Second, 2: maxExpirySleep - time.Millisecond, 3: maxExpirySleep + 30*time.Second, 4: 25 * time.Hour, 5: -time.Second}
		for user, after := range ends {
			batch.Overrides = append(batch.Overrides, Override{Key: key(user), Value: "own", Expires: start.Add(after)})
		}
		must(t, e.Apply(batch))
		// The part of Run that the kernel's events have no part in.
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.expireOnTime(ctx) })
		told := 0
		defer e.OnSwap(func(_, _ *Snapshot) { told++ })()
		check := func() {
			t.Helper()
			synctest.Wait()
			for user, after := range ends {
				v, _ := e.Snapshot().Get(key(user).Subject, "p")
				if expired := time.Since(start) >= after; expired != (v.Text == "server") {
					t.Errorf("after %v the override that ends after %v resolves to %s", time.Since(start), after, v.Text)
				}
			}
		}
		check()
		for _, at := range []time.Duration{999, 1000, 59_998, 59_999, 89_999, 90_000, 25*3600*1000 - 1, 25 * 3600 * 1000} {
			time.Sleep(time.Until(start.Add(at * time.Millisecond)))
			check()
		}
		if told != 4 {
			t.Errorf("%d swaps for 4 ends", told)
		}
		// One that comes later and ends sooner.
		must(t, e.Apply(Batch{Overrides: []Override{{Key: key(1), Value: "again", Expires: time.Now().Add(time.Hour)}}}))
		ends = map[uint32]time.Duration{1: time.Since(start) + time.Hour}
		check()
		time.Sleep(time.Hour)
		check()
		x := e.Snapshot().Explain(Subject{Context: 1, User: 1}, "p", ExplainOptions{})
		if x.Steps[0].Status != Expired || *x.Steps[0].Value != "again" {
			t.Errorf("steps %+v", x.Steps)
		}
		cancel()
		running.Wait()
	})
}

// TestExpiryNeedsRun holds what Open says of an engine that is not run.
func TestExpiryNeedsRun(t *testing.T) {
	dir, schema := t.TempDir(), testSchema(t)
	synctest.Test(t, func(t *testing.T) {
		e := openEngine(t, Options{Roots: []string{dir}, Schema: schema})
		key := Key{Subject: Subject{Context: 1, User: 1}, Property: "p"}
		must(t, e.Apply(Batch{Overrides: []Override{{Key: key, Value: "own", Expires: time.Now().Add(time.Second)}}}))
		time.Sleep(time.Hour)
		if v, _ := e.Snapshot().Get(key.Subject, "p"); v.Text != "own" {
			t.Errorf("p is %q", v.Text)
		}
	})
}

// TestExpiryWhileRunning lets an override end in an engine that runs.
func TestExpiryWhileRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "d.yml", fmt.Sprintf("contexts:\n  - id: 1\n    config: {p: {value: own, expires: %s}}\n", time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano)))
	root := mkdir(t, in(dir, "etc"))
	e := running(t, Options{Roots: []string{root}, Source: NewDirectoryFile(in(dir, "d.yml"))})
	get := func() string { v, _ := e.Snapshot().Get(Subject{Context: 1}, "p"); return v.Text }
	if got := get(); got != "own" {
		t.Fatalf("p is %q: %v", got, e.Status())
	}
	within(t, 4*time.Second, "the end", func() bool { return get() == "" })
	// A reload of the same file does not bring it back.
	write(t, root, "a.properties", "a=1\n")
	within(t, saveLimit, "a reload", func() bool { return text(e.Snapshot(), "a") == "1" })
	if got := get(); got != "" {
		t.Errorf("p is %q", got)
	}
}

// TestAccount holds the table of who is served.
func TestAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openEngine(t, Options{Roots: []string{dir}})
	must(t, e.Apply(Batch{
		Contexts: []Context{{ID: 1, Enabled: true}, {ID: 2}, {ID: 3, Enabled: true}, {ID: 5, Enabled: true}},
		Users:    []User{{Context: 1, ID: 1, Enabled: true}, {Context: 1, ID: 2}, {Context: 1, ID: 4, Enabled: true}, {Context: 2, ID: 1, Enabled: true}, {Context: 3, ID: 1, Enabled: true}, {Context: 9, ID: 1, Enabled: true}},
		Overrides: []Override{
			{Key: Key{Subject: Subject{Context: 3}, Property: "p"}, Value: "1"},
			{Key: Key{Subject: Subject{Context: 3, User: 1}, Property: "p"}, Value: "1"},
			{Key: Key{Subject: Subject{Context: 1, User: 4}, Property: "p"}, Value: "1"},
		},
	}))
	must(t, e.Apply(Batch{DeleteContexts: []uint32{3, 4}, DeleteUsers: []Subject{{Context: 1, User: 4}, {Context: 1, User: 5}}}))
	for _, c := range []struct {
		su           Subject
		open, strict Account
	}{
		{Subject{Context: 1, User: 0}, AccountOpen, AccountOpen},
		{Subject{Context: 1, User: 1}, AccountOpen, AccountOpen},
		{Subject{Context: 1, User: 2}, UserDisabled, UserDisabled},
		{Subject{Context: 1, User: 3}, AccountOpen, UserUnknown},
		{Subject{Context: 1, User: 4}, UserDeleted, UserDeleted},
		{Subject{Context: 1, User: 5}, UserDeleted, UserDeleted},
		{Subject{Context: 2, User: 0}, ContextDisabled, ContextDisabled},
		{Subject{Context: 2, User: 1}, ContextDisabled, ContextDisabled},
		{Subject{Context: 3, User: 0}, ContextDeleted, ContextDeleted},
		{Subject{Context: 3, User: 1}, ContextDeleted, ContextDeleted},
		{Subject{Context: 4, User: 7}, ContextDeleted, ContextDeleted},
		{Subject{Context: 5, User: 0}, AccountOpen, AccountOpen},
		{Subject{Context: 8, User: 0}, AccountOpen, ContextUnknown},
		{Subject{Context: 8, User: 1}, AccountOpen, ContextUnknown},
		{Subject{Context: 9, User: 1}, AccountOpen, ContextUnknown},
	} {
		for strict, want := range map[string]Account{"false": c.open, "true": c.strict} {
			write(t, dir, "s.properties", PropStrict+"="+strict+"\n")
			reload(t, e)
			if got := e.Snapshot().Account(c.su); got != want {
				t.Errorf("%v, strict %s: %d, want %d", c.su, strict, got, want)
			}
		}
	}
	// What is put again is open again, and none of its overrides is back.
	must(t, e.Apply(Batch{Contexts: []Context{{ID: 3, Enabled: true}}, Users: []User{{Context: 1, ID: 4, Enabled: true}}}))
	for _, su := range []Subject{{Context: 3, User: 0}, {Context: 1, User: 4}} {
		if v, ok := e.Snapshot().Get(su, "p"); e.Snapshot().Account(su) != AccountOpen || ok {
			t.Errorf("%v: account %d, p is %q", su, e.Snapshot().Account(su), v.Text)
		}
	}
	if got := e.Snapshot().Account(Subject{Context: 3, User: 1}); got != UserDeleted {
		t.Errorf("a user of a context that was deleted: %d", got)
	}
}
