package engineio

import (
	"errors"
	"testing"
	"time"
)

var testSettings = Settings{PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1000}

// step is one thing that happens to a session, at a time since its start.
type step struct {
	at      time.Duration
	frame   string // empty: a tick
	message string
	reply   string
	err     error
	next    time.Duration // the deadline afterwards
}

func run(t *testing.T, v Version, steps []step) {
	t.Helper()
	start := time.Unix(1000, 0)
	s := NewSession(v, "sid", testSettings, start)
	for i, st := range steps {
		now := start.Add(st.at)
		var message, reply []byte
		var err error
		if st.frame == "" {
			reply, err = s.Tick(now)
		} else {
			message, reply, err = s.Receive([]byte(st.frame), now)
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

func TestSessionVersion4(t *testing.T) {
	run(t, V4, []step{
		{at: 10 * sec, next: 25 * sec}, // nothing due
		{at: 12 * sec, frame: "4hello", message: "hello", next: 25 * sec},
		{at: 13 * sec, frame: "3", next: 25 * sec}, // nobody asked
		{at: 14 * sec, frame: "6", next: 25 * sec},
		{at: 15 * sec, frame: "5", next: 25 * sec},
		{at: 25 * sec, reply: "2", next: 45 * sec},
		{at: 30 * sec, frame: "4x", message: "x", next: 45 * sec}, // no pong
		{at: 31 * sec, frame: "3", next: 56 * sec},
		{at: 56 * sec, reply: "2", next: 76 * sec},
		{at: 76 * sec, err: ErrTimeout},
	})
	for frame, want := range map[string]error{"2": ErrHeartbeat, "2probe": ErrHeartbeat, "1": ErrClosed, "0": ErrPacket, "x": ErrPacket} {
		run(t, V4, []step{{frame: frame, err: want}})
	}
}

func TestSessionVersion3(t *testing.T) {
	run(t, V3, []step{
		{at: 25 * sec, frame: "2", reply: "3", next: 70 * sec},
		{at: 30 * sec, frame: "2probe", reply: "3probe", next: 75 * sec},
		{at: 40 * sec, frame: "4hi", message: "hi", next: 85 * sec},
		{at: 50 * sec, frame: "6", next: 95 * sec},
		{at: 94 * sec, next: 95 * sec},
		{at: 95 * sec, err: ErrTimeout},
	})
	for frame, want := range map[string]error{"3": ErrHeartbeat, "1": ErrClosed, "0{}": ErrPacket, "b": ErrPacket} {
		run(t, V3, []step{{frame: frame, err: want}})
	}
}

// An empty message packet is a message, not another packet.
func TestEmptyMessage(t *testing.T) {
	message, reply, err := NewSession(V4, "sid", testSettings, time.Now()).Receive([]byte("4"), time.Now())
	if message == nil || len(message) != 0 || reply != nil || err != nil {
		t.Errorf("message %#v, reply %q, error %v", message, reply, err)
	}
}

// Whatever a client sends, a session never asks to be looked at later than its
// patience allows.
func FuzzSession(f *testing.F) {
	f.Add(true, []byte("3\x003\x004x\x002"))
	f.Add(false, []byte("2\x002probe\x00\x004x\x003"))
	f.Fuzz(func(t *testing.T, four bool, script []byte) {
		v := V3
		if four {
			v = V4
		}
		now := time.Unix(1000, 0)
		s := NewSession(v, "sid", testSettings, now)
		begin := 0
		for i := range len(script) + 1 {
			if i < len(script) && script[i] != 0 {
				continue
			}
			now = now.Add(7 * time.Second)
			if _, err := s.Tick(now); err != nil {
				return
			}
			if _, _, err := s.Receive(script[begin:i], now); err != nil {
				return
			}
			begin = i + 1
			if d := s.Deadline().Sub(now); d > testSettings.PingInterval+testSettings.PingTimeout {
				t.Fatalf("deadline %v away", d)
			}
		}
	})
}
