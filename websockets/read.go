package websockets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// run is the reading goroutine: it lives as long as the socket.
func (s *socket) run(ws *websocket.Conn, w *wire) {
	defer s.server.work.Done()
	s.reconsider()
	err := s.read(ws)
	if w.err == nil && websocket.CloseStatus(err) == -1 {
		// A frame that the library refuses without a word to the client.
		s.close(CauseProtocol)
	}
	s.finish(ws, w, websocket.CloseStatus(err) != -1)
}

// reconsider asks again what may have changed between the checks of the
// handshake and the registration, from which on every change finds the socket.
func (s *socket) reconsider() {
	if s.server.stopped.Err() != nil {
		s.close(CauseDrain)
		return
	}
	if !s.server.opts.Gate.Allowed(s.subject.context, s.subject.user).Allowed {
		s.close(CauseDisabled)
		return
	}
	ctx, cancel := context.WithTimeout(s.server.stopped, sessionCheckTimeout)
	defer cancel()
	if _, err := s.server.opts.Sessions.Get(ctx, s.session); errors.Is(err, ErrNoSession) {
		s.close(CauseSession)
	}
}

// read takes the client's messages until the connection ends. Once the socket
// is closing they are discarded, and what is awaited is the client's close.
func (s *socket) read(ws *websocket.Conn) error {
	for {
		// No deadline here: the wire keeps them.
		kind, r, err := ws.Reader(context.Background())
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if s.closing() {
			continue
		}
		if cause := s.receive(kind, data, time.Now()); cause != CauseNone {
			s.close(cause)
		}
	}
}

// receive takes one message and returns why the socket must close, if so.
func (s *socket) receive(kind websocket.MessageType, data []byte, now time.Time) Cause {
	switch {
	case !s.meter(now):
		return CauseRate
	case kind == websocket.MessageBinary:
		return CauseBinary
	case !utf8.Valid(data):
		return CauseText
	}
	reply, event, err := s.proto.text(data, now)
	if err != nil {
		return causeOf(err)
	}
	if reply != nil {
		s.answer(reply)
	}
	if event != nil {
		s.deliver(event)
	}
	s.arm()
	return CauseNone
}

// meter counts a message, ping or pong of the client.
func (s *socket) meter(now time.Time) bool {
	return s.frames.take(1, inboundFrames, inboundFramesBurst, now)
}

// deliver hands an event to the hook and answers it if the client wants that.
func (s *socket) deliver(event *socketio.Incoming) {
	s.server.totals.events.Add(1)
	var args json.RawMessage
	if s.server.opts.OnEvent != nil {
		args = s.server.opts.OnEvent(Event{
			Context:    s.subject.context,
			User:       s.subject.user,
			Connection: s.connection,
			Path:       s.path,
			Name:       event.Name,
			Args:       event.Args,
		})
	}
	if !event.HasID {
		return
	}
	if args != nil && !(utf8.Valid(args) && json.Valid(args) && bytes.HasPrefix(args, []byte("["))) {
		s.server.log.Error("event hook returned no JSON array: acknowledged with an empty one", s.logAttrs())
		args = nil
	}
	s.answer(message(socketio.AckFor(event.ID, args)))
}

// arm sets the time of the next tick after something has come in.
func (s *socket) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joinedLocked()
	if s.cause == CauseNone && !s.deaf {
		_ = s.conn.SetReadDeadline(s.proto.deadline()) // see boundLocked
	}
}

// tick is called by the wire when a deadline has passed. It reports whether
// reading goes on.
func (s *socket) tick(now time.Time) bool {
	s.mu.Lock()
	closing, over := s.cause != CauseNone, s.deaf || s.cause != CauseNone && !now.Before(s.closeBy)
	if closing && !over {
		s.boundLocked()
	}
	s.mu.Unlock()
	if closing || over {
		return !over
	}
	frame, err := s.proto.tick(now)
	if err != nil {
		s.close(causeOf(err))
		return true
	}
	if frame != nil {
		s.answer(frame)
	}
	s.arm()
	return true
}

// onPing is called by coder/websocket, on the reading goroutine; it reports
// whether a pong is to be sent.
func (s *socket) onPing(context.Context, []byte) bool {
	if !s.meter(time.Now()) {
		s.close(CauseRate)
		return false
	}
	return true
}

// onPong is called by coder/websocket, on the reading goroutine.
func (s *socket) onPong(context.Context, []byte) {
	now := time.Now()
	if !s.meter(now) {
		s.close(CauseRate)
		return
	}
	s.proto.pong(now)
	s.arm()
}

// finish ends the socket: the writer first, then the connection. agreed says
// that both sides have said close.
func (s *socket) finish(ws *websocket.Conn, w *wire, agreed bool) {
	s.mu.Lock()
	if s.cause == CauseNone {
		s.cause = CauseConnection
		s.closeBy = time.Now()
	}
	if w.err != nil && s.conn != nil {
		s.dead = true
		_ = s.conn.SetWriteDeadline(longAgo) // see boundLocked
	}
	if s.writer {
		s.idle = make(chan struct{})
	}
	idle, cause := s.idle, s.cause
	s.mu.Unlock()
	s.server.hub.leave(s)
	if idle != nil {
		<-idle // its write has a deadline
	}
	if w.err == nil && !agreed {
		s.linger(w)
	}
	// Releases what the library holds; the connection is ours to close.
	_ = ws.CloseNow()
	_ = w.Conn.Close()
	s.server.hub.forget(s)
	s.ended(cause)
}

// linger lets the client read the close frame: closing a connection with
// unread data in it would take the frame back. It ends at closeBy.
func (s *socket) linger(w *wire) {
	s.mu.Lock()
	dead := s.dead
	if !dead {
		_ = s.conn.SetReadDeadline(s.closeBy) // see boundLocked
	}
	s.mu.Unlock()
	if dead {
		return
	}
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // failing, it leaves the deadline to end the wait
	}
	_, _ = io.Copy(io.Discard, struct{ io.Reader }{w.Conn})
}

func (s *socket) ended(cause Cause) {
	s.server.totals.closed[cause].Add(1)
	level := slog.LevelDebug
	if cause == CauseSlow {
		level = slog.LevelInfo
	}
	s.server.log.LogAttrs(context.Background(), level, "socket closed", s.logAttrs(),
		slog.String(keyCause, cause.String()), slog.Duration(keyDuration, time.Since(s.since)))
}

var _ net.Conn = (*wire)(nil)
