package websockets

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Names of 10,000 characters are refused, or nothing is known of them; no socket is
// closed for one.
func TestRecoveryLongNames(t *testing.T) {
	w := recovering(t, time.Minute)
	s := w.login(1, 2)
	long := strings.Repeat("x", 10_000)
	for query, want := range map[string]int{
		"connection=" + long + "&session=" + s.ID:                  http.StatusBadRequest,
		"recovery=" + long + "&session=" + s.ID:                    http.StatusSwitchingProtocols,
		"recovery=1&session=" + long:                               http.StatusForbidden,
		"connection=" + long[:MaxSessionID+1] + "&session=" + s.ID: http.StatusBadRequest,
		"session=" + long[:MaxSessionID+1]:                         http.StatusForbidden,
	} {
		if _, res, _ := w.rawDial("GET "+eio4+"&"+query+" HTTP/1.1", s); res.StatusCode != want {
			t.Errorf("%.40s, %d characters: %s, want %d", query, len(query), res.Status, want)
		}
	}
	c := w.dial(s, ownRecovery).hear(fmt.Sprintf(`{"pid":%q,"offset":%q}`, long, long))
	c.ids()
	w.say("n")
	c.wait(1)
	if n := w.server.Stats().Recoveries["unknown"]; n != 1 {
		t.Errorf("%d recoveries of what is not known, want 1", n)
	}
}

// The pid of a client with an offset of another user's, and the connection id of
// another user: not recovered, and nothing of it is told.
func TestRecoveryOfAnotherUser(t *testing.T) {
	w := recovering(t, time.Minute)
	s, other := w.login(1, 2), w.login(1, 3)
	const path = ownRecovery + "&connection=c1"
	theirs := w.dial(other, path).hear("")
	theirs.ids()
	for i := range 3 {
		if _, err := w.server.SendToUser(1, 3, Message{Name: "n", Args: fmt.Appendf(nil, `["theirs %d"]`, i)}, Target{}); err != nil {
			t.Fatal(err)
		}
	}
	theirs.wait(3)
	offset := theirs.offset()
	theirs.cut(w)
	if _, err := w.server.SendToUser(1, 3, Message{Name: "n", Args: []byte(`["theirs, while away"]`)}, Target{}); err != nil {
		t.Fatal(err)
	}
	c := w.dial(s, path).hear("")
	_, pid := c.ids()
	c.cut(w)
	c = w.dial(s, path).hear(fmt.Sprintf(`{"pid":%q,"offset":%q}`, pid, offset))
	if _, again := c.ids(); again == pid {
		t.Error("recovered with the offset of another user")
	}
	w.say("mine")
	c.wait(1)
	if got := c.events(); !slices.Equal(got, []string{"mine"}) || strings.Contains(c.String(), "theirs") {
		t.Errorf("came %q\n%s", got, c)
	}
	if n := w.server.Stats().Recoveries["unknown"]; n != 1 {
		t.Errorf("%d recoveries of what is not known, want 1", n)
	}
}

// Socket.IO's own recovery of more than is kept: the gap is said before the rest, and
// what is kept comes once.
func TestOwnRecoveryGap(t *testing.T) {
	w := recovering(t, time.Minute)
	s := w.login(1, 2)
	c := w.dial(s, ownRecovery).hear("")
	_, pid := c.ids()
	w.say("1")
	c.wait(1)
	offset := c.offset()
	c.cut(w)
	for i := range maxKept + 10 {
		w.say(fmt.Sprint("away ", i))
	}
	c = w.dial(s, ownRecovery).hear(fmt.Sprintf(`{"pid":%q,"offset":%q}`, pid, offset))
	c.wait(maxKept)
	got := c.events()
	if len(got) != maxKept || got[0] != "away 10" || got[maxKept-1] != fmt.Sprint("away ", maxKept+9) {
		t.Errorf("%d came, from %q to %q", len(got), got[0], got[len(got)-1])
	}
	text := c.String()
	if gap := strings.Index(text, `42["sluice:gap",{"from":`); gap < 0 || gap > strings.Index(text, `42["n"`) {
		t.Errorf("no gap is said before the rest: %.500s", text)
	}
	if n := w.server.Stats().Recoveries["gap"]; n != 1 {
		t.Errorf("%d recoveries with a gap, want 1", n)
	}
}

// The clock of the system may step: what is kept ages by the other one, also what a
// process has taken over from the one before.
func TestRecoveryClockSteps(t *testing.T) {
	for name, since := range map[string]time.Time{"new": {}, "taken over": time.Now().Add(-time.Hour).Round(0)} {
		w := newWorld(t, func(o *Options) { o.Since = since })
		// The text of a time names its monotonic clock, where it has one.
		if !strings.Contains(w.server.started.String(), " m=") {
			t.Errorf("%s: ages are measured from %v, by a clock that steps", name, w.server.started)
		}
		if d := time.Since(since) - time.Duration(w.server.clock()); !since.IsZero() && d.Abs() > patience {
			t.Errorf("%s: the clock is %v off", name, d)
		}
	}
}
