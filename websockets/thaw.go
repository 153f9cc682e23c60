package websockets

import (
	"errors"
	"runtime"
	"sync"
	"time"
)

// Thaw takes up what another server of the same Since and Origin has frozen. It
// reads and writes nothing before what it returns is called, once, and leaves the
// connections alone if it fails. Nothing else was done with the server before.
func (s *Server) Thaw(f *Frozen) (start func(), err error) {
	s.numbers.mu.Lock()
	s.numbers.last = f.Number
	s.numbers.mu.Unlock()
	if err := s.thawHistories(f.Kept, f.Histories); err != nil {
		return nil, err
	}
	sockets := make([]*socket, len(f.Sockets))
	errs := make([]error, runtime.GOMAXPROCS(0))
	var work sync.WaitGroup
	for n := range errs {
		work.Go(func() {
			for i := n; i < len(sockets) && errs[n] == nil; i += len(errs) {
				sockets[i], errs[n] = s.thawOne(&f.Sockets[i])
			}
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
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

func (s *Server) thawOne(f *FrozenSocket) (*socket, error) {
	sock, err := s.thaw(&f.SocketState)
	if err != nil {
		return nil, err
	}
	f.SocketState = SocketState{} // it is as large as the socket
	sock.conn = f.Conn
	return sock, nil
}

// put registers a socket that has passed all checks before.
func (h *hub) put(s *socket) {
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h.count.Add(1)
	sh.users[s.subject] = append(sh.users[s.subject], s)
	defer sh.absentLocked(s.subject)
	if s.rec == nil {
		return
	}
	x := sh.historyLocked(s.subject, s.server.clock(), s.server)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sockets++
	x.window = s.rec.window
	s.rec.history = x
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
	tcp, _ := carried(s.conn)
	t, raw, err := s.server.poller.add(s, tcp)
	if err == nil {
		s.ticket, s.raw = t, raw
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
