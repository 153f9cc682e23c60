//go:build !linux

package websockets

import (
	"errors"
	"net"
	"syscall"
)

// poller has no counterpart of epoll here: each socket keeps a goroutine that
// reads and writes with one that waits.
type poller struct{}

type ticket struct{}

func (*poller) add(*socket, *net.TCPConn) (ticket, syscall.RawConn, error) {
	return ticket{}, nil, errors.ErrUnsupported
}

func (*poller) remove(ticket) {}
func (*poller) close()        {}

func readNow(syscall.RawConn, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func writeNow(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
