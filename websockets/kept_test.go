package websockets

import (
	"slices"
	"testing"
	"time"
)

// keepIn keeps a message of so many bytes in histories, as a sender does.
func keepIn(l *keptMessages, at int64, bytes int, of ...*history) *kept {
	k := newKept(outgoing{data: make([]byte, bytes)}, nil, at)
	for _, h := range of {
		h.mu.Lock()
		h.keepLocked(k)
		h.mu.Unlock()
	}
	l.add(k, len(of), at)
	return k
}

func indices(h *history) (list []uint64) {
	for k := range h.allLocked() {
		list = append(list, k.index)
	}
	return list
}

// A message for many is counted once, and goes when the last of them has let it go.
func TestKeptIsShared(t *testing.T) {
	l := &keptMessages{}
	window := time.Hour
	a, b := &history{counted: l, window: window}, &history{counted: l, window: window}
	keepIn(l, 1, 100, a, b)
	keepIn(l, 2, 100, b)
	if want := int64(2*(100+keptCost) + keptEntry); l.bytes.Load() != want {
		t.Errorf("%d bytes are counted, want %d", l.bytes.Load(), want)
	}
	b.clearLocked()
	if want := int64(100 + keptCost + keptEntry); l.bytes.Load() != want || b.lost != 2 || b.bytes != 0 {
		t.Errorf("%d bytes are counted, want %d; %d, %d", l.bytes.Load(), want, b.lost, b.bytes)
	}
	a.clearLocked()
	if l.bytes.Load() != 0 || a.ring != nil {
		t.Errorf("%d bytes are counted", l.bytes.Load())
	}
	l.trim(3)
	if l.order != nil || l.dead.Load() != 0 {
		t.Errorf("%d are left in the order, %d of them dead", len(l.order), l.dead.Load())
	}
}

// A user has the newest maxKept messages, and what the order has beside those that
// are there is no more than those.
func TestKeptOfOneUser(t *testing.T) {
	l := &keptMessages{}
	h := &history{counted: l, window: time.Hour}
	for i := range int64(5 * maxKept) {
		keepIn(l, i, 10, h)
	}
	list := indices(h)
	if len(list) != maxKept || list[0] != 4*maxKept+1 || list[maxKept-1] != h.last || h.lost != 4*maxKept-1 {
		t.Errorf("%d are kept, from %d to %d; the newest that is gone is of %d", len(list), list[0], list[len(list)-1], h.lost)
	}
	if want := int64(maxKept * (10 + keptCost)); l.bytes.Load() != want {
		t.Errorf("%d bytes are counted, want %d", l.bytes.Load(), want)
	}
	if n := len(l.order) - l.head; n > 2*maxKept+2 {
		t.Errorf("%d are in the order", n)
	}
	h.fillLocked(slices.Collect(func(yield func(*kept) bool) {
		for k := range h.allLocked() {
			if !yield(k.kept) {
				return
			}
		}
	}))
	if !slices.Equal(indices(h), list) || h.bytes != maxKept*(10+keptCost) {
		t.Error("a history that is filled with what it has is another")
	}
}

// Where all is too much the oldest go, whoever has them, and those who have them
// notice.
func TestKeptOfAllIsBounded(t *testing.T) {
	l := &keptMessages{}
	const size = 256 << 10
	var users []*history
	for i := range int64(2 * maxHistoryBytes / size) {
		h := &history{counted: l, window: time.Hour}
		users = append(users, h)
		keepIn(l, i+1, size, h)
		if l.bytes.Load() > maxHistoryBytes {
			t.Fatalf("%d bytes are counted", l.bytes.Load())
		}
	}
	first, last := users[0], users[len(users)-1]
	if first.lackLocked() != 1 || first.n != 0 || len(indices(last)) != 1 {
		t.Errorf("%d, %d", first.lost, first.n)
	}
	l.trim(int64(MaxRecovery) + int64(len(users)) + 1)
	if l.bytes.Load() != 0 || len(indices(last)) != 0 {
		t.Errorf("%d bytes are counted", l.bytes.Load())
	}
}
