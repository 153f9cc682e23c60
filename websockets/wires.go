package websockets

import (
	"bufio"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/coder/websocket"
)

// wires lends sockets what they read with: between two frames the library knows
// nothing of a connection, so that a parked socket needs neither the library's
// part nor a buffer, and the next socket that reads can have them.
type wires struct {
	mu     sync.Mutex
	free   []*wire // at most readingSlots: so many read at once in a burst
	closed bool
}

// take lends s a wire.
func (p *wires) take(s *socket) *wire {
	p.mu.Lock()
	var w *wire
	if n := len(p.free); n > 0 {
		w, p.free[n-1] = p.free[n-1], nil
		p.free = p.free[:n-1]
	}
	p.mu.Unlock()
	if w == nil {
		w = newWire()
	}
	w.Conn, w.raw, w.sock, w.boundary = s.conn, s.raw, s, true
	w.limit()
	return w
}

// give takes a wire back at a boundary, from a socket that is not closing.
func (p *wires) give(w *wire) {
	w.Conn, w.raw, w.sock, w.early = nil, nil, nil, nil
	w.inbound, w.drained = inbound{}, false
	p.mu.Lock()
	full := p.closed || len(p.free) >= readingSlots
	if !full {
		p.free = append(p.free, w)
	}
	p.mu.Unlock()
	if full {
		w.drop()
	}
}

// close drops all; whatever is given back later is dropped, too.
func (p *wires) close() {
	p.mu.Lock()
	free := p.free
	p.free, p.closed = nil, true
	p.mu.Unlock()
	for _, w := range free {
		w.drop()
	}
}

// drop releases what the library holds: its finalizer would never run, for what
// has it refers to itself.
func (w *wire) drop() {
	if w.ws != nil {
		_ = w.ws.CloseNow() // closes nothing: the connection is the socket's
	}
}

// newWire makes one that is lent to nobody, by a handshake that no client sees.
func newWire() *wire {
	w := &wire{}
	w.ws, w.err = websocket.Accept(&unseen{w, http.Header{}}, unseenRequest, w.acceptOptions())
	return w
}

// limit has the library refuse what is too large as well.
func (w *wire) limit() {
	if w.ws != nil {
		w.ws.SetReadLimit(w.sock.server.opts.Config().MaxPayload + readSlack)
	}
}

func (w *wire) acceptOptions() *websocket.AcceptOptions {
	return &websocket.AcceptOptions{
		InsecureSkipVerify: true, // originAllowed has decided
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     w.onPing,
		OnPongReceived:     w.onPong,
	}
}

// stream is what the library reads from and writes to.
func (w *wire) stream() (net.Conn, *bufio.ReadWriter) {
	w.buf = bufio.NewReaderSize(w, readBuffer)
	return w, bufio.NewReadWriter(w.buf, bufio.NewWriterSize(w, writeBuffer))
}

// unseenRequest is a handshake that the library accepts.
var unseenRequest = &http.Request{
	Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &url.URL{Path: "/"},
	Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	},
}

// unseen takes the answer to it.
type unseen struct {
	wire   *wire
	header http.Header
}

func (u *unseen) Header() http.Header         { return u.header }
func (u *unseen) WriteHeader(int)             {}
func (u *unseen) Write(b []byte) (int, error) { return len(b), nil }

func (u *unseen) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	stream, buffers := u.wire.stream()
	return stream, buffers, nil
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
	wire *wire
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire.Conn = conn
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n) // cannot fail: they are there
		h.wire.early = append([]byte(nil), early...)
	}
	stream, buffers := h.wire.stream()
	return stream, buffers, nil
}
