package redistest

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a member and Redis, and fails as it is told to. Its
// methods are safe for concurrent use.
type Proxy struct {
	Addr string // host:port

	listener net.Listener
	work     sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	target   string
	cut      bool
	up, down bool // a direction that swallows what it is sent
	delay    time.Duration
	conns    map[net.Conn]bool
	closed   bool
}

// NewProxy starts a proxy to a server; it ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, target: target, conns: make(map[net.Conn]bool)}
	p.changed = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *Proxy) close() {
	p.change(func() { p.closed = true })
	_ = p.listener.Close() // ends accept
	p.breakAll()
	p.work.Wait()
}

// Cut breaks every connection and lets none come.
func (p *Proxy) Cut() {
	p.change(func() { p.cut = true })
	p.breakAll()
}

// BlackHole has bytes be accepted and go nowhere, in the directions given: up is
// to Redis, down from it. They are not lost, but late: Heal lets them through.
func (p *Proxy) BlackHole(up, down bool) { p.change(func() { p.up, p.down = up, down }) }

// Delay has everything take that much longer, in each direction.
func (p *Proxy) Delay(d time.Duration) { p.change(func() { p.delay = d }) }

// Heal ends all faults.
func (p *Proxy) Heal() {
	p.change(func() { p.cut, p.up, p.down, p.delay = false, false, false, 0 })
}

// Snap breaks every connection, with the answers that a BlackHole holds back, and
// lets new ones come: what Redis has done is done, and nobody is told.
func (p *Proxy) Snap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.up, p.down, p.delay = false, false, false, 0
	for c := range p.conns {
		_ = c.Close() // the pumps notice
	}
	clear(p.conns)
	p.changed.Broadcast()
}

// Retarget has new connections lead to another server, and breaks the others.
func (p *Proxy) Retarget(target string) {
	p.change(func() { p.target = target })
	p.breakAll()
}

func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changed.Broadcast()
}

func (p *Proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // the pumps notice
	}
	clear(p.conns)
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of one connection
		}
		p.mu.Lock()
		target, refuse := p.target, p.cut || p.closed
		p.mu.Unlock()
		if refuse {
			_ = c.Close()
			continue
		}
		s, err := net.Dial("tcp", target)
		if err != nil {
			_ = c.Close() // as the server refuses
			continue
		}
		p.mu.Lock()
		if p.cut || p.closed {
			_, _ = c.Close(), s.Close()
			p.mu.Unlock()
			continue
		}
		p.conns[c], p.conns[s] = true, true
		p.mu.Unlock()
		p.work.Go(func() { p.pump(c, s, func() bool { return p.up }) })
		p.work.Go(func() { p.pump(s, c, func() bool { return p.down }) })
	}
}

// pump moves bytes until one end is closed; then it closes both.
func (p *Proxy) pump(from, to net.Conn, swallowed func() bool) {
	defer func() {
		_, _ = from.Close(), to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		delete(p.conns, to)
		p.changed.Broadcast()
		p.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.hold(from, to, swallowed) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil && !errors.Is(err, io.ErrShortBuffer) {
			return
		}
	}
}

// hold keeps bytes back for as long as the fault lasts. It reports false when
// the connection is gone.
func (p *Proxy) hold(from, to net.Conn, swallowed func() bool) bool {
	p.mu.Lock()
	delay := p.delay
	for swallowed() && !p.closed && p.conns[from] && p.conns[to] {
		p.changed.Wait()
	}
	alive := p.conns[from] && p.conns[to] && !p.closed
	p.mu.Unlock()
	if alive && delay > 0 {
		time.Sleep(delay)
	}
	return alive
}
