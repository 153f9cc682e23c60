package websockets

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// torture asks for the full counts of what runs in short rounds else.
var torture = flag.Bool("torture", false, "full counts instead of short rounds")

func rounds(short, full int) int {
	if *torture {
		return full
	}
	return short
}

// narrowBuffer is what the kernel keeps for a connection of a narrow server,
// so that a client that does not read is soon noticed. The kernel doubles it.
const narrowBuffer = 32 << 10

// narrow has the server listen where the kernel keeps little for a connection.
func (w *world) narrow() {
	w.t.Helper()
	w.http.Close()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) { // accepted connections inherit it
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, narrowBuffer)
		}); err != nil {
			return err
		}
		return failed
	}}
	l, err := lc.Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.http = httptest.NewUnstartedServer(w.server)
	if err := w.http.Listener.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.http.Listener = l
	w.http.Start()
}

// death is a way in which a socket ends.
type death struct {
	name  string
	paths []string
	set   func(*Config) // for the time of its handshake
	die   func(w *world, s *Session, p *peer)
	ends  map[Closing]int64
}

var allPaths = []string{eio3, eio4, wsPush}

// reset breaks the connection without a word.
func (p *peer) reset() {
	p.t.Helper()
	if err := p.conn.SetLinger(0); err != nil {
		p.t.Fatal(err)
	}
	if err := p.conn.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// closedBy reads until the server's close and answers it.
func (p *peer) closedBy(code int) {
	p.t.Helper()
	frames, err := p.ending()
	if n := len(frames); err != nil || n == 0 || frames[n-1].code() != code {
		p.t.Errorf("%d frames and no close %d at the end (%v)", n, code, err)
	}
}

func one(c Closing) map[Closing]int64 { return map[Closing]int64{c: 1} }

var deaths = []death{
	{"client closes", allPaths, nil, func(_ *world, _ *Session, p *peer) { p.leave() }, one(endsClient)},
	{"engine close", []string{eio3, eio4}, nil, func(_ *world, _ *Session, p *peer) { p.text("1"); p.closedBy(1000) }, one(endsClient)},
	{"reset", allPaths, nil, func(_ *world, _ *Session, p *peer) { p.reset() }, one(endsBroken)},
	{"connection closed", allPaths, nil, func(_ *world, _ *Session, p *peer) { _ = p.conn.Close() }, one(endsBroken)},
	{"half a connection closed", allPaths, nil, func(_ *world, _ *Session, p *peer) { _ = p.conn.CloseWrite(); _, _ = p.ending() }, one(endsBroken)},
	{"killed within a header", allPaths, nil, func(_ *world, _ *Session, p *peer) { p.write([]byte{finBit | opText}); p.reset() }, one(endsBroken)},
	{"killed within a frame", allPaths, nil, func(_ *world, _ *Session, p *peer) {
		p.write(text(`42["x"]`)[:7])
		_ = p.conn.Close()
	}, one(endsBroken)},
	{"killed within a message", allPaths, nil, func(_ *world, _ *Session, p *peer) { p.write(masked(opText, []byte("42"))); p.reset() }, one(endsBroken)},
	{"killed before an attachment", []string{eio3, eio4}, nil, func(_ *world, _ *Session, p *peer) {
		p.text("40")
		p.text(`451-["x",{"_placeholder":true,"num":0}]`)
		p.reset()
	}, one(endsBroken)},
	{"broken frame", allPaths, nil, func(_ *world, _ *Session, p *peer) { p.write(unmasked(finBit|opText, "x")); p.closedBy(1002) }, one(endsProtocol)},
	{"broken text", allPaths, nil, func(_ *world, _ *Session, p *peer) { p.text("\xff"); p.closedBy(1007) }, one(endsText)},
	{"slow", allPaths, nil, func(w *world, s *Session, p *peer) {
		m := Message{Name: "big", Args: []byte(`["` + strings.Repeat("x", MaxMessageBytes/2) + `"]`)}
		for i := 0; ; i++ {
			n, err := w.server.SendToUser(s.Context, s.User, m, Target{})
			if err != nil || i > 100 {
				p.t.Fatalf("message %d is still taken (%v)", i, err)
			}
			if n == 0 {
				break
			}
		}
		p.reset()
	}, one(endsSlow)},
	{"takeover", []string{eio4 + "&connection=1"}, nil, func(w *world, s *Session, p *peer) {
		again := w.peer(s, eio4+"&connection=1")
		p.closedBy(4409)
		again.leave()
	}, map[Closing]int64{endsTakenOver: 1, endsClient: 1}},
	{"disabled", allPaths, nil, func(w *world, s *Session, p *peer) {
		w.gate.refuse(s.Context, s.User, SwitchedOff)
		w.server.Recheck()
		p.closedBy(4403)
		w.gate.allow(s.Context, s.User)
	}, one(endsDisabled)},
	{"session ends", allPaths, nil, func(w *world, s *Session, p *peer) {
		if err := w.sessions.Delete(w.t.Context(), s.ID); err != nil {
			w.t.Error(err)
		}
		p.closedBy(4401)
	}, one(endsSession)},
	{"closed by an administrator", allPaths, nil, func(w *world, s *Session, p *peer) {
		w.server.CloseSockets(Selector{Session: s.ID}, CauseAdmin)
		p.closedBy(4410)
	}, one(endsAdmin)},
	{"closed by an administrator, and gone", allPaths, nil, func(w *world, s *Session, p *peer) {
		w.server.CloseSockets(Selector{Session: s.ID}, CauseAdmin)
		p.reset()
	}, one(endsAdmin)},
	{"no pong", []string{eio4, wsPush}, func(c *Config) { c.PingInterval, c.PingTimeout = 5*time.Millisecond, 5*time.Millisecond }, func(_ *world, _ *Session, p *peer) { p.closedBy(1008) }, one(endsPing)},
	{"no CONNECT", []string{eio4}, func(c *Config) { c.ConnectTimeout = 5 * time.Millisecond }, func(_ *world, _ *Session, p *peer) { p.closedBy(1008) }, one(endsConnect)},
}

// lives opens a socket for each death and path, and has them die. It returns
// the number of handshakes, and what must be counted as closed.
func lives(t *testing.T, w *world) (handshakes int64, ends map[Closing]int64) {
	t.Helper()
	ends = make(map[Closing]int64)
	for _, d := range deaths {
		for _, path := range d.paths {
			s := w.login(5, nextUser.Add(1))
			cfg := *w.current()
			if d.set != nil {
				w.configure(d.set)
			}
			p := w.peer(s, path)
			w.configure(func(c *Config) { *c = cfg })
			p.t = t
			d.die(w, s, p)
			_ = p.conn.Close()
			for c, n := range d.ends {
				ends[c] += n
				handshakes += n
			}
		}
	}
	return handshakes, ends
}

// drained opens some sockets and ends the server.
func drained(t *testing.T, w *world) int64 {
	t.Helper()
	var peers []*peer
	for _, path := range allPaths {
		for range 5 {
			peers = append(peers, w.peer(w.login(5, nextUser.Add(1)), path))
		}
	}
	var clients sync.WaitGroup
	for _, p := range peers {
		clients.Go(func() {
			p.closedBy(1012)
			_ = p.conn.Close()
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	clients.Wait()
	return int64(len(peers))
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Whatever ends them, thousands of sockets leave no goroutine and no descriptor
// behind, and each is counted once, with its cause.
func TestEveryDeath(t *testing.T) {
	connects := int64(0)
	round := func(i int) {
		t.Run(fmt.Sprint("round ", i), func(t *testing.T) {
			w := newWorld(t)
			w.configure(func(c *Config) { c.QueueMessages = 3 })
			w.narrow()
			defer w.http.Close()
			handshakes, want := int64(0), make(map[Closing]int64)
			for range 5 {
				n, ends := lives(t, w)
				handshakes += n
				for c, n := range ends {
					want[c] += n
				}
			}
			until(t, "nobody is left", func() bool { return open(w.server) == 0 })
			n := drained(t, w)
			handshakes += n
			want[endsDrain] += n
			st := w.server.Stats()
			if got := since(Stats{}, st); !maps.Equal(got, want) {
				t.Errorf("closed %v, want %v", got, want)
			}
			if got := st.Handshakes[Handshake{Result: "ok"}]; got != handshakes || st.Queued != 0 || w.server.Count() != 0 || open(w.server) != 0 {
				t.Errorf("%d handshakes, want %d; %d frames wait, %d sockets counted, %d open", got, handshakes, st.Queued, w.server.Count(), open(w.server))
			}
			connects += handshakes
		})
	}
	round(0) // has the runtime open what it opens once
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	connects = 0
	for i := 1; connects < int64(rounds(1000, 10_000)) && !t.Failed(); i++ {
		round(i)
		until(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
		if n := descriptors(t); n != fds {
			t.Errorf("%d descriptors after %d connects, %d before", n, connects, fds)
		}
	}
	t.Logf("%d connects, %d goroutines and %d descriptors before and after", connects, goroutines, fds)
}
