package websockets

import (
	"context"
	"errors"
)

// reconsider asks again what may have changed between the checks of a handshake and
// the registration, from which on every change finds the socket. It does so before
// the 101: a client takes an answered handshake for a success and begins its back-off
// anew, so that a socket which is closed at once would be tried again and again
// without a pause.
func (s *Server) reconsider(ctx context.Context, sock *socket, session *Session) *refusal {
	if s.stopped.Err() != nil && !s.freezing.Load() {
		return refuseDraining
	}
	s.enforce(sock.subject)
	if s.endedOwners.over(session) { // its sockets were closed before this one was among them
		return forbidNoSession
	}
	ctx, cancel := context.WithTimeout(ctx, sessionCheckTimeout)
	defer cancel()
	// A store that cannot answer any more ends nobody's socket.
	if _, err := s.opts.Sessions.Get(ctx, session.ID); errors.Is(err, ErrNoSession) {
		return forbidNoSession
	}
	sock.mu.Lock()
	cause := sock.cause
	sock.mu.Unlock()
	return s.overtaken(cause, sock.subject)
}

// overtaken is the refusal for a socket that was closed before its 101; nil: it is
// not closed, or its client is to be told to stop, which no refusal does.
func (s *Server) overtaken(cause Cause, k subject) *refusal {
	switch cause {
	case CauseNone, CauseTakeover, CauseAdmin:
		return nil
	case CauseDisabled:
		if v := s.opts.Gate.Allowed(k.context, k.user); !v.Allowed && v.Reason != SwitchedOff && v.Reason != NotRead {
			return forbidAccount(v.Reason)
		}
		return refuseDisabled
	case CauseSession:
		return forbidNoSession
	case CauseDrain:
		return refuseDraining
	default: // this member has too many sockets, or lacks messages
		return refuseCluster
	}
}
