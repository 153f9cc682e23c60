// Package sockets has raw Web Socket clients, thousands of which one thread
// serves, so that they take little of what is measured.
package sockets

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"syscall"
	"time"
)

// sock is one raw Web Socket client: a descriptor and where its stream is.
type sock struct {
	fd      int
	stage   stage
	partial []byte // of a response head or a frame
	request []byte
	code    int      // of the close frame that it got
	counted bool     // among those that are ready
	secured *secured // nil: without TLS
}

type stage uint8

const (
	connecting stage = iota
	upgrading        // the request is out
	opening          // waits for the peer's first packets
	ready
	lost
)

// readBytes is what one read takes: more than a server writes at once, so that
// this program needs few system calls.
const readBytes = 1 << 20

// Clients are the sockets of a run. One thread serves them all.
type Clients struct {
	ep      int
	list    []sock
	speak   Dialect
	Ready   int
	Lost    int
	Dead    error // why the first one was lost
	buf     []byte
	events  []syscall.EpollEvent
	Message func(i int, text []byte, at time.Time) error // of each delivery
	// Gone, where it is set, is told of each client whose connection ended, was
	// refused or said what it must not: the client may be dialled again once Poll has
	// returned, and Poll does not fail.
	Gone   func(i int, why error)
	secure bool
	shaken chan shaken // handshakes of TLS that are over
}

// Dialect is what a peer's sockets speak.
type Dialect struct {
	SocketIO bool // Engine.IO 4 with Socket.IO, else bare text
	// Opened is what the first text begins with, once a socket may be sent to; in
	// bare text, empty for one that may from its handshake on.
	Opened string
	Before string // of the text of a delivery; with Opened, after its addressee
	After  string
}

// Event is the name of the messages. With a text that needs no escapes,
// Sluice and Socket.IO send the same bytes.
const Event = "m"

// SocketIO is what Sluice and Socket.IO speak.
var SocketIO = Dialect{SocketIO: true, Before: `42["` + Event + `","`, After: `"]`}

// Centrifugo is what its unidirectional Web Sockets get.
var Centrifugo = Dialect{Opened: `{"connect":`, Before: `"pub":{"data":"`, After: `"}}`}

// New makes n clients, which Connect opens.
func New(n int, d Dialect) (*Clients, error) {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	c := &Clients{ep: ep, list: make([]sock, n), speak: d, buf: make([]byte, readBytes), events: make([]syscall.EpollEvent, 1024)}
	for i := range c.list {
		c.list[i].fd = -1
	}
	return c, nil
}

func (c *Clients) Close() {
	for i := range c.list {
		_ = c.list[i].close()
	}
	_ = syscall.Close(c.ep)
}

// Reset drops all connections without leaving their ports in TIME_WAIT, and
// makes the clients ready to be dialled again.
func (c *Clients) Reset() error {
	for i := range c.list {
		fd := c.list[i].fd
		if err := syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
			return fmt.Errorf("linger: %w", err)
		}
		if err := c.list[i].close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		c.list[i] = sock{fd: -1}
	}
	c.Ready = 0
	return nil
}

// Connect opens all connections, so many at a time, and waits until all are
// ready: for Socket.IO, until the CONNECT is answered.
func (c *Clients) Connect(ctx context.Context, inFlight int, target func(i int) (port int, request []byte)) error {
	for next := 0; c.Ready < len(c.list); {
		for next < len(c.list) && next-c.Ready < inFlight {
			port, request := target(next)
			dial := c.Dial
			if c.secure {
				dial = c.dialSecure
			}
			if err := dial(next, port, request); err != nil {
				return fmt.Errorf("client %d: %w", next, err)
			}
			next++
		}
		wait := 100 * time.Millisecond
		if c.secure {
			wait = time.Millisecond // handshakes of TLS end elsewhere
		}
		if err := c.Poll(ctx, wait); err != nil {
			return err
		}
		if c.Lost > 0 {
			return fmt.Errorf("while others connect: %w", c.Dead)
		}
	}
	return nil
}

// Dial opens the connection of a client that has none; Poll goes on with it.
func (c *Clients) Dial(i, port int, request []byte) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w: the limit of descriptors (ulimit -n) is the limit of sockets", err)
	}
	c.list[i] = sock{fd: fd, request: request}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("no delay: %w", err)
	}
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && err != syscall.EINPROGRESS {
		return fmt.Errorf("connect: %w", err)
	}
	return syscall.EpollCtl(c.ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLOUT, Fd: int32(i)})
}

// Ignore has client i read no more.
func (c *Clients) Ignore(i int) error {
	return syscall.EpollCtl(c.ep, syscall.EPOLL_CTL_DEL, c.list[i].fd, nil)
}

// Poll serves the sockets once, waiting at most that long.
func (c *Clients) Poll(ctx context.Context, wait time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.takeShaken(); err != nil {
		return err
	}
	n, err := syscall.EpollWait(c.ep, c.events, int(wait.Milliseconds()))
	if err == syscall.EINTR {
		return nil
	}
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, e := range c.events[:n] {
		i := int(e.Fd)
		err := c.serve(i)
		switch {
		case c.Gone != nil && (err != nil || c.list[i].stage == lost):
			why := cmp.Or(err, c.Dead)
			c.Dead, c.Lost = nil, 0
			if err := c.Drop(i); err != nil {
				return err
			}
			c.Gone(i, why)
		case err != nil:
			return fmt.Errorf("client %d: %w", i, err)
		}
	}
	return nil
}

// IsReady reports whether a client may be sent to.
func (c *Clients) IsReady(i int) bool { return c.list[i].counted }

// Bye has a client that is ready say that it goes; the server ends the connection.
func (c *Clients) Bye(i int) error {
	const normal = 1000 // RFC 6455, section 7.4.1
	return c.list[i].send(masked(opClose, []byte{normal >> 8, normal & 0xff}))
}

// Drop closes the connection of a client, without a close frame.
func (c *Clients) Drop(i int) error {
	s := &c.list[i]
	if s.fd < 0 {
		return nil
	}
	if s.counted {
		c.Ready--
	}
	err := syscall.Close(s.fd)
	*s = sock{fd: -1}
	return err
}

// Rest serves the sockets for a while, of which none may be lost.
func (c *Clients) Rest(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := c.Poll(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	if c.Lost > 0 {
		return fmt.Errorf("%d sockets were lost, %w", c.Lost, c.Dead)
	}
	return nil
}

func (c *Clients) serve(i int) error {
	s := &c.list[i]
	if s.stage == connecting {
		if err := s.send(s.request); err != nil {
			return err
		}
		s.stage, s.request = upgrading, nil
		return syscall.EpollCtl(c.ep, syscall.EPOLL_CTL_MOD, s.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)})
	}
	for {
		more, err := c.read(i)
		if !more || err != nil {
			return err
		}
	}
}

// read takes what one read of a socket has. more: what TLS has decrypted is not
// told by the poller.
func (c *Clients) read(i int) (more bool, err error) {
	s := &c.list[i]
	n := 0
	if s.secured != nil {
		n, err = s.secured.Read(c.buf[len(s.partial):])
	} else {
		n, err = syscall.Read(s.fd, c.buf[len(s.partial):])
	}
	switch {
	case err == error(errNothing) || err == syscall.EAGAIN || err == syscall.EINTR:
		return false, nil
	case n <= 0:
		s.stage = lost
		c.Lost++
		if c.Dead == nil {
			c.Dead = fmt.Errorf("client %d was the first to be closed, code %d (0: none), read: %v", i, s.code, err)
		}
		return false, c.Ignore(i)
	}
	at := time.Now()
	copy(c.buf, s.partial)
	data := c.buf[:len(s.partial)+n]
	if s.stage == upgrading {
		size, err := answered(data)
		if err != nil {
			return false, err
		}
		data = data[size:]
		if size > 0 {
			s.stage = opening
			if !c.speak.SocketIO && c.speak.Opened == "" {
				c.isReady(s)
			}
		}
	}
	for s.stage != upgrading {
		f, size := cut(data)
		if size == 0 {
			break
		}
		if err := c.frame(i, f, at); err != nil {
			return false, err
		}
		data = data[size:]
	}
	if s.partial = append(s.partial[:0], data...); len(data) == 0 {
		s.partial = nil
	}
	return s.secured != nil, nil
}

func (c *Clients) isReady(s *sock) {
	s.stage, s.counted = ready, true
	c.Ready++
}

// frame takes a whole frame of the server.
func (c *Clients) frame(i int, f frame, at time.Time) error {
	s := &c.list[i]
	switch {
	case f.opcode == opPing && f.final:
		return s.send(masked(opPong, f.payload))
	case f.opcode == opClose && len(f.payload) >= 2:
		s.code = int(f.payload[0])<<8 | int(f.payload[1])
		return nil // the end of the stream follows
	case f.opcode != opText || !f.final:
		return fmt.Errorf("a frame of opcode %x, final %t", f.opcode, f.final)
	case s.stage == opening && c.speak.Opened != "" && bytes.HasPrefix(f.payload, []byte(c.speak.Opened)):
		c.isReady(s)
		return nil
	case c.speak.Opened != "" && string(f.payload) == "{}": // a heartbeat that wants no answer
		return nil
	case !c.speak.SocketIO:
	case s.stage == opening && bytes.HasPrefix(f.payload, []byte("0{")):
		return s.send(masked(opText, []byte("40")))
	case s.stage == opening && bytes.HasPrefix(f.payload, []byte("40")):
		c.isReady(s)
		return nil
	case string(f.payload) == "2":
		return s.send(masked(opText, []byte("3")))
	}
	text, ok := c.speak.delivery(f.payload)
	if ok {
		text, ok = bytes.CutSuffix(text, []byte(c.speak.After))
	}
	if !ok || c.Message == nil {
		return fmt.Errorf("unexpected text %.100q", f.payload)
	}
	return c.Message(i, text, at)
}

// delivery is the text of a delivery and what follows it.
func (d *Dialect) delivery(payload []byte) ([]byte, bool) {
	if d.Opened == "" {
		return bytes.CutPrefix(payload, []byte(d.Before))
	}
	_, text, ok := bytes.Cut(payload, []byte(d.Before))
	return text, ok
}

func (s *sock) send(data []byte) error {
	if s.secured != nil {
		_, err := s.secured.Write(data)
		return err
	}
	if n, err := syscall.Write(s.fd, data); err != nil || n < len(data) {
		return fmt.Errorf("write: %d of %d bytes: %v", n, len(data), err)
	}
	return nil
}
