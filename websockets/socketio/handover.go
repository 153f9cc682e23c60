package socketio

import (
	"errors"
	"time"
)

// State is what a process has to know of a session to go on with it, where the
// session has joined no namespace but "/" and waits for nothing. Deadline is
// since a moment that both processes know.
type State struct {
	Protocol Protocol      `json:"p"`
	Main     uint8         `json:"m"`
	Deadline time.Duration `json:"due"`
}

// State is that of the session, with times since zero. It is not ok while
// attachments or acks are awaited, or where there are other namespaces.
func (s *Session) State(zero time.Time) (state State, ok bool) {
	if r := s.rare; r != nil && (r.assembly != nil || len(r.pending) > 0 || len(r.others) > 0) {
		return State{}, false
	}
	return State{s.protocol, uint8(s.main), s.deadline.Sub(zero)}, true
}

// Restore is the session that State has told of.
func Restore(s State, settings Settings, zero time.Time) (Session, error) {
	if s.Protocol != Protocol4 && s.Protocol != Protocol5 || s.Main > uint8(dismissed) {
		return Session{}, errors.New("a state of Socket.IO out of bounds")
	}
	return Session{settings: settings, deadline: zero.Add(s.Deadline), protocol: s.Protocol, main: membership(s.Main)}, nil
}
