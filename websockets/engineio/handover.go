package engineio

import (
	"errors"
	"time"
)

// State is what a process has to know of a session to go on with it. Times are
// left to the caller: Deadline is since a moment that both processes know.
type State struct {
	Version      Version       `json:"v"`
	SID          []byte        `json:"sid"`
	PingInterval time.Duration `json:"pi"` // as the client was told
	PingTimeout  time.Duration `json:"pt"`
	MaxPayload   int64         `json:"mp"`
	Deadline     time.Duration `json:"due"`
	Pinged       bool          `json:"pinged,omitempty"`
}

// State is that of the session, with times since zero.
func (e *Session) State(zero time.Time) State {
	return State{
		Version: e.version, SID: e.sid[:], PingInterval: e.settings.PingInterval, PingTimeout: e.settings.PingTimeout,
		MaxPayload: e.settings.MaxPayload, Deadline: e.deadline.Sub(zero), Pinged: e.pinged,
	}
}

// Restore is the session that State has told of.
func Restore(s State, zero time.Time) (Session, error) {
	if s.Version != V3 && s.Version != V4 || len(s.SID) != sidBytes || s.PingInterval <= 0 || s.PingTimeout <= 0 || s.MaxPayload <= 0 {
		return Session{}, errors.New("a state of Engine.IO out of bounds")
	}
	return Session{
		settings: Settings{s.PingInterval, s.PingTimeout, s.MaxPayload},
		deadline: zero.Add(s.Deadline), sid: [sidBytes]byte(s.SID), version: s.Version, pinged: s.Pinged,
	}, nil
}
