package websockets

import "testing"

// TestNewNeedsGateAndSessions is told of by an error, not by a panic later.
func TestNewNeedsGateAndSessions(t *testing.T) {
	sessions := NewMemorySessions(nil)
	defer sessions.Close()
	for _, o := range []Options{{}, {Gate: &gates{}}, {Sessions: sessions}} {
		if s, err := New(o); err == nil {
			s.Close()
			t.Errorf("%+v is taken", o)
		}
	}
}
