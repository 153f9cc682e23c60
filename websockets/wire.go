package websockets

import (
	"bufio"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// The sizes of the buffers between coder/websocket and the connection. A
// client's frame is small, and a control frame, all that coder/websocket ever
// writes here, has at most 127 bytes and must be one Write.
const (
	readBuffer  = 256
	writeBuffer = 160
)

// errIdle is what a parked socket's reading ends with: the client has said
// nothing since its last whole frame.
var errIdle = errors.New("nothing to read")

// errWouldBlock is returned by readNow and writeNow.
var errWouldBlock error = wouldBlock{}

// wire is the connection as coder/websocket sees it. Writing only puts the
// control frames that the library makes, pongs and closes, into the socket's
// queue, so that whole frames of one writer reach the network and reading
// never waits for it. It is used by the goroutine that serves the socket, and lent
// to the next one when the socket is parked.
type wire struct {
	net.Conn
	raw   syscall.RawConn // nil: reading waits, and the socket is never parked
	ws    *websocket.Conn // nil: there is none, and err says why
	buf   *bufio.Reader   // the library's, filled from this wire
	sock  *socket         // nil: it is lent to none
	early []byte          // what the client sent before it had the 101
	err   error           // of the connection, so that it can be told from a protocol error

	inbound inbound

	last  []byte // the close frame that the library has made
	after int    // bytes that came since the socket began to close

	inMessage bool // between the first and the last frame of a message
	boundary  bool // every byte read so far belongs to a whole frame that is over
	drained   bool // the last read took all there was; more is told by the poller
}

// errEnded is what reading ends with when the client goes on talking to a socket
// that closes.
var errEnded = errors.New("the socket closes")

// maxAfterClose is how much a client may have sent before it saw that the socket
// closes, and still get its close frame understood. What is above it is read
// without a look.
const maxAfterClose = 4 << 10

// Read returns errIdle instead of waiting at a boundary. Within a frame it
// waits: the heartbeat bounds how long.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		w.boundary = false
		w.meter(p[:n])
		return n, nil
	}
	deaf, ended := w.sock.hearing()
	if deaf {
		return 0, net.ErrClosed
	}
	if w.drained && w.boundary && !ended {
		w.drained = false
		return 0, errIdle
	}
	n, err := w.next(p, ended)
	if n > 0 {
		w.boundary = false
		w.meter(p[:n])
		if w.sock.closing() {
			if w.after += n; w.after > maxAfterClose {
				return 0, errEnded
			}
		}
		return n, nil
	}
	if err != errIdle {
		w.err = err
	}
	return 0, err
}

func (w *wire) next(p []byte, ended bool) (int, error) {
	switch {
	case w.raw == nil:
		return w.Conn.Read(p)
	case w.sock.carrier != nil:
		return w.readSealed(p, ended)
	}
	n, err := readNow(w.raw, p)
	if err != errWouldBlock {
		w.drained = n < len(p)
		return n, err
	}
	if w.boundary {
		return 0, errIdle
	}
	w.sock.yield()
	w.sock.setPartial(true)
	defer w.sock.setPartial(false)
	return w.Conn.Read(p)
}

// atBoundary is called where a frame is over that the library has consumed.
func (w *wire) atBoundary() {
	w.boundary = !w.inMessage && len(w.early) == 0 && w.buf.Buffered() == 0
}

// meter counts what the client has sent, and closes the socket of one that
// sends too much, a message that is too large, or text that is no UTF-8.
func (w *wire) meter(data []byte) {
	w.sock.shard.counters.bytesIn.Add(int64(len(data)))
	now := time.Now()
	limit := w.sock.server.opts.Config().MaxPayload
	frames, bad := w.inbound.count(data, uint64(limit))
	if s := w.sock; !s.bytes.take(float64(len(data)), inboundBytes, float64(2*limit+inboundBytesBurst), now) ||
		!s.frames.take(float64(frames), inboundFrames, inboundFramesBurst, now) {
		bad = CauseRate
	}
	if bad != CauseNone {
		w.sock.close(bad)
	}
}

// Write takes one whole control frame: a pong, or the close with which the
// library answers the client's or reports a broken frame. finish tells the two
// apart.
func (w *wire) Write(p []byte) (int, error) {
	frame := append([]byte(nil), p...)
	if frame[0] == finBit|opClose {
		w.last = frame
	} else {
		w.sock.answer(frame)
	}
	return len(p), nil
}

// Close ends reading; the socket closes the connection when its last frame is
// out.
func (w *wire) Close() error {
	if w.sock != nil {
		w.sock.stopReading()
	}
	return nil
}
