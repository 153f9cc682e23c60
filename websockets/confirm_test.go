package websockets

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets/trace"
)

// confirm sends a message that asks, to as many sockets as said.
func (w *world) confirm(id string, sockets int) {
	w.t.Helper()
	if n, err := w.server.SendToUser(1, 2, Message{Name: "m", Label: shared.Label{ID: id, Confirm: true}}, Target{}); n != sockets || err != nil {
		w.t.Fatalf("%s went to %d sockets: %v", id, n, err)
	}
}

func (w *world) delivery(id string) trace.Delivery {
	d, ok := w.server.memory.ByAsked(id)
	if !ok {
		w.t.Fatalf("nothing is known of %s", id)
	}
	return d
}

// The browser answers while the page does not; the page's pong proves the rest.
func TestConfirm(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.login(1, 2), eio4)
	c.join()
	w.confirm("a", 1)
	c.want(`42["m"]`)
	c.want("2") // and the library has answered the ping before it
	until(t, "the browser has it", func() bool { return w.delivery("a").Browser.Sockets == 1 })
	if d := w.delivery("a"); d.Page.Sockets != 0 || d.Asked != 1 || d.Sockets != 1 {
		t.Errorf("before the page has answered: %+v", d)
	}
	// What comes meanwhile shares the next question.
	w.confirm("b", 1)
	w.confirm("c", 1)
	c.want(`42["m"]`)
	c.want(`42["m"]`)
	c.send("3")
	until(t, "the page has it", func() bool { return w.delivery("a").Page.Sockets == 1 })
	if d := w.delivery("b"); d.Page.Sockets+d.Browser.Sockets != 0 {
		t.Errorf("the later one arrived with the earlier one's answer: %+v", d)
	}
	c.want("2")
	c.send("3")
	until(t, "both are at the page", func() bool { return w.delivery("b").Page.Sockets == 1 && w.delivery("c").Page.Sockets == 1 })
	if d := w.delivery("c"); d.Page.First < d.Browser.First || d.Browser.First == 0 || d.Page.First != d.Page.Last {
		t.Errorf("the times are %+v", d)
	}
	until(t, "nothing is out", func() bool { return w.server.Stats().Asking == 0 })
	st := w.server.Stats()
	if n := total(st.Arrivals.Browser.Counts); n != 3 || total(st.Arrivals.Page.Counts) != 3 {
		t.Errorf("%d arrivals are counted", n)
	}
}

func total(counts []int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// A client of Engine.IO 3, or of text, is asked what it can answer; so is one that
// joins after the message.
func TestConfirmOthers(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	old, text, late := w.dial(s, eio3), w.dial(s, wsPush), w.dial(s, eio4)
	old.wantPrefix("0")
	old.want("40")
	late.wantPrefix("0")
	w.confirm("a", 3)
	old.want(`42["m"]`)
	text.wantPrefix(`{"name":"m"`)
	go func() { _, _, _ = old.conn.Read(t.Context()) }() // which answers pings
	go func() { _, _, _ = text.conn.Read(t.Context()) }()
	until(t, "two have it", func() bool { return w.delivery("a").Browser.Sockets == 2 })
	if d := w.delivery("a"); d.Page.Sockets != 0 || d.Asked != 3 {
		t.Errorf("%+v", d)
	}
	late.send("40")
	late.wantPrefix("40")
	late.want(`42["m"]`)
	late.want("2")
	late.send("3")
	until(t, "the third has it", func() bool { d := w.delivery("a"); return d.Browser.Sockets == 3 && d.Page.Sockets == 1 })
}

// A heartbeat that is out proves nothing: the page is asked again behind it.
func TestConfirmHeartbeat(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.PingInterval, c.PingTimeout = 50*time.Millisecond, time.Minute })
	c := w.dial(w.login(1, 2), eio4)
	c.join()
	c.want("2")
	w.confirm("a", 1)
	c.want(`42["m"]`)
	c.send("3") // to the heartbeat
	c.want("2")
	if d := w.delivery("a"); d.Page.Sockets != 0 {
		t.Errorf("the heartbeat's answer counts: %+v", d)
	}
	c.send("3")
	until(t, "the page has it", func() bool { return w.delivery("a").Page.Sockets == 1 })
}

// Pongs that were not asked for, or with another payload, prove nothing; a
// confirmation that never comes ends with the socket, or after its time.
func TestConfirmNever(t *testing.T) {
	w := newWorld(t)
	c := w.joined(w.login(1, 2), eio3)
	pong := func(payload string) { c.write(masked(finBit|opPong, []byte(payload))) }
	pong("before")
	for i := range maxWaitingAsks + 3 {
		w.confirm(fmt.Sprint(i), 1)
	}
	pong("12345678")
	pong("")
	pings := 0
	for _, f := range c.settled() { // all before it was read
		if f.opcode == opPing {
			pings++
		}
	}
	if pings != 1 {
		t.Errorf("%d questions are out at once", pings)
	}
	if d := w.delivery("0"); d.Browser.Sockets != 0 || d.Asked != 1 {
		t.Errorf("somebody else's pong counts: %+v", d)
	}
	if d := w.delivery(fmt.Sprint(maxWaitingAsks + 1)); d.Unasked != 1 || d.Asked != 0 {
		t.Errorf("more wait than may: %+v", d)
	}
	// After its time the next message is asked for.
	w.server.hub.user(subject{1, 2}, func(s *socket) {
		s.talk.Lock()
		s.asking.since = time.Now().Add(-2 * askWait)
		s.talk.Unlock()
	})
	w.server.expireAsking(w.server.hub.shard(subject{1, 2}))
	if d := w.delivery("0"); d.Gone != 1 {
		t.Errorf("it is still waited for: %+v", d)
	}
	if n := w.server.Stats().Asking; n != 1 {
		t.Errorf("%d questions are out, want that of the messages that waited", n)
	}
	_ = c.conn.Close()
	until(t, "the socket is gone", func() bool { return w.server.Stats().Asking == 0 })
	for i := 1; i <= maxWaitingAsks; i++ {
		if d := w.delivery(fmt.Sprint(i)); d.Gone != 1 {
			t.Errorf("of %d is known %+v", i, d)
		}
	}
}

// Ten thousand confirmations at once: as many as may be out are, nobody else
// loses a message, and the places come back.
func TestConfirmMany(t *testing.T) {
	w := newWorld(t)
	const users, each = 50, 200
	var wg sync.WaitGroup
	got := make([]atomic.Int64, users+1)
	for u := uint32(1); u <= users; u++ {
		c := w.dial(w.login(1, u), eio4)
		c.join()
		wg.Go(func() {
			for {
				_, data, err := c.conn.Read(t.Context())
				if err != nil {
					return // the test is over
				}
				switch {
				case string(data) == "2":
					c.send("3")
				case strings.HasPrefix(string(data), "42"):
					got[u].Add(1)
				}
			}
		})
		t.Cleanup(func() { _ = c.conn.CloseNow() })
	}
	for i := range each {
		for u := uint32(1); u <= users; u++ {
			if n, err := w.server.SendToUser(1, u, Message{Name: "m", Label: shared.Label{ID: fmt.Sprint(i, u), Confirm: true}}, Target{}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if out := w.server.Stats().Asking; out > users {
			t.Fatalf("%d sockets have a question out, of %d", out, users)
		}
	}
	until(t, "all is answered", func() bool { return w.server.Stats().Asking == 0 })
	if n, err := w.server.SendToAll(Message{Name: "last", Label: shared.Label{ID: "last", Confirm: true}}, Target{}); n != users || err != nil {
		t.Fatal(n, err)
	}
	until(t, "the last one is at all pages", func() bool { d := w.delivery("last"); return d.Page.Sockets == users && d.Key == trace.Key{} })
	w.server.Close()
	wg.Wait()
	for u := 1; u <= users; u++ {
		if n := got[u].Load(); n != each+1 {
			t.Errorf("user %d got %d messages of %d", u, n, each+1)
		}
	}
}

// The server asks by itself as often as it may, and never a socket of a message
// to many.
func TestSample(t *testing.T) {
	var s sampler
	now, due := int64(1e18), 0
	for range 1000 {
		if s.due(now, 10) {
			due++
		}
	}
	if due != 11 { // a second's worth at once, and the one of now
		t.Errorf("%d at once", due)
	}
	for i := range 10_000 {
		if s.due(now+int64(i)*int64(time.Millisecond), 10) {
			due++
		}
	}
	if due < 105 || due > 115 {
		t.Errorf("%d within ten seconds, want some 110", due)
	}
	w := newWorld(t)
	w.configure(func(c *Config) { c.Arrivals = 1 })
	c := w.dial(w.login(1, 2), eio4)
	c.join()
	if _, err := w.server.SendToAll(Message{Name: "all"}, Target{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.server.SendToUser(1, 2, Message{Name: "one"}, Target{}); err != nil {
		t.Fatal(err)
	}
	c.want(`42["all"]`)
	c.want(`42["one"]`)
	c.want("2")
	c.send("3")
	until(t, "it is at the page", func() bool {
		l := w.server.memory.Of(trace.Key{Context: 1, User: 2}, time.Now())
		return l[0].Page.Sockets == 1
	})
}

// What becomes of messages is known afterwards, whatever became of the sockets.
func TestTrace(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.MaxWaiting = 4 })
	s := w.login(1, 2)
	c := w.dial(s, eio4+"&connection=mine") // which has not joined: all waits
	c.wantPrefix("0")
	send := func(m Message, target Target) {
		t.Helper()
		if _, err := w.server.SendToUser(1, 2, m, target); err != nil {
			t.Fatal(err)
		}
	}
	send(Message{Name: "other path", Label: shared.Label{ID: "path"}}, Target{PathFilter: "/ws/*"})
	send(Message{Name: "own", Label: shared.Label{ID: "source"}}, Target{SourceToken: "mine"})
	send(Message{Name: "n", Label: shared.Label{ID: "old", Conflate: "k"}}, Target{})
	for range 4 {
		send(Message{Name: "n", Label: shared.Label{Conflate: "k"}}, Target{})
	}
	check := func(id string, want trace.Delivery) {
		t.Helper()
		list := w.server.memory.ByID(id, time.Now())
		if len(list) != 1 {
			t.Fatalf("%s is known %d times", id, len(list))
		}
		got := list[0]
		got.At = time.Time{}
		want.Key, want.ID, want.Topic = trace.Key{Context: 1, User: 2}, id, got.Topic
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %+v, want %+v", id, got, want)
		}
	}
	check("old", trace.Delivery{Sockets: 1, Conflated: 1})
	send(Message{Name: "waits", Label: shared.Label{ID: "unsent"}}, Target{})
	_ = c.conn.CloseNow()
	until(t, "the socket is gone", func() bool { return len(w.server.hub.every()) == 0 })
	check("unsent", trace.Delivery{Sockets: 1, Unsent: 1})
	send(Message{Name: "nobody", Label: shared.Label{ID: "none"}}, Target{})
	check("none", trace.Delivery{Outcome: trace.NoSocket})
	send(Message{Name: "copy", Copied: true, Label: shared.Label{ID: "copy"}}, Target{})
	if list := w.server.memory.ByID("copy", time.Now()); list != nil {
		t.Errorf("another member's message for nobody here is remembered: %v", list)
	}
	c = w.dial(s, eio4)
	c.join()
	c.send("41")
	until(t, "it has left", func() bool {
		send(Message{Name: "left", Label: shared.Label{ID: "left"}}, Target{})
		return w.server.memory.Of(trace.Key{Context: 1, User: 2}, time.Now())[0].Left == 1
	})
	// One message twice is two deliveries, and the first keeps its record.
	m := Message{Name: "twice", Label: shared.Label{ID: "twice"}}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	send(m, Target{})
	send(m, Target{})
	if list := w.server.memory.ByID("twice", time.Now()); len(list) != 2 {
		t.Errorf("it is known %d times", len(list))
	}
}
