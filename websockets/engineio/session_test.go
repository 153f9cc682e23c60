package engineio

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"
)

var testSettings = Settings{PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1000}

// step is one thing that happens to a session, at a time since its start.
type step struct {
	at      time.Duration
	frame   string // empty: a tick; with the prefix "bin:" a binary frame
	message string
	reply   string
	err     error
	next    time.Duration // the deadline afterwards
}

func run(t *testing.T, v Version, steps []step) {
	t.Helper()
	start := time.Unix(1000, 0)
	s := NewSession(v, testSettings, start)
	for i, st := range steps {
		now := start.Add(st.at)
		var message, reply []byte
		var err error
		if data, binary := strings.CutPrefix(st.frame, "bin:"); binary {
			message, err = s.ReceiveBinary([]byte(data), now)
		} else if data != "" {
			message, reply, err = s.Receive([]byte(data), now)
		} else {
			reply, err = s.Tick(now)
		}
		if string(message) != st.message || string(reply) != st.reply || !errors.Is(err, st.err) {
			t.Errorf("step %d (%q at %v): message %q, reply %q, error %v", i, st.frame, st.at, message, reply, err)
		}
		if got := s.Deadline().Sub(start); err == nil && got != st.next {
			t.Errorf("step %d (%q at %v): deadline %v, want %v", i, st.frame, st.at, got, st.next)
		}
	}
}

const sec = time.Second

// big is one byte longer than testSettings allows.
var big = "4" + strings.Repeat("x", int(testSettings.MaxPayload))

func TestSessionVersion4(t *testing.T) {
	run(t, V4, []step{
		{at: 10 * sec, next: 25 * sec}, // nothing due
		{at: 12 * sec, frame: "4hello", message: "hello", next: 25 * sec},
		{at: 13 * sec, frame: "3", next: 25 * sec}, // nobody asked
		{at: 14 * sec, frame: "6", next: 25 * sec},
		{at: 15 * sec, frame: "5", next: 25 * sec},
		{at: 25 * sec, reply: "2", next: 45 * sec},
		{at: 30 * sec, frame: "4x", message: "x", next: 45 * sec},            // no pong
		{at: 30 * sec, frame: "bin:\x04x", message: "\x04x", next: 45 * sec}, // no pong either
		{at: 31 * sec, frame: "3", next: 56 * sec},
		{at: 56 * sec, reply: "2", next: 76 * sec},
		{at: 76 * sec, err: ErrTimeout},
	})
	for frame, want := range map[string]error{"2": ErrHeartbeat, "2probe": ErrHeartbeat, "1": ErrClosed, "0": ErrPacket, "x": ErrPacket, big: ErrTooBig, "bin:" + big: ErrTooBig} {
		run(t, V4, []step{{frame: frame, err: want}})
	}
}

func TestSessionVersion3(t *testing.T) {
	run(t, V3, []step{
		{at: 25 * sec, frame: "2", reply: "3", next: 70 * sec},
		{at: 30 * sec, frame: "2probe", reply: "3probe", next: 75 * sec},
		{at: 40 * sec, frame: "4hi", message: "hi", next: 85 * sec},
		{at: 50 * sec, frame: "6", next: 95 * sec},
		{at: 60 * sec, frame: "bin:\x04\x00", message: "\x00", next: 105 * sec},
		{at: 104 * sec, next: 105 * sec},
		{at: 105 * sec, err: ErrTimeout},
	})
	for frame, want := range map[string]error{"3": ErrHeartbeat, "1": ErrClosed, "0{}": ErrPacket, "b": ErrPacket, "bin:": ErrPacket, "bin:\x03": ErrPacket, "bin:" + big: ErrTooBig} {
		run(t, V3, []step{{frame: frame, err: want}})
	}
}

// An empty message packet is a message, not another packet.
func TestEmptyMessage(t *testing.T) {
	for _, v := range []Version{V3, V4} {
		s := NewSession(v, testSettings, time.Now())
		message, reply, err := s.Receive([]byte("4"), time.Now())
		if message == nil || len(message) != 0 || reply != nil || err != nil {
			t.Errorf("version %d: message %#v, reply %q, error %v", v, message, reply, err)
		}
		message, err = s.ReceiveBinary(v.AppendBinary(nil, nil), time.Now())
		if message == nil || len(message) != 0 || err != nil {
			t.Errorf("version %d, binary: message %#v, error %v", v, message, err)
		}
	}
}

// A message may be as long as the client was told, not longer.
func TestMaxPayload(t *testing.T) {
	s := NewSession(V4, testSettings, time.Now())
	if _, _, err := s.Receive([]byte(big[:len(big)-1]), time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := s.ReceiveBinary([]byte(big[:len(big)-1]), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestSIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := NewSession(V4, testSettings, time.Now())
		sid := s.SID()
		if len(sid) != 32 || strings.Trim(sid, "0123456789abcdef") != "" || seen[sid] {
			t.Fatalf("id %q", sid)
		}
		seen[sid] = true
	}
}

// Tens of thousands of sessions live in their sockets: no heap of their own,
// and no garbage from heartbeats.
func TestSessionIsCompact(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 80 {
		t.Errorf("a session takes %d bytes", size)
	}
	now := time.Unix(1000, 0)
	four, three := NewSession(V4, testSettings, now), NewSession(V3, testSettings, now)
	ping, pong := []byte("2"), []byte("3")
	if n := testing.AllocsPerRun(100, func() {
		now = four.Deadline()
		if _, err := four.Tick(now); err != nil {
			t.Error(err)
		}
		if _, _, err := four.Receive(pong, now); err != nil {
			t.Error(err)
		}
		if _, _, err := three.Receive(ping, now); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("a heartbeat allocates %v objects", n)
	}
}
