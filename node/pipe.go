package node

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

const (
	// pipeFiles is how many descriptors go with one packet, of the 253 that Linux
	// allows (SCM_MAX_FD, unix(7)).
	pipeFiles = 200
	// pipeKept is how many bytes of kept messages, or of histories, go into one packet.
	pipeKept = 1 << 20
	// maxPacket bounds a packet: one of pipeKept and one more, and what a
	// member keeps for others.
	maxPacket = 1 << 30
	// pipePatience bounds each read and write: whoever does not go on for so long
	// never will.
	pipePatience = 10 * time.Second
)

// handoverFormat is that of the packets. One whose meaning is another raises it; a
// field that an older version may ignore, and a newer one do without, does not.
var handoverFormat = "1"

// packet is what two processes tell each other, one of these at a time.
type packet struct {
	Hello     *helloPacket
	Prepared  *verdictPacket
	Begin     *beginPacket
	Sockets   []websockets.SocketState // with the descriptor of each
	Kept      []websockets.KeptState
	Histories []websockets.HistoryState
	End       bool
	Ready     *verdictPacket
	Go        bool
}

// helloPacket is the first one, of which all versions have these.
type helloPacket struct{ Format, Version string }

// verdictPacket says what is wrong; "": nothing.
type verdictPacket struct{ Error string }

// beginPacket is all but the sockets and what is kept of users. Times are of
// CLOCK_MONOTONIC in nanoseconds. The lock, and the listeners, go with it.
type beginPacket struct {
	Version               string
	Since, Began          int64
	Number                uint64
	Closed, Sockets       int
	Public, Admin, Socket string
	Link                  *remote.State
	Remembered            httpapi.Remembered
}

// pipe is the way between two processes.
type pipe struct {
	conn *net.UnixConn
	enc  *gob.Encoder
	out  bytes.Buffer
	dec  *gob.Decoder
	in   bytes.Buffer
}

func newPipe(conn *net.UnixConn) *pipe {
	p := &pipe{conn: conn}
	p.enc, p.dec = gob.NewEncoder(&p.out), gob.NewDecoder(&p.in)
	return p
}

// pipeOf is the pipe of a descriptor, which it takes.
func pipeOf(file *os.File) (*pipe, error) {
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("no Unix socket"), c.Close())
	}
	return newPipe(conn), nil
}

// send sends a packet, and descriptors with it.
func (p *pipe) send(x *packet, files ...int) error {
	p.out.Reset()
	if err := p.enc.Encode(x); err != nil {
		return err
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(pipePatience)); err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(p.out.Len()))
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	if n, _, err := p.conn.WriteMsgUnix(head, rights, nil); err != nil || n != len(head) {
		return errors.Join(err, errShortPacket(n, len(head)))
	}
	_, err := p.conn.Write(p.out.Bytes())
	return err
}

func errShortPacket(n, want int) error {
	if n == want {
		return nil
	}
	return fmt.Errorf("%d bytes instead of %d", n, want)
}

// receive waits for a packet. The caller closes the descriptors.
func (p *pipe) receive(patience time.Duration) (x *packet, files []int, err error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, err
	}
	var head [4]byte
	rights := make([]byte, unix.CmsgSpace(4*pipeFiles))
	n, oobn, flags, _, err := p.conn.ReadMsgUnix(head[:], rights)
	switch {
	case err != nil:
		return nil, nil, err
	case n == 0:
		return nil, nil, io.EOF
	}
	if oobn > 0 {
		messages, err := unix.ParseSocketControlMessage(rights[:oobn])
		if err != nil {
			return nil, nil, err
		}
		for i := range messages {
			list, err := unix.ParseUnixRights(&messages[i])
			if err != nil {
				return nil, files, err
			}
			files = append(files, list...)
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return nil, files, errors.New("descriptors were lost: this process may have too few of them")
	}
	if _, err := io.ReadFull(p.conn, head[n:]); err != nil {
		return nil, files, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxPacket {
		return nil, files, fmt.Errorf("a packet of %d bytes", size)
	}
	p.in.Reset()
	if _, err := io.CopyN(&p.in, p.conn, int64(size)); err != nil {
		return nil, files, err
	}
	x = new(packet)
	return x, files, p.dec.Decode(x)
}

func closeAll(files []int) {
	for _, fd := range files {
		_ = syscall.Close(fd)
	}
}

// descriptor is that of a connection or file. It is good for as long as that is
// open, and, unlike that of Fd, leaves it as it is.
func descriptor(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}

// monotonic is a moment of this process as all processes of the machine count it.
func monotonic(t time.Time) (int64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, err
	}
	return now.Nano() - int64(time.Since(t)), nil
}

// fromMonotonic is the moment of another process.
func fromMonotonic(at int64) (time.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(time.Duration(at - now.Nano())), nil
}
