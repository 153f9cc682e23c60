package main

import (
	"bytes"
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
}

type stage uint8

const (
	connecting stage = iota
	upgrading        // the request is out
	opening          // waits for the peer's first packets
	ready
	lost
)

// clients is all sockets of a run, served by one thread.
type clients struct {
	ep      int
	list    []sock
	speak   dialect
	ready   int
	lost    int
	buf     []byte
	events  []syscall.EpollEvent
	message func(i int, payload []byte, at time.Time) // of each delivery
	readyAt func(i int)
}

// dialect is what a peer's sockets speak.
type dialect struct {
	socketIO bool   // Engine.IO 4 with Socket.IO, else bare text
	prefix   string // of the text of a delivery
}

func newClients(n int, d dialect) (*clients, error) {
	ep, err := syscall.EpollCreate1(0)
	if err != nil {
		return nil, err
	}
	return &clients{
		ep: ep, list: make([]sock, n), speak: d,
		buf: make([]byte, 1<<20), events: make([]syscall.EpollEvent, 1024),
	}, nil
}

func (c *clients) close() {
	for i := range c.list {
		if c.list[i].fd > 0 {
			_ = syscall.Close(c.list[i].fd)
		}
	}
	_ = syscall.Close(c.ep)
}

// dial starts the connection of client i.
func (c *clients) dial(i int, port int, request []byte) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w: the limit of descriptors is the limit of sockets", err)
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	c.list[i] = sock{fd: fd, request: request}
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && err != syscall.EINPROGRESS {
		return fmt.Errorf("connect: %w", err)
	}
	return syscall.EpollCtl(c.ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLOUT, Fd: int32(i)})
}

// watch waits for what client i is sent; ignore does not.
func (c *clients) watch(i int) error {
	return syscall.EpollCtl(c.ep, syscall.EPOLL_CTL_MOD, c.list[i].fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)})
}

func (c *clients) ignore(i int) error {
	return syscall.EpollCtl(c.ep, syscall.EPOLL_CTL_DEL, c.list[i].fd, nil)
}

// poll serves the sockets once, waiting at most that long.
func (c *clients) poll(wait time.Duration) error {
	n, err := syscall.EpollWait(c.ep, c.events, int(wait.Milliseconds()))
	if err == syscall.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range c.events[:n] {
		if err := c.serve(int(e.Fd)); err != nil {
			return fmt.Errorf("client %d: %w", e.Fd, err)
		}
	}
	return nil
}

func (c *clients) serve(i int) error {
	s := &c.list[i]
	if s.stage == connecting {
		if err := c.send(s, s.request); err != nil {
			return err
		}
		s.stage, s.request = upgrading, nil
		return c.watch(i)
	}
	n, err := syscall.Read(s.fd, c.buf[len(s.partial):])
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return nil
	case n <= 0:
		s.stage = lost
		c.lost++
		return c.ignore(i)
	}
	at := time.Now()
	copy(c.buf, s.partial)
	data := c.buf[:len(s.partial)+n]
	if s.stage == upgrading {
		head := bytes.Index(data, []byte("\r\n\r\n"))
		if head < 0 {
			s.partial = append([]byte(nil), data...)
			return nil
		}
		if !bytes.HasPrefix(data, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("refused: %.200q", data)
		}
		data = data[head+4:]
		s.stage = opening
		if !c.speak.socketIO {
			c.isReady(i)
		}
	}
	for {
		payload, opcode, size := cut(data)
		if size == 0 {
			break
		}
		if err := c.frame(i, opcode, payload, at); err != nil {
			return err
		}
		data = data[size:]
	}
	s.partial = append(s.partial[:0], data...)
	if len(data) == 0 {
		s.partial = nil
	}
	return nil
}

func (c *clients) isReady(i int) {
	c.list[i].stage = ready
	c.ready++
	if c.readyAt != nil {
		c.readyAt(i)
	}
}

// cut finds the first whole frame; size is 0 where there is none.
func cut(data []byte) (payload []byte, opcode byte, size int) {
	if len(data) < 2 {
		return nil, 0, 0
	}
	n, head := int(data[1]&0x7F), 2
	switch n {
	case 126:
		if len(data) < 4 {
			return nil, 0, 0
		}
		n, head = int(data[2])<<8|int(data[3]), 4
	case 127:
		if len(data) < 10 {
			return nil, 0, 0
		}
		n, head = int(data[6])<<24|int(data[7])<<16|int(data[8])<<8|int(data[9]), 10
	}
	if len(data) < head+n {
		return nil, 0, 0
	}
	return data[head : head+n], data[0] & 0xF, head + n
}

func (c *clients) frame(i int, opcode byte, payload []byte, at time.Time) error {
	s := &c.list[i]
	switch {
	case opcode == 9:
		return c.send(s, masked(0xA, string(payload)))
	case opcode == 8:
		return nil // the end of the stream follows
	case opcode != 1:
		return fmt.Errorf("frame of opcode %x", opcode)
	case !c.speak.socketIO:
	case bytes.HasPrefix(payload, []byte("0{")):
		return c.send(s, masked(1, "40"))
	case string(payload) == "2":
		return c.send(s, masked(1, "3"))
	case s.stage == opening && bytes.HasPrefix(payload, []byte("40")):
		c.isReady(i)
		return nil
	}
	if !bytes.HasPrefix(payload, []byte(c.speak.prefix)) {
		return fmt.Errorf("unexpected text %.100q", payload)
	}
	if c.message != nil {
		c.message(i, payload[len(c.speak.prefix):], at)
	}
	return nil
}

func masked(opcode byte, text string) []byte {
	return append([]byte{0x80 | opcode, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

func (c *clients) send(s *sock, data []byte) error {
	n, err := syscall.Write(s.fd, data)
	if err != nil || n < len(data) {
		return fmt.Errorf("write: %d of %d bytes: %w", n, len(data), err)
	}
	return nil
}
