package websockets

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// sealRoom is what the records of flushBytes take beyond it: crypto/tls makes
	// at most 25 of them, and none adds more than 80 bytes.
	sealRoom = 2 << 10
	// maxReplies bounds, in bytes, what a client that does not read can have
	// crypto/tls answer: a key update takes less than 40, and one is enough.
	maxReplies = 1 << 10
)

// errReplies is what a write of crypto/tls ends with for such a client.
var errReplies = errors.New("the client wants more answers than it reads")

// ListenTLS is tls.NewListener for sockets that can be parked.
func ListenTLS(l net.Listener, config *tls.Config) net.Listener {
	return tls.NewListener(carriers{l}, config)
}

// carriers accepts connections for TLS.
type carriers struct{ net.Listener }

// Accept implements net.Listener.
func (l carriers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &carrier{Conn: conn}, nil
}

// carrier is the connection below a tls.Conn. Once it has a socket, it never waits
// while the tls.Conn works: where nothing is to be read, reading ends with
// errWouldBlock, which crypto/tls takes for temporary, and keeps what it has of a
// record; and what crypto/tls writes is kept for the socket's writer, so that
// neither its locks nor what it answers by itself, such as key updates, wait for a
// client that does not read.
type carrier struct {
	net.Conn         // of TCP
	sock     *socket // nil until the 101 is out: reading and writing wait

	// Of the goroutine that serves the socket.
	waits   bool // for the client
	drained bool // the last read took all there was; more is told by the poller
	ended   bool // the client sends nothing more

	mu      sync.Mutex
	out     []byte // records that nobody has written
	sealing bool   // they are the writer's
	replies int    // bytes of those that are not
}

// carried returns the TCP connection that a socket's connection is, or has below
// it; nil: none that can be polled. c is nil without TLS.
func carried(conn net.Conn) (tcp *net.TCPConn, c *carrier) {
	if secured, ok := conn.(*tls.Conn); ok {
		if c, ok = secured.NetConn().(*carrier); !ok {
			return nil, nil
		}
		conn = c.Conn
	}
	tcp, _ = conn.(*net.TCPConn)
	return tcp, c
}

// Read is called by crypto/tls.
func (c *carrier) Read(p []byte) (int, error) {
	if c.sock == nil {
		return c.Conn.Read(p)
	}
	c.sock.settleRecords()
	if c.waits {
		return c.Conn.Read(p)
	}
	if c.drained && !c.ended {
		c.drained = false
		return 0, errWouldBlock
	}
	n, err := readNow(c.sock.raw, p)
	c.drained = err == nil && n < len(p)
	return n, err
}

// Write is called by crypto/tls, with whole records.
func (c *carrier) Write(p []byte) (int, error) {
	if c.sock == nil {
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sealing {
		if c.replies += len(p); c.replies > maxReplies {
			return 0, errReplies
		}
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

// seal appends to buf what nobody has written yet and the records of data. The
// caller is the socket's writer, and has written what it got before.
func (c *carrier) seal(data, buf []byte) ([]byte, error) {
	c.mu.Lock()
	c.out, c.sealing = append(buf, c.out...), true
	c.mu.Unlock()
	var err error
	if len(data) > 0 {
		_, err = c.sock.conn.Write(data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	buf, c.out, c.sealing, c.replies = c.out, nil, false, 0
	return buf, err
}

// owes reports whether there are records that nobody is writing. A carrier that is
// nil owes nothing.
func (c *carrier) owes() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out) > 0 && !c.sealing
}

// Close is called by crypto/tls, behind its last record.
func (c *carrier) Close() error {
	if c.sock != nil {
		c.sock.mu.Lock()
		whole := c.sock.rest == nil && !c.sock.writer
		c.sock.mu.Unlock()
		c.mu.Lock()
		out := c.out
		c.out = nil
		c.mu.Unlock()
		if len(out) > 0 && whole {
			_ = c.Conn.SetWriteDeadline(time.Time{}) // crypto/tls has let it pass; nothing waits
			_, _ = writeNow(c.sock.raw, out)         // the client may be gone
		}
	}
	return c.Conn.Close()
}

// settleRecords writes what crypto/tls has answered by itself.
func (s *socket) settleRecords() {
	if !s.carrier.owes() {
		return
	}
	s.mu.Lock()
	mine := s.claimLocked()
	s.mu.Unlock()
	if mine {
		s.flush()
	}
}

// readSealed reads what the tls.Conn has or can have. It waits only within a frame.
func (w *wire) readSealed(p []byte, ended bool) (int, error) {
	c := w.sock.carrier
	c.ended = ended
	n, err := w.Conn.Read(p)
	if err != errWouldBlock {
		return n, err
	}
	if w.boundary {
		return 0, errIdle
	}
	w.sock.yield()
	c.waits, c.drained = true, false
	n, err = w.Conn.Read(p)
	c.waits = false
	return n, err
}

// sendNow writes what the connection takes at once, by way of sealed, which it may
// use. With errWouldBlock it returns what is left of the bytes on the connection.
func (s *socket) sendNow(data, sealed []byte) (rest []byte, err error) {
	if s.carrier != nil {
		if data, err = s.carrier.seal(data, sealed); err != nil {
			return nil, err
		}
		if len(data) == 0 {
			return nil, nil // the end of the connection has taken what was owed
		}
	}
	n, err := writeNow(s.raw, data)
	return data[n:], err
}

// sendWaiting is sendNow that waits, for a writer that has a deadline; begun: data
// is what is left of what was sent before.
func (s *socket) sendWaiting(data []byte, begun bool, sealed []byte) (rest []byte, err error) {
	conn := s.conn
	if s.carrier != nil {
		conn = s.carrier.Conn
		if !begun {
			if data, err = s.carrier.seal(data, sealed); err != nil {
				return nil, err
			}
		}
	}
	n, err := conn.Write(data)
	return data[n:], err
}

// wouldBlock is the error of errWouldBlock.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "the connection is not ready" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }
