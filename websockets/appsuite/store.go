// Package appsuite reads the sessions that App Suite 8 keeps in Redis
// (com.openexchange.sessiond.redis.enabled; spec websockets.md 10.4). They
// belong to the existing system: nothing is ever written but the time of the
// last use of a session that has an open socket.
package appsuite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/websockets"
)

// The keys of the existing system.
const (
	sessionKey  = "ox-session:"
	longKey     = "ox-sessionids-longlife"
	shortKey    = "ox-sessionids-shortlife"
	eventsTopic = "ox-channel:sessionEvents"
)

// Options are what a Store needs; all but Logger are required.
type Options struct {
	Client redis.UniversalClient
	// Config gives the lifetimes; it is called at each use.
	Config func() *websockets.Config
	// Held returns those of the sessions that have an open socket here.
	Held func(ids map[string]bool) []websockets.Selector
	// End is called for a session that has sockets and is gone or expired.
	End    func(websockets.Selector)
	Logger *slog.Logger
}

// Store is websockets.Sessions over the sessions of App Suite 8.
type Store struct {
	opts   Options
	counts counts
	silent atomic.Int64 // Unix seconds of the last log line about documents
}

type counts struct{ unreadable, events, strange, failures atomic.Int64 }

// Counts are since the start.
type Counts struct {
	Unreadable int64 // documents that are no sessions
	Events     int64 // messages of the channel
	Strange    int64 // of those, that were not understood
	Failures   int64 // commands that Redis did not answer, or refused
}

// New returns a store. Run follows the channel of the existing system.
func New(opts Options) *Store {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{opts: opts}
}

// Counts returns the counters.
func (s *Store) Counts() Counts {
	return Counts{s.counts.unreadable.Load(), s.counts.events.Load(), s.counts.strange.Load(), s.counts.failures.Load()}
}

// Get implements websockets.Sessions. Documents have no expiry of their own:
// a session whose last use is longer ago than its lifetime is none, though the
// existing system has not removed it yet.
func (s *Store) Get(ctx context.Context, id string) (*websockets.Session, error) {
	ses, _, err := s.read(ctx, id)
	return ses, err
}

// Touch implements websockets.Sessions: it reads the session again and writes
// the time of its use where the existing system does.
func (s *Store) Touch(ctx context.Context, id string) error {
	ses, index, err := s.read(ctx, id)
	if err != nil {
		return err
	}
	if ses.Restricted {
		return websockets.ErrNoSession
	}
	// XX: a session that ends meanwhile must not come back. GT: another
	// member's clock may be ahead.
	err = s.opts.Client.ZAddArgs(ctx, index, redis.ZAddArgs{
		XX: true, GT: true, Members: []redis.Z{{Score: float64(time.Now().UnixMilli()), Member: id}},
	}).Err()
	return s.failed("touch", err)
}

// read returns a session and the index that has the time of its last use.
func (s *Store) read(ctx context.Context, id string) (ses *websockets.Session, index string, err error) {
	var text *redis.StringCmd
	var long, short *redis.FloatCmd
	// Its error is that of a command, which are looked at one by one.
	_, _ = s.opts.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		text = p.GetRange(ctx, sessionKey+id, 0, maxDocument)
		long = p.ZScore(ctx, longKey, id)
		short = p.ZScore(ctx, shortKey, id)
		return nil
	})
	switch {
	case wrongType(text.Err()):
		s.unreadable("the key is no text")
		return nil, "", websockets.ErrNoSession
	case text.Err() != nil:
		return nil, "", s.failed("read", text.Err())
	case text.Val() == "":
		return nil, "", websockets.ErrNoSession
	}
	cfg := s.opts.Config().Sessions
	lifetime, score := cfg.LongLifetime, long
	index = longKey
	if errors.Is(long.Err(), redis.Nil) {
		lifetime, score, index = cfg.Lifetime, short, shortKey
	}
	switch err := score.Err(); {
	case errors.Is(err, redis.Nil): // removed, or not finished
		return nil, "", websockets.ErrNoSession
	case err != nil:
		return nil, "", s.failed("read", err)
	}
	if ses, err = parse(text.Val(), id); err != nil {
		s.unreadable(err.Error())
		return nil, "", websockets.ErrNoSession
	}
	ses.Lifetime = lifetime
	ses.Expires = time.UnixMilli(int64(score.Val())).Add(lifetime)
	if ses.Expired(time.Now()) {
		return nil, "", websockets.ErrNoSession
	}
	return ses, index, nil
}

func wrongType(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE")
}

// failed counts an error of Redis, whose text has no id.
func (s *Store) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	s.counts.failures.Add(1)
	return fmt.Errorf("sessions of App Suite in Redis: %s: %w", what, err)
}

// strangeEvery is how often one line may say that documents cannot be read.
const strangeEvery = 60

func (s *Store) unreadable(why string) {
	n := s.counts.unreadable.Add(1)
	now := time.Now().Unix()
	if last := s.silent.Load(); now-last >= strangeEvery && s.silent.CompareAndSwap(last, now) {
		s.opts.Logger.Warn("session documents that cannot be read count as no sessions: is this App Suite 8 with version 2 of them?",
			"err", why, "count", strconv.FormatInt(n, 10))
	}
}
