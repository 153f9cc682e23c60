package websockets

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// What is wrong is known with the first byte that makes it so, however the
// stream is cut, and what is right never counts as wrong.
func TestInboundNotices(t *testing.T) {
	const limit = 1000
	big := bytes.Repeat([]byte("x"), limit)
	for _, c := range []struct {
		name, stream string
		bad          Cause
		at           int // bytes until it is noticed
	}{
		{"what fits", string(masked(finBit|opText, big)), CauseNone, 0},
		{"a length beyond the limit", string(wireHeader(finBit|opText, limit+1, 2)), CauseTooBig, 8},
		{"a length far beyond it", string(wireHeader(finBit|opBinary, 1<<40, 8)), CauseTooBig, 14},
		{"a fragment too many", string(join(masked(opText, big[:600]), masked(0, big[:400]), wireHeader(0, 1, 2))), CauseTooBig, 600 + 8 + 400 + 8 + 8},
		{"a ping between fragments", string(join(masked(opText, big[:600]), masked(finBit|opPing, big[:125]), masked(finBit, big[:400]))), CauseNone, 0},
		{"two messages", string(join(masked(finBit|opText, big), masked(finBit|opText, big))), CauseNone, 0},
		{"a stray byte", string(masked(opText, []byte("6\xffxxxxxxxx"))), CauseText, 8},
		{"an impossible second byte", string(masked(opText, []byte("6\xe0\x80xxx"))), CauseText, 9},
		{"in the second fragment", string(join(masked(opText, []byte("6\xe2\x82")), masked(0, []byte("\xacx\xc0")))), CauseText, 9 + 6 + 3},
		{"a letter over two fragments", string(join(masked(opText, []byte("6\xe2")), masked(finBit, []byte("\x82\xac")))), CauseNone, 0},
		{"binary", string(masked(finBit|opBinary, []byte{0xff, 0xfe})), CauseNone, 0},
		{"behind a close", string(join(closeWithCode(1000, ""), masked(finBit|opText, []byte{0xff}))), CauseNone, 0},
		{"behind what the library refuses", string(join(masked(finBit, nil), masked(finBit|opText, []byte{0xff}))), CauseNone, 0},
	} {
		for _, step := range []int{1, 2, 3, 7, 1 << 20} {
			var in inbound
			noticed, read := CauseNone, 0
			for stream := []byte(c.stream); len(stream) > 0 && noticed == CauseNone; {
				n := min(step, len(stream))
				_, noticed = in.count(stream[:n], limit)
				read += n
				stream = stream[n:]
			}
			if noticed != c.bad || step == 1 && c.bad != CauseNone && read != c.at {
				t.Errorf("%s in steps of %d: %v after %d bytes, want %v after %d", c.name, step, noticed, read, c.bad, c.at)
			}
		}
	}
}

// FuzzInbound holds the check of text in pieces against that of the whole.
func FuzzInbound(f *testing.F) {
	f.Add([]byte("6\xe2\x82\xac"), uint16(2), uint8(1))
	f.Add([]byte("6\xf4\x90\x80\x80"), uint16(3), uint8(5))
	f.Add(bytes.Repeat([]byte("\u20ac"), 600), uint16(700), uint8(255))
	f.Fuzz(func(t *testing.T, data []byte, split uint16, step uint8) {
		at := min(int(split), len(data))
		stream := join(masked(opText, data[:at]), masked(finBit, data[at:]))
		var in inbound
		bad, frames := CauseNone, 0
		for len(stream) > 0 && bad == CauseNone {
			n := min(1+int(step), len(stream))
			var more int
			more, bad = in.count(stream[:n], 1<<40)
			frames += more
			stream = stream[n:]
		}
		switch valid := utf8.Valid(data); {
		case bad == CauseText && valid:
			t.Errorf("%q counts as no UTF-8", data)
		case bad == CauseNone && !valid && in.nBegun == 0:
			t.Errorf("%q counts as UTF-8", data)
		case bad == CauseNone && frames != 2:
			t.Errorf("%d frames", frames)
		}
	})
}

// However the stream is cut, each frame counts once.
func TestFrameCounter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var stream []byte
		frames := r.IntN(20)
		for range frames {
			n := []int{0, 1, 125, 126, 300, 65_535, 65_536}[r.IntN(7)]
			stream = append(stream, clientFrame(finBit|opText, make([]byte, n))...)
		}
		var c inbound
		got := 0
		for len(stream) > 0 {
			n := min(1+r.IntN(400), len(stream))
			frames, bad := c.count(stream[:n], 1<<20)
			if bad != CauseNone {
				t.Fatalf("%v", bad)
			}
			got += frames
			stream = stream[n:]
		}
		if got != frames {
			t.Fatalf("%d frames, counted %d", frames, got)
		}
	}
}
