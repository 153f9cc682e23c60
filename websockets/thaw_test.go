package websockets

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/testkit"
)

// again freezes the server of a world and has another one go on, as another
// process does: with what of the state comes out of its encoding.
func (w *world) again() *Frozen {
	w.t.Helper()
	old := w.server
	f := old.Freeze()
	if n := old.Count(); n != 0 {
		w.t.Errorf("%d sockets are left in a frozen server", n)
	}
	old.Close()
	var b bytes.Buffer
	states := make([]SocketState, len(f.Sockets))
	for i := range f.Sockets {
		states[i] = f.Sockets[i].SocketState
	}
	type all struct {
		Number    uint64
		Kept      []KeptState
		Histories []HistoryState
		Sockets   []SocketState
	}
	if err := gob.NewEncoder(&b).Encode(all{f.Number, f.Kept, f.Histories, states}); err != nil {
		w.t.Fatal(err)
	}
	var read all
	if err := gob.NewDecoder(&b).Decode(&read); err != nil {
		w.t.Fatal(err)
	}
	next := &Frozen{Since: f.Since, Number: read.Number, Kept: read.Kept, Histories: read.Histories}
	for i := range read.Sockets {
		next.Sockets = append(next.Sockets, FrozenSocket{read.Sockets[i], f.Sockets[i].Conn})
	}
	opts := old.opts
	opts.Since = f.Since
	w.server = testkit.Open(w.t, New, opts)
	start, err := w.server.Thaw(next)
	if err != nil {
		w.t.Fatal(err)
	}
	w.http.Config.Handler = w.server
	start()
	return f
}

// Clients of every protocol notice nothing of a server that takes another's place:
// not in what they send and are sent, nor in their heartbeats.
func TestThaw(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.PingInterval, c.PingTimeout = 200*time.Millisecond, patience })
	four, three, text := w.dial(w.login(1, 1), eio4), w.dial(w.login(1, 2), eio3), w.dial(w.login(1, 3), wsPush)
	four.join()
	three.wantPrefix(`0{"sid":"`)
	three.want("40")
	unjoined := w.dial(w.login(1, 4), eio4)
	unjoined.wantPrefix(`0{"sid":"`)
	for round := range 3 {
		w.send(1, 0, fmt.Sprintf("before%d", round))
		if f := w.again(); f.Closed != 0 || len(f.Sockets) != 4 {
			t.Fatalf("%d sockets are kept, %d closed", len(f.Sockets), f.Closed)
		}
		w.send(1, 0, fmt.Sprintf("after%d", round))
		for _, c := range []*client{four, three} {
			c.event(fmt.Sprintf(`42["before%d"]`, round))
			c.event(fmt.Sprintf(`42["after%d"]`, round))
			c.send(fmt.Sprintf(`421["echo",%d]`, round))
			c.event(`431[]`)
		}
		text.want(fmt.Sprintf(`{"name":"before%d","args":[],"namespace":"/"}`, round))
		text.want(fmt.Sprintf(`{"name":"after%d","args":[],"namespace":"/"}`, round))
	}
	unjoined.send("40")
	for !strings.HasPrefix(unjoined.event(""), `40{"sid":"`) {
	}
	for round := range 3 { // what waited for it, and what came since
		unjoined.event(fmt.Sprintf(`42["before%d"]`, round))
		unjoined.event(fmt.Sprintf(`42["after%d"]`, round))
	}
	if n := w.server.Count(); n != 4 {
		t.Errorf("%d sockets", n)
	}
	w.server.CloseSockets(Selector{Context: 1}, CauseAdmin)
	for _, c := range []*client{four, three, text, unjoined} {
		c.wantClose(4410)
	}
}

// event reads a text that is no ping, answering those; "" is any.
func (c *client) event(want string) string {
	c.t.Helper()
	for {
		switch got := c.read(); {
		case got == "2":
			c.send("3")
		case want == "" || got == want:
			return got
		default:
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func (w *world) send(context, user uint32, name string) {
	w.t.Helper()
	m, err := Message{Name: name}, error(nil)
	if user == 0 {
		_, err = w.server.SendToContext(context, m, Target{})
	} else {
		_, err = w.server.SendToUser(context, user, m, Target{})
	}
	if err != nil {
		w.t.Error(err)
	}
}

// A heartbeat that is due is due all the same, and a client that says nothing is
// found by the next server in the time of the first.
func TestThawHeartbeat(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.PingInterval, c.PingTimeout = time.Hour, time.Hour })
	patient := w.dial(w.login(1, 1), eio4)
	patient.join()
	w.configure(func(c *Config) { c.PingInterval, c.PingTimeout = 50*time.Millisecond, 50*time.Millisecond })
	silent := w.dial(w.login(1, 2), eio4)
	silent.join()
	silent.want("2")
	w.again()
	silent.wantClose(websocket.StatusPolicyViolation)
	w.send(1, 1, "n")
	patient.want(`42["n"]`)
}

// untilBlocked returns when the writer of the only socket is within a write that does
// not end, since the buffers of both ends are full: nothing has moved for 50 looks.
func (w *world) untilBlocked() {
	w.t.Helper()
	sock := w.server.hub.every()[0]
	var last load
	same := 0
	until(w.t, "the server waits for the client", func() bool {
		sock.mu.Lock()
		defer sock.mu.Unlock()
		if same++; !sock.waitsToWrite || sock.waiting != last {
			same, last = 0, sock.waiting
		}
		return same > 50
	})
}

// A client that does not read gets the rest of a frame that was half written, and
// what waited behind it.
func TestThawPartOfFrame(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.QueueMessages, c.QueueBytes = 10_000, 64<<20 })
	s := w.login(1, 2)
	conn, _, r := w.rawDial("GET /ws/push?session="+s.ID+" HTTP/1.1", s)
	args := `["` + strings.Repeat("x", 100_000) + `"]`
	const messages = 160 // more than the buffers of both ends take from a client that reads nothing
	for i := range messages {
		if _, err := w.server.SendToUser(1, 2, Message{Name: fmt.Sprint("n", i), Args: []byte(args)}, Target{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		w.untilBlocked()
		f := w.again()
		if len(f.Sockets) != 1 || len(f.Sockets[0].Rest) == 0 || len(f.Sockets[0].Queue) == 0 {
			t.Fatalf("kept: %d sockets", len(f.Sockets))
		}
	}
	for i := range messages {
		expectFrame(t, r, opText, fmt.Sprintf(`{"name":"n%d","args":%s,"namespace":"/"}`, i, args))
	}
	until(t, "nothing waits", func() bool {
		sock := w.server.hub.every()[0]
		sock.mu.Lock()
		defer sock.mu.Unlock()
		return sock.waiting == load{} && !sock.writer
	})
	_ = conn.Close()
}

// A client in the middle of a frame is sent away with 1012, and counted; what it has
// sent whole is not lost.
func TestFreezeHalfFrame(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 1)
	conn, _, r := w.rawDial("GET "+eio4+"&session="+s.ID+" HTTP/1.1", s)
	expectPrefix(t, r, `0{"sid":"`)
	write(t, conn, said(finBit|opText, "40"))
	expectPrefix(t, r, `40{"sid":"`)
	half := said(finBit|opText, `421["echo"]`)
	write(t, conn, half[:len(half)-3])
	until(t, "it reads", func() bool {
		sock := w.server.hub.every()[0]
		sock.mu.Lock()
		defer sock.mu.Unlock()
		return !sock.parked
	})
	whole := w.dial(w.login(1, 2), eio4)
	whole.join()
	f := w.again()
	if f.Closed != 1 || len(f.Sockets) != 1 {
		t.Errorf("%d closed, %d kept", f.Closed, len(f.Sockets))
	}
	if frame := readFrame(t, r); frame.opcode != opClose || len(frame.payload) < 2 || int(frame.payload[0])<<8|int(frame.payload[1]) != 1012 {
		t.Errorf("%x %x", frame.opcode, frame.payload)
	}
	whole.send(`421["echo"]`)
	whole.want(`431[]`)
}

// What a client of a user that is held is told, and what it missed since it left,
// are the same at the next server.
func TestThawHistory(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Origin = "0123456789abcdef" })
	w.configure(func(c *Config) { c.Recovery = func(uint32, uint32) time.Duration { return time.Minute } })
	s := w.login(1, 1)
	const path = wsPush + "?connection=c&ids=1"
	c := w.dial(s, path)
	w.send(1, 1, "one")
	if got := c.read(); !strings.Contains(got, `"name":"one"`) || !strings.Contains(got, `"id":"sluice:0123456789abcdef-1"`) {
		t.Fatal(got)
	}
	w.again()
	w.send(1, 1, "two")
	if got := c.read(); !strings.Contains(got, `"name":"two"`) || !strings.Contains(got, `"id":"sluice:0123456789abcdef-2"`) {
		t.Fatal(got)
	}
	if err := c.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	until(t, "the socket has left", func() bool { return len(w.server.hub.every()) == 0 })
	w.send(1, 1, "three")
	w.again()
	w.send(1, 1, "four")
	c = w.dial(s, path)
	var got []string
	for len(got) == 0 || !strings.Contains(got[len(got)-1], `"name":"four"`) {
		got = append(got, c.read())
	}
	names := strings.Join(got, " ")
	if strings.Count(names, `"three"`) != 1 || strings.Count(names, `"four"`) != 1 || strings.Contains(names, `"one"`) {
		t.Error(names)
	}
	h := w.server.hub.shard(subject{1, 1}).historyOf(subject{1, 1}, false, 0, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	if list := slices.Collect(h.allLocked()); len(list) != 4 || list[3].index != h.last {
		t.Errorf("%d are kept", len(list))
	}
}

// A state that no server has frozen is refused, and nothing is read or written.
func TestThawRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*SocketState){
		"no user":     func(s *SocketState) { s.User = 0 },
		"short id":    func(s *SocketState) { s.ID = s.ID[1:] },
		"protocol":    func(s *SocketState) { s.Speaks = 9 },
		"no protocol": func(s *SocketState) { s.Engine = nil },
		"no ping":     func(s *SocketState) { s.Engine.PingInterval = 0 },
		"membership":  func(s *SocketState) { s.SocketIO.Main = 9 },
		"admission":   func(s *SocketState) { s.Admit = 9 },
		"address":     func(s *SocketState) { s.Address = []byte{1} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.dial(w.login(1, 1), eio4).join()
			f := w.server.Freeze()
			defer func() {
				for _, s := range f.Sockets {
					_ = s.Conn.(*net.TCPConn).Close()
				}
			}()
			spoil(&f.Sockets[0].SocketState)
			next := testkit.Open(t, New, w.server.opts)
			defer next.Close()
			if _, err := next.Thaw(f); err == nil {
				t.Error("it is taken")
			}
		})
	}
}
