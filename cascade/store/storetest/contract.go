package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/testkit"
)

// Cluster opens members over one truth, which is new for each Cluster.
type Cluster func(t *testing.T) (open func(path string) *Member)

var (
	acme   = store.ContextKey(1337)
	one    = store.UserKey(1337, 17)
	wide   = cascade.Subject{Context: 1337}
	narrow = cascade.Subject{Context: 1337, User: 17}
)

func put(k store.Key, body any) store.Change { return store.Change{Key: k, Body: body} }

func revision(n uint64) *uint64 { return &n }

// Contract holds a make to what every make does.
func Contract(t *testing.T, cluster Cluster) {
	for name, test := range map[string]func(*testing.T, func(string) *Member){
		"conditions": conditions, "tombstones": tombstones, "together": together, "bytes": bytesOfKeys, "named": named,
		"reopen": reopen, "lists": lists, "follow": follow, "large": large, "tokens": tokens, "beside": beside,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, cluster(t))
		})
	}
}

// do makes a write, and asks again by its name while it is not known to be done: a
// large one on a busy machine takes longer than a client waits.
func do(t testing.TB, m *Member, changes ...store.Change) store.Entry {
	t.Helper()
	w := store.Write{Actor: "test", Reason: "r", Action: "a", Request: store.NewRequest(), Changes: changes}
	e, err := m.Do(t.Context(), w)
	for start := time.Now(); errors.Is(err, store.ErrUnconfirmed) && time.Since(start) < patience; {
		e, err = m.Do(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A write is done whole or not at all, and says why not.
func conditions(t *testing.T, open func(string) *Member) {
	m := open("").Ready(t)
	do(t, m, put(acme, &store.Context{Enabled: true}))
	before := m.Head()
	for _, c := range []struct {
		name    string
		changes []store.Change
		want    any
	}{
		{"created twice", []store.Change{{Key: acme, Body: &store.Context{}, If: revision(0)}}, new(*store.ConditionError)},
		{"stale", []store.Change{{Key: acme, Body: &store.Context{}, If: revision(7)}}, new(*store.ConditionError)},
		{"not there", []store.Change{{Key: one}}, new(*store.NotFoundError)},
		{"second is wrong", []store.Change{Set(wide, "p", "x"), {Key: one}}, new(*store.NotFoundError)},
		{"twice", []store.Change{Set(wide, "p", ""), Set(wide, "p", "")}, new(*store.BadWriteError)},
		{"below what goes", []store.Change{{Key: acme}, {Key: acme}}, new(*store.BadWriteError)},
		{"nothing", nil, new(*store.BadWriteError)},
		{"no such kind", []store.Change{put(store.Key{Kind: "x"}, &store.User{})}, new(*store.BadWriteError)},
		{"another body", []store.Change{put(acme, &store.User{})}, new(*store.BadWriteError)},
		{"no id", []store.Change{put(store.ContextKey(0), &store.Context{})}, new(*store.BadWriteError)},
	} {
		for _, dry := range []bool{true, false} {
			_, err := m.Do(t.Context(), store.Write{Changes: c.changes, DryRun: dry})
			if !errors.As(err, c.want) {
				t.Errorf("%s, dry %v: %v", c.name, dry, err)
			}
		}
	}
	if r, err := m.Get(store.OverrideKey(wide, "p")); r != nil || err != nil || m.Head() != before {
		t.Errorf("something was done: %+v %v, %v", r, err, m.Head())
	}
	if e := do(t, m, store.Change{Key: acme, Body: &store.Context{Name: "n"}, If: revision(before.Revision)}); e.Changes[0].Before == nil {
		t.Errorf("nothing before: %+v", e)
	}
}

// A deleted context takes its users and overrides along and leaves tombstones.
func tombstones(t *testing.T, open func(string) *Member) {
	m := open("").Ready(t)
	do(t, m, put(acme, &store.Context{Enabled: true}), put(one, &store.User{Enabled: true}), Set(narrow, "p", "x"), Set(wide, "p", "y"),
		put(store.ContextKey(133), &store.Context{}), Set(cascade.Subject{Context: 133}, "p", "z"), Set(cascade.Subject{Context: 1337, User: 170}, "p", "x"))
	if e := do(t, m, store.Change{Key: one}); len(e.Changes) != 2 {
		t.Errorf("a user went with %+v", e.Changes)
	}
	if e := do(t, m, store.Change{Key: acme}); len(e.Changes) != 3 {
		t.Errorf("a context went with %+v", e.Changes)
	}
	for k, deleted := range map[store.Key]bool{acme: true, one: true} {
		if r, err := m.Get(k); err != nil || r == nil || r.Deleted != deleted {
			t.Errorf("%s: %+v %v", k, r, err)
		}
	}
	if list, more, err := m.List(store.KindOverride, cascade.Subject{}, false, nil, 10, nil); err != nil || more || len(list) != 1 {
		t.Errorf("overrides left: %v %v %v", list, more, err)
	}
	if v := m.Values(); len(v) != 1 {
		t.Errorf("in force: %v", v)
	}
	if e := do(t, m, store.Change{Key: acme, Forget: true}); len(e.Changes) != 1 || e.Changes[0].After != nil {
		t.Errorf("forgotten: %+v", e.Changes)
	}
	testkit.Poll(t, "the records are counted", func() bool {
		n := m.Stats().Records
		return n[store.KindContext] == 1 && n[store.KindUser] == 0 && n[store.KindOverride] == 1
	})
}

// Writers that come together are in the log and at the engine in one order,
// without a gap.
func together(t *testing.T, open func(string) *Member) {
	a, b := open("").Ready(t), open("").Ready(t)
	const writers, writes = 8, 15
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			m := []*Member{a, b}[w%2]
			for i := range writes {
				if _, err := m.Put(t.Context(), cascade.Subject{Context: uint32(1 + i%3)}, "p", fmt.Sprint(w, "-", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, m := range []*Member{a, b} {
		testkit.Poll(t, "the member has all", func() bool { return m.Head().Revision == writers*writes })
		list, next, err := m.Log(0, writers*writes+1, nil)
		if err != nil || next != 0 || len(list) != writers*writes {
			t.Fatalf("%d entries, %d, %v", len(list), next, err)
		}
		for i, e := range list {
			if e.Revision != uint64(writers*writes-i) {
				t.Fatalf("entry %d has revision %d", i, e.Revision)
			}
		}
	}
	if a.Head() != b.Head() || !reflect.DeepEqual(a.Values(), b.Values()) {
		t.Errorf("%v and %v", a.Head(), b.Head())
	}
}

// Keys are bytes: nothing folds them, and values come back as they were.
func bytesOfKeys(t *testing.T, open func(string) *Member) {
	m, other := open("").Ready(t), open("").Ready(t)
	names := []string{"a", "A", "ä", "Ä", "a ", "ss", "ß", "a\u0301", "á", "e'\"\\%_;-- ", "\U0001f600", strings.Repeat("n", cascade.MaxNameLen)}
	var changes []store.Change
	for i, n := range names {
		changes = append(changes, Set(narrow, n, "value "+strconv.Itoa(i)+" of \x00\u2028 '\"\\ "+n))
	}
	do(t, m, changes...)
	for _, x := range []*Member{m, other} {
		testkit.Poll(t, "all are in force", func() bool { return len(x.Values()) == len(names) })
		for i, n := range names {
			want := "value " + strconv.Itoa(i) + " of \x00\u2028 '\"\\ " + n
			if v, _ := x.Value(narrow, n); v != want {
				t.Errorf("%q is %q", n, v)
			}
			if r, err := x.Get(store.OverrideKey(narrow, n)); err != nil || r == nil || r.Body.(*store.Override).Value != want {
				t.Errorf("%q: %+v %v", n, r, err)
			}
		}
	}
	do(t, m, store.Change{Key: store.OverrideKey(narrow, "A")})
	if v, ok := m.Value(narrow, "a"); !ok {
		t.Errorf("a went with A: %q", v)
	}
}

// A write that is asked again by its name is done once, wherever.
func named(t *testing.T, open func(string) *Member) {
	a, b := open("").Ready(t), open("").Ready(t)
	w := store.Write{Actor: "x", Reason: "r", Action: "a", Request: "request-1", Changes: []store.Change{Set(wide, "p", "1")}}
	first, err := a.Do(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Member{a, b, a} {
		again, err := m.Do(t.Context(), w)
		if err != nil || again.Revision != first.Revision {
			t.Errorf("revision %d, was %d: %v", again.Revision, first.Revision, err)
		}
	}
	w.Reason = "another"
	if _, err := b.Do(t.Context(), w); !errors.As(err, new(*store.BadWriteError)) {
		t.Errorf("another write of the same name: %v", err)
	}
	w.Request = strings.Repeat("x", store.MaxRequest+1)
	if _, err := b.Do(t.Context(), w); !errors.As(err, new(*store.BadWriteError)) {
		t.Errorf("a long name: %v", err)
	}
	var wg sync.WaitGroup
	w.Request = "request-2"
	for i := range 8 {
		wg.Go(func() {
			if _, err := []*Member{a, b}[i%2].Do(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if e := do(t, a, Set(wide, "q", "1")); e.Revision != 3 {
		t.Errorf("revision %d after 3 writes", e.Revision)
	}
}

// A change of the platform's database is an entry without records, on all members.
func beside(t *testing.T, open func(string) *Member) {
	a, b := open("").Ready(t), open("").Ready(t)
	before, after := "true", "false; protected=false"
	c := store.PlatformChange{Context: 7, Attribute: "config/p", Table: "oxdb_5.contextAttribute", Before: &before, After: &after}
	w := store.Write{Actor: "x", Reason: "r", Action: "a", Platform: &c}
	for _, m := range []*Member{a, b} {
		e, err := m.Do(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []*Member{a, b} {
			testkit.Poll(t, "the entry is there", func() bool {
				e, err := m.EntryOf(e.Revision)
				return err == nil && e != nil && reflect.DeepEqual(e.Platform, &c) && len(e.Changes) == 0
			})
		}
	}
	if _, err := a.Do(t.Context(), store.Write{Actor: "x", Reason: "r", Action: "a"}); !errors.As(err, new(*store.BadWriteError)) {
		t.Errorf("a write of nothing: %v", err)
	}
}

// What was written is there after the file was opened again, in all its parts.
func reopen(t *testing.T, open func(string) *Member) {
	m := open("").Ready(t)
	at := time.Date(2026, 11, 23, 1, 2, 3, 4e6, time.UTC)
	bodies := map[store.Key]any{
		acme:                            &store.Context{Name: "acme", Enabled: true, Tags: []string{"a", "ü"}},
		one:                             &store.User{Enabled: true, Permissions: []string{"WebMail"}},
		store.OverrideKey(narrow, "p"):  &store.Override{Value: "false", Final: "user", Protected: true, Reason: "why\n", Actor: "me", Time: at, Expires: &at},
		store.OverrideKey(wide, "p"):    &store.Override{Value: "", Time: at},
		store.TokenKey("backup"):        &store.Token{Role: "viewer", Hash: make([]byte, sha256.Size), Actor: "me", Created: at},
		store.ContextKey(cascade.MaxID): &store.Context{Name: "last", Tags: []string{}},
	}
	var w []store.Change
	for k, b := range bodies {
		w = append(w, put(k, b))
	}
	entry := do(t, m, w...)
	head := m.Head()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open(m.Path)
	if m.Head() != head {
		t.Errorf("head %v, was %v", m.Head(), head)
	}
	for k, want := range bodies {
		r, err := m.Get(k)
		if err != nil || r == nil || !reflect.DeepEqual(r.Body, want) || r.Revision != entry.Revision {
			t.Errorf("%s: %+v %v, want %+v", k, r, err, want)
		}
	}
	if name, token, ok := m.Token([32]byte{}); !ok || name != "backup" || token.Role != "viewer" {
		t.Errorf("token %q %+v %v", name, token, ok)
	}
	back, err := m.EntryOf(entry.Revision)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(entry)
	y, _ := json.Marshal(back)
	if string(x) != string(y) {
		t.Errorf("entry\n%s\nwas\n%s", y, x)
	}
}

// Lists show what was written before them.
func lists(t *testing.T, open func(string) *Member) {
	m := open("").Ready(t)
	for i := 1; i <= 30; i++ {
		do(t, m, put(store.UserKey(7, uint32(i)), &store.User{Enabled: true}))
		list, _, err := m.List(store.KindUser, cascade.Subject{Context: 7}, false, nil, 100, nil)
		if err != nil || len(list) != i {
			t.Fatalf("%d of %d, %v", len(list), i, err)
		}
	}
	after := store.UserKey(7, 10)
	list, more, err := m.List(store.KindUser, cascade.Subject{Context: 7}, false, &after, 5, nil)
	if err != nil || !more || len(list) != 5 || list[0].User != 11 {
		t.Errorf("%v %v %v", list, more, err)
	}
}

// What one member writes is in force on another, in order; one that comes later
// gets it all, the audit log too.
func follow(t *testing.T, open func(string) *Member) {
	a, b := open("").Ready(t), open("").Ready(t)
	for i := range 40 {
		if _, err := a.Put(t.Context(), wide, "p", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if v, _ := a.Value(wide, "p"); v != "39" {
		t.Errorf("a member does not see its own write: %q", v)
	}
	testkit.Poll(t, "the other member has it", func() bool { v, _ := b.Value(wide, "p"); return v == "39" })
	c := open("").Ready(t)
	testkit.Poll(t, "a new member has it", func() bool { return c.Head() == a.Head() })
	list, _, err := c.Log(0, 100, nil)
	if err != nil || len(list) != 40 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

// Writes at the limits of what is taken.
func large(t *testing.T, open func(string) *Member) {
	a, b := open("").Ready(t), open("").Ready(t)
	value := strings.Repeat("'\\\x00\u00fc", cascade.MaxValueLen/5)
	do(t, a, Set(wide, "p", value), Set(narrow, "p", value))
	var many []store.Change
	for i := range 5000 {
		many = append(many, Set(cascade.Subject{Context: 7, User: uint32(i + 1)}, "com.openexchange.example", "v"))
	}
	do(t, a, many...)
	testkit.Poll(t, "the other member has them", func() bool { return len(b.Values()) == 5002 })
	if v, _ := b.Value(wide, "p"); v != value {
		t.Error("the value differs from what was written")
	}
	do(t, b, put(store.ContextKey(7), &store.Context{}))
	if e := do(t, b, store.Change{Key: store.ContextKey(7)}); len(e.Changes) != 5001 {
		t.Errorf("%d changes", len(e.Changes))
	}
	testkit.Poll(t, "they are gone", func() bool { return len(a.Values()) == 2 })
}

// A token that one member makes is good on another, until it is deleted.
func tokens(t *testing.T, open func(string) *Member) {
	a, b := open("").Ready(t), open("").Ready(t)
	hash := sha256.Sum256([]byte("t"))
	do(t, a, put(store.TokenKey("t"), &store.Token{Role: "editor", Hash: hash[:], Actor: "me", Created: time.UnixMilli(1).UTC()}))
	for _, m := range []*Member{a, b} {
		testkit.Poll(t, "the token is good", func() bool { _, _, ok := m.Token(hash); return ok })
	}
	do(t, b, store.Change{Key: store.TokenKey("t")})
	for _, m := range []*Member{a, b} {
		testkit.Poll(t, "it is not any more", func() bool { _, _, ok := m.Token(hash); return !ok })
	}
}
