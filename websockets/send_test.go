package websockets

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

func TestSend(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	v3, v4, text := w.dial(s, eio3+"&connection=a"), w.dial(s, eio4+"&connection=b"), w.dial(s, wsPush+"?connection=c")
	v3.wantPrefix("0")
	v3.want("40")
	v4.join()
	m := Message{Name: "ox:mail:new", Args: json.RawMessage(` [ {"folder": "default0/INBOX", "teaser":"<ä>\u2028"} ] `)}
	packet := `42["ox:mail:new",{"folder":"default0/INBOX","teaser":"<ä>\u2028"}]`
	if n, err := w.server.SendToUser(1, 2, m, Target{}); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	v3.want(packet)
	v4.want(packet)
	text.want(`{"name":"ox:mail:new","args":[{"folder":"default0/INBOX","teaser":"<ä>\u2028"}],"namespace":"/"}`)

	for _, step := range []struct {
		target Target
		want   []*client
	}{
		{Target{PathFilter: "/socket.io/appsuite/*"}, []*client{v3, v4}},
		{Target{PathFilter: "/ws/push"}, []*client{text}},
		{Target{PathFilter: "*", SourceToken: "b"}, []*client{v3, text}},
		{Target{SourceToken: "nobody"}, []*client{v3, v4, text}},
		{Target{PathFilter: "/ws/*", SourceToken: "c"}, nil},
	} {
		if n, err := w.server.SendToUser(1, 2, Message{Name: "e"}, step.target); n != len(step.want) || err != nil {
			t.Errorf("%+v: queued %d (%v), want %d", step.target, n, err, len(step.want))
		}
		for _, c := range step.want {
			c.read()
		}
	}
	if n, err := w.server.SendToUser(1, 3, m, Target{}); n != 0 || err != nil {
		t.Errorf("another user: %d (%v)", n, err)
	}
	if n, err := w.server.SendToContext(2, m, Target{}); n != 0 || err != nil {
		t.Errorf("another context: %d (%v)", n, err)
	}
}

// A message that comes before the client has joined waits for it, in order.
func TestSendBeforeConnect(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.login(1, 2), eio4)
	for i := range 3 {
		if n, err := w.server.SendToUser(1, 2, Message{Name: fmt.Sprint("e", i)}, Target{}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	c.join()
	for i := range 3 {
		c.want(fmt.Sprintf(`42["e%d"]`, i))
	}
}

func TestSendRefuses(t *testing.T) {
	w := newWorld(t)
	for _, m := range []Message{
		{},
		{Name: strings.Repeat("n", MaxNameBytes+1)},
		{Name: "\xff"},
		{Name: "disconnect"},
		{Name: "e", Namespace: "/admin"},
		{Name: "e", Args: json.RawMessage(``)},
		{Name: "e", Args: json.RawMessage(`{}`)},
		{Name: "e", Args: json.RawMessage(`[`)},
		{Name: "e", Args: json.RawMessage(`[1]]`)},
		{Name: "e", Args: json.RawMessage(`null`)},
		{Name: "e", Args: json.RawMessage("[\"\xff\"]")},
		{Name: "e", Args: json.RawMessage(`["` + strings.Repeat("x", MaxMessageBytes) + `"]`)},
	} {
		if n, err := w.server.SendToAll(m, Target{}); n != 0 || !errors.Is(err, ErrMessage) || m.Validate() == nil {
			t.Errorf("%.60q %.60q: %d (%v), want ErrMessage", m.Name, m.Args, n, err)
		}
	}
	if _, err := w.server.SendToAll(Message{Name: "e"}, Target{PathFilter: "/*"}); !errors.Is(err, ErrPathFilter) {
		t.Errorf("%v, want ErrPathFilter", err)
	}
}

// Frames of every length that the header tells apart arrive whole.
func TestSendSizes(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.login(1, 2), wsPush)
	for _, n := range []int{0, 60, 70, 80, 90, 65400, 65450, 65500, 65536, 200 << 10} {
		arg := strings.Repeat("x", n)
		if q, err := w.server.SendToAll(Message{Name: "e", Args: json.RawMessage(`["` + arg + `"]`)}, Target{}); q != 1 || err != nil {
			t.Fatal(q, err)
		}
		c.want(`{"name":"e","args":["` + arg + `"],"namespace":"/"}`)
	}
}

func TestEvents(t *testing.T) {
	var mu sync.Mutex
	var got []Event
	w := newWorld(t, func(o *Options) {
		o.OnEvent = func(e Event) (json.RawMessage, [][]byte) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e)
			switch e.Name {
			case "echo":
				return e.Args, e.Attachments
			case "broken":
				return json.RawMessage(`{"no":"array"}`), nil
			default:
				return nil, nil
			}
		}
	})
	for _, path := range []string{eio3, eio4} {
		c := w.dial(w.login(1, 2), path)
		if path == eio4 {
			c.join()
		} else {
			c.wantPrefix("0")
			c.want("40")
		}
		for message, ack := range map[string]string{
			`427["echo",1,{"a":"ä"}]`: `437[1,{"a":"ä"}]`,
			`420["quiet"]`:            `430[]`,
			`421["broken"]`:           `431[]`,
		} {
			c.send(message)
			c.want(ack)
		}
		c.send(`42["no ack","x"]`)
		c.send(`428["echo"]`)
		c.want(`438[]`)

		prefix := ""
		if path == eio3 {
			prefix = "\x04"
		}
		c.send(`452-9["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`)
		c.sendBinary(prefix + "\x00\xff")
		c.sendBinary(prefix + "two")
		c.want(`462-9[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`)
		c.want(prefix + "\x00\xff")
		c.want(prefix + "two")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 12 || got[3].Name != "no ack" || string(got[3].Args) != `["x"]` || got[3].Context != 1 || got[3].User != 2 || got[3].Path != "/socket.io/appsuite/" {
		t.Errorf("events: %+v", got)
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	for u := uint32(1); u <= 5; u++ {
		s := w.login(1, u)
		w.dial(s, eio4)
		w.dial(s, wsPush)
	}
	var all []SocketInfo
	next := ""
	for {
		var infos []SocketInfo
		infos, next = w.server.List(Selector{Context: 1}, next, 3)
		all = append(all, infos...)
		if next == "" {
			break
		}
	}
	seen := make(map[string]bool)
	for i, info := range all {
		if info.User != uint32(i/2+1) || seen[info.ID] || len(info.ID) != 32 || info.Client != testClient || !info.Address.IsLoopback() {
			t.Errorf("%d: %+v", i, info)
		}
		seen[info.ID] = true
	}
	if len(all) != 10 {
		t.Errorf("%d listed, want 10", len(all))
	}
}

// Users come, go and get messages at once; nobody gets another's, and each
// user's messages keep their order.
func TestHubTogether(t *testing.T) {
	w := newWorld(t)
	const users, messages = 20, 50
	var wg sync.WaitGroup
	for u := uint32(1); u <= users; u++ {
		s := w.login(1, u)
		c := w.dial(s, eio3)
		c.wantPrefix("0")
		c.want("40")
		wg.Go(func() {
			for i := range messages {
				if n, err := w.server.SendToUser(1, u, Message{Name: "n", Args: json.RawMessage(fmt.Sprintf("[%d,%d]", u, i))}, Target{PathFilter: "/socket.io/appsuite/*"}); n != 1 || err != nil {
					t.Errorf("queued %d (%v)", n, err)
				}
			}
		})
		wg.Go(func() {
			for i := range messages {
				if got, want := c.read(), fmt.Sprintf(`42["n",%d,%d]`, u, i); got != want {
					t.Errorf("user %d got %s, want %s", u, got, want)
					return
				}
			}
		})
		wg.Go(func() {
			for range 5 {
				_ = w.dial(s, wsPush).conn.CloseNow()
				w.server.Recheck()
				w.server.List(Selector{}, "", 10)
			}
		})
	}
	wg.Wait()
	until(t, "only the first sockets are left", func() bool { return len(w.server.hub.every()) == users })
	if n := w.server.Count(); n != users {
		t.Errorf("%d counted, want %d", n, users)
	}
}

// Whatever a caller passes, only JSON in UTF-8 is built into frames.
func FuzzMessage(f *testing.F) {
	f.Add("ox:mail:new", []byte(`[{"a":1}]`))
	f.Add("<&>\u2028", []byte(`[ ]`))
	f.Add("e", []byte(`[`))
	f.Add("e", []byte("[\"\xff\"]"))
	f.Fuzz(func(t *testing.T, name string, args []byte) {
		m := Message{Name: name, Args: args}
		e, err := m.encode()
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		packet, text := payload(e.packet.data), payload(e.plain().data)
		if !utf8.Valid(packet) || !utf8.Valid(text) || !json.Valid(text) || string(packet[:2]) != "42" || !json.Valid(packet[2:]) {
			t.Fatalf("%q %q becomes %q and %q", name, args, packet, text)
		}
		var event []any
		if err := json.Unmarshal(packet[2:], &event); err != nil || event[0] != name {
			t.Fatalf("%q becomes %q", name, packet)
		}
	})
}

// payload cuts the header off a server's frame.
func payload(frame []byte) []byte {
	switch frame[1] {
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	default:
		return frame[2:]
	}
}
