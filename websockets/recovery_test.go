package websockets

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// recovering makes a world whose users recover.
func recovering(t testing.TB, window time.Duration) *world {
	w := newWorld(t)
	w.configure(func(c *Config) { c.Recovery = func(uint32, uint32) time.Duration { return window } })
	return w
}

// heard is a client that reads for as long as its connection lives.
type heard struct {
	*client
	mu    sync.Mutex
	texts []string
	ended chan struct{}
}

// hear reads all that comes, and answers the packets of Socket.IO; connect is the
// payload of its CONNECT.
func (c *client) hear(connect string) *heard {
	h := &heard{client: c, ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		for {
			_, data, err := c.conn.Read(context.Background())
			if err != nil {
				return
			}
			text := string(data)
			if strings.HasPrefix(text, `0{"sid"`) && strings.Contains(text, "maxPayload") {
				_ = c.conn.Write(context.Background(), websocket.MessageText, []byte("40"+connect)) // it may have been cut
			}
			h.mu.Lock()
			h.texts = append(h.texts, text)
			h.mu.Unlock()
		}
	}()
	return h
}

// events are the arguments of the events "n" that came.
func (h *heard) events() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range h.texts {
		if rest, ok := strings.CutPrefix(text, `42["n",`); ok {
			list = append(list, strings.Trim(strings.SplitN(strings.TrimSuffix(rest, "]"), ",", 2)[0], `"`))
		}
		if rest, ok := strings.CutPrefix(text, `{"name":"n","args":["`); ok {
			list = append(list, rest[:strings.IndexByte(rest, '"')])
		}
	}
	return list
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.texts, "\n")
}

func (h *heard) wait(n int) {
	h.t.Helper()
	until(h.t, fmt.Sprintf("%d messages", n), func() bool { return len(h.events()) >= n })
}

// cut ends the connection without a word.
func (h *heard) cut(w *world) {
	h.t.Helper()
	_ = h.conn.CloseNow()
	<-h.ended
	until(h.t, "the server knows", func() bool { return len(w.server.hub.every()) == 0 })
}

func (w *world) say(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		if _, err := w.server.SendToUser(1, 2, Message{Name: "n", Args: json.RawMessage(fmt.Sprintf("[%q]", text))}, Target{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// confirmed waits until the browser of each socket has all.
func (w *world) confirmed() {
	w.t.Helper()
	until(w.t, "all is confirmed", func() bool {
		for _, s := range w.server.hub.every() {
			s.mu.Lock()
			ok := s.rec.written != 0 && s.rec.confirmed == s.rec.written && s.waiting.frames == 0
			s.mu.Unlock()
			if !ok {
				return false
			}
		}
		return true
	})
}

var kinds = map[string]string{
	"version 3": "/socket.io/appsuite/?EIO=3&transport=websocket&connection=c1",
	"version 4": "/socket.io/appsuite/?EIO=4&transport=websocket&connection=c1",
	"text":      "/ws/push?connection=c1",
}

// A client that comes back with its connection id gets what it missed, in order,
// and not what its browser has confirmed.
func TestRecovery(t *testing.T) {
	for name, path := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := recovering(t, time.Minute)
			s := w.login(1, 2)
			w.say("before anybody was there")
			c := w.dial(s, path).hear("")
			until(t, "it is there", func() bool { return w.server.Count() == 1 })
			w.say("1", "2")
			c.wait(2)
			w.confirmed()
			c.cut(w)
			w.say("3", "4")
			c = w.dial(s, path).hear("")
			c.wait(2)
			w.say("5")
			c.wait(3)
			if got := c.events(); !slices.Equal(got, []string{"3", "4", "5"}) {
				t.Errorf("came %q\n%s", got, c)
			}
			w.confirmed()
			c.cut(w)
			// Nothing is missing, so nothing comes, and the next time neither.
			for range 2 {
				c = w.dial(s, path).hear("")
				w.say("6")
				c.wait(1)
				w.confirmed()
				if got := c.events(); !slices.Equal(got, []string{"6"}) {
					t.Errorf("came %q\n%s", got, c)
				}
				c.cut(w)
			}
			if st := w.server.Stats(); st.Recoveries["all"] != 3 || st.Resent != 2 || st.Doubtful != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// What the server closes itself is known to have arrived by the client's answer.
func TestRecoveryOfAnsweredClose(t *testing.T) {
	for name, path := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := recovering(t, time.Minute)
			s := w.login(1, 2)
			var want, got []string
			for round := range 20 {
				c := w.dial(s, path).hear("")
				until(t, "it is there", func() bool { return w.server.Count() == 1 })
				for i := range 5 {
					text := fmt.Sprint(round, "/", i)
					want = append(want, text)
					w.say(text)
				}
				w.server.CloseSockets(Selector{}, CauseRebalance)
				text := fmt.Sprint(round, "/ while away")
				want = append(want, text)
				w.say(text)
				<-c.ended
				got = append(got, c.events()...)
				until(t, "the server knows", func() bool { return len(w.server.hub.every()) == 0 })
			}
			c := w.dial(s, path).hear("")
			c.wait(1)
			if got = append(got, c.events()...); !slices.Equal(got, want) {
				t.Errorf("came %q\nwant %q", got, want)
			}
		})
	}
}

// A second socket with the connection id gets what the first has not confirmed.
func TestRecoveryTakesOver(t *testing.T) {
	w := recovering(t, time.Minute)
	s := w.login(1, 2)
	a := w.dial(s, kinds["version 3"]).hear("")
	until(t, "it is there", func() bool { return w.server.Count() == 1 })
	w.say("1")
	a.wait(1)
	w.confirmed()
	b := w.dial(s, kinds["version 4"]).hear("")
	<-a.ended
	w.say("2")
	b.wait(1)
	if got := b.events(); !slices.Equal(got, []string{"2"}) {
		t.Errorf("came %q\n%s", got, b)
	}
}

// Who is another client, of another session or too late, gets nothing.
func TestRecoveryOfOthers(t *testing.T) {
	w := recovering(t, time.Minute)
	s, other := w.login(1, 2), w.login(1, 2)
	c := w.dial(s, kinds["text"]).hear("")
	until(t, "it is there", func() bool { return w.server.Count() == 1 })
	w.say("1")
	c.wait(1)
	c.cut(w)
	w.say("2")
	stranger := w.login(1, 3)
	for _, x := range []struct {
		s    *Session
		path string
	}{{other, kinds["text"]}, {s, "/ws/push?connection=c2"}, {stranger, kinds["text"]}} {
		c := w.dial(x.s, x.path).hear("")
		until(t, "it is there", func() bool { return w.server.Count() == 1 })
		w.say("3")
		if x.s != stranger {
			c.wait(1)
		}
		if got := c.events(); len(got) > 0 && got[0] != "3" {
			t.Errorf("came %q", got)
		}
		c.cut(w)
	}
	if n := w.server.Stats().Recoveries["foreign"]; n != 1 {
		t.Errorf("%d recoveries of another session's, want 1", n)
	}
	c = w.dial(s, kinds["text"]).hear("")
	c.wait(4)
	if got := c.events(); !slices.Equal(got, []string{"2", "3", "3", "3"}) && !slices.Equal(got, []string{"1", "2", "3", "3", "3"}) {
		t.Errorf("came %q", got)
	}
}

// After a DISCONNECT of the client nothing is remembered.
func TestRecoveryForgets(t *testing.T) {
	w := recovering(t, time.Minute)
	s := w.login(1, 2)
	for _, bye := range []func(c *heard){
		func(c *heard) { c.send("41") },
		func(*heard) { w.server.CloseSockets(Selector{}, CauseAdmin) },
	} {
		c := w.dial(s, kinds["version 4"]).hear("")
		until(t, "it has joined", func() bool { return strings.Contains(c.String(), "40{") })
		bye(c)
		c.cut(w)
		w.say("1")
		c = w.dial(s, kinds["version 4"]).hear("")
		until(t, "it has joined", func() bool { return strings.Contains(c.String(), "40{") })
		w.say("2")
		c.wait(1)
		if got := c.events(); !slices.Equal(got, []string{"2"}) {
			t.Errorf("came %q", got)
		}
		c.send("41")
		c.cut(w)
	}
}

// Nothing of the time when the user was switched off comes, whether it was held or
// closed.
func TestRecoverySwitchedOff(t *testing.T) {
	for _, hold := range []bool{false, true} {
		for name, path := range kinds {
			t.Run(fmt.Sprint(name, " hold ", hold), func(t *testing.T) {
				t.Parallel()
				w := recovering(t, time.Minute)
				w.gate.mu.Lock()
				w.gate.held = hold
				w.gate.mu.Unlock()
				s := w.login(1, 2)
				c := w.dial(s, path).hear("")
				until(t, "it is there", func() bool { return w.server.Count() == 1 })
				if name == "version 4" {
					until(t, "it has joined", func() bool { return strings.Contains(c.String(), "40{") })
				}
				w.say("1")
				c.wait(1)
				w.gate.refuse(1, 2, SwitchedOff)
				w.server.Recheck()
				w.say("while off")
				c.cut(w)
				w.say("while off and away")
				w.gate.allow(1, 2)
				w.server.Recheck()
				w.say("2")
				c = w.dial(s, path).hear("")
				w.say("3")
				c.wait(2)
				if got := c.events(); !slices.Equal(got, []string{"2", "3"}) && !slices.Equal(got, []string{"1", "2", "3"}) {
					t.Errorf("came %q", got)
				}
				if strings.Contains(c.String(), eventGap) {
					t.Errorf("what was never meant for it is said to be missing:\n%s", c)
				}
			})
		}
	}
}

// What is not kept any more is said.
func TestRecoveryGap(t *testing.T) {
	for name, path := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := recovering(t, time.Minute)
			s := w.login(1, 2)
			c := w.dial(s, path).hear("")
			until(t, "it is there", func() bool { return w.server.Count() == 1 })
			began := time.Now()
			c.cut(w)
			for i := range maxKept + 10 {
				w.say(fmt.Sprint(i))
			}
			c = w.dial(s, path).hear("")
			c.wait(maxKept)
			if got := c.events(); len(got) != maxKept || got[0] != "10" || got[maxKept-1] != fmt.Sprint(maxKept+9) {
				t.Errorf("%d came, from %q", len(got), got[0])
			}
			var gap []struct{ From, To time.Time }
			for _, text := range strings.Split(c.String(), "\n") {
				if rest, ok := strings.CutPrefix(text, `42["sluice:gap",`); ok {
					text = `[` + rest
				} else if rest, ok = strings.CutPrefix(text, `{"name":"sluice:gap","args":`); ok {
					text = strings.TrimSuffix(rest, `,"namespace":"/"}`)
				} else {
					continue
				}
				if err := json.Unmarshal([]byte(text), &gap); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
			if len(gap) != 1 || gap[0].From.Before(began.Add(-time.Second)) || gap[0].To.Before(gap[0].From) || gap[0].To.After(time.Now()) {
				t.Errorf("the gap is %v", gap)
			}
			if n := w.server.Stats().Recoveries["gap"]; n != 1 {
				t.Errorf("%d recoveries with a gap, want 1", n)
			}
		})
	}
}

// Filters and source tokens count for what is sent again too.
func TestRecoveryTargets(t *testing.T) {
	w := recovering(t, time.Minute)
	s := w.login(1, 2)
	c := w.dial(s, kinds["text"]).hear("")
	until(t, "it is there", func() bool { return w.server.Count() == 1 })
	c.cut(w)
	for text, to := range map[string]Target{"other path": {PathFilter: "/socket.io/*"}, "own": {SourceToken: "c1"}} {
		if _, err := w.server.SendToUser(1, 2, Message{Name: "n", Args: json.RawMessage(fmt.Sprintf("[%q]", text))}, to); err != nil {
			t.Fatal(err)
		}
	}
	for text, send := range map[string]func(Message) (int, error){
		"context": func(m Message) (int, error) { return w.server.SendToContext(1, m, Target{PathFilter: "/ws/*"}) },
		"all":     func(m Message) (int, error) { return w.server.SendToAll(m, Target{SourceToken: "c2"}) },
	} {
		if _, err := send(Message{Name: "n", Args: json.RawMessage(fmt.Sprintf("[%q]", text))}); err != nil {
			t.Fatal(err)
		}
	}
	c = w.dial(s, kinds["text"]).hear("")
	c.wait(2)
	got := c.events()
	slices.Sort(got)
	if !slices.Equal(got, []string{"all", "context"}) {
		t.Errorf("came %q", got)
	}
}

// Users without recovery cost and get nothing of it.
func TestNoRecovery(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	c := w.dial(s, kinds["text"]).hear("")
	until(t, "it is there", func() bool { return w.server.Count() == 1 })
	c.cut(w)
	w.say("1")
	c = w.dial(s, kinds["text"]).hear("")
	w.say("2")
	c.wait(1)
	if got := c.events(); !slices.Equal(got, []string{"2"}) {
		t.Errorf("came %q", got)
	}
	if st := w.server.Stats(); st.KeptUsers+st.Kept+st.KeptBytes+st.Departures != 0 {
		t.Errorf("%+v", st)
	}
	if _, res, _ := w.rawDial("GET /ws/x?connection="+strings.Repeat("x", 9000)+"&session="+s.ID+" HTTP/1.1", s); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a connection id of 9000 characters: %s", res.Status)
	}
}
