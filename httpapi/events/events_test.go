package events

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// What is kept is bounded, and so is what waits for one who does not read.
func TestEventsBounds(t *testing.T) {
	e := New("me")
	st := NewStream()
	if _, _, _, err := e.Join(st, ""); err != nil {
		t.Fatal(err)
	}
	for i := range maxKept + 10 {
		e.Publish(Config, cascade.Subject{}, i)
	}
	if e.watchers.Load() != 0 || e.dropped.Load() != 1 || len(e.kept) != maxKept {
		t.Errorf("%d watch, %d dropped, %d kept", e.watchers.Load(), e.dropped.Load(), len(e.kept))
	}
	for after, want := range map[int]struct {
		missed int
		reset  bool
	}{5: {maxKept, true}, 10: {maxKept, false}, 11: {maxKept - 1, false}, maxKept + 10: {0, false}} {
		missed, _, reset, _ := e.Join(&Stream{queue: make(chan Event, 1)}, fmt.Sprintf("me-%d", after))
		if len(missed) != want.missed || reset != want.reset {
			t.Errorf("after %d: %d missed, reset %v", after, len(missed), reset)
		}
		if len(missed) > 0 && string(missed[len(missed)-1].data) != fmt.Sprint(maxKept+9) {
			t.Errorf("the last is %s", missed[len(missed)-1].data)
		}
	}
	for i := range MaxStreams {
		e.Join(&Stream{queue: make(chan Event, 1), Actor: fmt.Sprint(i)}, "")
	}
	if _, _, _, err := e.Join(&Stream{}, ""); err == nil {
		t.Error("more streams than the bound")
	}
}

// What comes after the id of a reset, of a start and of a beat is what follows.
func TestStreamResumes(t *testing.T) {
	e := New("me")
	publish := func(n int, kind string) {
		for range n {
			e.Publish(kind, cascade.Subject{}, 0)
		}
	}
	join := func(after string, kinds ...string) (missed int, at string, reset bool) {
		t.Helper()
		m, at, reset, err := e.Join(&Stream{Kinds: kinds, queue: make(chan Event, 1)}, after)
		if err != nil {
			t.Fatal(err)
		}
		return len(m), at, reset
	}
	for _, c := range []struct {
		publish int
		after   string
		missed  int
		at      string
		reset   bool
	}{
		{0, "", 0, "me-0", false},
		{3, "me-0", 3, "me-0", false},
		{0, "other-7", 3, "me-0", true}, // a process before this one
		{0, "me-4", 3, "me-0", true},    // never given
		{0, "nonsense", 3, "me-0", true},
		{0, "", 0, "me-3", false},
		{maxKept, "me-2", maxKept, "me-3", true},
		{0, "me-3", maxKept, "me-3", false},
	} {
		publish(c.publish, Member)
		if missed, at, reset := join(c.after); missed != c.missed || at != c.at || reset != c.reset {
			t.Errorf("after %q: %d missed from %s, reset %v; want %+v", c.after, missed, at, reset, c)
		}
	}
	// What others want does not make one miss anything.
	st := &Stream{Kinds: []string{Override}, queue: make(chan Event, 1)}
	_, _, _, err := e.Join(st, "")
	if err != nil {
		t.Fatal(err)
	}
	publish(2*maxKept, Member)
	at, ok := e.Position(st)
	if _, _, reset := join(at, Override); !ok || reset {
		t.Errorf("position %s %v, reset %v", at, ok, reset)
	}
	// One that was dropped has no position: it missed what did not fit.
	publish(2, Override)
	<-st.queue
	if _, ok := e.Position(st); ok {
		t.Error("one that was dropped has a position")
	}
	// Long events are fewer.
	long := bytes.Repeat([]byte("x"), maxKeptBytes/8)
	for range 20 {
		e.Publish(Member, cascade.Subject{}, string(long))
	}
	if len(e.kept) != 7 || e.bytes > maxKeptBytes {
		t.Errorf("%d kept with %d bytes", len(e.kept), e.bytes)
	}
}
