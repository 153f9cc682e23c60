package redismodel

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// clientEnd is the client's end, which breaks as a TCP connection does and not as
// a pipe: it has deadlines and takes what is written until the client itself
// closes it.
type clientEnd struct {
	net.Conn
	c      *conn
	closed atomic.Bool
}

func (e *clientEnd) error(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed}
}

// Close implements net.Conn.
func (e *clientEnd) Close() error {
	if e.closed.Swap(true) {
		return e.error("close")
	}
	return e.Conn.Close()
}

// Read implements net.Conn.
func (e *clientEnd) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	switch {
	case errors.Is(err, io.EOF) && e.c.reset:
		err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	case errors.Is(err, io.ErrClosedPipe):
		err = e.error("read")
	}
	return n, err
}

// Write implements net.Conn: what is sent after the server has closed is taken,
// and goes nowhere.
func (e *clientEnd) Write(b []byte) (int, error) {
	n, err := e.Conn.Write(b)
	switch {
	case errors.Is(err, io.ErrClosedPipe) && e.closed.Load():
		err = e.error("write")
	case errors.Is(err, io.ErrClosedPipe):
		return len(b), nil
	}
	return n, err
}

// SetDeadline implements net.Conn.
func (e *clientEnd) SetDeadline(t time.Time) error { return e.deadline(e.Conn.SetDeadline(t)) }

// SetReadDeadline implements net.Conn.
func (e *clientEnd) SetReadDeadline(t time.Time) error { return e.deadline(e.Conn.SetReadDeadline(t)) }

// SetWriteDeadline implements net.Conn.
func (e *clientEnd) SetWriteDeadline(t time.Time) error {
	return e.deadline(e.Conn.SetWriteDeadline(t))
}

func (e *clientEnd) deadline(err error) error {
	if err != nil && e.closed.Load() {
		return e.error("set")
	}
	return nil
}

// SyscallConn implements syscall.Conn as far as go-redis asks it: before a
// command it looks whether the server has closed.
func (e *clientEnd) SyscallConn() (syscall.RawConn, error) {
	if e.c.torn.Load() {
		return nil, io.EOF
	}
	return quiet{}, nil
}

// quiet is a socket with nothing to be read.
type quiet struct{}

func (quiet) Control(func(uintptr)) error    { return nil }
func (quiet) Read(func(uintptr) bool) error  { return nil }
func (quiet) Write(func(uintptr) bool) error { return nil }
