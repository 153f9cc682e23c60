package httpapi

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// Upgrader starts another process in the place of this one.
type Upgrader interface {
	// Start returns when the next process is ready to take over, or says why nothing
	// happens: an UpgradeError.
	Start() (Upgrading, error)
	// Last is what came of the last upgrade that this process knows of; nil: of none.
	Last() *Upgraded
}

// UpgradeError says why nothing happens, and what to do.
type UpgradeError struct{ Err error }

func (e *UpgradeError) Error() string { return e.Err.Error() }
func (e *UpgradeError) Unwrap() error { return e.Err }

// Upgrading is an upgrade that has begun.
type Upgrading struct {
	Way     string `json:"way"`     // handover or drain
	Because string `json:"because"` // why it is a drain; "": it is none
	Version string `json:"version"` // of the next process
}

// The ways of an upgrade.
const (
	UpgradeHandover = "handover" // no socket is closed
	UpgradeDrain    = "drain"    // all are closed with 1012
)

// Upgraded is what came of an upgrade.
type Upgraded struct {
	Time    time.Time `json:"time"` // when it was over
	From    string    `json:"from"` // version
	To      string    `json:"to"`
	Sockets int       `json:"sockets"`         // that were handed over
	Closed  int       `json:"closed"`          // that could not be
	Ms      int64     `json:"ms"`              // for which no message was delivered
	Error   string    `json:"error,omitempty"` // why the process is the same as before
}

// processStatus is what GET /admin/v1/upgrade answers.
type processStatus struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Last    *Upgraded `json:"last"`
}

func (s *Server) process() processStatus {
	p := processStatus{PID: os.Getpid(), Version: s.Version, Started: s.started}
	if s.Upgrader != nil {
		p.Last = s.Upgrader.Last()
	}
	return p
}

func (s *Server) upgradeStatus(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, s.process())
}

// upgrade starts the next process, on the word of an administrator of the machine.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) error {
	if err := needsNoBody(w, r); err != nil {
		return err
	}
	switch {
	case peerOf(r.Context()) == nil:
		return fail(http.StatusForbidden, "not_here", "an upgrade is asked for on the machine, over the admin socket: run sluice upgrade there")
	case s.Upgrader == nil:
		return fail(http.StatusConflict, "no_upgrade", "this process cannot start another one in its place: restart it")
	}
	s.Logger.Info("upgrade asked for", "actor", Actor(r.Context()))
	up, err := s.Upgrader.Start()
	var refused *UpgradeError
	if errors.As(err, &refused) {
		return fail(http.StatusConflict, "no_upgrade", "%s", refused)
	}
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusAccepted, up)
}
