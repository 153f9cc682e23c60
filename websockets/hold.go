package websockets

import "github.com/seed47708276/sluice/websockets/socketio"

// A user who is switched off and held keeps the sockets: they are muted, get no
// message, and count for every limit, so that the moment the user is switched on
// again they serve without a handshake. A client that is refused instead comes
// back after its back-off, or, when it has given up, never.

// EventDisabled and EventEnabled tell a client that its user was switched off or
// on. With the first the socket is closed, where the user is not held.
const (
	EventDisabled = "sluice:disabled"
	EventEnabled  = "sluice:enabled"
)

// switchNotices are the frames of the two events, by whether the user is served,
// for Socket.IO and for text.
var switchNotices = func() (all [2][2]*outgoing) {
	for served, name := range [...]string{EventDisabled, EventEnabled} {
		e, err := (&Message{Name: name, Namespace: socketio.Main}).encode()
		if err != nil {
			panic(err) // the names are constants
		}
		all[served] = [2]*outgoing{{data: e.packet.data}, {data: e.plain().data}}
	}
	return all
}()

func (s *socket) switchNoticeLocked(served bool) *outgoing {
	n := &switchNotices[0]
	if served {
		n = &switchNotices[1]
	}
	switch {
	case s.asText:
		return n[1]
	case s.rec != nil && s.rec.offsets:
		return &outgoing{data: textFrame(withOffset(payloadOf(n[0].data), s.rec.offset))}
	}
	return n[0]
}

// bornMuted has a socket muted from its first frame on. It is not registered yet.
func (s *socket) bornMuted() {
	s.muted = true
	f := s.switchNoticeLocked(false)
	s.waiting.add(f)
	s.held = append(s.held, queued{outgoing: f})
}

// mute mutes a socket, or has it get messages again, tells its client, and
// reports whether that is a change. What was accepted before is still written.
func (s *socket) mute(on bool) bool {
	s.mu.Lock()
	if s.cause != CauseNone || s.muted == on {
		s.mu.Unlock()
		return false
	}
	s.muted = on
	if s.attached {
		s.countMutedLocked(on)
	}
	f := s.switchNoticeLocked(!on)
	full := s.fullLocked(f, s.server.opts.Config())
	switch {
	case full || s.admit == admitRefuse:
	case s.admit == admitHold:
		s.waiting.add(f)
		s.held = append(s.held, queued{outgoing: f})
	default:
		s.waiting.add(f)
		s.queue = append(s.queue, queued{outgoing: f})
	}
	mine := s.claimLocked()
	s.mu.Unlock()
	s.see(mine, full)
	return true
}

// countMutedLocked counts a socket, while it has a connection, as muted or no
// longer. One without is looked at again as soon as it has one, see begin.
func (s *socket) countMutedLocked(on bool) {
	if on {
		s.server.muted.Add(1)
	} else {
		s.server.muted.Add(-1)
	}
}

// serveHistory has nothing be kept for a user who is not served.
func (s *Server) serveHistory(k subject, v Verdict) {
	if s.histories.Load() == 0 || !v.Allowed && v.Reason == NotRead {
		return
	}
	sh := s.hub.shard(k)
	if h := sh.historyOf(k, false, 0, nil); h != nil {
		h.switchOff(!v.Allowed, s.clock())
	}
}

// recheckHistories is Recheck for the users that have no socket here, but may
// come back.
func (s *Server) recheckHistories() {
	for i := range s.hub.shards {
		sh := &s.hub.shards[i]
		var list []subject
		sh.mu.RLock()
		for k := range sh.histories.absent {
			list = append(list, k)
		}
		sh.mu.RUnlock()
		for _, k := range list {
			s.serveHistory(k, s.opts.Gate.Allowed(k.context, k.user))
		}
	}
}

// maxEnforced bounds how often the gate is asked for one user whose answer
// changes meanwhile. Each change has the gate asked again by itself.
const maxEnforced = 4

// enforce does to a user's sockets what the gate says. It asks again when that
// was a change: whoever did the opposite meanwhile may have asked later. It
// returns how many sockets were closed.
func (s *Server) enforce(k subject) (closed int) {
	for range maxEnforced {
		v := s.opts.Gate.Allowed(k.context, k.user)
		s.serveHistory(k, v)
		switch {
		case v.Allowed && s.muted.Load() == 0:
			return 0
		case !v.Allowed && v.Reason == NotRead:
			return 0
		case !v.Allowed && !v.Hold:
			return s.CloseSockets(Selector{Context: k.context, User: k.user}, CauseDisabled)
		}
		var list []*socket
		s.hub.user(k, func(sock *socket) { list = append(list, sock) })
		changed := false
		for _, sock := range list {
			changed = sock.mute(!v.Allowed) || changed
		}
		if !changed {
			return 0
		}
	}
	return 0
}
