package remote

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote/redistest"
)

// keeper is a member with a store.
type keeper struct {
	*node
	path  string
	order *OrderLog
	head  atomic.Pointer[store.Head]
	log   *syncBuffer

	*store.Store

	engine  sync.Mutex
	values  map[cascade.Key]string
	applied map[cascade.Key]time.Time
}

// syncBuffer is what a member has logged.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newKeeper runs a member over the file in a folder, "" is a new one.
func newKeeper(t testing.TB, way Redis, name, dir string) *keeper {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	k := &keeper{path: filepath.Join(dir, store.FileName), log: &syncBuffer{}, values: map[cascade.Key]string{}, applied: map[cascade.Key]time.Time{}}
	k.head.Store(&store.Head{})
	k.node = newNode(t, way, name, func(o *Options) {
		o.Describe = func() Member { return Member{Version: "v", Store: k.head.Load()} }
		o.Logger = slog.New(slog.NewTextHandler(k.log, nil))
	})
	k.order = k.OrderLog()
	k.Store = openStore(t, k.path, k.order, k.apply)
	k.Start(k.apply)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s stands %v, %v:\n%s", name, k.Head(), k.Standing(), k.log)
		}
		k.leave()
	})
	return k
}

func openStore(t testing.TB, path string, order store.Order, apply func(cascade.Batch, []store.Entry)) *store.Store {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if o, ok := order.(*OrderLog); ok {
		log = o.link.log
	}
	s, err := store.Open(store.Options{Path: path, Logger: log, Order: order})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Load(func(b cascade.Batch) error { apply(b, nil); return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

// leave ends the member; its file stays.
func (k *keeper) leave() {
	if err := k.Close(); err != nil {
		k.t.Error(err)
	}
	k.kill()
}

// apply is the engine of a member, with overrides only.
func (k *keeper) apply(b cascade.Batch, _ []store.Entry) {
	k.engine.Lock()
	defer k.engine.Unlock()
	if k.Store != nil { // else it is loading
		h := k.Head()
		k.head.Store(&h)
	}
	if b.Reset {
		clear(k.values)
	}
	for _, key := range b.DeleteOverrides {
		delete(k.values, key)
	}
	for _, o := range b.Overrides {
		k.values[o.Key], k.applied[o.Key] = o.Value, time.Now()
	}
}

// keyOf names an override by a text.
func keyOf(name string) cascade.Key {
	return cascade.Key{Subject: cascade.Subject{Context: 1, User: 2}, Property: name}
}

func (k *keeper) value(name string) (string, bool) {
	k.engine.Lock()
	defer k.engine.Unlock()
	v, ok := k.values[keyOf(name)]
	return v, ok
}

func change(name, value string) store.Change {
	key := keyOf(name)
	return store.Change{Key: store.OverrideKey(key.Subject, key.Property), Body: &store.Override{Value: value, Actor: "test", Time: time.UnixMilli(1).UTC()}}
}

func (k *keeper) put(name, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := k.Do(ctx, store.Write{Actor: "test", Action: "override.set", Changes: []store.Change{change(name, value)}})
	return err
}

func (k *keeper) mustPut(name, value string) {
	k.t.Helper()
	if err := k.put(name, value); err != nil {
		k.t.Fatalf("%s: %v\n%s", name, err, k.log)
	}
}

// contents are all records of the file, as text.
func (k *keeper) contents() string {
	k.t.Helper()
	var b strings.Builder
	for _, kind := range store.Kinds {
		list, more, err := k.List(kind, cascade.Subject{}, false, nil, 1_000_000, nil)
		if err != nil || more {
			k.t.Fatal(err)
		}
		for _, r := range list {
			text, err := json.Marshal(r)
			if err != nil {
				k.t.Fatal(err)
			}
			b.Write(append(text, '\n'))
		}
	}
	return b.String()
}

// settle waits until all members have the head of the cluster, and holds their
// files, their engines and what Redis has against each other.
func settle(t testing.TB, members ...*keeper) store.Head {
	t.Helper()
	var head store.Head
	wait(t, "the stores are one", func() bool {
		var ok, contested bool
		var err error
		head, ok, contested, err = members[0].order.Head(t.Context())
		if err != nil || !ok || contested {
			return false
		}
		for _, k := range members {
			if k.Standing() != nil || k.Head() != head {
				return false
			}
		}
		return true
	})
	want := members[0].contents()
	for _, k := range members[1:] {
		if got := k.contents(); got != want {
			t.Errorf("%v: %d and %d bytes of records", head, len(got), len(want))
		}
	}
	for _, k := range members {
		list, _, err := k.List(store.KindOverride, cascade.Subject{}, false, nil, 1_000_000, nil)
		if err != nil {
			t.Fatal(err)
		}
		k.engine.Lock()
		if len(k.values) != len(list) {
			t.Errorf("the engine of %s has %d overrides, its file %d", k.opts.Member, len(k.values), len(list))
		}
		for _, r := range list {
			if v := k.values[cascade.Key{Subject: r.Subject(), Property: r.Name}]; v != r.Body.(*store.Override).Value {
				t.Errorf("%s: the engine has %q for %s", k.opts.Member, v, r.Key)
			}
		}
		k.engine.Unlock()
	}
	var lines []string
	if _, err := members[0].order.Snapshot(t.Context(), func(list []store.Record) error {
		for i := range list {
			text, err := json.Marshal(&list[i])
			if err != nil {
				return err
			}
			lines = append(lines, string(text))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	have := strings.Split(strings.TrimSuffix(want, "\n"), "\n")
	slices.Sort(have)
	slices.Sort(lines)
	if want != "" && !slices.Equal(slices.Compact(lines), have) {
		t.Errorf("Redis has %d records, the members %d", len(lines), len(have))
	}
	return head
}

func quantiles(took []time.Duration) string {
	slices.Sort(took)
	return fmt.Sprintf("p50 %v, p99 %v, max %v", took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// What one member writes, another has soon.
func TestOrderFollow(t *testing.T) {
	s := redistest.Start(t)
	a, b := newKeeper(t, way(s), "a", ""), newKeeper(t, way(s), "b", "")
	settle(t, a, b)
	var acknowledged, seen []time.Duration
	for i := range 200 {
		name, start := "p"+strconv.Itoa(i), time.Now()
		a.mustPut(name, "v")
		acknowledged = append(acknowledged, time.Since(start))
		wait(t, "the other has it", func() bool { _, ok := b.value(name); return ok })
		b.engine.Lock()
		seen = append(seen, b.applied[keyOf(name)].Sub(start))
		b.engine.Unlock()
	}
	settle(t, a, b)
	t.Logf("acknowledged: %s; in force on the other member: %s", quantiles(acknowledged), quantiles(seen))
	if seen[len(seen)*99/100] > time.Second {
		t.Error("it takes too long")
	}
	if n := a.order.Stats(); n.Appends < 200 || n.Failed > 0 || n.Unreadable > 0 {
		t.Errorf("stats %+v", n)
	}
}

// Writers on three members are in one order; of those that create the same
// thing one does.
func TestOrderTogether(t *testing.T) {
	s := redistest.Start(t)
	members := []*keeper{newKeeper(t, way(s), "a", ""), newKeeper(t, way(s), "b", ""), newKeeper(t, way(s), "c", "")}
	settle(t, members...)
	const writers, writes = 4, 25
	var created [writes]atomic.Int64
	var work sync.WaitGroup
	start := time.Now()
	for m, k := range members {
		for w := range writers {
			work.Go(func() {
				for i := range writes {
					if err := k.put(fmt.Sprintf("p%d.%d.%d", m, w, i), "v"); err != nil {
						t.Errorf("%v", err)
					}
					c := change("same"+strconv.Itoa(i), fmt.Sprint(m, w))
					c.If = new(uint64)
					_, err := k.Do(t.Context(), store.Write{Changes: []store.Change{c}})
					switch {
					case err == nil:
						created[i].Add(1)
					case !errors.As(err, new(*store.ConditionError)):
						t.Error(err)
					}
				}
			})
		}
	}
	work.Wait()
	took := time.Since(start)
	head := settle(t, members...)
	if want := uint64(len(members)*writers*writes + writes); head.Revision != want {
		t.Errorf("revision %d, want %d", head.Revision, want)
	}
	for i := range created {
		if n := created[i].Load(); n != 1 {
			t.Errorf("created %d times", n)
		}
	}
	t.Logf("%d writes in %v, made again %d times", head.Revision, took, members[0].order.Stats().Behind+members[1].order.Stats().Behind+members[2].order.Stats().Behind)
}

// A member that was away replays what it has missed, one that is new all there
// is; where the log is too short they take the state, and where nobody knows
// any more where they were they say so.
func TestOrderAway(t *testing.T) {
	s := redistest.Start(t)
	redis := s.Client()
	a := newKeeper(t, way(s), "a", "")
	dir := t.TempDir()
	b := newKeeper(t, way(s), "b", dir)
	settle(t, a, b)
	a.mustPut("gone", "v")
	settle(t, a, b)
	b.leave()
	for i := range 600 {
		a.mustPut("p"+strconv.Itoa(i), "v")
	}
	if _, err := a.Do(t.Context(), store.Write{Changes: []store.Change{{Key: change("gone", "").Key}}}); err != nil {
		t.Fatal(err)
	}
	b = newKeeper(t, way(s), "b", dir)
	c := newKeeper(t, way(s), "c", "")
	settle(t, a, b, c)
	if b.Stats().Resyncs+c.Stats().Resyncs != 0 {
		t.Error("the state was taken although the log was there")
	}

	// More than the log keeps.
	b.leave()
	old := filepath.Join(t.TempDir(), store.FileName)
	copyFile(t, b.path, old)
	for i := range 50 {
		a.mustPut("q"+strconv.Itoa(i), "v")
	}
	if err := redis.XTrimMaxLen(t.Context(), a.order.keys.log, 5).Err(); err != nil {
		t.Fatal(err)
	}
	b = newKeeper(t, way(s), "b", dir)
	d := newKeeper(t, way(s), "d", "")
	head := settle(t, a, b, c, d)
	if b.Stats().Resyncs != 1 || d.Stats().Resyncs != 1 {
		t.Errorf("resyncs %d and %d", b.Stats().Resyncs, d.Stats().Resyncs)
	}
	if e, err := d.EntryOf(head.Revision); err != nil || e == nil {
		t.Errorf("the new member has no log: %v", err)
	}
	if list, _ := filepath.Glob(b.path + ".*"); len(list) > 0 {
		t.Errorf("copies of a file that had nothing of its own: %v", list)
	}
	b.mustPut("after", "v")
	settle(t, a, b, c, d)

	// More than is known of.
	if err := redis.XTrimMaxLen(t.Context(), a.order.keys.past, 5).Err(); err != nil {
		t.Fatal(err)
	}
	e := newKeeper(t, way(s), "e", filepath.Dir(old))
	wait(t, "it refuses", func() bool { return errors.As(e.Standing(), new(*store.DivergedError)) })
	if v, ok := e.value("p1"); !ok || v != "v" {
		t.Error("look-ups do not go on")
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var torture = flag.Bool("torture", false, "full counts instead of short rounds")

// A large write is one, in the full round of the largest size; the log in Redis
// then stays within its bytes.
func TestOrderLarge(t *testing.T) {
	records, size := store.MaxChanges/10, 25<<10
	if *torture {
		records, size = store.MaxChanges, 250<<10
	}
	s := redistest.Start(t)
	slow := way(s)
	slow.CommandTimeout = 10 * time.Second
	a, b := newKeeper(t, slow, "a", ""), newKeeper(t, slow, "b", "")
	settle(t, a, b)
	var w store.Write
	for i := range records {
		w.Changes = append(w.Changes, change("p"+strconv.Itoa(i), "v"))
	}
	start := time.Now()
	if _, err := a.Do(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	settle(t, a, b)
	t.Logf("%d records in %v, on both in %v", records, took, time.Since(start))
	value := strings.Repeat("x", size)
	for i := range 6 {
		w.Changes = w.Changes[:0]
		for j := range 48 {
			w.Changes = append(w.Changes, change(fmt.Sprint("big", j), value+strconv.Itoa(i)))
		}
		if i > 0 { // before and after are both in the entry
			w.Changes = w.Changes[:24]
		}
		if _, err := a.Do(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, a, b)
	redis := s.Client()
	kept := 0
	list, err := redis.XRange(t.Context(), a.order.keys.log, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		text, _ := e.Values[orderText].(string)
		kept += len(text)
	}
	if kept > orderBytes || *torture && kept < orderBytes/2 {
		t.Errorf("the log has %d bytes in %d entries", kept, len(list))
	}
	c := newKeeper(t, slow, "c", "")
	settle(t, a, b, c)
}
