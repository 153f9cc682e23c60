package websockets

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// farStore is a BatchSessions over a store, which counts and can fail.
type farStore struct {
	Sessions
	mu      sync.Mutex
	batches []int
	touched map[string]int
	looked  map[string]int
	gone    map[string]bool
	err     error
}

func (f *farStore) Missing(_ context.Context, ids []string) (gone []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.looked[id]++
		if f.gone[id] {
			gone = append(gone, id)
		}
	}
	return gone, f.err
}

func (f *farStore) TouchAll(_ context.Context, ids []string) (gone []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, len(ids))
	for _, id := range ids {
		f.touched[id]++
		if f.gone[id] {
			gone = append(gone, id)
		}
	}
	return gone, f.err
}

func (f *farStore) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func farWorld(t *testing.T) (*world, *farStore, *recorder) {
	far := &farStore{touched: map[string]int{}, looked: map[string]int{}, gone: map[string]bool{}}
	logs := &recorder{}
	w := newWorld(t, func(o *Options) {
		far.Sessions = o.Sessions
		o.Sessions = far
		o.Logger = slog.New(slog.NewTextHandler(logs, nil))
	})
	return w, far, logs
}

// fill registers sockets without connections.
func (w *world) fill(n int) (ids []string) {
	cfg := w.current()
	for i := range n {
		s := &Session{ID: randomHex(), Context: 1, User: uint32(i + 1)}
		sock := w.server.newSocket(s, &handshake{connection: randomHex(), path: "/ws/x", speaks: PlainText})
		if _, refused := w.server.hub.add(sock, cfg.MaxPerUser, cfg.MaxSockets); refused != nil {
			w.t.Fatal(refused)
		}
		ids = append(ids, s.ID)
		w.t.Cleanup(func() { w.server.leave(sock); w.server.hub.forget(sock) })
	}
	return ids
}

// Every session has its turn, in batches that a far store can answer, and the
// sockets of those that are gone are closed.
func TestTouchInBatches(t *testing.T) {
	w, far, _ := farWorld(t)
	ids := w.fill(3*touchBatch + 5)
	far.set(func() { far.gone[ids[7]], far.gone[ids[700]] = true, true })
	all := map[string]subject{}
	for i := range w.server.hub.shards {
		_, due := w.server.hub.shards[i].sessions(func(string) bool { return false })
		maps.Copy(all, due)
	}
	if err := w.server.touchSessions(nil, all); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(far.batches, []int{touchBatch, touchBatch, touchBatch, 5}) || len(far.touched) != len(ids) {
		t.Errorf("batches of %v, %d sessions", far.batches, len(far.touched))
	}
	if n := w.server.Count(); n != int64(len(ids)-2) {
		t.Errorf("%d sockets are left, want %d", n, len(ids)-2)
	}
	far.set(func() { far.batches, far.err = nil, errors.New("down") })
	if err := w.server.touchSessions(nil, all); err == nil || len(far.batches) != 1 {
		t.Errorf("a store that is down is asked %d times (%v)", len(far.batches), err)
	}
	if n := w.server.Count(); n != int64(len(ids)-2) {
		t.Errorf("%d sockets are left by a store that cannot answer", n)
	}
}

// All sessions are looked at once a minute, a part of them each second, and a
// store that is down is reported once.
func TestCheckIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farStore{Sessions: NewMemorySessions(nil), touched: map[string]int{}, looked: map[string]int{}, gone: map[string]bool{}}
		logs := &recorder{}
		w := &world{t: t, gate: &gates{}, config: testConfig()}
		s := testkit.Open(t, New, Options{Gate: w.gate, Sessions: far, Config: w.current, Logger: slog.New(slog.NewTextHandler(logs, nil))})
		w.server = s
		defer s.Close()
		ids := w.fill(2000)
		most, last := 0, 0
		for range 60 {
			time.Sleep(time.Second)
			n := 0
			far.set(func() {
				for _, k := range far.touched {
					n += k
				}
				for _, k := range far.looked {
					n += k
				}
			})
			most, last = max(most, n-last), n
		}
		time.Sleep(time.Second)
		far.set(func() {
			if len(far.touched) != len(ids) {
				t.Errorf("%d of %d sessions had their turn", len(far.touched), len(ids))
			}
		})
		if most > 200 {
			t.Errorf("%d sessions in one second, want about 33", most)
		}
		far.set(func() { far.err = errors.New("down") })
		time.Sleep(10 * time.Minute)
		far.set(func() { far.err = nil })
		time.Sleep(time.Minute)
		text := logs.text()
		if strings.Count(text, "cannot be checked") != 1 || strings.Count(text, "can be checked again") != 1 {
			t.Errorf("logged: %s", text)
		}
		if s.Count() != int64(len(ids)) {
			t.Errorf("%d sockets are left, want all", s.Count())
		}
	})
}

// A far store extends a session's life when a socket has opened, then once in
// ten turns; in between it is looked for, and what is gone is closed within a
// minute. What failed is asked again at the next turn.
func TestTouchedByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farStore{Sessions: NewMemorySessions(nil), touched: map[string]int{}, looked: map[string]int{}, gone: map[string]bool{}}
		cfg := testConfig()
		cfg.Sessions.Lifetime, cfg.Sessions.LongLifetime = time.Hour, 7*24*time.Hour
		w := &world{t: t, gate: &gates{}, config: cfg}
		s := testkit.Open(t, New, Options{Gate: w.gate, Sessions: far, Config: w.current, Logger: slog.New(slog.DiscardHandler)})
		w.server = s
		defer s.Close()
		sum := func(of *map[string]int) (n int) {
			far.set(func() {
				for _, k := range *of {
					n += k
				}
			})
			return n
		}
		ids := w.fill(300)
		time.Sleep(sessionCheckInterval + time.Second)
		if n := sum(&far.touched); n < len(ids) {
			t.Fatalf("after the first round %d of %d new sockets' sessions are touched", n, len(ids))
		}
		far.set(func() { clear(far.touched); clear(far.looked) })
		time.Sleep(10 * maxTouchRounds * sessionCheckInterval)
		far.set(func() {
			for _, id := range ids {
				if n := far.touched[id]; n < 9 || n > 11 {
					t.Fatalf("touched %d times in 100 rounds", n)
				}
				if n := far.touched[id] + far.looked[id]; n < 99 {
					t.Fatalf("looked for %d times in 100 rounds", n)
				}
			}
			far.gone[ids[3]] = true
		})
		time.Sleep(sessionCheckInterval + time.Second)
		if n := s.Count(); n != int64(len(ids)-1) {
			t.Errorf("%d sockets are left, want one less than %d", n, len(ids))
		}
		// Of those whose turn failed none is left out for ten rounds.
		far.set(func() { far.err = errors.New("down") })
		time.Sleep(maxTouchRounds * sessionCheckInterval)
		far.set(func() { far.err = nil; clear(far.touched) })
		time.Sleep(2 * sessionCheckInterval)
		if n := sum(&far.touched); n < len(ids)-1 {
			t.Errorf("%d of %d sessions are touched when the store is back", n, len(ids)-1)
		}
	})
}
