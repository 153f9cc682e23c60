package websockets

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// The sizes of the buffers between coder/websocket and the connection. A
// client's frame is small, and a control frame, all that coder/websocket ever
// writes here, has at most 127 bytes and must be one Write.
const (
	readBuffer  = 512
	writeBuffer = 160
)

// wire is the connection as coder/websocket sees it. Reading blocks on the
// network and keeps the socket's timers while it waits; writing only puts the
// control frames that the library makes, pongs and closes, into the socket's
// queue, so that one goroutine writes and reading never waits for it.
type wire struct {
	net.Conn
	sock  *socket
	early []byte // what the client sent before it had the 101
	err   error  // of the connection, so that it can be told from a protocol error
	bytes bucket
}

// Read is called by the reading goroutine only.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	for {
		if w.sock.unreadable() {
			return 0, net.ErrClosed
		}
		n, err := w.Conn.Read(p)
		if n > 0 {
			w.meter(n)
			return n, nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !w.sock.tick(time.Now()) {
			w.err = err
			return 0, err
		}
	}
}

func (w *wire) meter(n int) {
	burst := float64(2*w.sock.server.opts.Config().MaxPayload + inboundBytesBurst)
	if !w.bytes.take(float64(n), inboundBytes, burst, time.Now()) {
		w.sock.close(CauseRate)
	}
}

// Write takes one whole control frame.
func (w *wire) Write(p []byte) (int, error) {
	w.sock.control(p)
	return len(p), nil
}

// Close ends reading; the socket closes the connection when its last frame is
// out.
func (w *wire) Close() error {
	w.sock.stopReading()
	return nil
}

// hijackable reports whether the connection behind a response can be had. It
// is asked first, because coder/websocket finds out after it has written 101.
func hijackable(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// hijacker hands coder/websocket a wire instead of the connection.
type hijacker struct {
	http.ResponseWriter
	sock *socket
	wire *wire
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire = &wire{Conn: conn, sock: h.sock}
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n) // cannot fail: they are there
		h.wire.early = append([]byte(nil), early...)
	}
	return h.wire, bufio.NewReadWriter(bufio.NewReaderSize(h.wire, readBuffer), bufio.NewWriterSize(h.wire, writeBuffer)), nil
}

// What a client may send. The existing clients send a packet each 25 s and
// nothing else; these bounds are for clients that are broken or hostile.
const (
	inboundFrames      = 50  // messages, pings and pongs a second, on average
	inboundFramesBurst = 200 // and at once; below the default queue, which the answers must fit
	inboundBytes       = 256 << 10
	// inboundBytesBurst is added to twice the largest message.
	inboundBytesBurst = 1 << 20
)

// bucket is a token bucket. The zero value is full.
type bucket struct {
	used float64
	last time.Time
}

// take takes n tokens, of which rate come back each second, and reports
// whether there were as many.
func (b *bucket) take(n, rate, burst float64, now time.Time) bool {
	b.used = max(0, b.used-now.Sub(b.last).Seconds()*rate) + n
	b.last = now
	return b.used <= burst
}
