package websockets

import (
	"bufio"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// Thaw takes up what another server of the same Since and Origin has frozen. It
// reads and writes nothing before what it returns is called, once, and leaves the
// connections alone if it fails. Nothing else was done with the server before.
func (s *Server) Thaw(f *Frozen) (start func(), err error) {
	s.numbers.mu.Lock()
	s.numbers.last = f.Number
	s.numbers.mu.Unlock()
	if err := s.thawHistories(f.Histories); err != nil {
		return nil, err
	}
	sockets := make([]*socket, 0, len(f.Sockets))
	for i := range f.Sockets {
		sock, err := s.thaw(&f.Sockets[i].SocketState)
		if err == nil {
			err = sock.connected(f.Sockets[i].Conn)
		}
		if err != nil {
			return nil, err
		}
		sockets = append(sockets, sock)
	}
	for _, sock := range sockets {
		s.hub.put(sock)
	}
	return func() {
		for _, sock := range sockets {
			sock.goOn()
		}
		if s.opts.Peers != nil {
			s.TellPresent()
		}
	}, nil
}

// put registers a socket that has passed all checks before.
func (h *hub) put(s *socket) {
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h.count.Add(1)
	sh.users[s.subject] = append(sh.users[s.subject], s)
	if s.rec == nil {
		return
	}
	x := sh.historyLocked(s.subject, s.server.clock(), &s.server.histories)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sockets++
	x.window = s.rec.window
	s.rec.history = x
}

// connected gives a socket the connection that it had before. Between two frames
// the library knows nothing of a connection, so that it is given a new one whose
// handshake nobody sees.
func (s *socket) connected(conn net.Conn) error {
	w := &wire{Conn: conn, sock: s}
	w.buf = bufio.NewReaderSize(w, readBuffer)
	ws, err := websocket.Accept(&unseen{w, http.Header{}}, unseenRequest, s.acceptOptions())
	if err != nil {
		return err
	}
	ws.SetReadLimit(s.server.opts.Config().MaxPayload + readSlack)
	s.ws, s.wire, s.conn = ws, w, conn
	return nil
}

// unseenRequest is a handshake that the library accepts.
var unseenRequest = &http.Request{
	Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &url.URL{Path: "/"},
	Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	},
}

// unseen takes the answer to a handshake that the client has had before.
type unseen struct {
	wire   *wire
	header http.Header
}

func (u *unseen) Header() http.Header         { return u.header }
func (u *unseen) WriteHeader(int)             {}
func (u *unseen) Write(b []byte) (int, error) { return len(b), nil }

func (u *unseen) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.wire, bufio.NewReadWriter(u.wire.buf, bufio.NewWriterSize(u.wire, writeBuffer)), nil
}

// goOn has a thawed socket read and write.
func (s *socket) goOn() {
	s.server.work.Add(1)
	s.talk.Lock()
	due := s.proto.deadline()
	s.talk.Unlock()
	s.mu.Lock()
	// As another process has left them; an error means that the connection is
	// closed, which ends waits as well.
	_ = s.conn.SetDeadline(time.Time{})
	t, raw, err := s.server.poller.add(s, s.conn)
	if err == nil {
		s.ticket, s.raw, s.wire.raw = t, raw, raw
	}
	s.attached = true
	if s.muted {
		s.countMutedLocked(true)
	}
	s.shard.counters.kinds[s.kind.index()].Add(1)
	s.timer = time.AfterFunc(untilBeat(due), s.tick)
	if s.cause != CauseNone {
		s.boundLocked()
	}
	switch {
	case err != nil || s.deaf: // without the poller, as in attach
		go s.serve() // counted above
	default:
		s.parked = true
	}
	mine, part := false, s.rest != nil
	if part {
		s.writer = true
	} else {
		mine = s.claimLocked()
	}
	waits := false
	if r := s.rec; r != nil {
		waits = r.waits
		if r.asked == 0 && r.written > r.confirmed {
			r.later = true
			s.server.reached.later(s)
		}
	}
	s.mu.Unlock()
	switch {
	case part:
		s.server.work.Go(s.writeWaiting)
	case mine:
		s.flush()
	}
	if waits {
		s.welcome()
	}
}
