package appsuite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/websockets"
)

// The keys of App Suite (docs/reference/sessions.md#app-suite-in-redis).
const (
	sessionKey = "ox-session:" // followed by the id
	shortKey   = "ox-sessionids-shortlife"
	longKey    = "ox-sessionids-longlife"
)

const (
	// answerTimeout bounds one way to Redis and back, so that a handshake knows
	// soon that there is no answer.
	answerTimeout = 2 * time.Second
	// maxBatch is how many sessions go one way to Redis together.
	maxBatch = 256
)

// Options are what a Store needs; all but Logger are required.
type Options struct {
	// Client is a client whose commands end with their contexts, as that of
	// remote.NewClient. The owner closes it, after the store's last use.
	Client redis.UniversalClient
	// Config gives the lifetimes; it is called at each use.
	Config func() *websockets.Config
	// Held returns those of the sessions that have an open socket here.
	Held func(ids map[string]bool) []websockets.Selector
	// End is called for a session that has sockets and is gone or expired.
	End    func(websockets.Selector)
	Logger *slog.Logger
}

// Store is websockets.BatchSessions over the sessions of App Suite 8. It is
// neither a websockets.SessionDeleter nor a SessionMover: they are not ours. It
// is safe for concurrent use.
type Store struct {
	opts   Options
	log    *slog.Logger
	counts counts
	hints  hints
}

// New returns a store; an option that is required and missing is an error. Run
// follows the channel of the existing system.
func New(opts Options) (*Store, error) {
	if opts.Client == nil || opts.Config == nil || opts.Held == nil || opts.End == nil {
		return nil, errors.New("appsuite: Options need Client, Config, Held and End")
	}
	s := &Store{opts: opts, log: opts.Logger, hints: newHints()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// alive is a session that can be used, and the set in which it was found.
type alive struct {
	*websockets.Session
	set string
}

// usable reports whether a socket of the session may stay open: one that got
// restricted is as good as gone.
func (a alive) usable() bool { return a.Session != nil && !a.Restricted }

// Get implements websockets.Sessions. A session whose second factor is missing
// is found, and restricted.
func (s *Store) Get(ctx context.Context, id string) (*websockets.Session, error) {
	sessions, err := s.read(ctx, []string{id})
	if err != nil {
		return nil, err
	}
	if sessions[0].Session == nil {
		return nil, websockets.ErrNoSession
	}
	return sessions[0].Session, nil
}

// Touch implements websockets.Sessions.
func (s *Store) Touch(ctx context.Context, id string) error {
	gone, err := s.TouchAll(ctx, []string{id})
	if len(gone) > 0 {
		return websockets.ErrNoSession
	}
	return err
}

// TouchAll implements websockets.BatchSessions, in two ways to Redis.
func (s *Store) TouchAll(ctx context.Context, ids []string) (gone []string, err error) {
	sessions, err := s.read(ctx, ids)
	if err != nil {
		return nil, err
	}
	used := map[string][]redis.Z{}
	now := float64(time.Now().UnixMilli())
	for i, a := range sessions {
		if !a.usable() {
			gone = append(gone, ids[i])
			continue
		}
		used[a.set] = append(used[a.set], redis.Z{Score: now, Member: ids[i]})
	}
	return gone, s.touch(ctx, used)
}

// Missing implements websockets.BatchSessions: one command says that all
// documents are there, which is nearly always so. What changes in one is told by
// an event, and found by the next TouchAll.
func (s *Store) Missing(ctx context.Context, ids []string) (gone []string, err error) {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = sessionKey + id
	}
	bounded, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	switch all, err := redispipe.AllExist(bounded, s.opts.Client, keys); {
	case err != nil:
		return nil, s.failed(ctx, err)
	case all:
		return nil, nil
	}
	sessions, err := s.read(ctx, ids)
	for i, a := range sessions {
		if !a.usable() {
			gone = append(gone, ids[i])
		}
	}
	return gone, err
}

// touch is all that this package ever writes: XX, so that an id that App Suite
// has removed stays removed; GT, so that a clock that is behind ends nothing.
func (s *Store) touch(ctx context.Context, used map[string][]redis.Z) error {
	if len(used) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	p := s.opts.Client.Pipeline()
	n := 0
	for set, members := range used {
		p.ZAddArgs(ctx, set, redis.ZAddArgs{XX: true, GT: true, Members: members})
		n += len(members)
	}
	if err := redispipe.Exec(ctx, p); err != nil {
		return s.failed(ctx, err)
	}
	s.counts.touched.Add(int64(n))
	return nil
}

// read looks sessions up, in one way to Redis. Those without a Session are no
// sessions; an error says that nothing is known of any.
func (s *Store) read(ctx context.Context, ids []string) ([]alive, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	type query struct {
		document    *redis.StringCmd
		short, long *redis.FloatCmd
	}
	queries := make([]query, len(ids))
	p := s.opts.Client.Pipeline()
	for i, id := range ids {
		// A GET with a bound: the documents are not ours.
		queries[i] = query{p.GetRange(ctx, sessionKey+id, 0, maxDocument), p.ZScore(ctx, shortKey, id), p.ZScore(ctx, longKey, id)}
	}
	// Each command has its own error; Exec has the first of them.
	_ = redispipe.Exec(ctx, p)
	now := time.Now()
	limits := s.opts.Config().Sessions
	sessions := make([]alive, len(ids))
	came := make([]result, len(ids))
	for i, q := range queries {
		data, err := q.document.Bytes()
		if err != nil {
			if !redis.HasErrorPrefix(err, "WRONGTYPE") {
				return nil, s.failed(ctx, err)
			}
			came[i] = wrongType
			continue
		}
		if len(data) == 0 { // of a key that does not exist
			came[i] = unknown
			continue
		}
		var d document
		if d, came[i] = parse(ids[i], data); came[i] != found {
			continue
		}
		used, set, err := lastUse(now, d.stays, q.short, q.long)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		d.session.Lifetime = limits.Lifetime
		if set == longKey {
			d.session.Lifetime = limits.LongLifetime
		}
		d.session.Expires = used.Add(d.session.Lifetime)
		switch {
		case set == "":
			came[i] = unscored
		case d.session.Expired(now):
			came[i] = expired
		default:
			sessions[i] = alive{d.session, set}
		}
	}
	s.answered(came)
	return sessions, nil
}

// lastUse returns when a session was used, and the set that says so: the one
// that its document names, or else the other, in which it is for a moment while
// its user decides to stay. It is "" for one that is in neither. A clock that is
// ahead makes nobody younger.
func lastUse(now time.Time, stays bool, short, long *redis.FloatCmd) (used time.Time, set string, err error) {
	order := []struct {
		set   string
		score *redis.FloatCmd
	}{{shortKey, short}, {longKey, long}}
	if stays {
		slices.Reverse(order)
	}
	for _, o := range order {
		score, err := o.score.Result()
		switch {
		case errors.Is(err, redis.Nil):
			continue
		case err != nil:
			return time.Time{}, "", err
		}
		// As a float first, because a score may be more than an integer holds.
		ms := int64(max(0, min(score, float64(now.UnixMilli()))))
		return time.UnixMilli(ms), o.set, nil
	}
	return time.Time{}, "", nil
}

// failed counts an error of Redis and makes one of it that may be logged: what
// a Redis says about a command can hold its arguments. The first of a row is
// logged, unless it is the caller who has given up.
func (s *Store) failed(ctx context.Context, err error) error {
	var said redis.Error
	if errors.As(err, &said) {
		err = fmt.Errorf("the answer of Redis is %s", code(said.Error()))
	}
	err = fmt.Errorf("sessions of App Suite: %w", err)
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	if s.counts.failed() {
		s.log.Warn("Redis does not answer for sessions: new sockets get 503, open ones stay", slog.Any("err", err))
	}
	return err
}

// code is the first word of an error of Redis, where that is a code.
func code(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if word == "" {
		return "an error"
	}
	for i := range len(word) {
		if word[i] < 'A' || word[i] > 'Z' {
			return "an error"
		}
	}
	return word
}

// answered counts the results of look-ups, and reports at most once a minute
// for each what an operator must look after.
func (s *Store) answered(came []result) {
	if n := s.counts.recovered(); n > 0 {
		s.log.Info("Redis answers for sessions again", slog.Int64("failures", n))
	}
	for _, r := range came {
		if n := s.counts.add(r, time.Now()); n > 0 {
			s.log.Warn("session documents cannot be used: is this the Redis of an App Suite of a version that is known here?",
				slog.String("reason", string(r)), slog.Int64("count", n))
		}
	}
}
