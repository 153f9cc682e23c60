package websockets

import (
	"testing"
	"time"
)

// TestRefusals remembers the last refusals of a user within its bounds, and
// logs one line of each user in refusalLogEvery.
func TestRefusals(t *testing.T) {
	t.Parallel()
	var l refusals
	k, now := subject{7, 3}, time.Now()
	for i := range refusalsKept + 2 {
		silent, log := l.add(k, Refused{Code: "disabled", At: now.Add(time.Duration(i) * time.Second)})
		if log != (i == 0) || silent != 0 {
			t.Errorf("refusal %d: logged %t, %d before it", i, log, silent)
		}
	}
	if silent, log := l.add(k, Refused{Code: "too_many", At: now.Add(refusalLogEvery)}); !log || silent != refusalsKept+1 {
		t.Errorf("after a while: logged %t, %d before it", log, silent)
	}
	if last := l.of[k].last; len(last) != refusalsKept || last[0].Code != "too_many" || last[1].Code != "disabled" {
		t.Errorf("remembered %+v", last)
	}
	for i := range uint32(maxRefused + 5) {
		l.add(subject{8, i + 1}, Refused{Code: "disabled", At: now})
	}
	if len(l.of) != maxRefused || l.of[k] != nil {
		t.Errorf("%d users are remembered", len(l.of))
	}
	if _, log := l.add(subject{}, Refused{Code: "forbidden", Reason: "no_session", At: now}); !log {
		t.Error("the first of nobody is not logged")
	}
	if _, log := l.add(subject{}, Refused{Code: "forbidden", Reason: "no_session", At: now}); log {
		t.Error("the second of nobody is logged")
	}
}

// TestLastRefused refuses a user who is switched off, and one without its
// cookie: whose handshakes they were is remembered.
func TestLastRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.login(1, 2)
	w.gate.refuse(1, 2, SwitchedOff)
	w.ask(t, w.upgrade("GET /ws/x?session="+s.ID+" HTTP/1.1", s))
	got := w.server.LastRefused(1, 2)
	if len(got) != 1 || got[0].Code != "disabled" || !got[0].Address.IsValid() || time.Since(got[0].At) > time.Minute {
		t.Errorf("%+v", got)
	}
	if len(w.server.LastRefused(1, 3)) > 0 {
		t.Error("another user's")
	}
}
