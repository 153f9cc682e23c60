package trace

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A user's oldest message is forgotten for its seventeenth, and every message
// after its time.
func TestMemory(t *testing.T) {
	m, k, start := New(MaxBytes), Key{1, 2}, time.Unix(1_000_000, 0)
	for i := range 20 {
		m.Add(&Record{Key: k, ID: fmt.Sprint(i), At: start.Add(time.Duration(i) * time.Minute)})
	}
	m.Add(&Record{Key: Key{Context: 1}, ID: "many", At: start, Also: []string{"both"}})
	list := m.Of(k, start.Add(20*time.Minute))
	if len(list) != PerUser || list[0].ID != "19" || list[PerUser-1].ID != "4" {
		t.Errorf("%d are remembered: %v", len(list), list)
	}
	if got := m.Of(k, start.Add(Lifetime+18*time.Minute)); len(got) != 2 {
		t.Errorf("%d are young enough, want 2", len(got))
	}
	if got := m.Of(Key{1, 3}, start); got != nil {
		t.Errorf("another user has %v", got)
	}
	for _, id := range []string{"7", "many", "both"} {
		if got := m.ByID(id, start.Add(time.Minute)); len(got) != 1 {
			t.Errorf("%s is %v", id, got)
		}
	}
	if got := m.ByID("3", start); got != nil {
		t.Errorf("a forgotten one is found: %v", got)
	}
	m.Add(&Record{Key: Key{1, 3}, ID: "late", At: start.Add(3 * Lifetime)})
	for _, k := range []Key{{1, 2}, {1, 0}, {1, 3}} {
		m.Add(&Record{Key: k, ID: "later", At: start.Add(3 * Lifetime)})
	}
	if n, _ := m.Usage(); n != 4 {
		t.Errorf("%d records are kept after their time, want 4", n)
	}
}

// What is counted against the bound is what the heap has, and what is over it
// goes: the oldest of any user first.
func TestMemoryBound(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	const bound = 8 << 20
	for name, perUser := range map[string]int{"one each": 1, "sixteen each": PerUser} {
		t.Run(name, func(t *testing.T) {
			before, now := heap(), time.Now()
			m := New(bound)
			for i := range 60_000 {
				r := &Record{Key: Key{1, uint32(i / perUser)}, ID: strings.Clone(fmt.Sprintf("%032x", i)), Topic: strings.Clone("ox:mail:new"), From: "a", At: now}
				r.Ask()
				m.Add(r)
			}
			records, counted := m.Usage()
			used := heap() - before
			if counted > bound || counted < bound*9/10 {
				t.Errorf("%d bytes are counted of %d", counted, bound)
			}
			if used > bound {
				t.Errorf("%d records take %d bytes of the heap, counted as %d", records, used, counted)
			}
			if got := m.Of(Key{1, uint32(59_999 / perUser)}, now); len(got) != perUser {
				t.Errorf("of the last user %d are left", len(got))
			}
			if got := m.Of(Key{1, 0}, now); got != nil {
				t.Errorf("the oldest are still there: %v", got)
			}
		})
	}
}

// Readers, writers and sockets that count do not disturb each other.
func TestMemoryTogether(t *testing.T) {
	m, now := New(1<<20), time.Now()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5_000 {
				r := &Record{Key: Key{1, uint32(i % 50)}, ID: fmt.Sprint(g, i), At: now}
				m.Index(r)
				m.Add(r)
				p := r.Ask()
				p.Asked.Add(1)
				p.ArrivedBrowser(time.Duration(i))
				p.ArrivedPage(0)
				r.Conflated()
				if i%500 == 0 {
					m.ByID("x", now)
				}
				for _, d := range m.Of(Key{1, uint32(i % 50)}, now) {
					if d.Browser.Sockets > 1 || d.Browser.Sockets == 1 && (d.Browser.First != d.Browser.Last || d.Browser.First == 0) {
						t.Errorf("one answer counts as %+v", d.Browser)
					}
				}
			}
		})
	}
	wg.Wait()
	if d, ok := m.ByAsked("3 4999"); !ok || d.Page.Sockets != 1 {
		t.Errorf("the last one is %+v", d)
	}
}

// The index of messages that somebody waits for forgets the oldest.
func TestIndex(t *testing.T) {
	m := New(MaxBytes)
	for i := range maxIndexed + 1 {
		m.Index(&Record{ID: fmt.Sprint(i)})
	}
	if _, ok := m.ByAsked("0"); ok || len(m.asked.of) != maxIndexed {
		t.Errorf("the first is found: %v, of %d", ok, len(m.asked.of))
	}
	if d, ok := m.ByAsked("1"); !ok || d.ID != "1" {
		t.Errorf("the second is not found: %v", d)
	}
}

func BenchmarkAdd(b *testing.B) {
	m, now := New(MaxBytes), time.Now()
	b.ReportAllocs()
	for i := range b.N {
		m.Add(&Record{Key: Key{1, uint32(i % 20_000)}, ID: "0123456789abcdef0123456789abcdef", Topic: "ox:mail:new", At: now})
	}
}
