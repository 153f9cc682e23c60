package engineio

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestParseVersion(t *testing.T) {
	for eio, want := range map[string]Version{"4": V4, "3": V3, "": V3, "2": V3, "5": V3, "44": V3, "abc": V3, " 4": V3, "04": V3} {
		if got := ParseVersion(eio); got != want {
			t.Errorf("EIO %q: %d, want %d", eio, got, want)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		frame string
		kind  Type
		data  string
	}{
		{"0{}", Open, "{}"},
		{"1", Close, ""},
		{"2probe", Ping, "probe"},
		{"3", Pong, ""},
		{"4", Message, ""},
		{"42[\"x\"]", Message, "2[\"x\"]"},
		{"5", Upgrade, ""},
		{"6", Noop, ""},
	} {
		p, err := Decode([]byte(c.frame))
		if err != nil || p.Type != c.kind || string(p.Data) != c.data {
			t.Errorf("%q: %c %q (%v)", c.frame, p.Type, p.Data, err)
		}
	}
	for _, frame := range []string{"", "7", "9", "/", "b", "bAAAA", "abc", "\x04", "\xff", " 4"} {
		if p, err := Decode([]byte(frame)); !errors.Is(err, ErrPacket) {
			t.Errorf("%q: %v (%v), want ErrPacket", frame, p, err)
		}
	}
}

func TestOpen(t *testing.T) {
	s := Settings{PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1_000_000}
	for v, want := range map[Version]string{
		V3: `0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`,
		V4: `0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`,
	} {
		got := NewSession(v, "abc", s, time.Now()).AppendOpen(nil)
		if string(got) != want {
			t.Errorf("version %d: %s, want %s", v, got, want)
		}
		if !json.Valid(got[1:]) {
			t.Errorf("version %d: no JSON", v)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "0{}", "1", "2", "2probe", "3", "3probe", "4", "40", "42[\"x\"]", "5", "6", "9", "b", "bAAAA", "abc", "\x00", "\xff\xfe", "4\x1e4",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := Decode(frame)
		if err != nil {
			if !errors.Is(err, ErrPacket) {
				t.Fatalf("error %v is not ErrPacket", err)
			}
			return
		}
		if again := p.Append(nil); !bytes.Equal(again, frame) {
			t.Fatalf("%q becomes %q", frame, again)
		}
	})
}
