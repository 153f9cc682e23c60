package websockets

import (
	"testing"
	"time"
)

// TestEnds holds the bound: the newest users are remembered, each with the last
// end, and a user who is remembered takes no second place.
func TestEnds(t *testing.T) {
	s := &Server{}
	at := time.Unix(1, 0)
	const more = 5
	for u := uint32(1); u <= maxEnds+more; u++ {
		s.ends.add(subject{1, u}, End{CauseClient, at})
		s.ends.add(subject{1, u}, End{CauseDisabled, at.Add(time.Second)})
	}
	if len(s.ends.of) != maxEnds || len(s.ends.order) != maxEnds {
		t.Errorf("%d users in %d places", len(s.ends.of), len(s.ends.order))
	}
	for u, want := range map[uint32]bool{1: false, more: false, more + 1: true, maxEnds + more: true} {
		e, ok := s.LastEnd(1, u)
		if ok != want || ok && (e.Cause != CauseDisabled || e.Code() != 4403 || !e.At.Equal(at.Add(time.Second))) {
			t.Errorf("user %d: %v, %+v", u, ok, e)
		}
	}
	if _, ok := s.LastEnd(0, 0); ok {
		t.Error("nobody has an end")
	}
}
