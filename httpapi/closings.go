package httpapi

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
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
