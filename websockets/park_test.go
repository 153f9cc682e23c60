package websockets

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// allParked waits until nobody serves any of the server's sockets.
func allParked(t testing.TB, w *world, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d sockets are parked", n), func() bool {
		parked := 0
		for _, s := range w.server.hub.every() {
			s.mu.Lock()
			if s.parked {
				parked++
			}
			s.mu.Unlock()
		}
		return parked == n
	})
}

func said(first byte, text string) []byte { return clientFrame(first, []byte(text)) }

func write(t *testing.T, conn net.Conn, data []byte) {
	t.Helper()
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
}

func expectFrame(t *testing.T, r *bufio.Reader, opcode byte, text string) {
	t.Helper()
	if f := readFrame(t, r); f.opcode != opcode || string(f.payload) != text {
		t.Fatalf("got %x %q, want %x %q", f.opcode, f.payload, opcode, text)
	}
}

func expectPrefix(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	if f := readFrame(t, r); f.opcode != opText || !strings.HasPrefix(string(f.payload), text) {
		t.Fatalf("got %x %q, want %q...", f.opcode, f.payload, text)
	}
}

// An idle socket has no goroutine, whatever it has been through.
func TestIdleSocketsHaveNoGoroutine(t *testing.T) {
	w := newWorld(t)
	const users = 60
	before := runtime.NumGoroutine()
	var conns []*client
	for u := range uint32(users) {
		c := w.dial(w.login(1, u+1), eio4)
		c.join()
		conns = append(conns, c)
	}
	allParked(t, w, users)
	// The clients of the test, and the connections of the HTTP client, are in
	// the same process: none of them has a goroutine per connection either.
	if n := runtime.NumGoroutine(); n > before+users/2 {
		t.Errorf("%d goroutines for %d idle sockets, %d before", n, users, before)
	}
	for range 3 {
		for i, c := range conns {
			c.send(fmt.Sprintf(`421["echo",%d]`, i))
			c.want(`431[]`)
		}
		allParked(t, w, users)
	}
}

// What coder/websocket does not document: an error of the connection between
// two frames leaves its Conn usable. Parking after a Web Socket ping or pong
// depends on it.
func TestParkAfterControlFrames(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 1)
	conn, _, r := w.rawDial(get(wsPush+"?session="+s.ID), s)
	for i := range 20 {
		allParked(t, w, 1)
		text := fmt.Sprintf("p%d", i)
		write(t, conn, said(finBit|opPing, text))
		expectFrame(t, r, opPong, text)
		write(t, conn, said(finBit|opPong, ""))
	}
	allParked(t, w, 1)
}

// A frame may come byte by byte, with control frames within a message, and the
// next one in the same segment.
func TestParkOnlyBetweenFrames(t *testing.T) {
	w := newWorld(t)
	s := w.login(1, 1)
	conn, _, r := w.rawDial(get(eio4+"&session="+s.ID), s)
	expectPrefix(t, r, `0{`)
	write(t, conn, said(finBit|opText, "40"))
	expectPrefix(t, r, `40{`)
	allParked(t, w, 1)

	for _, b := range said(finBit|opText, `421["slow"]`) {
		write(t, conn, []byte{b})
		runtime.Gosched()
	}
	expectFrame(t, r, opText, `431[]`)
	allParked(t, w, 1)

	write(t, conn, said(opText, `422["fra`))
	write(t, conn, said(finBit|opPing, "in between"))
	expectFrame(t, r, opPong, "in between")
	write(t, conn, said(0, `gmen`))
	write(t, conn, said(finBit, `ted"]`))
	expectFrame(t, r, opText, `432[]`)
	allParked(t, w, 1)

	var many []byte
	for i := range 50 {
		many = append(many, said(finBit|opText, fmt.Sprintf(`42%d["many",%q]`, i, strings.Repeat("x", 40)))...)
	}
	half := len(many)/2 + 3
	write(t, conn, many[:half])
	write(t, conn, many[half:])
	for i := range 50 {
		expectFrame(t, r, opText, fmt.Sprintf(`43%d[]`, i))
	}
	allParked(t, w, 1)
}

// More sockets than reading slots, all readable at once, with one that has
// stopped within a frame.
func TestBurstOfReaders(t *testing.T) {
	w := newWorld(t)
	const users = readingSlots + 50
	stuck := w.login(2, 1)
	stuckConn, _, _ := w.rawDial(get(eio4+"&session="+stuck.ID), stuck)
	type peer struct {
		conn net.Conn
		r    *bufio.Reader
	}
	var peers []peer
	for u := range uint32(users) {
		s := w.login(1, u+1)
		conn, _, r := w.rawDial(get(eio4+"&session="+s.ID), s)
		expectPrefix(t, r, `0{`)
		peers = append(peers, peer{conn, r})
	}
	allParked(t, w, users+1)
	write(t, stuckConn, said(finBit|opText, `40`)[:3])
	for range 5 {
		for _, p := range peers {
			write(t, p.conn, said(finBit|opPing, "x"))
		}
		for _, p := range peers {
			expectFrame(t, p.r, opPong, "x")
		}
	}
	allParked(t, w, users)
}

// The end finds a parked socket, in whatever way it comes.
func TestEndOfParkedSockets(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(w *world, s *Session, c *client)
	}{
		{"client vanishes", func(_ *world, _ *Session, c *client) { _ = c.conn.CloseNow() }},
		{"disabled", func(w *world, _ *Session, _ *client) { w.gate.refuse(1, 1, SwitchedOff); w.server.Recheck() }},
		{"session", func(w *world, s *Session, _ *client) { _ = w.sessions.Delete(w.t.Context(), s.ID) }},
		{"severed", func(w *world, _ *Session, _ *client) {
			for _, sock := range w.server.hub.every() {
				sock.sever()
			}
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.login(1, 1)
			c := w.dial(s, eio4)
			c.join()
			allParked(t, w, 1)
			start := time.Now()
			end.end(w, s, c)
			until(t, "it is gone", func() bool { return len(w.server.hub.every()) == 0 })
			if d := time.Since(start); d > 2*closeWait {
				t.Errorf("took %v", d)
			}
		})
	}
}
