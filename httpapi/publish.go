package httpapi

import (
	"fmt"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/events"
	"github.com/seed47708276/sluice/websockets"
)

// Watched implements websockets.Watcher.
func (s *Server) Watched() bool { return s.Events.Watched() || s.registrar.auto() }

// socketEvent is the data of events.Socket.
type socketEvent struct {
	What       string    `json:"what"` // opened or closed
	Member     string    `json:"member"`
	Time       time.Time `json:"time"`
	ID         string    `json:"id"`
	Context    uint32    `json:"context"`
	User       uint32    `json:"user"`
	Connection string    `json:"connection"`
	Path       string    `json:"path"`
	Client     string    `json:"client"`
	Cause      string    `json:"cause,omitempty"` // why it was closed
	Code       int       `json:"code,omitempty"`  // of the close frame
}

// Opened implements websockets.Watcher.
func (s *Server) Opened(i websockets.SocketInfo) {
	s.registrar.opened(cascade.Subject{Context: i.Context, User: i.User})
	s.publishSocket("opened", i, "", 0)
}

// Closed implements websockets.Watcher.
func (s *Server) Closed(i websockets.SocketInfo, cause websockets.Cause) {
	s.publishSocket("closed", i, cause.String(), cause.Code())
}

func (s *Server) publishSocket(what string, i websockets.SocketInfo, cause string, code int) {
	s.Events.Publish(events.Socket, cascade.Subject{Context: i.Context, User: i.User}, socketEvent{
		what, s.Member, time.Now().UTC(), i.ID, i.Context, i.User, i.Connection, i.Path, i.Client, cause, code,
	})
}

// configEvent is the data of events.Config.
type configEvent struct {
	Member     string           `json:"member"`
	Time       time.Time        `json:"time"`
	Generation uint64           `json:"generation"`
	Digest     string           `json:"digest"`
	Degraded   bool             `json:"degraded"`
	Held       *cascade.Hold    `json:"held,omitempty"` // a change that the gate does not follow yet
	Changed    []cascade.Change `json:"changed"`        // as a reload answers them
	More       int              `json:"more,omitempty"`
}

// maxPublished is how many changes of one write are events of their own, or of
// one load are in its event: the audit log, or `sluice diff`, has all. Values in
// the event of a load have at most maxPublishedBytes together.
const (
	maxPublished      = 100
	maxPublishedBytes = 256 << 10
)

// Swapped publishes a change of the files.
func (s *Server) Swapped(old, now *cascade.Snapshot) {
	if old.SharedDigest() != now.SharedDigest() || s.Fixed && old.Revision() != now.Revision() {
		s.drifts.all(s)
	}
	if old.Digest() == now.Digest() && old.Degraded() == now.Degraded() && sameHold(old.Held(), now.Held()) {
		return
	}
	e := configEvent{Member: s.Member, Time: time.Now().UTC(), Generation: now.Generation(), Digest: now.Digest(), Degraded: now.Degraded(), Held: now.Held(), Changed: []cascade.Change{}}
	size := 0
	for _, c := range cascade.Changes(old, now) {
		for _, v := range []*string{c.Old, c.New} {
			if v != nil {
				size += len(*v)
			}
		}
		if len(e.Changed) == maxPublished || size > maxPublishedBytes {
			e.More++
			continue
		}
		e.Changed = append(e.Changed, c)
	}
	s.reloads.add(e)
	s.Events.Publish(events.Config, cascade.Subject{}, e)
}

// storeEvent is the data of events.Override, events.Directory and events.Token.
type storeEvent struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	Action   string    `json:"action"`
	auditedState
}

// Stored publishes writes of any member.
func (s *Server) Stored(entries []store.Entry) {
	for i := range entries {
		e := &entries[i]
		s.decided(e)
		s.logStored(e)
		shown := s.showEntry(e, maxPublished)
		for _, c := range shown.Changes {
			kind := events.Directory
			switch c.Kind {
			case store.KindOverride:
				kind = events.Override
			case store.KindToken:
				kind = events.Token
			case kindPlatform:
				kind = events.Override
			}
			var su cascade.Subject
			if c.Context != nil {
				su.Context = *c.Context
			}
			if c.User != nil {
				su.User = *c.User
			}
			s.Events.Publish(kind, su, storeEvent{e.Revision, e.Time, e.Actor, e.Reason, e.Action, c})
		}
	}
}

// maxLoggedSubjects bounds the records that the line of one write names.
const maxLoggedSubjects = 5

// logStored has a line for each write of any member: what, whom, who and why.
func (s *Server) logStored(e *store.Entry) {
	of := []string{}
	for i := range e.Changes {
		if i == maxLoggedSubjects {
			of = append(of, fmt.Sprintf("and %d more", len(e.Changes)-i))
			break
		}
		c := &e.Changes[i]
		what := string(c.Kind)
		if su := c.Subject(); su.Context != 0 {
			what += " of " + su.String()
		}
		if c.Name != "" {
			what += " " + c.Name
		}
		if c.After == nil || c.After.Deleted {
			what += " removed"
		}
		of = append(of, what)
	}
	if p := e.Platform; p != nil {
		of = append(of, "of the platform: "+p.Attribute+" of "+cascade.Subject{Context: p.Context, User: p.User}.String())
	}
	s.Logger.Info("stored", "revision", e.Revision, "action", e.Action, "records", of, "actor", e.Actor, "reason", e.Reason)
}

func sameHold(a, b *cascade.Hold) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Digest == b.Digest)
}
