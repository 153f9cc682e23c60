package httpapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/events"
	"github.com/seed47708276/sluice/websockets"
)

const (
	// maxClosed is how long what was switched off here counts while the store
	// does not answer: long enough to see to the store, and no decision that
	// nobody can look up stays for ever.
	maxClosed = time.Hour
	// maxClosings bounds them, some 300 bytes each: single decisions of people.
	maxClosings = 10_000
	// probeEvery is how often the store is asked while there are any, and
	// probeTimeout what it has for its answer.
	probeEvery   = time.Second
	probeTimeout = 5 * time.Second
)

// closedLocal is what the answer of a write says that could not be stored, and
// acts on this member.
const closedLocal = "closed"

// Closings are the users, contexts and tokens that were switched off while the
// store could not be asked: this member alone refuses them until it answers.
// Nothing of it is stored. The zero value has none.
type Closings struct {
	count    atomic.Int32 // of both maps, so that a handshake takes no lock
	mu       sync.Mutex
	accounts map[cascade.Subject]closing
	tokens   map[string]closing
	wake     chan struct{} // there is one; see NewClosings
}

// NewClosings returns closings without any.
func NewClosings() *Closings {
	return &Closings{accounts: make(map[cascade.Subject]closing), tokens: make(map[string]closing), wake: make(chan struct{}, 1)}
}

// closing is who switched something off, and until when that counts at most.
type closing struct {
	Actor  string    `json:"actor"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
	made   time.Time
	// whole has a context refuse also users with an override of their own: the
	// account is closed, and not the switch.
	whole bool
}

// add notes one, unless there are too many already.
func (c *Closings) add(su cascade.Subject, token string, x closing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(c.count.Load()) >= maxClosings {
		return false
	}
	if token != "" {
		c.tokens[token] = x
	} else {
		c.accounts[su] = x
	}
	c.countLocked()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return true
}

func (c *Closings) countLocked() { c.count.Store(int32(len(c.accounts) + len(c.tokens))) }

// of returns what refuses a user or a context here, or ok=false.
func (c *Closings) of(sn *cascade.Snapshot, su cascade.Subject) (x closing, ok bool) {
	if c == nil || c.count.Load() == 0 {
		return x, false
	}
	now := time.Now()
	c.mu.Lock()
	own, had := c.accounts[su]
	whole, has := c.accounts[cascade.Subject{Context: su.Context}]
	c.mu.Unlock()
	switch {
	case had && now.Before(own.Until):
		return own, true
	case !has || !now.Before(whole.Until):
		return x, false
	}
	// A user's own override counts before that of the context.
	if whole.whole || su.User == 0 {
		return whole, true
	}
	scope := sn.Explain(su, websockets.PropEnabled, cascade.ExplainOptions{}).Scope
	return whole, scope == nil || *scope != cascade.ScopeUser
}

// Closed implements gate.Closings.
func (c *Closings) Closed(sn *cascade.Snapshot, su cascade.Subject) (account, closed bool) {
	x, closed := c.of(sn, su)
	return x.whole, closed
}

// revoked reports whether a token of the store is refused here.
func (c *Closings) revoked(name string) bool {
	if c == nil || c.count.Load() == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.tokens[name]
	return ok && time.Now().Before(x.Until)
}

// ended is one that no longer refuses anybody.
type ended struct {
	su    cascade.Subject
	token string
	closing
}

// take removes those that are over.
func (c *Closings) take(isOver func(closing) bool) (list []ended) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.accounts, func(su cascade.Subject, x closing) bool {
		over := isOver(x)
		if over {
			list = append(list, ended{su, "", x})
		}
		return over
	})
	maps.DeleteFunc(c.tokens, func(name string, x closing) bool {
		over := isOver(x)
		if over {
			list = append(list, ended{cascade.Subject{}, name, x})
		}
		return over
	})
	c.countLocked()
	return list
}

// The reasons why a closing is over.
const (
	overAnswers = "the store answers again"
	overLate    = "the store has not answered for too long"
)

// follow asks the store while there are any, until ctx ends, and tells which are
// over, and why.
func (c *Closings) follow(ctx context.Context, probe func(context.Context) error, over func([]ended, string)) {
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		if c.count.Load() == 0 {
			select {
			case <-c.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, probeTimeout)
		// Those that come while it is asked wait for the next answer.
		before := time.Now()
		err := probe(asking)
		cancel()
		if err == nil {
			over(c.take(func(x closing) bool { return x.made.Before(before) }), overAnswers)
		} else {
			now := time.Now()
			over(c.take(func(x closing) bool { return !now.Before(x.Until) }), overLate)
		}
	}
}

// FollowClosings ends what was switched off here alone when the store answers
// again, or has not for too long. The owner runs it until ctx ends.
func (s *Server) FollowClosings(ctx context.Context) {
	s.Closings.follow(ctx, s.Store.Probe, s.closingsOver)
}

// closingEvent is the data of events.Closing.
type closingEvent struct {
	Time    time.Time `json:"time"`
	What    string    `json:"what"` // closed or over
	Why     string    `json:"why"`
	Context *uint32   `json:"context"`
	User    *uint32   `json:"user"`
	Name    string    `json:"name,omitempty"` // of a token; else the user or context is meant
	closing
}

func (s *Server) publishClosing(su cascade.Subject, token, what, why string, x closing) {
	e := closingEvent{Time: time.Now().UTC(), What: what, Why: why, Name: token, closing: x}
	if su.Context != 0 {
		e.Context = &su.Context
	}
	if su.User != 0 {
		e.User = &su.User
	}
	s.Events.Publish(events.Closing, su, e)
}

func (s *Server) closingsOver(list []ended, why string) {
	for _, x := range list {
		s.Logger.Warn("no longer switched off on this member alone: what the store says counts, so ask again what it did not take",
			"why", why, "context", x.su.Context, "user", x.su.User, "token", x.token, "actor", x.Actor, "reason", x.Reason)
		s.publishClosing(x.su, x.token, "over", why, x.closing)
	}
}

// unasked reports whether a write failed since the store could not be asked.
func unasked(err error) bool {
	return errors.As(err, new(*store.UnavailableError)) || errors.As(err, new(*store.GivenUpError)) || errors.As(err, new(*store.FailedError)) || errors.Is(err, store.ErrUnconfirmed)
}

// closeHere has a write that switches somebody off act on this member although
// the store did not take it, and returns the answer.
func (s *Server) closeHere(r *http.Request, w *store.Write, err error) error {
	answer := s.storeProblem(err)
	if !unasked(err) || r.Context().Err() != nil || w.DryRun || len(w.Changes) != 1 {
		return answer
	}
	c := &w.Changes[0]
	x, closes := s.closes(r.Context(), c)
	if !closes {
		return answer
	}
	x.Actor, x.Reason = w.Actor, w.Reason
	return s.closed(c.Subject(), "", x, answer)
}

// closes reports whether a change switches its context or user off, as far as
// what this member knows tells.
func (s *Server) closes(ctx context.Context, c *store.Change) (x closing, yes bool) {
	if !concernsGate(c) {
		return x, false
	}
	rec, err := s.Store.Get(c.Key)
	if err == nil { // else nothing is known of the record
		revision := uint64(0)
		if rec != nil && !rec.Deleted {
			revision = rec.Revision
		}
		if c.If != nil && *c.If != revision || c.Body == nil && revision == 0 {
			return x, false
		}
	}
	now := s.Engine.Snapshot()
	e := store.Entry{Changes: []store.Changed{{Key: c.Key}}}
	if c.Body != nil {
		e.Changes[0].After = &store.State{Body: c.Body}
	} else if c.Kind != store.KindOverride {
		e.Changes[0].After = &store.State{Deleted: true}
	}
	then, _, err := s.Engine.Candidate(ctx, nil, e.Batch())
	if err != nil || then.Serves(c.Subject(), websockets.PropEnabled) {
		return x, false
	}
	x = closing{Until: time.Now().Add(maxClosed).UTC().Truncate(time.Millisecond), whole: c.Kind != store.KindOverride}
	off := c.Body == nil && x.whole
	switch body := c.Body.(type) {
	case *store.Context:
		off = !body.Enabled
	case *store.User:
		off = !body.Enabled
	case *store.Override:
		off = c.Name == websockets.PropEnabled && !strings.EqualFold(strings.TrimSpace(body.Value), "true")
		if body.Expires != nil && body.Expires.Before(x.Until) {
			x.Until = *body.Expires
		}
	}
	return x, off || now.Serves(c.Subject(), websockets.PropEnabled)
}

// closeToken has the removal of a token act on this member although the store did
// not take it, and returns the answer.
func (s *Server) closeToken(r *http.Request, name string, err error) error {
	answer := s.storeProblem(err)
	if !unasked(err) || r.Context().Err() != nil {
		return answer
	}
	until := time.Now().Add(maxClosed).UTC().Truncate(time.Millisecond)
	return s.closed(cascade.Subject{}, name, closing{Actor: Actor(r.Context()), Until: until}, answer)
}

// closed closes, and adds that to an answer.
func (s *Server) closed(su cascade.Subject, token string, x closing, answer error) error {
	p := *asProblem(answer)
	x.made = time.Now()
	if !s.Closings.add(su, token, x) {
		s.Logger.Error("not switched off on this member: it keeps no more users switched off by itself", "context", su.Context, "user", su.User, "token", token, "limit", maxClosings)
		return answer
	}
	sockets := 0
	if token == "" {
		s.Sockets.RecheckEach(func(_, _ uint32, n int) { sockets += n })
	}
	s.Logger.Warn("switched off on this member alone: the store cannot be asked", "context", su.Context, "user", su.User, "token", token,
		"closed", sockets, "until", x.Until, "actor", x.Actor, "reason", x.Reason, "err", answer)
	s.publishClosing(su, token, closedLocal, p.Detail, x)
	p.Local = closedLocal
	who := "the token " + token + " is refused"
	if token == "" {
		who = "the sockets of " + su.String() + " are closed and its handshakes refused"
	}
	p.Detail += ". On this member " + who + " until the store answers, at most until " + x.Until.Format(time.RFC3339) + ": nothing of that is stored, so ask again then"
	return &p
}

// explainHere is Explain, with a warning where this member refuses whom the cascade
// would have it serve.
func (s *Server) explainHere(sn *cascade.Snapshot, su cascade.Subject, name string, opt cascade.ExplainOptions) cascade.Explanation {
	x := sn.Explain(su, name, opt)
	if name == websockets.PropEnabled {
		if c, ok := s.Closings.of(sn, su); ok {
			x.Warnings = append(x.Warnings, c.text(s.Member))
		}
	}
	return x
}

func (c *closing) text(member string) string {
	return "switched off on " + member + " alone by " + c.Actor + " (" + c.Reason + ") while the store could not be asked: refused there until the store answers, at most until " + c.Until.Format(time.RFC3339)
}
