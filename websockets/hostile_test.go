package websockets

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// clientFrame is a masked frame; first is the byte with FIN, RSV and opcode.
func clientFrame(first byte, payload []byte) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n <= 0xFFFF:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	f = append(f, 0, 0, 0, 0) // a mask of zeros leaves the payload readable
	return append(f, payload...)
}

type frame struct {
	opcode  byte
	payload []byte
}

func (f frame) code() int {
	if f.opcode != opClose || len(f.payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16(f.payload))
}

// errServerFrame is a frame that no server may send (RFC 6455, 5).
var errServerFrame = errors.New("broken frame of the server")

// nextFrame reads a frame and holds it to what RFC 6455 wants of a server and
// this server promises: no mask, no reserved bits, the shortest length, no
// fragments, text in UTF-8, and close codes that may be on the wire.
func nextFrame(r *bufio.Reader) (frame, error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	f := frame{opcode: h[0] & 0xF}
	n := uint64(h[1])
	least := uint64(0)
	if n == 126 || n == 127 {
		size := 2
		least = 126
		if n == 127 {
			size, least = 8, 1<<16
		}
		b := make([]byte, 8)
		if _, err := io.ReadFull(r, b[8-size:]); err != nil {
			return frame{}, err
		}
		n = binary.BigEndian.Uint64(b)
	}
	switch control := f.opcode&8 != 0; {
	case h[0]&0xF0 != finBit, h[1]&0x80 != 0, n < least, control && n > 125,
		f.opcode != opText && f.opcode != opBinary && f.opcode != opClose && f.opcode != opPing && f.opcode != opPong:
		return frame{}, fmt.Errorf("%w: first bytes %x", errServerFrame, h)
	case n > maxServerFrame:
		return frame{}, fmt.Errorf("%w: %d bytes", errServerFrame, n)
	}
	f.payload = make([]byte, n)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return frame{}, err
	}
	switch {
	case f.opcode == opText && !utf8.Valid(f.payload),
		f.opcode == opClose && len(f.payload) == 1,
		f.opcode == opClose && len(f.payload) > 1 && (!closeCodeOnWire(f.code()) || !utf8.Valid(f.payload[2:])):
		return frame{}, fmt.Errorf("%w: opcode %x, payload %.40q", errServerFrame, f.opcode, f.payload)
	}
	return f, nil
}

// maxServerFrame is above every service message and every answer to a client.
const maxServerFrame = 2 * DefaultMaxPayload

// closeCodeOnWire is RFC 6455, 7.4, with the codes registered since.
func closeCodeOnWire(code int) bool {
	return 1000 <= code && code <= 1014 && code != 1004 && code != 1005 && code != 1006 || 3000 <= code && code <= 4999
}

func readFrame(t testing.TB, r *bufio.Reader) frame {
	t.Helper()
	f, err := nextFrame(r)
	if err != nil {
		t.Fatalf("read frame: %v", err)
	}
	return f
}

// A client that never answers the close is cut off all the same.
func TestCloseUnanswered(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	conn, _, r := w.rawDial(get(socketIO+s.ID), s)
	if _, err := conn.Write(clientFrame(0x81, []byte("9"))); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > closeWait+patience {
		t.Errorf("the connection stayed open for %v", d)
	}
}

// nextUser gives each parallel test a user of its own.
var nextUser atomic.Uint32

// A client that does not read is closed, and delays nobody.
func TestSlowClient(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 2)
	stuck, resp, _ := w.rawDial(get(socketIO+s.ID), s)
	if resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	if err := stuck.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := stuck.Write(clientFrame(0x81, []byte("40"))); err != nil {
		t.Fatal(err)
	}
	healthy := w.dial(s, wsPush)
	received := 0
	big := Message{Name: "big", Args: []byte(`["` + strings.Repeat("x", 200<<10) + `"]`)}
	until(t, "the stuck socket is closed", func() bool {
		if _, err := w.server.SendToUser(1, 2, big, Target{}); err != nil {
			t.Fatal(err)
		}
		healthy.read()
		received++
		return w.server.Stats().Closed[Closing{"slow", 4408}] == 1 || len(socketsOf(w, 1, 2)) == 1
	})
	until(t, "its goroutines end", func() bool { return len(w.server.hub.every()) == 1 })
	if n := w.server.Stats().Closed[Closing{"slow", 4408}]; n != 1 {
		t.Errorf("%d closed as slow, want 1", n)
	}
}

func socketsOf(w *world, context, user uint32) []SocketInfo {
	infos, _ := w.server.List(Selector{Context: context, User: user}, "", MaxList)
	return infos
}

// A slow client that wakes up in time reads why it was closed.
func TestSlowClientReadsItsClose(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.QueueMessages = 2 })
	c := w.dial(w.login(1, 2), eio4)
	for range 3 { // it has not joined, so they wait in the queue
		if _, err := w.server.SendToUser(1, 2, Message{Name: "e"}, Target{}); err != nil {
			t.Fatal(err)
		}
	}
	c.wantClose(4408)
}

// A client that vanishes without a word leaves nothing behind.
func TestClientVanishes(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{eio3, eio4, wsPush} {
		s := w.login(1, 2)
		sep := "&"
		if path == wsPush {
			sep = "?"
		}
		conn, _, _ := w.rawDial(get(path+sep+"session="+s.ID), s)
		_ = conn.SetLinger(0) // a reset, no FIN
		conn.Close()
	}
	until(t, "nothing is left", func() bool { return len(w.server.hub.every()) == 0 })
	if n := w.server.Stats().Closed[Closing{"connection", 0}]; n != 3 {
		t.Errorf("%d counted as broken connections, want 3", n)
	}
}
