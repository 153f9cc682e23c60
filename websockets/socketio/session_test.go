package socketio

import (
	"errors"
	"testing"
	"time"
)

// exchange is a message of the client and what must come of it.
type exchange struct {
	message string
	reply   string
	event   string // name and args
	err     error
	joined  bool
}

func converse(t *testing.T, p Protocol, exchanges []exchange) {
	t.Helper()
	now := time.Unix(1000, 0)
	s := NewSession(p, "the-sid", 45*time.Second, now)
	if start := s.Start(); (p == Protocol4) != (string(start) == "0") || s.Joined() != (p == Protocol4) {
		t.Errorf("protocol %d starts with %q", p, start)
	}
	for _, x := range exchanges {
		reply, event, err := s.Receive([]byte(x.message), now)
		got := ""
		if event != nil {
			got = event.Name + string(event.Args)
		}
		if string(reply) != x.reply || got != x.event || !errors.Is(err, x.err) || s.Joined() != x.joined {
			t.Errorf("protocol %d, %q: reply %q, event %q, error %v, joined %v", p, x.message, reply, got, err, s.Joined())
		}
	}
}

func TestSessionProtocol5(t *testing.T) {
	converse(t, Protocol5, []exchange{
		{message: "0/nope,", reply: `4/nope,{"message":"Invalid namespace"}`},
		{message: `0{"token":1}`, reply: `0{"sid":"the-sid"}`, joined: true},
		{message: "0", joined: true},
		{message: `2["a",1]`, event: "a[1]", joined: true},
		{message: `27["a"]`, event: "a[]", joined: true},
		{message: `39[1]`, joined: true},
		{message: "1"},
		{message: "0", reply: `0{"sid":"the-sid"}`, joined: true},
		{message: `2/x,["a"]`, err: ErrState, joined: true},
	})
	for message, want := range map[string]error{
		`2["a"]`: ErrState, "1": ErrState, "31[]": ErrState, `51-["a"]`: ErrBinary, `4{"message":"x"}`: ErrPacket, "x": ErrPacket, "": ErrPacket,
	} {
		converse(t, Protocol5, []exchange{{message: message, err: want}})
	}
}

func TestSessionProtocol4(t *testing.T) {
	converse(t, Protocol4, []exchange{
		{message: "0/appsuite/?session=secret&connection=1,", reply: `4/appsuite/,"Invalid namespace"`, joined: true},
		{message: "0/?session=secret,", joined: true},
		{message: `2["a",{"b":1}]`, event: `a[{"b":1}]`, joined: true},
		{message: "1"},
	})
}

func TestConnectTimeout(t *testing.T) {
	now := time.Unix(1000, 0)
	s := NewSession(Protocol5, "x", 45*time.Second, now)
	if err := s.Tick(now.Add(44 * time.Second)); err != nil {
		t.Error(err)
	}
	if err := s.Tick(s.Deadline()); !errors.Is(err, ErrConnectTimeout) {
		t.Errorf("%v, want ErrConnectTimeout", err)
	}
	if _, _, err := s.Receive([]byte("0"), now); err != nil || !s.Deadline().IsZero() || s.Tick(now.Add(time.Hour)) != nil {
		t.Errorf("a joined session still has a deadline (%v)", err)
	}
}

func TestAckFor(t *testing.T) {
	if got := string(AckFor(7, nil)); got != "37[]" {
		t.Error(got)
	}
	if got := string(AckFor(7, []byte(`[1]`))); got != "37[1]" {
		t.Error(got)
	}
}
