package websockets

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The ends of the attacks, as Stats counts them.
var (
	goesOn        = Closing{}
	endsProtocol  = Closing{"protocol", 1002}
	endsBinary    = Closing{"binary", 1003}
	endsText      = Closing{"text", 1007}
	endsRate      = Closing{"rate", 1008}
	endsPing      = Closing{"ping", 1008}
	endsTooBig    = Closing{"too_big", 1009}
	endsClient    = Closing{"client", 1000}
	endsSlow      = Closing{"slow", 4408}
	endsBroken    = Closing{"connection", 0}
	endsConnect   = Closing{"connect", 1008}
	endsDisabled  = Closing{"disabled", 4403}
	endsSession   = Closing{"session", 4401}
	endsTakenOver = Closing{"takeover", 4409}
	endsAdmin     = Closing{"admin", 4410}
	endsDrain     = Closing{"drain", 1012}
)

// attackPayload is the largest message in the arena: small, so that it is soon
// exceeded.
const attackPayload = 2000

func unmasked(first byte, payload string) []byte {
	return append([]byte{first, byte(len(payload))}, payload...)
}

// header is a frame's first bytes with a length in a field of 2 or 8 bytes,
// whatever follows, and a mask of zeros.
func wireHeader(first byte, length uint64, size int) []byte {
	f := []byte{first, 0x80 | 126}
	if size == 8 {
		f[1] = 0x80 | 127
	}
	var field [8]byte
	binary.BigEndian.PutUint64(field[:], length)
	return append(append(f, field[8-size:]...), 0, 0, 0, 0)
}

func closeWithCode(code int, reason string) []byte {
	return masked(finBit|opClose, append([]byte{byte(code >> 8), byte(code)}, reason...))
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// What RFC 6455 forbids a client, and what is at its edges. The packets inside
// matter to no case here, so that all hold for every kind of socket.
func frameAttacks() []attack {
	noop := []byte("6")
	full := bytes.Repeat([]byte("6"), attackPayload)
	fragments := func(n int, each []byte) []byte {
		f := masked(opText, each)
		return append(f, bytes.Repeat(masked(0, each), n-1)...)
	}
	list := []attack{
		{"unmasked text", unmasked(finBit|opText, "6"), endsProtocol, nil},
		{"unmasked ping", unmasked(finBit|opPing, ""), endsProtocol, nil},
		{"unmasked close", unmasked(finBit|opClose, "\x03\xE8"), endsProtocol, nil},
		{"compressed without negotiation", masked(0xC0|opText, []byte{0xB2, 0x30, 0x04, 0x00}), endsProtocol, nil},
		{"compressed binary without negotiation", masked(0xC0|opBinary, []byte{0xB2, 0x30, 0x04, 0x00}), endsProtocol, nil},
		{"second reserved bit", masked(0xA0|opText, noop), endsProtocol, nil},
		{"third reserved bit", masked(0x90|opText, noop), endsProtocol, nil},
		{"all reserved bits", masked(0xF0|opText, noop), endsProtocol, nil},
		{"reserved bit in a ping", masked(0xC0|opPing, nil), endsProtocol, nil},
		{"reserved bit in a close", masked(0xC0|opClose, []byte{0x03, 0xE8}), endsProtocol, nil},
		{"reserved bit in a continuation", join(masked(opText, nil), masked(0xC0, noop)), endsProtocol, nil},
		{"ping of 125 bytes", masked(finBit|opPing, full[:125]), goesOn, []string{string(full[:125])}},
		{"ping of 126 bytes", masked(finBit|opPing, full[:126]), endsProtocol, nil},
		{"pong of 126 bytes", masked(finBit|opPong, full[:126]), endsProtocol, nil},
		{"close of 126 bytes", closeWithCode(1000, strings.Repeat("x", 124)), endsProtocol, nil},
		{"ping of 2^63-1 bytes", wireHeader(finBit|opPing, 1<<63-1, 8), endsProtocol, nil},
		{"fragmented ping", masked(opPing, nil), endsProtocol, nil},
		{"fragmented pong", masked(opPong, nil), endsProtocol, nil},
		{"fragmented close", masked(opClose, []byte{0x03, 0xE8}), endsProtocol, nil},
		{"continuation of nothing", masked(finBit, noop), endsProtocol, nil},
		{"open continuation of nothing", masked(0, noop), endsProtocol, nil},
		{"continuation of what is over", join(masked(opText, noop), masked(finBit, nil), masked(finBit, noop)), endsProtocol, nil},
		{"text within a text", join(masked(opText, noop), text("6")), endsProtocol, nil},
		{"binary within a text", join(masked(opText, noop), masked(finBit|opBinary, noop)), endsProtocol, nil},
		{"text within a binary", join(masked(opBinary, noop), text("6")), endsProtocol, nil},
		{"unmasked within a message", join(masked(opText, noop), unmasked(finBit, "")), endsProtocol, nil},
		{"long ping within a message", join(masked(opText, noop), masked(finBit|opPing, full[:126])), endsProtocol, nil},
		{"control frames within a message", join(masked(opText, noop), masked(finBit|opPing, []byte("a")), masked(finBit|opPong, nil), masked(0, nil), masked(finBit|opPing, nil), masked(finBit, nil)), goesOn, []string{"a", ""}},
		{"close within a message", join(masked(opText, noop), closeWithCode(1000, "")), endsClient, []string{"\x03\xE8"}},
		{"length 2^63", wireHeader(finBit|opText, 1<<63, 8), endsProtocol, nil},
		{"length 2^64-1", wireHeader(finBit|opText, 1<<64-1, 8), endsProtocol, nil},
		{"length 2^63 in a continuation", join(masked(opText, noop), wireHeader(finBit, 1<<63, 8)), endsProtocol, nil},
		{"length 2^63-1", join(wireHeader(finBit|opText, 1<<63-1, 8), full, full), endsTooBig, nil},
		{"length 2^40", join(wireHeader(finBit|opText, 1<<40, 8), full, full), endsTooBig, nil},
		// At once, whatever follows or not.
		{"a length a byte too large, and nothing else", wireHeader(finBit|opText, attackPayload+1, 2), endsTooBig, nil},
		{"a stray byte in a frame that does not end", append(wireHeader(opText, 100, 2), "6\xff"...), endsText, nil},
		{"a stray byte in a message that does not end", masked(opText, []byte("6\xff")), endsText, nil},
		// A sender must use the shortest form, a receiver need not care: the
		// length is what it says, and nothing is allocated for it.
		{"length 1 in 16 bits", append(wireHeader(finBit|opText, 1, 2), '6'), goesOn, nil},
		{"length 1 in 64 bits", append(wireHeader(finBit|opText, 1, 8), '6'), goesOn, nil},
		{"ping with its length in 16 bits", wireHeader(finBit|opPing, 0, 2), goesOn, []string{""}},
		{"the largest message", masked(finBit|opText, full), goesOn, nil},
		{"a byte more", masked(finBit|opText, append(full[:attackPayload:attackPayload], '6')), endsTooBig, nil},
		{"the largest message in fragments", join(masked(opText, full[:1500]), masked(0, full[:499]), masked(finBit, noop)), goesOn, nil},
		{"a byte more in fragments", join(masked(opText, full[:1500]), masked(0, full[:500]), masked(finBit, noop)), endsTooBig, nil},
		{"a message of one-byte fragments without end", fragments(attackPayload+2, noop), endsRate, nil},
		{"a megabyte", masked(finBit|opText, bytes.Repeat(noop, 1<<20)), endsTooBig, nil},
		{"empty message", join(text("6"), masked(opText, nil), masked(0, nil), masked(0, noop), masked(finBit, nil)), goesOn, nil},

		{"close", closeWithCode(1000, ""), endsClient, []string{"\x03\xE8"}},
		{"close without a code", masked(finBit|opClose, nil), endsClient, []string{""}},
		{"close with a long reason", closeWithCode(3000, strings.Repeat("ä", 61)+"."), endsClient, []string{"\x0B\xB8" + strings.Repeat("ä", 61) + "."}},
		{"close twice", join(closeWithCode(1000, ""), closeWithCode(1001, "")), endsClient, []string{"\x03\xE8"}},
		{"close of one byte", masked(finBit|opClose, []byte{3}), endsProtocol, nil},
		{"close whose reason is not UTF-8", closeWithCode(1000, "\xff\xfe"), endsProtocol, nil},
		{"close whose reason ends within a letter", closeWithCode(1000, "caf\xc3"), endsProtocol, nil},
	}
	for _, code := range []int{1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 4403, 4999} {
		list = append(list, attack{
			fmt.Sprint("close ", code), closeWithCode(code, "bye"),
			endsClient,
			[]string{string([]byte{byte(code >> 8), byte(code)}) + "bye"},
		})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535} {
		list = append(list, attack{fmt.Sprint("close ", code), closeWithCode(code, ""), endsProtocol, nil})
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF} {
		list = append(list, attack{fmt.Sprintf("opcode %x", opcode), masked(finBit|opcode, nil), endsProtocol, nil})
	}
	for name, text := range map[string]string{
		"a stray byte":                  "6\xff",
		"an overlong slash":             "6\xc0\xaf",
		"half a surrogate pair":         "6\xed\xa0\x80",
		"beyond the last character":     "6\xf4\x90\x80\x80",
		"the end of a letter":           "6\x80",
		"a letter that is not complete": "6\xe2\x82",
	} {
		list = append(list, attack{"text with " + name, masked(finBit|opText, []byte(text)), endsText, nil})
	}
	return append(
		list,
		attack{"a letter over two fragments", join(masked(opText, []byte("6\xe2")), masked(finBit, []byte("\x82\xac"))), goesOn, nil},
		attack{"half a letter over two fragments", join(masked(opText, []byte("6\xe2")), masked(0, []byte("\x82")), masked(finBit, nil)), endsText, nil},
	)
}

func TestBrokenFrames(t *testing.T) {
	a := newArena(t)
	a.configure(func(c *Config) { c.MaxPayload = attackPayload })
	for name, path := range map[string]string{"version 3": eio3, "version 4": eio4, "text": wsPush} {
		for _, k := range frameAttacks() {
			t.Run(name+"/"+k.name, func(t *testing.T) { a.strike(t, path, false, k) })
		}
	}
}

// What follows a close is not taken.
func TestDataBehindClose(t *testing.T) {
	var events atomic.Int32
	a := newArena(t, func(o *Options) {
		o.OnEvent = func(Event) (json.RawMessage, [][]byte) { events.Add(1); return nil, nil }
	})
	behind := slices.Repeat(text(`421["late"]`), 100)
	for name, first := range map[string]attack{
		"the client's":    {"", closeWithCode(1000, ""), endsClient, []string{"\x03\xE8"}},
		"a broken packet": {"", text("9"), endsProtocol, nil},
	} {
		t.Run(name, func(t *testing.T) {
			first.send = append(first.send, behind...)
			a.strike(t, eio4, true, first)
			if n := events.Load(); n != 0 {
				t.Errorf("%d events after the close", n)
			}
		})
	}
}
