package websockets

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// pollBatch is how many sockets one look at the poller reports. It bounds
// nothing but the array that they come in.
const pollBatch = 128

// pollEvents is what a parked socket waits for. Edge-triggered, so that a
// socket is added once and its descriptor costs no further system call.
const pollEvents = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLET&0xFFFFFFFF

// poller tells sockets that they are readable, so that none needs a goroutine
// that only waits. It is one epoll instance, itself waited for by the runtime,
// and costs nothing before the first socket.
type poller struct {
	mu     sync.Mutex
	file   *os.File // nil until the first socket
	fd     int
	conn   syscall.RawConn
	slots  []pollSlot
	free   []uint32
	ended  chan struct{}
	closed bool
}

// pollSlot is where an event finds its socket. The generation tells an event
// of a socket that has left from one of its successor.
type pollSlot struct {
	sock       *socket
	generation uint32
}

// ticket is a socket's place in the poller. The zero value is none.
type ticket struct{ index, generation uint32 }

var errPollerClosed = errors.New("the poller is closed")

// add has the poller tell s whenever there is something to read. It fails for
// a connection that none of TCP is known of.
func (p *poller) add(s *socket, conn *net.TCPConn) (ticket, syscall.RawConn, error) {
	if conn == nil {
		return ticket{}, nil, errors.ErrUnsupported
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return ticket{}, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.startLocked(); err != nil {
		return ticket{}, nil, err
	}
	var t ticket
	if n := len(p.free); n > 0 {
		t.index = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		t.index = uint32(len(p.slots))
		p.slots = append(p.slots, pollSlot{})
	}
	slot := &p.slots[t.index]
	slot.generation++
	slot.sock = s
	t.generation = slot.generation
	var added error
	err = raw.Control(func(fd uintptr) {
		event := syscall.EpollEvent{Events: pollEvents, Fd: int32(t.index), Pad: int32(t.generation)}
		added = syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
	})
	if err = errors.Join(err, added); err != nil {
		p.removeLocked(t)
		return ticket{}, nil, err
	}
	return t, raw, nil
}

// remove forgets a socket, whose connection the caller closes next: the kernel
// takes a closed descriptor out of the epoll instance by itself.
func (p *poller) remove(t ticket) {
	if t.generation == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(t)
}

func (p *poller) removeLocked(t ticket) {
	slot := &p.slots[t.index]
	if slot.generation != t.generation || slot.sock == nil {
		return
	}
	slot.sock = nil
	p.free = append(p.free, t.index)
}

func (p *poller) startLocked() error {
	if p.closed {
		return errPollerClosed
	}
	if p.file != nil {
		return nil
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// What makes the runtime wait for the descriptor instead of a thread.
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	conn, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return err
	}
	p.file, p.fd, p.conn, p.ended = file, fd, conn, make(chan struct{})
	go p.run()
	return nil
}

// run ends when the file is closed.
func (p *poller) run() {
	defer close(p.ended)
	var events [pollBatch]syscall.EpollEvent
	var ready [pollBatch]*socket
	var ended [pollBatch]bool
	for {
		n := 0
		err := p.conn.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && err != syscall.EINTR
		})
		if err != nil {
			return
		}
		p.mu.Lock()
		found := 0
		for _, e := range events[:max(n, 0)] {
			slot := &p.slots[uint32(e.Fd)]
			if slot.sock != nil && slot.generation == uint32(e.Pad) {
				ready[found] = slot.sock
				ended[found] = e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
				found++
			}
		}
		p.mu.Unlock()
		for i := range ready[:found] {
			ready[i].readable(ended[i])
			ready[i] = nil
		}
	}
}

// close ends the poller; no socket is in it any more.
func (p *poller) close() {
	p.mu.Lock()
	file := p.file
	p.file, p.closed = nil, true
	p.mu.Unlock()
	if file != nil {
		_ = file.Close() // wakes run
		<-p.ended
	}
}

// rawIO is one read or write that does not wait. It is kept, because a
// closure for each would be garbage on the hot paths.
type rawIO struct {
	buf         []byte
	n           int
	errno       error
	read, write func(fd uintptr) bool
}

func newRawIO() *rawIO {
	r := &rawIO{}
	r.read = func(fd uintptr) bool {
		r.n, r.errno = ignoringEINTR(syscall.Read, int(fd), r.buf)
		return true
	}
	r.write = func(fd uintptr) bool {
		r.n, r.errno = ignoringEINTR(rawWrite, int(fd), r.buf)
		return true
	}
	return r
}

func ignoringEINTR(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		n, err := call(fd, p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

var rawIOs = sync.Pool{New: func() any { return newRawIO() }}

// readNow reads what is there, and returns errWouldBlock when nothing is.
func readNow(conn syscall.RawConn, p []byte) (int, error) {
	r := rawIOs.Get().(*rawIO)
	r.buf = p
	err := conn.Read(r.read)
	n, errno := r.n, r.errno
	r.buf = nil
	rawIOs.Put(r)
	switch {
	case err != nil:
		return 0, err
	case errno == syscall.EAGAIN:
		return 0, errWouldBlock
	case errno != nil:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// writeNow writes what the connection takes at once; when that is not all, it
// returns errWouldBlock with the number of bytes that are out.
func writeNow(conn syscall.RawConn, p []byte) (int, error) {
	r := rawIOs.Get().(*rawIO)
	r.buf = p
	err := conn.Write(r.write)
	n, errno := r.n, r.errno
	r.buf = nil
	rawIOs.Put(r)
	switch {
	case err != nil:
		return 0, err
	case errno == syscall.EAGAIN, errno == nil && n < len(p):
		return n, errWouldBlock
	case errno != nil:
		return 0, os.NewSyscallError("write", errno)
	}
	return n, nil
}

// rawWrite does not tell the scheduler: the write returns at once, but on
// loopback the kernel delivers within it, which the scheduler would take for a
// call that blocks, and start another thread.
func rawWrite(fd int, p []byte) (int, error) {
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}
