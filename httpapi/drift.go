package httpapi

import (
	"maps"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/events"
	"github.com/seed47708276/sluice/remote"
)

// memberEvent is the data of events.Member.
type memberEvent struct {
	What        string    `json:"what"` // joined, left, lost, back, drift or agrees
	Time        time.Time `json:"time"`
	Member      string    `json:"member"`
	Incarnation string    `json:"incarnation"`
	Generation  uint64    `json:"generation"`
	Digest      string    `json:"digest"`
}

// drifts remembers which members have another configuration than this one, so
// that it is told once.
type drifts struct {
	mu  sync.Mutex
	now map[string]bool // by incarnation
}

// Seen publishes what the link sees of other members (remote.Options).
func (s *Server) Seen(what string, m remote.Member) {
	if what != remote.SeenConfig {
		s.publishMember(what, m)
	}
	s.drifts.one(s, m, what != remote.SeenLeft && what != remote.SeenLost)
}

func (s *Server) publishMember(what string, m remote.Member) {
	s.Events.Publish(events.Member, cascade.Subject{}, memberEvent{what, time.Now().UTC(), m.Name, m.Incarnation, m.Generation, m.Digest})
}

// all compares each member with a configuration of this one that has changed.
func (d *drifts) all(s *Server) {
	if s.Cluster == nil {
		return
	}
	list, _ := s.Cluster.Members()
	known := make(map[string]bool, len(list))
	for _, m := range list {
		known[m.Incarnation] = true
		if !m.Self && m.Alive {
			d.one(s, m, true)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.now, func(id string, _ bool) bool { return !known[id] })
}

// one compares a member. One that is gone has no configuration in force.
func (d *drifts) one(s *Server, m remote.Member, alive bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, is := d.now[m.Incarnation], alive && differ(m.Digest, s.sharedDigest())
	switch {
	case is && !was:
		if d.now == nil {
			d.now = make(map[string]bool)
		}
		d.now[m.Incarnation] = true
		s.publishMember("drift", m)
	case was && !is:
		delete(d.now, m.Incarnation)
		if alive {
			s.publishMember("agrees", m)
		}
	}
}

// drifted counts the other members that are alive and have another configuration
// than this one.
func (s *Server) drifted() (n int) {
	list, _ := s.Cluster.Members()
	own := s.sharedDigest()
	for _, m := range list {
		if !m.Self && m.Alive && differ(m.Digest, own) {
			n++
		}
	}
	return n
}
