package sockets

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// secured is a client's TLS. Its handshake has a goroutine; afterwards the thread
// that serves all clients reads and writes, without waiting.
type secured struct {
	*tls.Conn
	under *under
}

// under is the connection below.
type under struct {
	*net.TCPConn
	fd     int
	shaken bool
}

// shaken is a handshake that is over.
type shaken struct {
	i       int
	secured *secured
	err     error
}

// nothing is what a read ends with that finds nothing; crypto/tls takes it for
// temporary.
type nothing struct{}

var errNothing nothing

func (nothing) Error() string   { return "nothing to read" }
func (nothing) Timeout() bool   { return false }
func (nothing) Temporary() bool { return true }

// Read is called by crypto/tls.
func (u *under) Read(p []byte) (int, error) {
	if !u.shaken {
		return u.TCPConn.Read(p)
	}
	n, err := syscall.Read(u.fd, p)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, errNothing
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// NewSecure is New with TLS.
func NewSecure(n int, d Dialect) (*Clients, error) {
	c, err := New(n, d)
	if err != nil {
		return nil, err
	}
	c.secure, c.shaken = true, make(chan shaken, n)
	return c, nil
}

// dialSecure begins a handshake of TLS; takeShaken goes on.
func (c *Clients) dialSecure(i, port int, request []byte) error {
	c.list[i] = sock{fd: -1, request: request}
	go func() {
		s, err := shake(port)
		c.shaken <- shaken{i, s, err}
	}()
	return nil
}

// shake makes a whole handshake, without a ticket of an earlier one. Whose
// certificate it is does not matter here.
func shake(port int) (*secured, error) {
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, err
	}
	u := &under{TCPConn: conn}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { u.fd = int(fd) })
	}
	s := &secured{tls.Client(u, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}), u}
	if err == nil {
		err = s.Handshake()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	u.shaken = true
	return s, nil
}

// takeShaken has the sockets go on whose handshake of TLS is over.
func (c *Clients) takeShaken() error {
	for {
		select {
		case x := <-c.shaken:
			if x.err != nil {
				return fmt.Errorf("client %d: %w", x.i, x.err)
			}
			s := &c.list[x.i]
			s.secured, s.fd = x.secured, x.secured.under.fd
			if err := s.send(s.request); err != nil {
				return err
			}
			s.stage, s.request = upgrading, nil
			if err := syscall.EpollCtl(c.ep, syscall.EPOLL_CTL_ADD, s.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(x.i)}); err != nil {
				return fmt.Errorf("epoll: %w", err)
			}
		default:
			return nil
		}
	}
}

// close drops a connection, if there is one.
func (s *sock) close() error {
	switch {
	case s.secured != nil:
		return s.secured.under.TCPConn.Close()
	case s.fd >= 0:
		return syscall.Close(s.fd)
	}
	return nil
}
