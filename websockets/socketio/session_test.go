package socketio

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unsafe"
)

var start = time.Unix(1000, 0)

const sec = time.Second

// testSettings are those of a server with more than the product has.
func testSettings(t testing.TB) Settings {
	t.Helper()
	more, err := NewNamespaces("/custom", "/__proto__")
	if err != nil {
		t.Fatal(err)
	}
	return Settings{ConnectTimeout: 45 * sec, MaxBytes: 1000, Namespaces: more, Attachments: MaxAttachments}
}

// exchange is a message of the client and what must come of it.
type exchange struct {
	message string // with the prefix "bin:" a binary one
	reply   string // an id is SID
	in      string // see describe
	err     error
}

var sids = regexp.MustCompile(`[0-9a-f]{32}`)

// describe writes down what has come in.
func describe(in *Incoming) string {
	if in == nil {
		return ""
	}
	s := map[Type]string{Event: "event", Ack: "ack", Connect: "connect", Disconnect: "disconnect"}[in.Type] + " " + in.Namespace
	if in.HasID {
		s += fmt.Sprint(" ", in.ID)
	}
	for _, part := range []string{in.Name, string(in.Args), string(in.Auth), in.Query, sids.ReplaceAllString(in.SID, "SID")} {
		if part != "" {
			s += " " + part
		}
	}
	for _, data := range in.Attachments {
		s += fmt.Sprintf(" %q", data)
	}
	return s
}

func converse(t *testing.T, s *Session, exchanges ...exchange) {
	t.Helper()
	for _, x := range exchanges {
		var reply []byte
		var in *Incoming
		var err error
		if data, binary := strings.CutPrefix(x.message, "bin:"); binary {
			message := []byte(data)
			in, err = s.ReceiveBinary(message)
			clear(message)
		} else {
			message := []byte(x.message)
			reply, in, err = s.Receive(message, start)
			clear(message) // what has come in must not refer to it
		}
		if got := sids.ReplaceAllString(string(reply), "SID"); got != x.reply || describe(in) != x.in || !errors.Is(err, x.err) {
			t.Errorf("%.100q: reply %q, in %q, error %v; want %q, %q, %v", x.message, got, describe(in), err, x.reply, x.in, x.err)
		}
	}
}

// joinedSession is in "/".
func joinedSession(t testing.TB, p Protocol) *Session {
	t.Helper()
	s := NewSession(p, testSettings(t), start)
	if p == Protocol4 {
		if first := s.Start(); string(first) != "0" {
			t.Fatalf("protocol 4 starts with %q", first)
		}
	} else if first := s.Start(); first != nil {
		t.Fatalf("protocol 5 starts with %q", first)
	} else if _, in, err := s.Receive([]byte("0"), start); err != nil || in == nil {
		t.Fatal(err)
	}
	if !s.Joined() {
		t.Fatal("not joined")
	}
	return &s
}

func TestProtocol5(t *testing.T) {
	s := NewSession(Protocol5, testSettings(t), start)
	converse(t, &s,
		exchange{message: "0/nope,", reply: `4/nope,{"message":"Invalid namespace"}`},
		exchange{message: "0/nope", reply: `4/nope,{"message":"Invalid namespace"}`},
		exchange{message: "0/custom?a=b,", reply: `4/custom?a=b,{"message":"Invalid namespace"}`},
		exchange{message: `0{"token":1}`, reply: `0{"sid":"SID"}`, in: `connect / {"token":1} SID`},
		exchange{message: `2["a",1]`, in: "event / a [1]"},
		exchange{message: `27["a"]`, in: "event / 7 a []"},
		exchange{message: `2["__proto__",{"constructor":1}]`, in: `event / __proto__ [{"constructor":1}]`},
		exchange{message: `39[1]`},
		exchange{message: `0/custom,{"a":[]}`, reply: `0/custom,{"sid":"SID"}`, in: `connect /custom {"a":[]} SID`},
		exchange{message: `2/custom,0["a"]`, in: "event /custom 0 a []"},
		exchange{message: "0/__proto__", reply: `0/__proto__,{"sid":"SID"}`, in: "connect /__proto__ SID"},
		exchange{message: "1", in: "disconnect /"},
		exchange{message: `2/custom,["b"]`, in: "event /custom b []"},
		exchange{message: "0", reply: `0{"sid":"SID"}`, in: "connect / SID"},
		exchange{message: "1/custom", in: "disconnect /custom"},
		exchange{message: "0/custom", reply: `0/custom,{"sid":"SID"}`, in: "connect /custom SID"},
		exchange{message: "1/custom,", in: "disconnect /custom"},
		exchange{message: `2["c"]`, in: "event / c []"},
	)
}

// What no client that follows the protocol sends ends the connection.
func TestProtocol5Refuses(t *testing.T) {
	for message, want := range map[string]error{
		`2["a"]`: ErrState, "1": ErrState, "31[]": ErrState, `2/custom,["a"]`: ErrState, `1/nope,`: ErrState,
		`51-["a",{"_placeholder":true,"num":0}]`: ErrState, `4{"message":"x"}`: ErrPacket, `4/custom,{}`: ErrPacket, "x": ErrPacket, "": ErrPacket,
		"0" + strings.Repeat(" ", 1000): ErrTooBig, "bin:": ErrBinary, "bin:x": ErrBinary,
	} {
		s := NewSession(Protocol5, testSettings(t), start)
		converse(t, &s, exchange{message: message, err: want})
	}
	for message, want := range map[string]error{
		"0": ErrState, `0{"again":true}`: ErrState, `2/custom,["a"]`: ErrState, "1/custom": ErrState, "bin:x": ErrBinary, "2{}": ErrPacket, "2[]": ErrPacket, "2[1]": ErrPacket,
	} {
		converse(t, joinedSession(t, Protocol5), exchange{message: message, err: want})
	}
	s := joinedSession(t, Protocol5)
	converse(t, s,
		exchange{message: "1", in: "disconnect /"},
		exchange{message: `2["after"]`, err: ErrState})
}

func TestProtocol4(t *testing.T) {
	converse(t, joinedSession(t, Protocol4),
		exchange{message: "0/appsuite/?session=x&connection=1,", reply: `4/appsuite/,"Invalid namespace"`},
		exchange{message: "0"},
		exchange{message: "0/?session=x,"},
		exchange{message: `2["a",{"b":1}]`, in: `event / a [{"b":1}]`},
		exchange{message: "0/custom?x=y&z,", reply: "0/custom,", in: "connect /custom x=y&z"},
		exchange{message: `2/custom?x=y,3["a"]`, in: "event /custom 3 a []"},
		exchange{message: "1/custom,", in: "disconnect /custom"},
		exchange{message: "1", in: "disconnect /"},
		exchange{message: "0", reply: "0", in: "connect /"},
	)
	s := joinedSession(t, Protocol4)
	converse(t, s,
		exchange{message: "0/custom", reply: "0/custom,", in: "connect /custom"},
		exchange{message: "0/custom", err: ErrState})
}

// The product has one namespace and takes no binary data.
func TestOnlyMain(t *testing.T) {
	s := NewSession(Protocol5, Settings{ConnectTimeout: 45 * sec, MaxBytes: 1000}, start)
	converse(t, &s,
		exchange{message: "0/custom,", reply: `4/custom,{"message":"Invalid namespace"}`},
		exchange{message: "0", reply: `0{"sid":"SID"}`, in: "connect / SID"},
		exchange{message: `51-["a",{"_placeholder":true,"num":0}]`, err: ErrBinary})
}

func TestNewNamespaces(t *testing.T) {
	n, err := NewNamespaces("/", "/a", "/a", "/a/b", "/\u00fc")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"/": true, "/a": true, "/a/b": true, "/\u00fc": true, "/b": false, "": false, "a": false, "/A": false} {
		if got, ok := n.find(name); ok != want || ok && got != name {
			t.Errorf("%q: %q (%v)", name, got, ok)
		}
	}
	for _, bad := range []string{"", "a", "/a,b", "/a?b", "/\xff", "/" + strings.Repeat("x", MaxNamespace)} {
		if _, err := NewNamespaces(bad); err == nil {
			t.Errorf("%q is registered", bad)
		}
	}
	var many []string
	for i := range maxNamespaces {
		many = append(many, fmt.Sprint("/", i))
	}
	if _, err := NewNamespaces(many...); err != nil {
		t.Error(err)
	}
	if _, err := NewNamespaces(append(many, "/more")...); err == nil {
		t.Error("there is no limit")
	}
}

func TestConnectTimeout(t *testing.T) {
	s := NewSession(Protocol5, testSettings(t), start)
	if err := s.Tick(start.Add(45*sec - 1)); err != nil {
		t.Error(err)
	}
	if err := s.Tick(s.Deadline()); !errors.Is(err, ErrConnectTimeout) || s.Deadline() != start.Add(45*sec) {
		t.Errorf("%v, want ErrConnectTimeout", err)
	}
	if _, _, err := s.Receive([]byte("0/nope"), start.Add(sec)); err != nil || s.Deadline() != start.Add(45*sec) {
		t.Errorf("a refused CONNECT puts the end off: %v", err)
	}
	if _, _, err := s.Receive([]byte("0/custom"), start); err != nil || !s.Deadline().IsZero() || s.Tick(start.Add(time.Hour)) != nil {
		t.Errorf("a session with a namespace still has a deadline (%v)", err)
	}
	if _, _, err := s.Receive([]byte("0"), start); err != nil || !s.Deadline().IsZero() {
		t.Errorf("a session with two namespaces has a deadline (%v)", err)
	}
	if _, _, err := s.Receive([]byte("1/custom"), start); err != nil || !s.Deadline().IsZero() {
		t.Errorf("a session with a namespace left has a deadline (%v)", err)
	}
	if _, _, err := s.Receive([]byte("1"), start.Add(100*sec)); err != nil || s.Deadline() != start.Add(145*sec) {
		t.Errorf("a client that has left everything may stay until %v (%v)", s.Deadline(), err)
	}
	if err := s.Tick(s.Deadline()); !errors.Is(err, ErrConnectTimeout) {
		t.Errorf("%v, want ErrConnectTimeout", err)
	}
}

// What the client has sent before it learns that it was put out is dropped.
func TestLeave(t *testing.T) {
	s := joinedSession(t, Protocol5)
	converse(t, s, exchange{message: "0/custom", reply: `0/custom,{"sid":"SID"}`, in: "connect /custom SID"})
	if got := string(s.Leave("/custom", start)); got != "1/custom," || s.JoinedTo("/custom") {
		t.Errorf("%q", got)
	}
	if got := s.Leave("/custom", start); got != nil {
		t.Errorf("left twice: %q", got)
	}
	converse(t, s,
		exchange{message: `2/custom,7["a"]`},
		exchange{message: `51-/custom,["a",{"_placeholder":true,"num":0}]`},
		exchange{message: "bin:x"},
		exchange{message: `3/custom,1[]`},
		exchange{message: "0/custom", reply: `0/custom,{"sid":"SID"}`, in: "connect /custom SID"},
		exchange{message: `2/custom,7["a"]`, in: "event /custom 7 a []"})
	if got := string(s.Leave(Main, start)); got != "1" || s.Joined() || !s.Deadline().IsZero() {
		t.Errorf("%q", got)
	}
	if got := string(s.Leave("/custom", start)); got != "1/custom," || s.Deadline() != start.Add(45*sec) {
		t.Errorf("%q, then until %v", got, s.Deadline())
	}
	converse(t, s,
		exchange{message: "1/custom"},
		exchange{message: `2/custom,["a"]`, err: ErrState})
}

// Tens of thousands of sessions live in their sockets.
func TestSessionIsCompact(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 80 {
		t.Errorf("a session takes %d bytes", size)
	}
	s := joinedSession(t, Protocol5)
	converse(t, s, exchange{message: `2["a",1]`, in: "event / a [1]"}, exchange{message: `31[]`}, exchange{message: "0/nope", reply: `4/nope,{"message":"Invalid namespace"}`})
	if s.rare != nil {
		t.Error("a session with nothing rare has something on the heap")
	}
	message := []byte(`2["a",1]`)
	if n := testing.AllocsPerRun(100, func() {
		if _, in, err := s.Receive(message, start); err != nil || in == nil {
			t.Error(err)
		}
	}); n > 3 {
		t.Errorf("an event takes %v objects: want its name, its arguments and itself", n)
	}
}
