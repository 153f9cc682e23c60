package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAppendEvent(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"ox:mail:new", `[{"folder":"default0/INBOX"}]`, `2["ox:mail:new",{"folder":"default0/INBOX"}]`},
		{"a", `[]`, `2["a"]`},
		{"a", ` [ ] `[1:4], `2["a"]`},
		{`q"uo<te`, `[1,"<b>"]`, `2["q\"uo<te",1,"<b>"]`},
		{"<&>\x7f", `[]`, "2[\"<&>\x7f\"]"},
		{"\u00e4\n\\", `[1]`, `2["` + "\u00e4" + `\n\\",1]`},
	} {
		if got := AppendEvent(nil, c.name, json.RawMessage(c.args)); string(got) != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// blobs are n attachments.
func blobs(n int) [][]byte { return make([][]byte, n) }

func TestEmit(t *testing.T) {
	s := joinedSession(t, Protocol5)
	converse(t, s, exchange{message: "0/custom", reply: `0/custom,{"sid":"SID"}`, in: "connect /custom SID"})
	for _, c := range []struct {
		namespace, name, args string
		attachments           int
		want                  string
		err                   error
	}{
		{"/", "a", "", 0, `2["a"]`, nil},
		{"/", "a", `[1,{"b":"<>"}]`, 0, `2["a",1,{"b":"<>"}]`, nil},
		{"/custom", "a", "[]", 0, `2/custom,["a"]`, nil},
		{"/custom", "a", `[{"_placeholder":true,"num":0}]`, 1, `51-/custom,["a",{"_placeholder":true,"num":0}]`, nil},
		{"/", "a", `[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`, 2, `52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`, nil},
		{"/", "a", "[" + placeholders(10) + "]", 10, `510-["a",` + placeholders(10) + "]", nil},
		{"/", "a", "[" + placeholders(11) + "]", 11, "", ErrOutgoing},
		{"/", "a", `[{"_placeholder":true,"num":0}]`, 2, "", ErrOutgoing},
		{"/", "a", "[]", 1, "", ErrOutgoing},
		{"/", "a", "{}", 0, "", ErrOutgoing},
		{"/", "a", "[", 0, "", ErrOutgoing},
		{"/", "a", "[1]]", 0, "", ErrOutgoing},
		{"/", "a", "[1],[2]", 0, "", ErrOutgoing},
		{"/", "a", "[,]", 0, "", ErrOutgoing},
		{"/", "a", "[\"\xff\"]", 0, "", ErrOutgoing},
		{"/", "a", strings.Repeat("[", 65) + strings.Repeat("]", 65), 0, "", ErrOutgoing},
		{"/", "disconnect", "[]", 0, "", ErrOutgoing},
		{"/", "a\xff", "[]", 0, "", ErrOutgoing},
		{"/__proto__", "a", "[]", 0, "", ErrNotJoined},
		{"/nope", "a", "[]", 0, "", ErrNotJoined},
	} {
		var args json.RawMessage
		if c.args != "" {
			args = json.RawMessage(c.args)
		}
		packet, err := s.Emit(c.namespace, c.name, args, blobs(c.attachments))
		if string(packet) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s %q %s: %s (%v)", c.namespace, c.name, c.args, packet, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	s := joinedSession(t, Protocol5)
	_, event, err := s.Receive([]byte(`2456["a",1]`), start)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args        string
		attachments int
		want        string
		err         error
	}{
		{"", 0, "3456[]", nil},
		{`[1,"2"]`, 0, `3456[1,"2"]`, nil},
		{"[" + placeholders(2) + "]", 2, "62-456[" + placeholders(2) + "]", nil},
		{"{}", 0, "", ErrOutgoing},
		{"", 1, "", ErrOutgoing},
		{"[" + placeholders(11) + "]", 11, "", ErrOutgoing},
	} {
		var args json.RawMessage
		if c.args != "" {
			args = json.RawMessage(c.args)
		}
		packet, err := s.Answer(event, args, blobs(c.attachments))
		if string(packet) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %s (%v), want %s", c.args, packet, err, c.want)
		}
	}
	if _, err := s.Answer(&Incoming{Type: Event, Namespace: Main}, nil, nil); !errors.Is(err, ErrOutgoing) {
		t.Errorf("no ack was asked for: %v", err)
	}
	if _, err := s.Answer(&Incoming{Type: Ack, Namespace: Main, HasID: true}, nil, nil); !errors.Is(err, ErrOutgoing) {
		t.Errorf("an ack is acknowledged: %v", err)
	}
	s.Leave(Main, start)
	if _, err := s.Answer(event, nil, nil); !errors.Is(err, ErrNotJoined) {
		t.Errorf("answered although the client has left: %v", err)
	}
}

func TestRequest(t *testing.T) {
	s := joinedSession(t, Protocol5)
	converse(t, s, exchange{message: "0/custom", reply: `0/custom,{"sid":"SID"}`, in: "connect /custom SID"})
	ask := func(namespace string) uint64 {
		t.Helper()
		id, packet, err := s.Request(namespace, "q", []byte("[1]"), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := Packet{Type: Event, Namespace: namespace, HasID: true, ID: id, Data: []byte(`["q",1]`)}
		if string(packet) != string(want.Append(nil)) {
			t.Errorf("%s, want %s", packet, want.Append(nil))
		}
		return id
	}
	a, b, c := ask(Main), ask("/custom"), ask(Main)
	if a == b || b == c || a == c {
		t.Errorf("ids %d, %d, %d", a, b, c)
	}
	converse(t, s,
		exchange{message: fmt.Sprintf("3%d[]", b)}, // of the other namespace
		exchange{message: "3999[]"},
		exchange{message: fmt.Sprintf("3%d[2]", a), in: fmt.Sprintf("ack / %d [2]", a)},
		exchange{message: fmt.Sprintf("3%d[2]", a)}, // twice
		exchange{message: fmt.Sprintf(`61-/custom,%d[{"_placeholder":true,"num":0}]`, b)},
		exchange{message: "bin:x", in: fmt.Sprintf(`ack /custom %d [{"_placeholder":true,"num":0}] "x"`, b)},
		exchange{message: `61-999[{"_placeholder":true,"num":0}]`},
		exchange{message: "bin:x"}, // for nobody
	)
	if !s.Forget(Main, c) || s.Forget(Main, c) || s.Forget("/custom", a) {
		t.Error("Forget does not say what it did")
	}
	converse(t, s, exchange{message: fmt.Sprintf("3%d[]", c)})

	if _, _, err := s.Request("/nope", "q", nil, nil); !errors.Is(err, ErrNotJoined) {
		t.Error(err)
	}
	if _, _, err := s.Request(Main, "connect", nil, nil); !errors.Is(err, ErrOutgoing) {
		t.Error(err)
	}
	var last uint64
	for range maxPending - 1 {
		last = ask(Main)
	}
	other := ask("/custom")
	if _, _, err := s.Request(Main, "q", nil, nil); !errors.Is(err, ErrPending) {
		t.Errorf("%v, want ErrPending", err)
	}
	// Leaving a namespace gives up on what it still owes, and on nothing else.
	converse(t, s,
		exchange{message: "1", in: "disconnect /"},
		exchange{message: "0", reply: `0{"sid":"SID"}`, in: "connect / SID"},
		exchange{message: fmt.Sprintf("3%d[]", last)},
		exchange{message: fmt.Sprintf("3/custom,%d[]", other), in: fmt.Sprintf("ack /custom %d []", other)})
	if id := ask(Main); id <= other {
		t.Errorf("id %d is used again", id)
	}
}
