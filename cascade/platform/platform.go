// Package platform reads the platform's own database, live: contexts, users,
// attributes, permissions and resellers, by primary key when a subject is met,
// and again while it is connected. What it reads it hands to an engine. It
// writes nothing but single attributes, and those only where it is allowed to.
package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
)

const (
	// batchSubjects are read by one round of queries: a row of each costs some
	// 200 bytes, and a statement stays below 16 KiB.
	batchSubjects = 500
	// gather is the least time from the start of one batch of handshakes to the next.
	// A batch costs some 0.4 ms of CPU whatever it holds, so that many handshakes
	// share it; one that comes alone does not wait.
	gather = 4 * time.Millisecond
	// loadTimeout bounds what a handshake waits; readTimeout what a round of
	// queries takes, so that a server that is silent is given up.
	loadTimeout = 2 * time.Second
	readTimeout = 5 * time.Second
	// restAfterFailure is how long nobody asks a database that did not answer,
	// but takes what is known.
	// A user database alone rests longer: a round over the others goes on.
	restAfterFailure = time.Second
	restOfSchema     = 5 * time.Second
	// maxWaiting bounds the handshakes that wait for an answer.
	maxWaiting = 4096
	// Subjects that are not connected are forgotten keepFor after they were read,
	// and at the next round where there are more than maxKnown.
	keepFor  = 24 * time.Hour
	maxKnown = 2_000_000
	// maxHomes bounds the places that are remembered of contexts, some 60 bytes
	// each: beyond it they are asked for again.
	maxHomes = 200_000
	// maxProblems are remembered, and logged, one by one; the rest is counted.
	maxProblems = 1000
)

// ErrUnavailable is returned for a subject that was never read while the
// database does not answer.
var ErrUnavailable = errors.New("the platform's database does not answer, and what it says of this user is not known")

// Options are what a Platform needs.
type Options struct {
	Config sqlpool.Options // the configuration database
	// Own credentials count for the user databases as well; else those of db_pool.
	Own bool
	TLS *tls.Config // of the user databases
	// Engine is told what was read. Connected lists who has a socket here.
	Engine    *cascade.Engine
	Connected func(yield func(cascade.Subject) bool)
	Refresh   func() time.Duration
	Queries   func() int  // a second
	Write     func() bool // whether Platform.Write may
	Logger    *slog.Logger
}

// Platform is the reader. It is safe for concurrent use.
type Platform struct {
	opt    Options
	config *sqlpool.Pool
	queue  chan request
	reads  chan struct{} // holds one token: a round of reading at a time

	mu       sync.Mutex
	seen     map[cascade.Subject]seen
	failure  error // of the last read; nil: it went well
	since    time.Time
	failedAt time.Time
	globals  time.Time                             // when db_pool and the resellers were read
	due      bool                                  // they are to be read again
	round    time.Time                             // when the last round over connected users ended
	took     time.Duration                         // that round
	problems map[cascade.Subject]map[string]string // by name of the attribute
	queries  uint64

	// of the reader, under reads
	users     map[string]*sqlpool.Pool // by host list and login
	servers   map[int64]server         // of db_pool
	absent    map[string]bool          // tables that this platform does not have
	homes     map[uint32]home          // where the users of contexts are, of those in seen
	resting   map[place]rest           // user databases that did not answer
	resellers uint64                   // sum of the last ones; 0: not read
	anew      atomic.Bool              // forget what was not there
}

// seen is what is remembered of a read: when, and a sum of what it said.
type seen struct {
	at  time.Time
	sum uint64
}

// home is where the users of a context were when it was read.
type home struct {
	place
	at time.Time
}

// rest tells why a user database is left alone, and until when.
type rest struct {
	err  error
	till time.Time
}

type request struct {
	su   cascade.Subject
	done chan error // holds one
}

// New makes a reader, and the engine wait for it. Nothing is connected before
// the first use; Run does the work.
func New(o Options) (*Platform, error) {
	p := &Platform{
		opt: o, queue: make(chan request, maxWaiting), reads: make(chan struct{}, 1),
		seen: map[cascade.Subject]seen{}, problems: map[cascade.Subject]map[string]string{}, users: map[string]*sqlpool.Pool{},
		servers: map[int64]server{}, homes: map[uint32]home{}, absent: map[string]bool{}, resting: map[place]rest{},
	}
	o.Config.Stale, o.Config.Answer = true, readTimeout // a read that is a moment old is read again
	var err error
	if p.config, err = sqlpool.Open(o.Config); err != nil {
		return nil, err
	}
	o.Engine.ConnectPlatform(p.readAt)
	return p, nil
}

// Close ends the connections; Run has returned.
func (p *Platform) Close() error {
	err := p.config.Close()
	for _, pool := range p.users {
		err = errors.Join(err, pool.Close())
	}
	return err
}

func (p *Platform) readAt(su cascade.Subject) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if su.Context == 0 {
		return p.globals
	}
	return p.seen[su].at
}

// Load makes the engine know a subject: by what was read within the refresh
// time, else by a new read. Where the database does not answer, what was read
// last counts; without that it returns ErrUnavailable.
func (p *Platform) Load(ctx context.Context, su cascade.Subject) error {
	if su.Context == 0 {
		return nil
	}
	p.mu.Lock()
	have, known := p.seen[su]
	if c, ok := p.seen[cascade.Subject{Context: su.Context}]; !ok {
		known = false
	} else if c.at.Before(have.at) {
		have.at = c.at
	}
	resting := p.failure != nil && time.Since(p.failedAt) < restAfterFailure
	p.mu.Unlock()
	switch {
	case known && (time.Since(have.at) < p.opt.Refresh() || resting):
		return nil
	case resting:
		return ErrUnavailable
	}
	err := p.ask(ctx, su)
	switch {
	case err == nil || known:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// ask waits for its turn in a batch.
func (p *Platform) ask(ctx context.Context, su cascade.Subject) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	r := request{su, make(chan error, 1)}
	select {
	case p.queue <- r:
	default:
		return errors.New("too many wait for it")
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", loadTimeout)
	}
}

// found takes the rows of a subject that are not used as they are now, in the place
// of those of its last read, and logs what is new.
func (p *Platform) found(su cascade.Subject, rows map[string]string) {
	p.mu.Lock()
	old := p.problems[su]
	if len(rows) == 0 {
		delete(p.problems, su)
	} else if old != nil || len(p.problems) < maxProblems {
		p.problems[su] = rows
	}
	full := len(p.problems) >= maxProblems
	p.mu.Unlock()
	for name, text := range rows {
		if old[name] != text && !full {
			p.opt.Logger.Error("a row of the platform's database is not used as it is now", slog.Int64("context", int64(su.Context)), slog.Int64("user", int64(su.User)), slog.String("name", name), slog.String("err", text))
		}
	}
}
