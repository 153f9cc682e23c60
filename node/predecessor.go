package node

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/seed47708276/sluice/websockets"
)

// Predecessor is the way to the process whose place this one takes.
type Predecessor struct {
	pipe   *pipe
	frozen *Frozen
}

// NewPredecessor greets the process at the other end of a descriptor, see SuccessorFlag.
func NewPredecessor(fd int, version string) (*Predecessor, error) {
	if fd != predecessorFile {
		return nil, errors.New("--" + SuccessorFlag + " is for `sluice upgrade`, which starts the server with it")
	}
	syscall.CloseOnExec(fd)
	_ = syscall.Close(binaryFile) // this process runs by now
	p, err := pipeOf(os.NewFile(uintptr(fd), "successor"))
	if err != nil {
		return nil, err
	}
	return &Predecessor{pipe: p}, p.send(&packet{Hello: &helloPacket{handoverFormat, version}})
}

// receive says that all is prepared and waits for what the other process has: from
// its last packet on it is not needed any more.
func (p *Predecessor) receive() (*Frozen, error) {
	if err := p.pipe.send(&packet{Prepared: &verdictPacket{}}); err != nil {
		return nil, err
	}
	f := &Frozen{}
	// Beside reading the next ones, since each connection takes some system calls.
	came := make(chan socketBatch, batchesAhead)
	var adding sync.WaitGroup
	var failed error
	adding.Go(func() {
		for b := range came {
			if failed != nil {
				closeAll(b.files)
				continue
			}
			failed = f.addSockets(b.states, b.files)
		}
	})
	err := p.receiveAll(f, came)
	close(came)
	adding.Wait()
	if err := cmp.Or(err, failed); err != nil {
		return nil, err
	}
	p.frozen = f
	return f, nil
}

// batchesAhead is how many packets of sockets may wait for their connections.
const batchesAhead = 8

// socketBatch are the sockets of a packet, and their descriptors.
type socketBatch struct {
	states []websockets.SocketState
	files  []int
}

// receiveAll takes everything but the sockets, which it hands on.
func (p *Predecessor) receiveAll(f *Frozen, sockets chan<- socketBatch) error {
	for {
		x, fds, err := p.pipe.receive(readyPatience)
		if err != nil {
			closeAll(fds)
			return fmt.Errorf("the process whose place this one is to take does not go on: %w", err)
		}
		switch {
		case x.Begin != nil && len(fds) == 4:
			if err := f.begin(x.Begin, fds); err != nil {
				return err
			}
		case x.End && f.sockets != nil:
			return nil
		case f.sockets != nil && len(fds) == len(x.Sockets):
			f.sockets.Kept = append(f.sockets.Kept, x.Kept...)
			f.sockets.Histories = append(f.sockets.Histories, x.Histories...)
			sockets <- socketBatch{x.Sockets, fds}
		default:
			closeAll(fds)
			return errors.New("the process whose place this one is to take says something that is not understood")
		}
	}
}

func (f *Frozen) begin(b *beginPacket, fds []int) (err error) {
	f.lock = os.NewFile(uintptr(fds[0]), "lock")
	for i, l := range []struct {
		to      *frozenListener
		address string
	}{{&f.public, b.Public}, {&f.admin, b.Admin}, {&f.socket, b.Socket}} {
		*l.to = frozenListener{l.address, os.NewFile(uintptr(fds[1+i]), "listener")}
	}
	f.version, f.link, f.remembered = b.Version, b.Link, b.Remembered
	f.sockets = &websockets.Frozen{Number: b.Number, Closed: b.Closed}
	if b.Sockets > 0 && b.Sockets <= websockets.DefaultMaxSockets { // 0: it is older than the field
		f.sockets.Sockets = make([]websockets.FrozenSocket, 0, b.Sockets)
	}
	if f.began, err = fromMonotonic(b.Began); err != nil {
		return err
	}
	f.sockets.Since, err = fromMonotonic(b.Since)
	return err
}

func (f *Frozen) addSockets(states []websockets.SocketState, fds []int) error {
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(file)
		_ = file.Close()
		if err != nil {
			closeAll(fds[i+1:])
			return err
		}
		f.sockets.Sockets = append(f.sockets.Sockets, websockets.FrozenSocket{SocketState: states[i], Conn: conn})
	}
	return nil
}

// commit says that this process is ready, and returns when it is the member: on the
// word of the other one, or when that has ended.
func (p *Predecessor) commit() error {
	if err := p.pipe.send(&packet{Ready: &verdictPacket{}}); err == nil {
		// The other process kills this one where it goes on itself.
		x, _, err := p.pipe.receive(readyPatience)
		if err == nil && !x.Go {
			return errors.New("the process whose place this one is to take says something that is not understood")
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
	}
	_ = p.pipe.conn.Close()
	err := writePID(p.frozen.lock)
	p.frozen = nil
	return err
}

// refuse says why this process does not take over.
func (p *Predecessor) refuse(err error) {
	x := &packet{Prepared: &verdictPacket{err.Error()}}
	if p.frozen != nil {
		x = &packet{Ready: &verdictPacket{err.Error()}}
	}
	_ = p.pipe.send(x) // whoever does not read it finds that this process ends
}

// gap is the time in which nobody delivered messages.
func (f *Frozen) gap() time.Duration { return time.Since(f.began) }
