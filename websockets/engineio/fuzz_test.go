package engineio

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// What is decoded encodes to itself, as text and as binary.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "0{}", "1", "2", "2probe", "3", "3probe", "4", "40", "42[\"x\"]", "5", "6", "9", "b", "bAAAA", "b4AAAA", "abc", "\x00", "\xff\xfe", "4\x1e4", "\x04", "\x04abc",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if p, err := Decode(frame); err == nil {
			if again := p.Append(nil); !bytes.Equal(again, frame) {
				t.Fatalf("%q becomes %q", frame, again)
			}
		} else if !errors.Is(err, ErrPacket) {
			t.Fatalf("error %v is not ErrPacket", err)
		}
		for _, v := range []Version{V3, V4} {
			if data, err := v.DecodeBinary(frame); err == nil {
				if again := v.AppendBinary(nil, data); !bytes.Equal(again, frame) {
					t.Fatalf("version %d: %q becomes %q", v, frame, again)
				}
			} else if !errors.Is(err, ErrPacket) || v != V3 {
				t.Fatalf("version %d: error %v", v, err)
			}
			data := v.AppendBinary(nil, frame)
			if again, err := v.DecodeBinary(data); err != nil || !bytes.Equal(again, frame) {
				t.Fatalf("version %d: %q becomes %q (%v)", v, frame, again, err)
			}
		}
	})
}

// Whatever a client sends, and when, a session keeps its promises: it never
// asks to be looked at later than its patience allows, answers nothing but
// version 3's pings, lets nothing over MaxPayload through, and ends only in the
// ways that it says. script holds the frames: a byte of seconds to wait, a
// byte whose highest bit makes the frame binary and whose others are its
// length, and the frame.
func FuzzSession(f *testing.F) {
	f.Add(true, []byte("\x07\x013\x07\x013\x19\x024x\x13\x012"))
	f.Add(false, []byte("\x07\x012\x07\x062probe\x00\x00\x07\x024x\x013"))
	f.Add(true, []byte("\x00\x83abc\x19\x013\x80\x80"))
	f.Add(false, []byte("\x00\x82\x04a\x2d\x81\x04\x2d\x81\x05"))
	f.Fuzz(func(t *testing.T, four bool, script []byte) {
		v, settings := V3, testSettings
		if four {
			v = V4
		}
		settings.MaxPayload = 100
		now := time.Unix(1000, 0)
		s := NewSession(v, settings, now)
		for len(script) >= 2 {
			now = now.Add(time.Duration(script[0]) * time.Second)
			binary, n := script[1]&0x80 != 0, min(int(script[1]&0x7F), len(script)-2)
			frame := script[2 : 2+n]
			script = script[2+n:]

			late := !now.Before(s.Deadline())
			ping, err := s.Tick(now)
			if err != nil && !errors.Is(err, ErrTimeout) || (ping != nil || err != nil) != late {
				t.Fatalf("tick (late: %v): %q, %v", late, ping, err)
			}
			if err != nil {
				return
			}
			var message, reply []byte
			if binary {
				message, err = s.ReceiveBinary(frame, now)
			} else {
				message, reply, err = s.Receive(frame, now)
			}
			switch {
			case errors.Is(err, ErrPacket), errors.Is(err, ErrHeartbeat), errors.Is(err, ErrClosed):
				return
			case errors.Is(err, ErrTooBig) != (len(frame) > 100), err != nil && !errors.Is(err, ErrTooBig):
				t.Fatalf("%d bytes: %v", len(frame), err)
			case err != nil:
				return
			case (message != nil) != (binary || frame[0] == byte(Message)):
				t.Fatalf("%q (binary: %v) is the message %q", frame, binary, message)
			case reply != nil && (v != V3 || reply[0] != '3' || !bytes.Equal(reply[1:], frame[1:])):
				t.Fatalf("%q is answered with %q", frame, reply)
			}
			if d := s.Deadline().Sub(now); d > settings.PingInterval+settings.PingTimeout {
				t.Fatalf("deadline %v away", d)
			}
		}
	})
}
