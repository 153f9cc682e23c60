package websockets

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// closeWait bounds the end of a socket: from the decision to close until
	// the last frame is out, the client's answer is in, and the connection is
	// closed. A client on a mobile network needs about a second.
	closeWait = 2 * time.Second
	// writeWait bounds one write to a client that does not read. A client that
	// is that far behind would also miss its heartbeat.
	writeWait = 20 * time.Second
)

// admission says what happens to a service message.
type admission uint8

const (
	admitHold   admission = iota // until the client has joined
	admitQueue                   // straight into the queue
	admitRefuse                  // the client has left the namespace
)

// socket is one client. The fields before mu never change; proto and frames
// belong to the reading goroutine.
type socket struct {
	server     *Server
	subject    subject
	order      string // of List; ends in the random id
	connection string
	path       string
	session    string
	client     string
	address    netip.Addr
	since      time.Time
	asText     bool // /ws/*

	proto  protocol
	frames bucket

	mu      sync.Mutex
	conn    net.Conn // nil until the 101 is out
	admit   admission
	held    [][]byte // service messages that wait for the client to join
	queue   [][]byte // what the writer takes next
	waiting load     // held, queue, and what the writer is writing
	writing load     // what the writer is writing
	writer  bool     // there is one
	idle    chan struct{}

	cause    Cause // once it is set, nothing more goes into the queue
	closeBy  time.Time
	farewell [][]byte // the last frames; nil once the writer has taken them
	dead     bool     // nothing can be written any more
	deaf     bool     // nothing is to be read any more
}

// load is a number of frames and of their bytes.
type load struct{ frames, bytes int }

func (l *load) add(frame []byte) {
	l.frames++
	l.bytes += len(frame)
}

func (l *load) sub(m load) {
	l.frames -= m.frames
	l.bytes -= m.bytes
}

// pushResult is what became of a service message.
type pushResult uint8

const (
	pushed pushResult = iota
	pushOverflow
	pushRefused
)

// push queues a service message. It never blocks.
func (s *socket) push(m *encoded, cfg *Config) pushResult {
	frame := m.packet
	if s.asText {
		frame = m.plain
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != CauseNone || s.admit == admitRefuse {
		return pushRefused
	}
	if s.fullLocked(frame, cfg) {
		return pushOverflow
	}
	s.waiting.add(frame)
	if s.admit == admitHold {
		s.held = append(s.held, frame)
		return pushed
	}
	s.queue = append(s.queue, frame)
	s.kickLocked()
	return pushed
}

func (s *socket) fullLocked(frame []byte, cfg *Config) bool {
	return s.waiting.frames+1 > cfg.QueueMessages || s.waiting.bytes+len(frame) > cfg.QueueBytes
}

// answer queues a frame of the protocol. A client that asks for more answers
// than it reads is as slow as one that does not read its messages.
func (s *socket) answer(frame []byte) {
	cfg := s.server.opts.Config()
	s.mu.Lock()
	if s.cause != CauseNone {
		s.mu.Unlock()
		return
	}
	full := s.fullLocked(frame, cfg)
	if !full {
		s.waiting.add(frame)
		s.queue = append(s.queue, frame)
		s.kickLocked()
	}
	s.mu.Unlock()
	if full {
		s.close(CauseSlow)
	}
}

// control takes a control frame of coder/websocket: a pong, or the close with
// which it answers the client's or reports a broken frame.
func (s *socket) control(frame []byte) {
	frame = append([]byte(nil), frame...)
	if frame[0] != finBit|opClose {
		s.answer(frame)
		return
	}
	code := uint16(1000)
	if len(frame) >= 4 {
		code = binary.BigEndian.Uint16(frame[2:])
	}
	switch code {
	case closings[CauseProtocol].code:
		s.close(CauseProtocol)
	case closings[CauseTooBig].code:
		s.close(CauseTooBig)
	default:
		s.closeWith(CauseClient, [][]byte{frame})
	}
}

// close begins the end of the socket: it leaves the hub, and the writer sends
// what the cause's row of the close table says. It reports whether it was the
// first to do so.
func (s *socket) close(cause Cause) bool {
	return s.closeWith(cause, s.goodbye(cause))
}

func (s *socket) goodbye(cause Cause) [][]byte {
	c := &closings[cause]
	var frames [][]byte
	switch {
	case s.asText && c.plain != "":
		frames = append(frames, textFrame([]byte(c.plain)))
	case s.asText:
	default:
		if c.event != "" {
			frames = append(frames, textFrame([]byte(`42["`+c.event+`"]`)))
		}
		if c.disconnect {
			frames = append(frames, textFrame([]byte("41")))
		}
	}
	return append(frames, closeFrame(c.code, c.reason))
}

func (s *socket) closeWith(cause Cause, farewell [][]byte) bool {
	s.mu.Lock()
	if s.cause != CauseNone {
		s.mu.Unlock()
		return false
	}
	s.cause = cause
	s.closeBy = time.Now().Add(closeWait)
	s.farewell = farewell
	s.held = nil
	if closings[cause].dropQueue {
		s.queue = nil
	}
	if s.conn != nil {
		s.boundLocked()
		s.kickLocked()
	}
	s.mu.Unlock()
	s.server.hub.leave(s)
	return true
}

// boundLocked makes every wait on the connection end with closeBy.
func (s *socket) boundLocked() {
	// An error means that the connection is closed, which ends waits as well.
	_ = s.conn.SetWriteDeadline(s.closeBy)
	if !s.deaf {
		_ = s.conn.SetReadDeadline(s.closeBy)
	}
}

// kickLocked starts the writer when there is none.
func (s *socket) kickLocked() {
	if s.writer || s.conn == nil || s.dead {
		return
	}
	s.writer = true
	s.server.work.Go(s.write)
}

// write takes what waits, all of it at once, and writes it, until nothing
// waits any more.
func (s *socket) write() {
	s.mu.Lock()
	for {
		batch := net.Buffers(s.queue)
		s.queue = nil
		for _, frame := range batch {
			s.writing.add(frame)
		}
		if s.cause != CauseNone {
			batch = append(batch, s.farewell...)
			s.farewell = nil
		}
		if len(batch) == 0 || s.dead {
			break
		}
		if s.cause == CauseNone {
			_ = s.conn.SetWriteDeadline(time.Now().Add(writeWait)) // see boundLocked
		}
		conn := s.conn
		s.mu.Unlock()
		_, err := batch.WriteTo(conn)
		s.mu.Lock()
		s.waiting.sub(s.writing)
		s.writing = load{}
		if err != nil {
			s.writeFailedLocked(err)
			break
		}
	}
	s.writer = false
	if s.idle != nil {
		close(s.idle)
	}
	s.mu.Unlock()
}

// writeFailedLocked makes the reading goroutine end the socket.
func (s *socket) writeFailedLocked(err error) {
	s.dead = true
	s.deaf = true
	if s.cause == CauseNone {
		s.cause = CauseConnection
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			s.cause = CauseSlow
		}
	}
	_ = s.conn.SetReadDeadline(longAgo) // see boundLocked
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// attach gives the socket its connection, once the 101 is out. What was pushed
// since the registration follows the protocol's first frames.
func (s *socket) attach(conn net.Conn) {
	first := s.proto.open()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	s.queue = first
	for _, frame := range first {
		s.waiting.add(frame)
	}
	s.joinedLocked()
	if s.cause != CauseNone {
		s.boundLocked()
	} else {
		_ = conn.SetReadDeadline(s.proto.deadline()) // see boundLocked
	}
	s.kickLocked()
}

// joinedLocked follows the protocol in and out of the namespace.
func (s *socket) joinedLocked() {
	switch {
	case s.proto.joined() && s.admit != admitQueue:
		s.admit = admitQueue
		s.queue = append(s.queue, s.held...)
		s.held = nil
		s.kickLocked()
	case !s.proto.joined() && s.admit == admitQueue:
		s.admit = admitRefuse
	}
}

// sever breaks the connection without a word.
func (s *socket) sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead, s.deaf = true, true
	if s.cause == CauseNone {
		s.cause = CauseDrain
	}
	if s.conn != nil {
		_ = s.conn.SetDeadline(longAgo) // see boundLocked
	}
}

func (s *socket) stopReading() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = true
	if s.conn != nil {
		_ = s.conn.SetReadDeadline(longAgo) // see boundLocked
	}
}

func (s *socket) unreadable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaf
}

func (s *socket) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause != CauseNone
}

func (s *socket) info() SocketInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SocketInfo{
		ID:          s.order[2*8:],
		Context:     s.subject.context,
		User:        s.subject.user,
		Connection:  s.connection,
		Path:        s.path,
		Client:      s.client,
		Protocol:    s.proto.name(),
		Address:     s.address,
		Since:       s.since,
		Queued:      s.waiting.frames,
		QueuedBytes: s.waiting.bytes,
	}
}

func (s *socket) logAttrs() slog.Attr {
	return slog.Group("",
		slog.Int(keyContext, int(s.subject.context)),
		slog.Int(keyUser, int(s.subject.user)),
		slog.String(keyConnection, s.connection),
		slog.String(keyPath, s.path))
}
