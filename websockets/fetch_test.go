package websockets

import (
	"testing"
	"time"
)

// What another member has kept is taken up unless it comes by itself: the moment
// at which it came there says nothing of that, since an answer takes its time.
func TestMerge(t *testing.T) {
	t.Parallel()
	const me, known, unknown = "me", "known", "unknown"
	const whole, now = int64(200 * time.Millisecond), int64(time.Second)
	taken := Positions{known: {Place: endOf(5)}}
	for name, c := range map[string]struct {
		m     toldMessage
		lost  int64
		taken bool
	}{
		"before the history":                      {toldMessage{Origin: known, Place: PlaceOf(4, 0), Age: 900}, 0, true},
		"before the process":                      {toldMessage{Origin: known, Place: PlaceOf(4, 0), Age: 5000}, 0, true},
		"seemingly after the history's beginning": {toldMessage{Origin: known, Place: PlaceOf(5, 3), Age: 790}, 0, true},
		"not yet taken":                           {toldMessage{Origin: known, Place: PlaceOf(6, 0), Age: 900}, 0, false},
		"not yet carried":                         {toldMessage{Origin: known, Number: 9, Age: 900}, 0, false},
		"this member's own":                       {toldMessage{Origin: me, Number: 3, Age: 790}, 0, true},
		"this member's own, kept":                 {toldMessage{Origin: me, Number: 7, Age: 790}, 0, false},
		"a member's that had ended":               {toldMessage{Origin: unknown, Place: PlaceOf(9, 0), Age: 900}, 0, true},
		"a member's that has just begun":          {toldMessage{Origin: unknown, Place: PlaceOf(1, 0), Age: 10}, 0, false},
		"kept, under the number":                  {toldMessage{Origin: known, Number: 8, Place: PlaceOf(5, 9), Age: 500}, 0, false},
		"kept, under the place":                   {toldMessage{Origin: known, Place: PlaceOf(3, 0), Age: 500}, 0, false},
		"older than what was dropped":             {toldMessage{Origin: known, Place: PlaceOf(4, 0), Age: 900}, int64(150 * time.Millisecond), false},
		"not older than what was dropped":         {toldMessage{Origin: known, Place: PlaceOf(4, 0), Age: 900}, int64(50 * time.Millisecond), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &history{counted: &keptMessages{}, whole: whole, lost: c.lost, last: firstIndex, window: time.Minute}
			for _, had := range []struct {
				origin        string
				number, place uint64
			}{{known, 8, 0}, {known, 0, PlaceOf(3, 0)}, {me, 7, 0}} {
				k := newKept(outgoing{data: textFrame([]byte(`42["n"]`))}, nil, whole)
				k.stamp.origin, k.stamp.number = had.origin, had.number
				k.stamp.place.Store(had.place)
				h.keepLocked(k)
			}
			first := h.at(0)
			c.m.Packet = `42["n"]`
			h.merge(&historyAnswer{Whole: 2000, Messages: []toldMessage{c.m}}, &recovery{window: time.Minute}, taken, me, now)
			since, want := h.lackLocked(), now-int64(2*time.Second)
			if c.lost != 0 {
				want = c.lost
			}
			if since != want {
				t.Errorf("everything since %d is there, want %d", since, want)
			}
			if got := h.n == 4; got != c.taken {
				t.Errorf("taken up: %t, want %t", got, c.taken)
			}
			if c.taken && (h.at(0) == first || h.at(1) != first) {
				t.Error("it is not right before what was kept")
			}
		})
	}
}
