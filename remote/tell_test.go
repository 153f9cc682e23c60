package remote

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

// placed remembers where a message was placed.
type placed struct{ places chan string }

func (p placed) Placed(entry uint64, line int) { p.places <- fmt.Sprint(entry, "/", line) }

// What a member tells is heard by all others, once and in order; a message has for
// its receivers the place and number that its sender knows it by; and who has
// caught up has heard all.
func TestTell(t *testing.T) {
	at := way(redistest.Start(t))
	a, b := newNode(t, at, "a"), newNode(t, at, "b")
	meet(t, a, b)
	var want []string
	for i := range 50 {
		a.Tell("op", fmt.Appendf(nil, `{"n":%d}`, i))
		want = append(want, fmt.Sprintf(`%s op {"n":%d}`, a.Incarnation(), i))
	}
	a.Posted(context.Background())
	if !b.CatchUp(t.Context()) {
		t.Fatal("not caught up")
	}
	b.mu.Lock()
	if !slices.Equal(b.told, want) {
		t.Errorf("heard %q", b.told)
	}
	b.mu.Unlock()
	if taken := b.Taken()[a.Incarnation()]; taken < 50 {
		t.Errorf("taken up to %d, want at least 50", taken)
	}
	places := placed{make(chan string, 2)}
	for _, n := range []uint64{7, 9} { // equal, so that one is sent for both
		if err := a.Reserve(); err != nil {
			t.Fatal(err)
		}
		a.Offer(Message{Context: 1, User: 2, Name: "n", Args: "[]", Number: n, Placed: []Placed{places}, Label: shared.Label{ID: fmt.Sprint(n)}})
	}
	var got Message
	wait(t, "the message", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.got) > 0 {
			got = b.got[len(b.got)-1]
		}
		return got.Number == 9
	})
	if got.Origin != a.Incarnation() {
		t.Errorf("it is of %s", got.Origin)
	}
	for range 2 {
		if p := <-places.places; p != fmt.Sprint(got.Entry, "/", got.Line) && p != fmt.Sprint(got.Entry-1, "/", got.Line) {
			t.Errorf("placed at %s, and came at %d/%d", p, got.Entry, got.Line)
		}
	}
	if _, _, alive, ok := a.LastTaken(b.Incarnation()); !alive || !ok {
		t.Error("the other member is not known")
	}
	if _, _, alive, ok := a.LastTaken("nobody"); alive || ok {
		t.Error("nobody is known")
	}
}

// What a member acknowledges with a beat counts as arrived at its clients with the
// next one, and not before: it may die in between.
func TestLastTakenIsABeatOld(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	a.send(0, 0, "m")
	b.wantIDs("m")
	me, seen := a.Incarnation(), int64(0)
	wait(t, "it counts as arrived", func() bool {
		v := a.view.Load()
		m := v.members[b.Incarnation()]
		taken, at, _, _ := a.LastTaken(b.Incarnation())
		if a.view.Load() != v { // it may be of another view than m
			return false
		}
		if seen == 0 && m.Acks[me] > 0 { // the beat that acknowledges it
			if seen = m.Beat; taken[me] != 0 {
				t.Errorf("entry %d counts as arrived with beat %d, which acknowledges it", taken[me], seen)
			}
		}
		if taken[me] == 0 {
			return false
		}
		if m.Beat <= seen || !at.Before(m.changed) {
			t.Errorf("arrived at %v with beat %d of %v, acknowledged with %d", at, m.Beat, m.changed, seen)
		}
		return true
	})
}
