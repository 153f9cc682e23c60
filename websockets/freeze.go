package websockets

import (
	"log/slog"
	"slices"
	"time"
)

// A server that is frozen has nothing under way: its sockets, with what waits for
// them, can be thawed by another server, of this process or of the next one, and
// their clients notice nothing.

const (
	// parkPatience is how long a client may take to finish the frame that it has
	// begun when its server freezes: what it has sent is with the library, and cannot
	// be taken back.
	parkPatience = 100 * time.Millisecond
	// servePatience is how long whoever serves a socket may take that waits for no
	// client, on a machine that has other work.
	servePatience = 2 * time.Second
	// partPatience is how long a socket that is closed by a freeze has for its last
	// frames.
	partPatience = 100 * time.Millisecond
	freezeStep   = time.Millisecond
)

// Frozen is what a server had when it froze.
type Frozen struct {
	Since     time.Time   // what all other times count from
	Number    uint64      // of the last message that was accepted
	Kept      []KeptState // messages for clients that come back
	Histories []HistoryState
	Sockets   []FrozenSocket
	Closed    int // sockets that could not be kept
}

// Bound counts the sockets that Freeze would have to close because another process
// cannot have their connections: the state of TLS is in this one.
func (s *Server) Bound() (n int) {
	for _, sock := range s.hub.every() {
		sock.mu.Lock()
		if sock.attached && (sock.raw == nil || sock.carrier != nil) {
			n++
		}
		sock.mu.Unlock()
	}
	return n
}

// Freeze ends the server like Close, but the sockets that no frame of their clients
// is half read of stay open, and are in what it returns; the others are closed with
// 1012 and counted. The caller has seen to it that nobody sends and no handshake
// runs any more.
func (s *Server) Freeze() *Frozen {
	s.freezing.Store(true)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.poller.close() // nobody is woken any more
	left := s.hub.every()
	f := &Frozen{Since: s.started, Sockets: make([]FrozenSocket, 0, len(left))}
	for _, sock := range left {
		sock.halt()
	}
	step := time.NewTicker(freezeStep)
	defer step.Stop()
	for began := time.Now(); ; <-step.C {
		waited := time.Since(began)
		left = slices.DeleteFunc(left, func(sock *socket) bool {
			state, ok, ended := sock.freeze()
			late := waited > servePatience || waited > parkPatience && sock.awaitsClient()
			switch {
			case ok:
				f.Sockets = append(f.Sockets, FrozenSocket{state, sock.conn})
				s.hub.remove(sock)
				s.poller.remove(sock.ticket)
				s.work.Done()
			case late && !ended && sock.close(CauseDrain):
				f.Closed++
			}
			return ok || ended || late
		})
		if len(left) == 0 {
			break
		}
	}
	s.part()
	s.wires.close()
	f.Number = s.numbers.through()
	f.Kept, f.Histories = s.historyStates()
	if f.Closed > 0 {
		s.log.Warn("sockets are closed because their clients were in the middle of a frame", slog.Int(keyCount, f.Closed))
	}
	return f
}

// part gives the sockets that close a moment for their last frames, and waits for
// whoever serves them.
func (s *Server) part() {
	ended := make(chan struct{})
	go func() {
		s.work.Wait()
		close(ended)
	}()
	t := time.NewTimer(partPatience)
	defer t.Stop()
	select {
	case <-ended:
		return
	case <-t.C:
	}
	for _, sock := range s.hub.every() {
		sock.sever()
	}
	<-ended
}

// halt has nothing more be written, but where the socket closes.
func (s *socket) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted = true
	if s.waitsToWrite && s.cause == CauseNone {
		_ = s.conn.SetWriteDeadline(longAgo) // see boundLocked
	}
}

// haltedLocked reports whether what waits stays where it is.
func (s *socket) haltedLocked() bool { return s.halted && s.cause == CauseNone }

// freeze takes the state of a socket that nobody serves or writes to; the socket is
// of no use afterwards. ended: it closes, and has none.
func (s *socket) freeze() (state SocketState, ok, ended bool) {
	s.talk.Lock()
	defer s.talk.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cause != CauseNone || s.dead || s.deaf:
		return state, false, true
	case s.writer || !s.parked || s.carrier != nil:
		return state, false, false
	}
	if state, ok = s.stateLocked(); !ok {
		return state, false, false
	}
	s.frozen, s.parked, s.deaf = true, false, true
	s.timer.Stop()
	if a := s.asking; a != nil {
		a.giveUp()
		a.out = a.waiting
		a.giveUp()
		s.asking = nil
		s.server.asks.leave()
	}
	return state, true, false
}

// setPartial notes that reading waits for the rest of a frame.
func (s *socket) setPartial(partial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial = partial
}

// awaitsClient reports whether a socket cannot be frozen before its client does
// something.
func (s *socket) awaitsClient() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partial || s.raw == nil || s.carrier != nil
}

// remove takes a socket out of the hub that goes on elsewhere.
func (h *hub) remove(s *socket) {
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.users[s.subject]
	i := slices.Index(list, s)
	if i < 0 {
		return
	}
	h.count.Add(-1)
	if len(list) == 1 {
		delete(sh.users, s.subject)
		sh.absentLocked(s.subject)
		return
	}
	sh.users[s.subject] = slices.Delete(list, i, i+1)
}
