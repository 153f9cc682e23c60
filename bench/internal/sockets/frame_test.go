package sockets

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestCut(t *testing.T) {
	long := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	for _, c := range []struct {
		name string
		data []byte
		want frame
		size int
	}{
		{"nothing", nil, frame{}, 0},
		{"half a head", []byte{0x81}, frame{}, 0},
		{"half a text", []byte{0x81, 2, 'a'}, frame{}, 0},
		{"a text and more", []byte{0x81, 1, 'a', 0x81}, frame{opText, true, []byte("a")}, 3},
		{"empty ping", []byte{0x89, 0}, frame{opPing, true, []byte{}}, 2},
		{"half a 16 bit length", []byte{0x81, 126, 0}, frame{}, 0},
		{"16 bit length", append([]byte{0x81, 126, 1, 0}, long(256)...), frame{opText, true, long(256)}, 260},
		{"64 bit length", append([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, long(65536)...), frame{opText, true, long(65536)}, 65546},
		{"half a 64 bit length", []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0}, frame{}, 0},
		{"beyond all bounds", []byte{0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, frame{opText, false, nil}, 10},
		{"masked", []byte{0x81, 0x81, 1, 2, 3, 4, 'a'}, frame{opText, false, nil}, 7},
		{"first fragment", []byte{0x01, 1, 'a'}, frame{opText, false, []byte("a")}, 3},
	} {
		got, size := cut(c.data)
		if size != c.size || got.opcode != c.want.opcode || got.final != c.want.final || !bytes.Equal(got.payload, c.want.payload) {
			t.Errorf("%s: opcode %x final %t, %d bytes of %d, want %x %t, %d of %d", c.name,
				got.opcode, got.final, len(got.payload), size, c.want.opcode, c.want.final, len(c.want.payload), c.size)
		}
	}
}

func TestAnswered(t *testing.T) {
	good := "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accepted + "\r\n\r\n"
	for _, c := range []struct {
		data string
		size int
		bad  bool
	}{
		{"HTTP/1.1 101 Sw", 0, false},
		{good + "\x81\x00", len(good), false},
		{strings.Replace(good, "101", "200", 1), 0, true},
		{strings.Replace(good, accepted, "AAAA", 1), 0, true},
	} {
		if size, err := answered([]byte(c.data)); size != c.size || (err != nil) != c.bad {
			t.Errorf("%q: %d, %v", c.data, size, err)
		}
	}
}

func TestMasked(t *testing.T) {
	want := []byte{0x81, 0x82, 0, 0, 0, 0, '4', '0'}
	if got := masked(opText, []byte("40")); !slices.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}
