package remote

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

func longLease(o *Options) { o.Lease = time.Minute }

// The client library sends a claim again whose answer is lost. It must not take
// it for that of another request.
func TestClaimRepeatedByTheClient(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	proxied := way(s)
	proxied.Hosts = []string{p.Addr}
	m := newNode(t, proxied, "m", longLease)
	wait(t, "it has joined", m.healthy)
	p.BlackHole(false, true)
	got := make(chan Claim, 1)
	go func() { got <- m.Claim(t.Context(), "id", time.Minute) }()
	wait(t, "Redis has the claim", func() bool { return s.Client().Exists(t.Context(), m.keys.message("id")).Val() == 1 })
	p.Snap()
	if c := <-got; c != ClaimNew {
		t.Errorf("its own claim is %d to it", c)
	}
	if c := m.Claim(t.Context(), "id", time.Minute); c != ClaimWaiting {
		t.Errorf("the claim of another request is %d", c)
	}
}

// A claim waits until Redis has the message; what is no claim is none.
func TestClaimStates(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	send := func(id, text string) {
		t.Helper()
		if err := a.Reserve(); err != nil {
			t.Fatal(err)
		}
		a.Offer(Message{Context: 1, Name: text, Args: "[]", Label: shared.Label{ID: id, IDs: []string{id}}})
	}
	want := func(n *node, id string, want Claim) {
		t.Helper()
		if got := n.Claim(t.Context(), id, time.Minute); got != want {
			t.Errorf("%s at %s: %d, want %d", id, n.opts.Member, got, want)
		}
	}
	want(a, "one", ClaimNew)
	want(b, "one", ClaimWaiting)
	want(a, "two", ClaimNew)
	a.SetTimings(Timings{Delay: time.Hour, MaxDelay: time.Hour, Frequency: minFrequency})
	send("one", "equal")
	send("two", "equal")
	want(b, "two", ClaimWaiting)
	a.SetTimings(Timings{Frequency: minFrequency})
	wait(t, "it is sent", func() bool { return b.Claim(t.Context(), "one", time.Minute) == ClaimSent })
	want(b, "two", ClaimSent)
	wait(t, "it came", func() bool { return len(b.ids()) == 1 })
	b.mu.Lock()
	if ids := b.got[0].IDs; !slices.Equal(ids, []string{"one", "two"}) {
		t.Errorf("it came with the ids %v", ids)
	}
	b.mu.Unlock()

	for _, junk := range []string{"", "b", strings.Repeat("x", 40)} {
		s.Client().Set(t.Context(), b.keys.message("junk"), junk, time.Minute)
		want(b, "junk", ClaimNew)
	}
	s.Client().Del(t.Context(), b.keys.message("junk"))
	s.Client().HSet(t.Context(), b.keys.message("junk"), "a", "b")
	want(b, "junk", ClaimNew)
	if n := b.Stats().Skipped["claim"]; n != 4 {
		t.Errorf("%d are counted as unreadable, want 4", n)
	}
}

// A message carries a bounded number of ids; what is above waits for itself, and
// each is sent.
func TestIDsOfEqualMessages(t *testing.T) {
	q := newQueue(Timings{Delay: time.Second, MaxDelay: time.Second, Frequency: time.Second})
	start := time.Now()
	for i := range 3*maxIDs + 1 {
		id := string(rune('a' + i))
		if merged := q.offer(Message{Context: 1, Name: "n", Label: shared.Label{ID: id, IDs: []string{id}}}, start); merged == (i%maxIDs == 0) {
			t.Errorf("%d: merged %v", i, merged)
		}
	}
	var ids []string
	for _, m := range q.take(start.Add(time.Minute), new(Flushed)) {
		if len(m.IDs) > maxIDs || m.IDs[0] != m.ID {
			t.Errorf("%s has the ids %v", m.ID, m.IDs)
		}
		ids = append(ids, m.IDs...)
	}
	if len(ids) != 3*maxIDs+1 || !slices.IsSorted(ids) || len(q.equal) > 0 {
		t.Errorf("%d ids %v, %d still wait", len(ids), ids, len(q.equal))
	}
}
