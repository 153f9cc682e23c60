package engineio

import (
	"encoding/json"
	"errors"
	"fmt"
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

func TestParseVersionStrict(t *testing.T) {
	for eio, want := range map[string]Version{"4": V4, "3": V3} {
		if got, ok := ParseVersionStrict(eio); got != want || !ok {
			t.Errorf("EIO %q: %d (%v)", eio, got, ok)
		}
	}
	for _, eio := range []string{"", "2", "5", "44", "abc", " 4", "04", "4.0", "\u0664"} {
		if got, ok := ParseVersionStrict(eio); ok {
			t.Errorf("EIO %q is version %d", eio, got)
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

func TestBinary(t *testing.T) {
	for _, c := range []struct {
		v     Version
		frame string
		data  string
		err   error
	}{
		{V3, "\x04\x01\x02", "\x01\x02", nil},
		{V3, "\x04", "", nil},
		{V3, "", "", ErrPacket},
		{V3, "\x01\x02", "", ErrPacket},
		{V3, "4abc", "", ErrPacket},
		{V4, "\x04\x01", "\x04\x01", nil},
		{V4, "", "", nil},
	} {
		data, err := c.v.DecodeBinary([]byte(c.frame))
		if !errors.Is(err, c.err) || string(data) != c.data {
			t.Errorf("version %d, %q: %q (%v)", c.v, c.frame, data, err)
		}
		if err != nil {
			continue
		}
		if again := c.v.AppendBinary(nil, data); string(again) != c.frame {
			t.Errorf("version %d: %q becomes %q", c.v, c.frame, again)
		}
	}
}

func TestOpen(t *testing.T) {
	s := Settings{PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1_000_000}
	for v, want := range map[Version]string{
		V3: `0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`,
		V4: `0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`,
	} {
		e := NewSession(v, s, time.Now())
		got := e.AppendOpen(nil)
		if want := fmt.Sprintf(want, e.SID()); string(got) != want {
			t.Errorf("version %d: %s, want %s", v, got, want)
		}
		if !json.Valid(got[1:]) {
			t.Errorf("version %d: no JSON", v)
		}
	}
}
