package websockets

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
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

func nextFrame(r *bufio.Reader) (frame, error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := uint64(h[1])
	if n >= 126 {
		size := 2
		if n == 127 {
			size = 8
		}
		b := make([]byte, 8)
		if _, err := io.ReadFull(r, b[8-size:]); err != nil {
			return frame{}, err
		}
		n = binary.BigEndian.Uint64(b)
	}
	f := frame{opcode: h[0] & 0xF, payload: make([]byte, n)}
	_, err := io.ReadFull(r, f.payload)
	return f, err
}

func readFrame(t testing.TB, r *bufio.Reader) frame {
	t.Helper()
	f, err := nextFrame(r)
	if err != nil {
		t.Fatalf("read frame: %v", err)
	}
	return f
}

// Broken frames and packets close the socket with their code, and the
// connection ends soon after whatever the client does.
func TestHostileFrames(t *testing.T) {
	w := newWorld(t)
	w.configure(func(c *Config) { c.MaxPayload = 2000 })
	text := func(s string) []byte { return clientFrame(0x81, []byte(s)) }
	deep := `42["x",` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "]"
	for _, c := range []struct {
		name string
		path string
		send []byte
		code int
	}{
		{"unmasked", eio4, []byte{0x81, 2, '4', '0'}, 1002},
		{"reserved bit", eio4, clientFrame(0xC1, []byte("40")), 1002},
		{"unknown opcode", eio4, clientFrame(0x83, nil), 1002},
		{"unknown control opcode", eio4, clientFrame(0x8B, nil), 1002},
		{"long ping", eio4, clientFrame(0x89, make([]byte, 126)), 1002},
		{"fragmented ping", eio4, clientFrame(0x09, nil), 1002},
		{"continuation of nothing", eio4, clientFrame(0x80, []byte("40")), 1002},
		{"message within a message", eio4, append(clientFrame(0x01, []byte("4")), text("40")...), 1002},
		{"length 2^63", eio4, []byte{0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1002},
		{"length 2^63-1", eio4, append([]byte{0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}, make([]byte, 4000)...), 1009},
		{"too big", eio4, text("4" + strings.Repeat("x", 4000)), 1009},
		{"too big in fragments", eio4, append(clientFrame(0x01, make([]byte, 1900)), clientFrame(0x00, make([]byte, 1900))...), 1009},
		{"no UTF-8", eio4, text("42[\"\xff\"]"), 1007},
		{"binary", eio4, clientFrame(0x82, []byte("40")), 1003},
		{"binary on /ws", wsPush, clientFrame(0x82, []byte("x")), 1003},
		{"close 999", eio4, clientFrame(0x88, []byte{0x03, 0xE7}), 1002},
		{"close 1005", eio4, clientFrame(0x88, []byte{0x03, 0xED}), 1002},
		{"close of one byte", eio4, clientFrame(0x88, []byte{3}), 1002},
		{"close", eio4, clientFrame(0x88, []byte{0x03, 0xE8}), 1000},
		{"empty packet", eio4, text(""), 1002},
		{"unknown packet", eio4, text("9"), 1002},
		{"base64", eio4, text("bAAAA"), 1002},
		{"open from a client", eio4, text("0{}"), 1002},
		{"engine close", eio4, text("1"), 1000},
		{"ping in version 4", eio4, text("2"), 1002},
		{"pong in version 3", eio3, text("3"), 1002},
		{"unknown type", eio4, text("49"), 1002},
		{"garbage connect", eio4, text("40abc"), 1002},
		{"error from a client", eio4, text(`44{"message":"x"}`), 1002},
		{"event before connect", eio4, text(`42["x"]`), 1002},
		{"event is an object", eio3, text(`42{}`), 1002},
		{"event without a name", eio3, text(`42[]`), 1002},
		{"name is a number", eio3, text(`42[1]`), 1002},
		{"name is an object", eio3, text(`42[{"toString":"x"}]`), 1002},
		{"reserved name", eio3, text(`42["disconnect"]`), 1002},
		{"event to another namespace", eio3, text(`42/x,["a"]`), 1002},
		{"letters for an ack id", eio3, text(`42abc["x"]`), 1002},
		{"ack id beyond numbers", eio3, text("42" + strings.Repeat("9", 100) + `["x"]`), 1002},
		{"negative ack id", eio3, text(`42-1["x"]`), 1002},
		{"ack without an id", eio3, text(`43[]`), 1002},
		{"binary event", eio3, text(`451-["x",{"_placeholder":true,"num":0}]`), 1003},
		{"attachments without end", eio3, text(`4599999999-["x"]`), 1002},
		{"deep arrays", eio3, text(deep), 1002},
		{"broken JSON", eio3, text(`42["x",`), 1002},
		{"two values", eio3, text(`42["x"]["y"]`), 1002},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := w.login(2, nextUser.Add(1))
			sep := "&"
			if c.path == wsPush {
				sep = "?"
			}
			conn, resp, r := w.rawDial(get(c.path+sep+"session="+s.ID), s)
			if resp.StatusCode != 101 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			if _, err := conn.Write(c.send); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			code := 0
			for {
				f, err := nextFrame(r)
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Errorf("the connection ends with %v, want EOF", err)
					}
					break
				}
				if f.opcode == opClose {
					code = f.code()
					// As real clients do; the connection may be gone already.
					_, _ = conn.Write(clientFrame(0x88, f.payload))
				}
			}
			if code != c.code {
				t.Errorf("close %d, want %d", code, c.code)
			}
			if d := time.Since(start); d > closeWait+patience {
				t.Errorf("the connection stayed open for %v", d)
			}
		})
	}
	t.Cleanup(func() {
		until(t, "nothing is left", func() bool { return len(w.server.hub.every()) == 0 })
	})
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
var nextUser atomic.Int32

// A client that floods is closed, and costs no memory while it is not.
func TestFloods(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		unit []byte
	}{
		{"messages", clientFrame(0x81, []byte("6"))},
		{"pings", clientFrame(0x89, []byte("x"))},
		{"pongs", clientFrame(0x8A, nil)},
		{"empty fragments", clientFrame(0x01, nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := w.login(3, nextUser.Add(1))
			conn, _, r := w.rawDial(get(socketIO+s.ID), s)
			go func() {
				next := c.unit
				for {
					if _, err := conn.Write(next); err != nil {
						return
					}
					if c.unit[0] == 0x01 { // only the first frame names the type
						next = []byte(strings.Repeat(string(clientFrame(0x00, nil)), 1000))
					}
				}
			}()
			for {
				f, err := nextFrame(r)
				if err != nil {
					t.Fatalf("no close before %v", err)
				}
				if f.opcode == opClose {
					if f.code() != 1008 {
						t.Errorf("close %d, want 1008", f.code())
					}
					break
				}
			}
			conn.Close()
		})
	}
}

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

func socketsOf(w *world, context, user int32) []SocketInfo {
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
