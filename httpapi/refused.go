package httpapi

import (
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

const (
	// warnClosed is how many sockets one change may close without a warning: a
	// user's own are fewer.
	warnClosed = 10
	// maxDeciders bounds who is remembered to have written a directory record.
	maxDeciders = 1024
)

// deciders remembers who wrote the last records of the directory: a record does
// not say so itself.
type deciders struct {
	mu    sync.Mutex
	of    map[cascade.Subject]string
	order []cascade.Subject // a ring once it is full
	next  int
}

func (d *deciders) add(su cascade.Subject, who string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.of[su]; !known {
		if d.of == nil {
			d.of = make(map[cascade.Subject]string)
		}
		if len(d.order) < maxDeciders {
			d.order = append(d.order, su)
		} else {
			delete(d.of, d.order[d.next])
			d.order[d.next] = su
			d.next = (d.next + 1) % maxDeciders
		}
	}
	d.of[su] = who
}

// who is by whom a user's account was decided, as far as that is remembered.
func (d *deciders) who(su cascade.Subject) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if who, ok := d.of[su]; ok {
		return who
	}
	return d.of[cascade.Subject{Context: su.Context}]
}

// decided remembers who wrote the records of an entry.
func (s *Server) decided(e *store.Entry) {
	for i := range e.Changes[:min(len(e.Changes), maxDeciders)] {
		if c := &e.Changes[i]; c.Kind == store.KindContext || c.Kind == store.KindUser {
			s.deciders.add(c.Subject(), e.Actor+" ("+e.Reason+")")
		}
	}
}

// CloseRefused asks the gate again for everybody, closes the sockets of those
// whom it refuses, and logs why. The owner calls it after each change of files,
// directory, tags or overrides.
func (s *Server) CloseRefused() {
	start, sn := time.Now(), s.Engine.Snapshot()
	var some []cascade.Subject
	refused := 0
	users, closed := s.Sockets.RecheckEach(func(context, user uint32, _ int) {
		refused++
		if len(some) < cascade.MaxCauses {
			some = append(some, cascade.Subject{Context: context, User: user})
		}
	})
	if closed == 0 {
		return
	}
	log := s.Logger.Info
	if closed > warnClosed {
		log = s.Logger.Warn
	}
	log("gate closed sockets", "closed", closed, "users", refused, "asked", users, "causes", s.causes(sn, some), "took", time.Since(start))
}

// causes are why users are not served, with who decided where a file does not.
func (s *Server) causes(sn *cascade.Snapshot, some []cascade.Subject) []string {
	list := []string{}
	for _, c := range sn.Causes(some, websockets.PropEnabled) {
		if c.Property == "" && !s.Fixed && len(some) > 0 {
			if who := s.deciders.who(some[0]); who != "" {
				c.Origin += " by " + who
			}
		}
		list = append(list, c.String())
	}
	return list
}
