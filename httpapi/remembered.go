package httpapi

import (
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// Remembered is what a process has to know of a Server to go on in its place, beside
// its sockets: which messages were taken before, and whom this member alone refuses.
// Ages are of the moment at which it was made.
type Remembered struct {
	IDs      [6]RememberedIDs // see Server.idLists
	Accounts []RememberedClosing
	Tokens   []RememberedClosing
}

// RememberedIDs are ids of messages, the oldest first.
type RememberedIDs struct {
	IDs  []string
	Ages []time.Duration
}

// RememberedClosing is one of Closings.
type RememberedClosing struct {
	Subject              cascade.Subject
	Token, Actor, Reason string
	Left, Age            time.Duration
	Whole                bool
}

func (s *Server) idLists() [6]*sentIDs {
	p := s.pushes
	return [6]*sentIDs{&s.accepted, &s.delivered, &p.mails.accepted, &p.mails.delivered, &p.hooks.accepted, &p.hooks.delivered}
}

// Remembered is called when no request runs any more.
func (s *Server) Remembered() Remembered {
	now := time.Now()
	var r Remembered
	for i, list := range s.idLists() {
		list.mu.Lock()
		r.IDs[i].IDs = list.order
		for _, id := range list.order {
			r.IDs[i].Ages = append(r.IDs[i].Ages, now.Sub(list.at[id]))
		}
		list.mu.Unlock()
	}
	c := s.Closings
	c.mu.Lock()
	defer c.mu.Unlock()
	remember := func(su cascade.Subject, token string, x closing) RememberedClosing {
		return RememberedClosing{su, token, x.Actor, x.Reason, x.Until.Sub(now), now.Sub(x.made), x.whole}
	}
	for su, x := range c.accounts {
		r.Accounts = append(r.Accounts, remember(su, "", x))
	}
	for name, x := range c.tokens {
		r.Tokens = append(r.Tokens, remember(cascade.Subject{}, name, x))
	}
	return r
}

// Remember is called before the server serves.
func (s *Server) Remember(r *Remembered) {
	now := time.Now()
	for i, list := range s.idLists() {
		list.mu.Lock()
		list.at = make(map[string]time.Time, len(r.IDs[i].IDs))
		list.order = r.IDs[i].IDs
		for j, id := range r.IDs[i].IDs {
			list.at[id] = now.Add(-r.IDs[i].Ages[j])
		}
		list.mu.Unlock()
	}
	for _, list := range [][]RememberedClosing{r.Accounts, r.Tokens} {
		for _, x := range list {
			s.Closings.add(x.Subject, x.Token, closing{Actor: x.Actor, Reason: x.Reason, Until: now.Add(x.Left), made: now.Add(-x.Age), whole: x.Whole})
		}
	}
}
