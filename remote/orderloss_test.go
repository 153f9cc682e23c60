package remote

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote/redistest"
)

// load are writers that note what was acknowledged.
type load struct {
	stop chan struct{}
	work sync.WaitGroup

	mu    sync.Mutex
	acked []string
	errs  map[string]int // by what they are
}

// write has each member write what nobody else writes, until end.
func write(t *testing.T, members ...*keeper) *load {
	l := &load{stop: make(chan struct{}), errs: make(map[string]int)}
	for _, k := range members {
		for w := range 2 {
			l.work.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-l.stop:
						return
					default:
					}
					name := fmt.Sprintf("%s.%d.%s.%d", k.opts.Member, w, newIncarnation(), i)
					err := k.put(name, "v")
					l.mu.Lock()
					switch {
					case err == nil:
						l.acked = append(l.acked, name)
					case errors.Is(err, store.ErrUnconfirmed):
						l.errs["unconfirmed"]++
					case errors.As(err, new(*store.UnavailableError)):
						l.errs["unavailable"]++
					default:
						l.errs[err.Error()]++
						t.Errorf("%s: %v", name, err)
					}
					l.mu.Unlock()
				}
			})
		}
	}
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// more waits until that many further writes were acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	n += l.count()
	wait(t, "writes go on", func() bool { return l.count() >= n })
}

// end stops the writers; all members must have what was acknowledged.
func (l *load) end(t *testing.T, members ...*keeper) {
	t.Helper()
	close(l.stop)
	l.work.Wait()
	settle(t, members...)
	lost := 0
	for _, name := range l.acked {
		for _, k := range members {
			if _, ok := k.value(name); !ok {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("of %d acknowledged writes %d are not there", len(l.acked), lost)
	}
	t.Logf("%d writes acknowledged, others: %v", len(l.acked), l.errs)
}

func three(t *testing.T, way Redis) []*keeper {
	t.Helper()
	members := []*keeper{newKeeper(t, way, "a", ""), newKeeper(t, way, "b", ""), newKeeper(t, way, "c", "")}
	settle(t, members...)
	return members
}

// A Redis that is emptied, or dies without having kept anything, while all
// members write: it gets everything back.
func TestOrderLoss(t *testing.T) {
	s := redistest.Start(t)
	members := three(t, way(s))
	l := write(t, members...)
	for round := range 6 {
		l.more(t, 50)
		start := time.Now()
		if round%2 == 0 {
			if err := s.Client().FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		} else {
			s.Kill()
			s.Restart()
		}
		l.more(t, 1)
		t.Logf("round %d: writes go on after %v", round, time.Since(start))
	}
	l.more(t, 50)
	l.end(t, members...)
}

// A Redis that comes back with an older state gets what it lacks.
func TestOrderOlder(t *testing.T) {
	s := redistest.Start(t)
	redis := s.Client()
	members := three(t, way(s))
	for round := range 4 {
		l := write(t, members...)
		l.more(t, 30)
		keys := members[0].order.keys
		dump := make(map[string]string)
		names := []string{keys.head, keys.log, keys.state, keys.past}
		pipe := redis.TxPipeline()
		for _, key := range names {
			pipe.Dump(t.Context(), key)
		}
		answers, err := pipe.Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, key := range names {
			dump[key] = answers[i].(interface{ Val() string }).Val()
		}
		l.more(t, 30)
		if round%2 == 0 {
			close(l.stop)
			l.work.Wait()
			settle(t, members...)
		}
		pipe = redis.TxPipeline()
		pipe.FlushAll(t.Context())
		for _, key := range names {
			pipe.Restore(t.Context(), key, 0, dump[key])
		}
		start := time.Now()
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 {
			l.stop = make(chan struct{})
		} else {
			l.more(t, 30)
		}
		l.end(t, members...)
		t.Logf("one again after %v", time.Since(start))
	}
}

// A member that has decided things alone gives them to a Redis that is new.
func TestOrderFirst(t *testing.T) {
	s := redistest.Start(t)
	dir := t.TempDir()
	alone(t, dir, 700)
	b := newKeeper(t, way(s), "b", "")
	a := newKeeper(t, way(s), "a", dir)
	head := settle(t, a, b)
	if head.Revision != 700 {
		t.Errorf("head %v", head)
	}
	b.mustPut("after", "v")
	settle(t, a, b)
}

// alone makes a file of a member that is alone, with n writes.
func alone(t *testing.T, dir string, n int) {
	t.Helper()
	ignore := func(cascade.Batch, []store.Entry) {}
	s := openStore(t, filepath.Join(dir, store.FileName), nil, ignore)
	s.Start(ignore)
	var work sync.WaitGroup
	for i := range n {
		work.Go(func() {
			w := store.Write{Actor: dir, Changes: []store.Change{change("alone"+strconv.Itoa(i), dir)}}
			if _, err := s.Do(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Of two members that have decided things alone the second refuses, until
// somebody says whose count; then all have the same.
func TestOrderDiverged(t *testing.T) {
	s := redistest.Start(t)
	for _, keep := range []store.Keep{store.KeepMember, store.KeepCluster} {
		t.Run(string(keep), func(t *testing.T) {
			if err := s.Client().FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			dirA, dirB := t.TempDir(), t.TempDir()
			alone(t, dirA, 20)
			alone(t, dirB, 10)
			a := newKeeper(t, way(s), "a", dirA)
			settle(t, a)
			b, c := newKeeper(t, way(s), "b", dirB), newKeeper(t, way(s), "c", "")
			mine, theirs := b.Head(), a.Head()
			var diverged *store.DivergedError
			wait(t, "the second refuses", func() bool { return errors.As(b.Standing(), &diverged) })
			if diverged.Mine != mine || diverged.Cluster != theirs || !strings.Contains(diverged.Error(), "revision 10 ") || !strings.Contains(diverged.Error(), "revision 20 ") {
				t.Errorf("%v", diverged)
			}
			if err := b.put("refused", "v"); !errors.As(err, &diverged) {
				t.Errorf("a write: %v", err)
			}
			if v, _ := b.value("alone1"); v != dirB {
				t.Error("look-ups do not go on")
			}
			if _, err := b.Resolve(t.Context(), "both"); !errors.As(err, new(*store.BadWriteError)) {
				t.Errorf("%v", err)
			}
			if _, err := a.Resolve(t.Context(), keep); !errors.As(err, new(*store.BadWriteError)) {
				t.Errorf("%v", err)
			}
			settle(t, a, c)
			// Writes of the others do not keep it from being decided.
			l := write(t, a, c)
			l.more(t, 20)
			backup, err := b.Resolve(t.Context(), keep)
			if err != nil {
				t.Fatal(err)
			}
			l.more(t, 20)
			close(l.stop)
			l.work.Wait()
			head := settle(t, a, b, c)
			want, copied := dirA, backup
			if keep == store.KeepMember {
				want, copied = dirB, ""
				if head.Epoch != 1 {
					t.Errorf("head %v", head)
				}
				list, err := filepath.Glob(a.path + ".diverged-*")
				if err != nil || len(list) != 1 {
					t.Fatalf("copies of what was dropped: %v %v", list, err)
				}
				copied = list[0]
			}
			for _, k := range []*keeper{a, b, c} {
				if v, _ := k.value("alone1"); v != want {
					t.Errorf("%s has %q", k.opts.Member, v)
				}
			}
			old := openStore(t, copied, nil, func(cascade.Batch, []store.Entry) {})
			r, err := old.Get(store.OverrideKey(keyOf("alone1").Subject, "alone1"))
			if err != nil || r == nil || r.Body.(*store.Override).Value == want {
				t.Errorf("the copy has %+v: %v", r, err)
			}
			if err := old.Close(); err != nil {
				t.Error(err)
			}
			b.mustPut("after", "v")
			settle(t, a, b, c)
		})
	}
}

// What was refused does not come in because Redis has lost the rest.
func TestOrderDivergedLoss(t *testing.T) {
	s := redistest.Start(t)
	dirA, dirB := t.TempDir(), t.TempDir()
	alone(t, dirA, 10)
	alone(t, dirB, 20)
	a := newKeeper(t, way(s), "a", dirA)
	settle(t, a)
	b := newKeeper(t, way(s), "b", dirB)
	wait(t, "the second refuses", func() bool { return errors.As(b.Standing(), new(*store.DivergedError)) })
	if err := s.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	wait(t, "writes go on", func() bool { return a.put("after", "v") == nil })
	if v, _ := a.value("alone1"); v != dirA {
		t.Errorf("a has %q", v)
	}
	wait(t, "the second refuses", func() bool { return errors.As(b.Standing(), new(*store.DivergedError)) })
	// The older of two histories in Redis leaves the other member refused too.
	if _, err := b.Resolve(t.Context(), store.KeepCluster); err != nil {
		t.Fatal(err)
	}
	settle(t, a, b)
}

// What does not belong into the keys is named, and counted; what is lost in part
// is given anew and never taken for the whole.
func TestOrderForeign(t *testing.T) {
	s := redistest.Start(t)
	redis := s.Client()
	a, b := newKeeper(t, way(s), "a", ""), newKeeper(t, way(s), "b", "")
	settle(t, a, b)
	for i := range 20 {
		a.mustPut("p"+strconv.Itoa(i), "v")
	}
	ctx := context.Background()
	keys := a.order.keys
	number := 0
	works := func(t *testing.T, members ...*keeper) {
		t.Helper()
		number++
		name := "after" + strconv.Itoa(number)
		wait(t, "writes go on", func() bool { return a.put(name, "v") == nil })
		settle(t, members...)
	}
	for _, key := range keys.all() {
		t.Run("another type of "+key[strings.LastIndex(key, ":")+1:], func(t *testing.T) {
			pipe := redis.TxPipeline()
			pipe.Del(ctx, key)
			pipe.SAdd(ctx, key, "foreign")
			if _, err := pipe.Exec(ctx); err != nil {
				t.Fatal(err)
			}
			works(t, a, b)
		})
		t.Run("no "+key[strings.LastIndex(key, ":")+1:], func(t *testing.T) {
			if err := redis.Del(ctx, key).Err(); err != nil {
				t.Fatal(err)
			}
			c := newKeeper(t, way(s), "c", "")
			works(t, a, b, c)
			c.leave()
		})
	}
	t.Run("a head that is none", func(t *testing.T) {
		if err := redis.HSet(ctx, keys.head, orderHead, "{").Err(); err != nil {
			t.Fatal(err)
		}
		wait(t, "it is said", func() bool {
			err := a.put("x", "v")
			return err != nil && strings.Contains(err.Error(), keys.head+" does not parse")
		})
		if a.order.Stats().Unreadable == 0 {
			t.Error("it is not counted")
		}
		if err := redis.Del(ctx, keys.head).Err(); err != nil {
			t.Fatal(err)
		}
		works(t, a, b)
	})
	t.Run("an entry that is none", func(t *testing.T) {
		pipe := redis.TxPipeline()
		pipe.XAdd(ctx, xadd(keys.log, entryID(a.Head().Revision+1), "x", "y"))
		pipe.Do(ctx, "hset", keys.head, orderHead, fmt.Sprintf(`{"revision":%d,"chain":"%032x","epoch":0}`, a.Head().Revision+1, 1))
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		wait(t, "it is said", func() bool {
			err := b.Standing()
			return err != nil && strings.Contains(err.Error(), "does not parse")
		})
		if err := b.put("x", "v"); !errors.As(err, new(*store.UnavailableError)) {
			t.Errorf("a write: %v", err)
		}
		if _, ok := b.value("p1"); !ok {
			t.Error("look-ups do not go on")
		}
		if err := redis.Del(ctx, keys.head).Err(); err != nil {
			t.Fatal(err)
		}
		works(t, a, b)
	})
	t.Run("a record that is none", func(t *testing.T) {
		if err := redis.HSet(ctx, keys.state, "override:1:2:p", "{").Err(); err != nil {
			t.Fatal(err)
		}
		if err := redis.Del(ctx, keys.log).Err(); err != nil {
			t.Fatal(err)
		}
		c := newKeeper(t, way(s), "c", "")
		wait(t, "it is said", func() bool {
			err := c.Standing()
			return err != nil && strings.Contains(err.Error(), "override:1:2:p does not parse")
		})
		if err := redis.Del(ctx, keys.state).Err(); err != nil {
			t.Fatal(err)
		}
		works(t, a, b, c)
	})
	t.Run("entries beyond the head", func(t *testing.T) {
		if err := redis.XAdd(ctx, xadd(keys.log, entryID(a.Head().Revision+5), orderText, "y")).Err(); err != nil {
			t.Fatal(err)
		}
		works(t, a, b)
	})
}

func xadd(stream, id string, values ...any) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: stream, ID: id, Values: values}
}
