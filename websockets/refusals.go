package websockets

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// refusalsKept is how many refusals are remembered of a user, and maxRefused
	// of how many users: some 4 MiB. Those who were refused first are forgotten.
	refusalsKept = 3
	maxRefused   = 10_000
	// refusalLogEvery is how often the log has a line of the refusals of one
	// user, and of those of nobody that is known for one reason: clients come
	// back, and an attacker does not stop.
	refusalLogEvery = 10 * time.Second
)

// attempt is what is known of a handshake that may be refused.
type attempt struct {
	subject
	address netip.Addr // of the client; zero: not known
}

// Refused is a handshake of a user that was refused.
type Refused struct {
	Code    string // as the client was told
	Reason  string // the check that failed, where the code hides it
	At      time.Time
	Address netip.Addr // zero: not known
}

// refusedOf is what is remembered of one user, or of one reason.
type refusedOf struct {
	last   []Refused // the newest first, at most refusalsKept
	logged time.Time
	silent int // refusals since the last line
}

// refusals remembers the last refused handshakes of users.
type refusals struct {
	mu      sync.Mutex
	of      map[subject]*refusedOf
	order   []subject // a ring once it is full
	next    int
	unknown map[string]*refusedOf // by code and reason, which are constants
}

// add notes a refusal. It returns how many were not logged since the last line,
// and whether this one is to be.
func (l *refusals) add(k subject, r Refused) (silent int, log bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.entry(k, r.Code+" "+r.Reason)
	if k != (subject{}) {
		u.last = slices.Insert(u.last, 0, r)
		u.last = u.last[:min(len(u.last), refusalsKept)]
	}
	if r.At.Sub(u.logged) < refusalLogEvery {
		u.silent++
		return 0, false
	}
	silent, u.silent, u.logged = u.silent, 0, r.At
	return silent, true
}

func (l *refusals) entry(k subject, why string) *refusedOf {
	if k == (subject{}) {
		if l.unknown == nil {
			l.unknown = make(map[string]*refusedOf)
		}
		if l.unknown[why] == nil {
			l.unknown[why] = &refusedOf{}
		}
		return l.unknown[why]
	}
	if u := l.of[k]; u != nil {
		return u
	}
	if l.of == nil {
		l.of = make(map[subject]*refusedOf)
	}
	if len(l.order) < maxRefused {
		l.order = append(l.order, k)
	} else {
		delete(l.of, l.order[l.next])
		l.order[l.next] = k
		l.next = (l.next + 1) % maxRefused
	}
	u := &refusedOf{}
	l.of[k] = u
	return u
}

// LastRefused returns the last refused handshakes of a user, the newest first,
// as far as they are remembered.
func (s *Server) LastRefused(context, user uint32) []Refused {
	s.refusals.mu.Lock()
	defer s.refusals.mu.Unlock()
	if u := s.refusals.of[subject{context, user}]; u != nil {
		return slices.Clone(u.last)
	}
	return nil
}

// noteRefused counts, remembers and logs a refusal.
func (s *Server) noteRefused(a attempt, f *refusal) {
	s.totals.handshake(Handshake{f.code, f.why})
	silent, log := s.refusals.add(a.subject, Refused{Code: f.code, Reason: f.why, At: time.Now(), Address: a.address})
	level := slog.LevelInfo
	if !log {
		level = slog.LevelDebug
		if !s.log.Enabled(context.Background(), level) {
			return
		}
	}
	attrs := []any{slog.String(keyCode, f.code)}
	if f.why != "" {
		attrs = append(attrs, slog.String(keyReason, f.why))
	}
	if a.subject != (subject{}) {
		attrs = append(attrs, slog.Int(keyContext, int(a.context)), slog.Int(keyUser, int(a.user)))
	}
	if a.address.IsValid() {
		attrs = append(attrs, slog.String("address", a.address.String()))
	}
	if silent > 0 {
		attrs = append(attrs, slog.Int("notLogged", silent))
	}
	s.log.Log(context.Background(), level, "handshake refused", attrs...)
}
