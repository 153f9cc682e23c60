package websockets

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
	"unique"

	"github.com/seed47708276/sluice/websockets/engineio"
)

// closeWait bounds the end of a socket: from the decision to close until the
// last frame is out, the client's answer is in, and the connection is closed.
// A client on a mobile network needs about a second.
const closeWait = 2 * time.Second

// admission says what happens to a service message.
type admission uint8

const (
	admitHold   admission = iota // until the client has joined
	admitQueue                   // straight into the queue
	admitRefuse                  // the client has left the namespace
)

// socket is one client. The fields before talk never change once the socket is
// served.
type socket struct {
	server     *Server
	shard      *shard
	subject    subject
	id         [secretBytes]byte
	kind       socketKind
	connection string
	path       string
	session    string
	client     string
	address    netip.Addr
	since      time.Time
	asText     bool      // /ws/*
	rec        *recovery // nil: the client does not recover
	touched    bool      // its session's life was extended since it opened; guarded by the shard's lock

	conn    net.Conn // nil until the 101 is out
	raw     syscall.RawConn
	carrier *carrier // of TLS; nil: there is none, or it cannot be polled
	ticket  ticket   // of the poller

	talk  sync.Mutex // guards proto and asking; taken before mu, never while it is held
	proto protocol
	// asking is what the client is asked about arrivals; nil: nothing.
	asking *asking

	// Of the goroutine that serves the socket.
	wire          *wire // nil while it is parked, unless it closes
	frames, bytes bucket
	holding       bool // one of the server's reading slots

	mu           sync.Mutex
	attached     bool // conn is set
	parked       bool // nobody serves it; the poller or an end wakes it
	partial      bool // who serves it waits for the rest of a frame
	again        bool // something came in while it was served
	ended        bool // the client sends nothing more
	halted       bool // its server freezes: nothing more is written while it stays open
	frozen       bool // it goes on elsewhere
	admit        admission
	held         []queued // service messages that wait for the client to join
	queue        []queued // what the writer takes next
	rest         []byte   // of a frame that is partly out
	waiting      load     // held, queue, and what the writer is writing
	writing      load     // what the writer is writing
	muted        bool     // its user is switched off and held: it gets no service message
	sent         int64    // Unix nanoseconds of the last write of a service message; 0: none yet
	writer       bool     // somebody writes
	waitsToWrite bool     // for the client
	idle         chan struct{}
	timer        *time.Timer // of the heartbeat, then of the end

	cause    Cause // once it is set, nothing more goes into the queue
	closeBy  time.Time
	farewell []byte // the last frames; nil once the writer has taken them
	dead     bool   // nothing can be written any more
	deaf     bool   // nothing is to be read any more
}

// newSocket makes a socket that is not registered yet.
func (s *Server) newSocket(session *Session, ask *handshake) *socket {
	k := subject{session.Context, session.User}
	now := time.Now()
	sock := &socket{
		server:     s,
		shard:      s.hub.shard(k),
		subject:    k,
		kind:       kindOf(ask.path, ask.speaks),
		connection: strings.Clone(ask.connection), // not the whole request with it
		path:       unique.Make(ask.path).Value(),
		session:    session.ID,
		client:     session.Client,
		address:    ask.address.addr,
		since:      now,
		asText:     ask.speaks == PlainText,
	}
	rand.Read(sock.id[:]) // never fails (crypto/rand)
	cfg := s.opts.Config()
	sock.rec = s.newRecovery(cfg, k, session, ask)
	switch ask.speaks {
	case PlainText:
		sock.proto = newPlain(cfg, now)
	case EngineIO3:
		sock.proto = newPackets(engineio.V3, cfg, nil, now)
	default:
		var connect func(json.RawMessage) (sid, pid string)
		if sock.rec != nil && sock.rec.offsets {
			connect = sock.connect
		}
		sock.proto = newPackets(engineio.V4, cfg, connect, now)
	}
	return sock
}

// load is a number of frames and of their bytes.
type load struct{ frames, bytes int }

func (l *load) add(f *outgoing) {
	l.frames++
	l.bytes += len(f.data)
}

func (l *load) sub(m load) {
	l.frames -= m.frames
	l.bytes -= m.bytes
}

// pushResult is what became of a service message.
type pushResult uint8

const (
	pushed      pushResult = iota
	pushedFirst            // and the caller must call flush
	pushOverflow
	pushRefused
	pushMuted
	pushHad // it came before, as what the client had missed
)

// push queues a service message. It never blocks. index is that in the history of the
// user, whom the caller has locked; 0: it is not kept.
func (s *socket) push(m *encoded, index uint64, cfg *Config) pushResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rec == nil {
		index = 0
	}
	if index != 0 {
		return s.pushKeptLocked(m, index, cfg)
	}
	f := m.packet
	if s.asText {
		f = m.plain()
	}
	return s.pushLocked(queued{outgoing: f}, cfg, false)
}

// pushKeptLocked is push for a client that may come back for the message.
func (s *socket) pushKeptLocked(m *encoded, index uint64, cfg *Config) pushResult {
	switch r := s.rec; {
	case r.has(m.stamp):
		return pushHad
	case r.waits:
		switch {
		case s.cause != CauseNone:
			return pushRefused
		case s.muted:
			return pushMuted
		}
		return pushed // resume finds it
	}
	result := s.pushLocked(queued{s.frameNow(m), index}, cfg, false)
	if s.rec.offsets && (result == pushed || result == pushedFirst) {
		s.rec.offset = m.offset()
	}
	return result
}

// pushLocked queues the frame of a service message; again: it is sent again, what
// waits of such does not make a client slow, and the caller claims and flushes.
func (s *socket) pushLocked(f queued, cfg *Config, again bool) pushResult {
	if s.cause != CauseNone || s.admit == admitRefuse {
		return pushRefused
	}
	if s.muted {
		return pushMuted
	}
	if f.topic != "" {
		s.conflateLocked(f.outgoing, cfg.MaxWaiting)
		s.crowdedLocked(f.outgoing, cfg)
	}
	if again {
		s.rec.grace.add(f.outgoing)
	} else if s.fullLocked(f.outgoing, cfg) {
		return pushOverflow
	}
	s.waiting.add(f.outgoing)
	if s.admit == admitHold {
		s.held = append(s.held, f)
		return pushed
	}
	s.queue = append(s.queue, f)
	if !again && s.claimLocked() {
		return pushedFirst
	}
	return pushed
}

func (s *socket) fullLocked(f *outgoing, cfg *Config) bool {
	w := s.waiting
	if s.rec != nil {
		w.sub(s.rec.grace)
	}
	return w.frames+1 > cfg.QueueMessages || w.bytes+len(f.data) > cfg.QueueBytes
}

// answer queues frames of the protocol, one behind the other. A client that
// asks for more answers than it reads is as slow as one that does not read its
// messages.
func (s *socket) answer(frames ...[]byte) {
	s.mu.Lock()
	full := s.queueLocked(frames)
	mine := s.claimLocked()
	s.mu.Unlock()
	s.see(mine, full)
}

// queueLocked reports whether the queue has no place for all of them.
func (s *socket) queueLocked(frames [][]byte) (full bool) {
	if s.cause != CauseNone {
		return false
	}
	cfg := s.server.opts.Config()
	for _, data := range frames {
		f := &outgoing{data: data}
		if s.fullLocked(f, cfg) {
			return true
		}
		s.waiting.add(f)
		s.queue = append(s.queue, queued{outgoing: f})
	}
	return false
}

// see does what is left to whoever has queued something: it writes, when that
// is up to it, and ends a socket that is full.
func (s *socket) see(mine, full bool) {
	if full {
		s.close(CauseSlow)
	}
	if mine {
		s.flush()
	}
}

// close begins the end of the socket: it leaves the hub, and the writer sends
// what the cause's row of the close table says. It reports whether it was the
// first to do so.
func (s *socket) close(cause Cause) bool {
	return s.closeWith(cause, s.goodbye(cause))
}

func (s *socket) closeWith(cause Cause, farewell []byte) bool {
	s.mu.Lock()
	if s.cause != CauseNone {
		s.mu.Unlock()
		return false
	}
	s.cause = cause
	s.closeBy = time.Now().Add(closeWait)
	s.farewell = farewell
	unsent(s.held)
	s.held = nil
	if closings[cause].dropQueue {
		for _, f := range s.queue {
			s.waiting.sub(load{1, len(f.data)})
		}
		unsent(s.queue)
		s.queue = nil
	}
	mine := false
	if s.attached {
		s.boundLocked()
		mine = s.claimLocked()
	}
	s.mu.Unlock()
	if cause == CauseTakeover {
		s.depart(cause, false) // its client waits on another socket
	}
	s.server.leave(s)
	if mine {
		s.flush()
	}
	return true
}

// unsent counts messages that are not written any more.
func unsent(list []queued) {
	for _, f := range list {
		f.trace.Unsent()
	}
}

// boundLocked makes every wait for the connection end with closeBy.
func (s *socket) boundLocked() {
	// An error means that the connection is closed, which ends waits as well.
	_ = s.conn.SetWriteDeadline(s.closeBy)
	s.timer.Reset(time.Until(s.closeBy))
}

// attach gives the socket its connection, once the 101 is out. What was pushed
// since the registration follows the protocol's first frames.
func (s *socket) attach(w *wire) {
	var first []queued
	for _, data := range s.proto.open() {
		first = append(first, queued{outgoing: &outgoing{data: data}})
	}
	joined, due := s.proto.joined(), s.proto.deadline()
	s.wire, s.conn = w, w.Conn
	tcp, c := carried(w.Conn)
	t, raw, err := s.server.poller.add(s, tcp)
	if err == nil {
		s.ticket, s.raw, w.raw = t, raw, raw
		if s.carrier = c; c != nil {
			c.sock = s
		}
	}
	s.mu.Lock()
	s.attached = true
	if s.muted {
		s.countMutedLocked(true)
	}
	s.shard.counters.kinds[s.kind.index()].Add(1)
	s.timer = time.AfterFunc(untilBeat(due), s.tick)
	s.queue = first
	for _, f := range first {
		s.waiting.add(f.outgoing)
	}
	if s.cause != CauseNone {
		s.boundLocked()
	}
	s.joinedLocked(joined)
	mine := s.claimLocked()
	s.mu.Unlock()
	if mine {
		s.flush()
	}
	if joined {
		s.askMore(time.Now()) // of a message that came between the 101 and now
	}
}

// joinedLocked follows the protocol in and out of the namespace. The caller
// claims and flushes what it has queued.
func (s *socket) joinedLocked(joined bool) {
	switch {
	case joined && s.admit != admitQueue:
		s.admit = admitQueue
		s.queue = append(s.queue, s.held...)
		s.held = nil
	case !joined && s.admit == admitQueue:
		s.admit = admitRefuse
	}
}

// sever breaks the connection without a word.
func (s *socket) sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	if s.cause == CauseNone {
		s.cause = CauseDrain
	}
	if s.attached {
		_ = s.conn.SetWriteDeadline(longAgo) // see boundLocked
	}
	s.stopReadingLocked()
}

func (s *socket) stopReading() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopReadingLocked()
}

// stopReadingLocked has the socket finished by whoever serves it.
func (s *socket) stopReadingLocked() {
	s.deaf = true
	if s.attached {
		_ = s.conn.SetReadDeadline(longAgo) // see boundLocked
	}
	if s.parked {
		s.parked = false
		go s.serve() // counted by the server since the handshake
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// hearing tells whether anything is to be read, and whether the client sends
// nothing more.
func (s *socket) hearing() (deaf, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaf, s.ended
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
		ID:          hex.EncodeToString(s.id[:]),
		Context:     s.subject.context,
		User:        s.subject.user,
		Connection:  s.connection,
		Path:        s.path,
		Client:      s.client,
		SessionHash: SessionHash(s.session),
		Protocol:    s.kind.protocol.String(),
		Address:     s.address,
		Since:       s.since,
		Queued:      s.waiting.frames,
		QueuedBytes: s.waiting.bytes,
		Sent:        sentTime(s.sent),
		Muted:       s.muted,
	}
}

func sentTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func (s *socket) logAttrs() slog.Attr {
	return slog.Group("",
		slog.Int(keyContext, int(s.subject.context)),
		slog.Int(keyUser, int(s.subject.user)),
		slog.String(keyConnection, s.connection),
		slog.String(keyPath, s.path))
}
