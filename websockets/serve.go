package websockets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// readingSlots bounds the sockets that read at once because their clients sent
// something at once, such as pongs: beyond it they take turns, so that a burst
// does not cost each socket a stack. A client that stops within a frame gives
// its slot back.
const readingSlots = 256

// begin serves a socket for the first time. The gate is asked once more, because a
// change that was made before the socket had its connection has not counted it as
// muted, see countMutedLocked.
func (s *socket) begin() {
	s.server.enforce(s.subject)
	s.serve()
}

// serve reads until the client has nothing more to say, and then leaves the
// socket to the poller; or until the connection ends, and then finishes it. At
// most one goroutine serves a socket at a time.
func (s *socket) serve() {
	if s.wire == nil {
		s.wire = s.server.wires.take(s)
	}
	for {
		err := s.read()
		if !errors.Is(err, errIdle) {
			s.finish(err)
			return
		}
		if s.park() {
			return
		}
	}
}

// park ends serving until something comes in. It reports false when that has
// happened already.
func (s *socket) park() bool {
	s.mu.Lock()
	if s.again || s.deaf {
		s.again = false
		s.mu.Unlock()
		return false
	}
	var over *wire
	if s.cause == CauseNone {
		over, s.wire = s.wire, nil
	}
	s.yield()
	s.parked = true
	s.mu.Unlock()
	if over != nil {
		s.server.wires.give(over)
	}
	return true
}

// readable is called by the poller; ended says that the client will send
// nothing beyond what is there.
func (s *socket) readable(ended bool) {
	s.mu.Lock()
	s.ended = s.ended || ended
	if !s.parked {
		s.again = true
		s.mu.Unlock()
		return
	}
	s.parked = false
	s.mu.Unlock()
	s.server.reading <- struct{}{}
	s.holding = true
	go s.serve() // counted by the server since the handshake
}

// yield gives the reading slot back.
func (s *socket) yield() {
	if s.holding {
		s.holding = false
		<-s.server.reading
	}
}

// messageBuffers are for messages that are over once they are understood.
var messageBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledMessage keeps rare big messages from staying in the pool.
const maxPooledMessage = 4 << 10

// read takes the client's messages until there is none, or the connection
// ends. Once the socket is closing, all that is awaited is the client's close.
func (s *socket) read() error {
	buf := messageBuffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxPooledMessage {
			messageBuffers.Put(buf)
		}
	}()
	w := s.wire
	if w.ws == nil {
		return w.err
	}
	for {
		if w.atBoundary(); w.boundary && w.raw != nil {
			// Before the library is asked, because what it returns for errIdle
			// costs more than the read.
			if _, err := w.buf.Peek(1); err != nil {
				return err
			}
		}
		// No deadline here: the timer ends reading.
		kind, r, err := w.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		buf.Reset()
		w.inMessage = true
		if _, err = buf.ReadFrom(r); err != nil {
			return err
		}
		w.inMessage = false
		s.shard.counters.framesIn.Add(1)
		if s.closing() {
			return errEnded
		}
		if cause := s.receive(kind, buf.Bytes(), time.Now()); cause != CauseNone {
			s.close(cause)
		}
	}
}

// receive takes one message, which it does not keep, and returns why the
// socket must close, if so.
func (s *socket) receive(kind websocket.MessageType, data []byte, now time.Time) Cause {
	if kind == websocket.MessageText && !utf8.Valid(data) {
		return CauseText
	}
	var reply []byte
	var event *socketio.Incoming
	var err error
	s.talk.Lock()
	if s.delayed(kind, data) {
		s.talk.Unlock()
		return CauseNone
	}
	pinged := s.asking != nil && s.proto.pinged()
	if kind == websocket.MessageText {
		reply, event, err = s.proto.text(data, now)
	} else {
		event, err = s.proto.binary(data, now)
	}
	if err != nil {
		s.talk.Unlock()
		return causeOf(err)
	}
	more := false
	if s.asking != nil {
		if pinged && !s.proto.pinged() {
			reply = s.pagePong(now)
		}
		more = s.settle()
	}
	s.follow(reply)
	if more {
		s.askMore(now)
	}
	if event != nil {
		s.deliver(event)
	}
	return CauseNone
}

// deliver hands an event to the hook and answers it if the client wants that.
func (s *socket) deliver(event *socketio.Incoming) {
	s.shard.counters.events.Add(1)
	var args json.RawMessage
	var attachments [][]byte
	if s.server.opts.OnEvent != nil {
		args, attachments = s.server.opts.OnEvent(Event{
			Context:     s.subject.context,
			User:        s.subject.user,
			Connection:  s.connection,
			Path:        s.path,
			Name:        event.Name,
			Args:        event.Args,
			Attachments: event.Attachments,
		})
	}
	if !event.HasID {
		return
	}
	s.talk.Lock()
	frames, err := s.proto.answer(event, args, attachments)
	if errors.Is(err, socketio.ErrOutgoing) {
		s.server.log.Error("event hook returned no answer that can be sent: acknowledged with an empty one", s.logAttrs(), slog.Any(keyError, err))
		frames, err = s.proto.answer(event, nil, nil)
	}
	s.talk.Unlock()
	if err == nil { // else the client has left meanwhile
		s.answer(frames...)
	}
}

// follow does what the protocol wants after something has come in or was due:
// it sends its frame, if any, lets the messages go that waited for the client to
// join, and sets the timer. The caller holds talk, which follow gives back: so
// the client cannot know of a state that the socket is not in, and the timer is
// never set to what was due before.
func (s *socket) follow(frame []byte) {
	s.mu.Lock()
	full := false
	if frame != nil {
		full = s.queueLocked([][]byte{frame})
	}
	s.joinedLocked(s.proto.joined())
	mine := s.claimLocked()
	if s.cause == CauseNone && !s.deaf {
		s.timer.Reset(untilBeat(s.proto.deadline()))
	}
	s.mu.Unlock()
	s.talk.Unlock()
	s.see(mine, full)
}

// beat is the grid on which heartbeats are due that are more than a second
// away: sockets that are served together cost one wake-up of the process.
const beat = 100 * time.Millisecond

// untilBeat is the time until due, or until the beat that follows it.
func untilBeat(due time.Time) time.Duration {
	d := time.Until(due)
	if d < time.Second {
		return d
	}
	if over := time.Duration(due.UnixNano()) % beat; over > 0 {
		d += beat - over
	}
	return d
}

// tick is what the timer calls: the heartbeat, and the end of a socket that
// closes.
func (s *socket) tick() {
	now := time.Now()
	s.mu.Lock()
	if s.frozen {
		s.mu.Unlock()
		return
	}
	if s.cause != CauseNone || s.deaf {
		if left := s.closeBy.Sub(now); left > 0 && !s.deaf {
			s.timer.Reset(left)
		} else {
			s.stopReadingLocked()
		}
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.talk.Lock()
	frame, err := s.proto.tick(now)
	if err != nil {
		s.talk.Unlock()
		s.close(causeOf(err))
		return
	}
	s.follow(frame)
}

// onPing is called by coder/websocket, on the serving goroutine; it reports
// whether a pong is to be sent.
func (w *wire) onPing(context.Context, []byte) bool {
	w.atBoundary()
	return !w.sock.closing()
}

// onPong is called by coder/websocket, on the serving goroutine.
func (w *wire) onPong(_ context.Context, payload []byte) {
	s := w.sock
	w.atBoundary()
	if s.rec != nil {
		s.pongReached(payload)
	}
	now := time.Now()
	s.talk.Lock()
	if !w.inMessage { // else no sign of life, so that a message cannot take for ever
		s.proto.pong(now)
	}
	more := false
	if s.asking != nil {
		s.browserPong(payload, now)
		more = s.settle()
	}
	s.follow(nil)
	if more {
		s.askMore(now)
	}
}

// finish ends the socket: the writer first, then the connection.
func (s *socket) finish(err error) {
	s.yield()
	agreed := websocket.CloseStatus(err) != -1 // the client has said close
	switch last := s.wire.last; {
	case agreed && last != nil && utf8.Valid(last[min(4, len(last)):]):
		s.closeWith(CauseClient, last)
	case errors.Is(err, websocket.ErrMessageTooBig):
		s.close(CauseTooBig)
	case s.wire.err == nil:
		// A frame that the library refuses, be it without a word.
		s.close(CauseProtocol)
	}
	s.mu.Lock()
	if s.cause == CauseNone {
		s.cause = CauseConnection
		s.closeBy = time.Now()
	}
	s.deaf = true
	if s.wire.err != nil {
		s.dead = true
		_ = s.conn.SetWriteDeadline(longAgo) // see boundLocked
	}
	var idle chan struct{}
	if s.writer {
		s.idle = make(chan struct{})
		idle = s.idle
	}
	cause := s.cause
	s.mu.Unlock()
	s.server.leave(s)
	if idle != nil {
		<-idle // its write has a deadline
	}
	if s.rec != nil {
		s.depart(cause, agreed && s.answeredClose(cause))
		if s.server.opts.Peers != nil {
			s.server.withdraw(s)
		}
	}
	if s.wire.err == nil && !agreed {
		s.linger()
	}
	s.mu.Lock()
	s.dead = true
	if s.muted {
		s.muted = false
		s.countMutedLocked(false)
	}
	s.timer.Stop()
	unsent(s.held)
	unsent(s.queue)
	s.held, s.queue = nil, nil
	s.mu.Unlock()
	s.forgetAsking()
	s.server.poller.remove(s.ticket)
	s.wire.drop()
	_ = s.conn.Close()
	s.server.hub.forget(s)
	s.record(cause)
	if s.server.watched() {
		s.server.opts.Watcher.Closed(s.info(), cause)
	}
	s.server.work.Done()
}

// linger lets the client read the close frame: closing a connection with
// unread data in it would take the frame back. It ends at closeBy.
func (s *socket) linger() {
	s.mu.Lock()
	dead := s.dead
	if !dead {
		_ = s.conn.SetReadDeadline(s.closeBy) // see boundLocked
	}
	s.mu.Unlock()
	if dead {
		return
	}
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // failing, it leaves the deadline to end the wait
	}
	if c := s.carrier; c != nil {
		_ = s.conn.SetWriteDeadline(s.closeBy) // which crypto/tls has let pass
		s.settleRecords()
		c.waits, c.drained = true, false
	}
	_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{s.conn}, make([]byte, lingerBuffer))
}

// lingerBuffer is small, because many sockets may close at once.
const lingerBuffer = 1 << 10

func (s *socket) record(cause Cause) {
	s.server.totals.closed[cause].Add(1)
	s.server.ends.add(s.subject, End{cause, time.Now()})
	s.shard.counters.kinds[s.kind.index()].Add(-1)
	level := slog.LevelDebug
	if cause == CauseSlow {
		level = slog.LevelInfo
	}
	s.server.log.LogAttrs(context.Background(), level, "socket closed", s.logAttrs(),
		slog.String(keyCause, cause.String()), slog.Duration(keyDuration, time.Since(s.since)))
}
