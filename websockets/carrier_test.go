package websockets

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// secure serves the world over TLS, too.
func (w *world) secure() *httptest.Server {
	w.t.Helper()
	pair, err := tls.X509KeyPair(testkit.Issue(w.t, "parked"))
	if err != nil {
		w.t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(w.server)
	h.Listener = ListenTLS(h.Listener, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
	h.Start()
	w.t.Cleanup(h.Close)
	return h
}

// pieces has each write go out in pieces, with whatever is to be seen between
// them.
type pieces struct {
	net.Conn
	size    func(left int) int // 0: all that is left
	between func()
}

func (p *pieces) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		size := len(b) - n
		if p.size != nil {
			if s := p.size(size); s > 0 {
				size = min(s, size)
			}
		}
		m := 0
		m, err = p.Conn.Write(b[n : n+size])
		if n += m; n < len(b) && p.between != nil {
			p.between()
		}
	}
	return n, err
}

// over opens a socket over TLS, and returns what its records go out by.
func (w *world) over(h *httptest.Server, path string, s *Session, config *tls.Config) (*tls.Conn, *pieces, *bufio.Reader) {
	w.t.Helper()
	tcp, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = tcp.Close() })
	_ = tcp.SetDeadline(time.Now().Add(6 * patience))
	out := &pieces{Conn: tcp}
	config = config.Clone()
	config.InsecureSkipVerify = true // its own certificate
	conn := tls.Client(out, config)
	return conn, out, w.shake(conn, path, s)
}

// shake makes a handshake of a Web Socket.
func (w *world) shake(conn io.ReadWriter, path string, s *Session) *bufio.Reader {
	w.t.Helper()
	if _, err := io.WriteString(conn, w.upgrade(get(path+"session="+s.ID), s)); err != nil {
		w.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatal(resp, err)
	}
	return r
}

var versions = map[string]*tls.Config{"1.2": {MaxVersion: tls.VersionTLS12}, "1.3": {MinVersion: tls.VersionTLS13}}

// An idle socket over TLS has no goroutine either, whatever it has been through.
func TestIdleSocketsOverTLSHaveNoGoroutine(t *testing.T) {
	for version, config := range versions {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			h := w.secure()
			const users = 60
			before := runtime.NumGoroutine()
			type peer struct {
				conn net.Conn
				r    *bufio.Reader
			}
			var peers []peer
			for u := range uint32(users) {
				conn, _, r := w.over(h, eio4+"&", w.login(1, u+1), config)
				expectPrefix(t, r, `0{`)
				write(t, conn, said(finBit|opText, "40"))
				expectPrefix(t, r, `40{`)
				peers = append(peers, peer{conn, r})
			}
			allParked(t, w, users)
			if n := runtime.NumGoroutine(); n > before+users/2 {
				t.Errorf("%d goroutines for %d idle sockets, %d before", n, users, before)
			}
			for range 3 {
				for i, p := range peers {
					write(t, p.conn, said(finBit|opText, fmt.Sprintf(`421["echo",%d]`, i)))
					expectFrame(t, p.r, opText, `431[]`)
				}
				allParked(t, w, users)
			}
			if n, err := w.server.SendToAll(Message{Name: "e", Args: []byte(`[1]`)}, Target{}); err != nil || n != users {
				t.Fatal(n, err)
			}
			for _, p := range peers {
				expectFrame(t, p.r, opText, `42["e",1]`)
			}
			allParked(t, w, users)
			if n := w.server.Bound(); n != users {
				t.Errorf("%d sockets cannot be handed over, want %d", n, users)
			}
		})
	}
}

// A record that comes byte by byte keeps no goroutine: the socket is parked with
// what there is of it. Several frames in a record, and a frame in several, are
// what they are.
func TestParkWithinRecord(t *testing.T) {
	for version, config := range versions {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			conn, out, r := w.over(w.secure(), eio4+"&", w.login(1, 1), config)
			expectPrefix(t, r, `0{`)
			write(t, conn, said(finBit|opText, "40"))
			expectPrefix(t, r, `40{`)
			allParked(t, w, 1)

			out.size, out.between = func(int) int { return 1 }, func() { allParked(t, w, 1) }
			write(t, conn, said(finBit|opText, `421["slow"]`))
			expectFrame(t, r, opText, `431[]`)

			out.size, out.between = func(left int) int { return 1 + rand.IntN(left) }, nil
			write(t, conn, said(opText, `422["fra`))
			write(t, conn, said(finBit|opPing, "in between"))
			expectFrame(t, r, opPong, "in between")
			write(t, conn, said(0, `gmen`))
			write(t, conn, said(finBit, `ted"]`)[:4])
			write(t, conn, said(finBit, `ted"]`)[4:])
			expectFrame(t, r, opText, `432[]`)
			allParked(t, w, 1)

			var many []byte
			for i := range 50 {
				many = append(many, said(finBit|opText, fmt.Sprintf(`42%d["many",%q]`, i, strings.Repeat("x", 400)))...)
			}
			write(t, conn, many)
			for i := range 50 {
				expectFrame(t, r, opText, fmt.Sprintf(`43%d[]`, i))
			}
			allParked(t, w, 1)
		})
	}
}

// What a client over TLS does not read waits as it does without, and comes whole.
func TestStalledOverTLS(t *testing.T) {
	for version, config := range versions {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			w.configure(roomy)
			s := w.login(1, 1)
			conn, _, r := w.over(w.secure(), wsPush+"?", s, config)
			allParked(t, w, 1)
			const messages, size = 40, 200_000
			for seq := range messages {
				if n, err := w.server.SendToUser(1, 1, numbered(0, seq, size), Target{}); err != nil || n != 1 {
					t.Fatal(n, err)
				}
			}
			// Meanwhile it says something, which is read although it reads nothing.
			write(t, conn, said(finBit|opPing, "still here"))
			var got ledger
			for got.total < messages {
				f, err := nextFrame(r)
				if err != nil {
					t.Fatal(err)
				}
				if f.opcode == opPong {
					continue
				}
				if err := got.enter(f.payload); err != nil {
					t.Fatal(err)
				}
			}
			allParked(t, w, 1)
		})
	}
}

// The end finds a parked socket over TLS, in whatever way it comes.
func TestEndOfParkedSocketsOverTLS(t *testing.T) {
	for version, config := range versions {
		for _, end := range []struct {
			name string
			code uint16 // of the close that the client gets; 0: none
			end  func(w *world, s *Session, conn *tls.Conn, tcp net.Conn)
		}{
			{"client vanishes", 0, func(_ *world, _ *Session, _ *tls.Conn, tcp net.Conn) { _ = tcp.Close() }},
			{"close notify", 0, func(_ *world, _ *Session, conn *tls.Conn, _ net.Conn) { _ = conn.CloseWrite() }},
			{"half a record, then the end", 0, func(w *world, _ *Session, conn *tls.Conn, tcp net.Conn) {
				_, _ = tcp.Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
				allParked(w.t, w, 1)
				_ = tcp.Close()
			}},
			{"garbage", 0, func(_ *world, _ *Session, _ *tls.Conn, tcp net.Conn) { _, _ = tcp.Write(make([]byte, 100)) }},
			{"a record that is none of ours", 0, func(_ *world, _ *Session, _ *tls.Conn, tcp net.Conn) {
				_, _ = tcp.Write(append([]byte{23, 3, 3, 0, 100}, make([]byte, 100)...))
			}},
			{"close", 1000, func(_ *world, _ *Session, conn *tls.Conn, _ net.Conn) {
				_, _ = conn.Write(said(finBit|opClose, "\x03\xe8"))
			}},
			{"broken frame", 1002, func(_ *world, _ *Session, conn *tls.Conn, _ net.Conn) {
				_, _ = conn.Write([]byte{0xff, 0x80, 0, 0, 0, 0})
			}},
			{"disabled", 4403, func(w *world, _ *Session, _ *tls.Conn, _ net.Conn) {
				w.gate.refuse(1, 1, SwitchedOff)
				w.server.Recheck()
			}},
			{"session", 4401, func(w *world, s *Session, _ *tls.Conn, _ net.Conn) { _ = w.sessions.Delete(w.t.Context(), s.ID) }},
			{"drain", 1012, func(w *world, _ *Session, _ *tls.Conn, _ net.Conn) {
				go func() { _ = w.server.Shutdown(w.t.Context()) }() // the end of the world waits for it
			}},
			{"freeze", 1012, func(w *world, _ *Session, _ *tls.Conn, _ net.Conn) {
				if f := w.server.Freeze(); f.Closed != 1 || len(f.Sockets) != 0 {
					w.t.Errorf("%d sockets frozen, %d closed", len(f.Sockets), f.Closed)
				}
			}},
			{"severed", 0, func(w *world, _ *Session, _ *tls.Conn, _ net.Conn) {
				for _, sock := range w.server.hub.every() {
					sock.sever()
				}
			}},
		} {
			t.Run(end.name+" "+version, func(t *testing.T) {
				w := newWorld(t)
				s := w.login(1, 1)
				conn, out, r := w.over(w.secure(), wsPush+"?", s, config)
				allParked(t, w, 1)
				end.end(w, s, conn, out.Conn)
				code := uint16(0)
				for {
					f, err := nextFrame(r)
					if err != nil {
						if end.code != 0 && !errors.Is(err, io.EOF) {
							t.Errorf("behind the close came %v, want TLS's own end", err)
						}
						break
					}
					if f.opcode == opClose {
						code = uint16(f.payload[0])<<8 | uint16(f.payload[1])
						_, _ = conn.Write(said(finBit|opClose, string(f.payload[:2]))) // it may have been the client's own
					}
				}
				if code != end.code {
					t.Errorf("close %d, want %d", code, end.code)
				}
				_ = conn.Close()
				until(t, "it is gone", func() bool { return len(w.server.hub.every()) == 0 })
			})
		}
	}
}

// FuzzSealed has what a client sends come in pieces of any sizes, and from a place
// on changed: what came before it is answered, the socket ends where the records
// are broken, and no goroutine stays.
func FuzzSealed(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 0}, uint16(0), byte(0))
	f.Add([]byte{5}, uint16(30), byte(1))
	f.Add([]byte{255, 1}, uint16(7), byte(0x80))
	w := newWorld(f)
	h := w.secure()
	user := uint32(0)
	f.Fuzz(func(t *testing.T, sizes []byte, at uint16, change byte) {
		const pings = 4
		w.t = t
		user++
		s := w.login(1, user)
		conn, out, r := w.over(h, wsPush+"?", s, versions[[]string{"1.2", "1.3"}[user%2]])
		n, sent := 0, 0
		out.size = func(left int) int {
			if len(sizes) == 0 {
				return 0
			}
			n++
			return int(sizes[n%len(sizes)])
		}
		var stream wiretap
		stream.Conn, out.Conn = out.Conn, &stream
		stream.change = func(b []byte) {
			if i := int(at) - sent; i >= 0 && i < len(b) {
				b[i] ^= change
			}
			sent += len(b)
		}
		for i := range pings {
			if _, err := conn.Write(said(finBit|opPing, fmt.Sprint(i))); err != nil {
				break // it has ended
			}
		}
		whole := change == 0 || int(at) >= sent
		for i := 0; i < pings; i++ {
			f, err := nextFrame(r)
			if err != nil && whole {
				t.Fatalf("ping %d: %v", i, err)
			}
			if err != nil {
				break
			}
			if f.opcode != opPong || string(f.payload) != fmt.Sprint(i) {
				t.Fatalf("got %x %q, want pong %d", f.opcode, f.payload, i)
			}
		}
		_ = stream.Conn.Close()
		testkit.Within(t, patience, "the socket is gone", func() bool { return len(w.server.hub.every()) == 0 })
	})
}

// wiretap changes what is written.
type wiretap struct {
	net.Conn
	change func([]byte)
}

func (c *wiretap) Write(b []byte) (int, error) {
	b = append([]byte(nil), b...)
	c.change(b)
	return c.Conn.Write(b)
}
