// Package redissessions keeps Sluice's own sessions in Redis, so that one made
// on a member is good on all (docs/reference/sessions.md).
package redissessions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/websockets"
)

// Options are what a Store needs. All are required but Removed and Ready.
type Options struct {
	Client  redis.UniversalClient
	Cluster string // name of the cluster, as the other keys of Sluice have it
	// Limits are asked at each Create. Their Max holds for the memory of one
	// member, and does not count here.
	Limits func() websockets.SessionConfig
	// Removed is called for each session that Delete has removed, so that its
	// sockets are closed on all members. What Redis expires is found when the
	// sockets' sessions are checked. nil: nobody is told.
	Removed func(*websockets.Session)
	// Ready is asked before a session is made or looked up: what it returns is
	// the answer. nil: it need not be asked.
	Ready  func(context.Context) error
	Logger *slog.Logger
}

// Store is websockets.Sessions over Redis. It is safe for concurrent use, by any
// number of members.
type Store struct {
	opts       Options
	unreadable atomic.Int64
	said       saying
}

// New returns a store; an option that is required and missing is an error. It sends
// nothing before it is asked.
func New(o Options) (*Store, error) {
	if o.Client == nil || o.Cluster == "" || o.Limits == nil || o.Logger == nil {
		return nil, errors.New("redissessions: Options need Client, Cluster, Limits and Logger")
	}
	if o.Removed == nil {
		o.Removed = func(*websockets.Session) {}
	}
	return &Store{opts: o}, nil
}

// Unreadable is how many documents could not be read.
func (s *Store) Unreadable() int64 { return s.unreadable.Load() }

// keyBytes of a digest are as hard to guess as a session's id.
const keyBytes = 16

// digest stands for the id of a session, which is a secret.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return string(sum[:keyBytes])
}

// key is where a session is. "s2" is that of documentVersion: members of another
// version do not meet what they cannot read.
func (s *Store) key(id string) string {
	return "sluice:{" + s.opts.Cluster + ":s2:" + base64.RawURLEncoding.EncodeToString([]byte(digest(id))) + "}"
}

// owner is where the digests of a user's sessions are, by the time of their end.
func (s *Store) owner(context, user uint32) string {
	return "sluice:{" + s.opts.Cluster + ":" + strconv.Itoa(int(context)) + ":" + strconv.Itoa(int(user)) + "}:sessions"
}

// foreverMillis stands for the end of a session that has none.
const foreverMillis = 1 << 52

// reserveScript takes a place among a user's sessions. What has ended gives its
// place back. Run again for the same session, it answers the same. Times are
// those of Redis.
var reserveScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local limit, life = tonumber(ARGV[2]), tonumber(ARGV[3])
if limit > 0 and redis.call('ZCARD', KEYS[1]) >= limit and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local till = tonumber(ARGV[4])
if life > 0 then till = now + life end
redis.call('ZADD', KEYS[1], till, ARGV[1])
if life > 0 then
  local left = redis.call('PTTL', KEYS[1])
  if left ~= -1 and left < life or redis.call('ZCARD', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], life) end
else
  redis.call('PERSIST', KEYS[1])
end
return 1`)

// extendScript keeps a place for longer, where it still is. The list of places
// may live longer than they do, so that not each touch has to extend it.
var extendScript = redis.NewScript(`
local t = redis.call('TIME')
local life = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], 'XX', t[1] * 1000 + math.floor(t[2] / 1000) + life, ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < life then redis.call('PEXPIRE', KEYS[1], life + math.floor(life / 4)) end
return 1`)

// Create stores a session. It returns websockets.ErrSessionExists or a
// websockets.UserSessionsError, or that Redis cannot be asked.
func (s *Store) Create(ctx context.Context, ses *websockets.Session) error {
	if err := s.ready(ctx); err != nil {
		return failed("create", err)
	}
	life := time.Duration(0)
	if !ses.Expires.IsZero() {
		life = max(time.Until(ses.Expires), time.Millisecond)
	}
	text := encode(ses.Sealed())
	key, owner, limit := s.key(ses.ID), s.owner(ses.Context, ses.User), s.opts.Limits().MaxPerUser
	// The place first: one that is left behind ends with the time of its session.
	got, err := reserveScript.Run(ctx, s.opts.Client, []string{owner}, digest(ses.ID), limit, life.Milliseconds(), int64(foreverMillis)).Int()
	if err != nil {
		return failed("create", err)
	}
	if got == 0 {
		return &websockets.UserSessionsError{Context: ses.Context, User: ses.User, Limit: limit}
	}
	made, err := s.opts.Client.SetNX(ctx, key, text, life).Result()
	if err != nil {
		return failed("create", err)
	}
	if made {
		return nil
	}
	// The client library sends a command again whose answer was lost: then what is
	// there is this very session. No other has its secret.
	there, err := s.opts.Client.Get(ctx, key).Bytes()
	switch {
	case err == nil && bytes.Equal(there, text):
		return nil
	case err != nil && !errors.Is(err, redis.Nil):
		return failed("create", err)
	}
	return websockets.ErrSessionExists
}

// Get returns the session, or websockets.ErrNoSession.
func (s *Store) Get(ctx context.Context, id string) (*websockets.Session, error) {
	if err := s.ready(ctx); err != nil {
		return nil, failed("look up", err)
	}
	pipe := s.opts.Client.Pipeline()
	text, left := pipe.Get(ctx, s.key(id)), pipe.PTTL(ctx, s.key(id))
	err := redispipe.Exec(ctx, pipe)
	switch {
	case errors.Is(text.Err(), redis.Nil):
		return nil, websockets.ErrNoSession
	case err != nil:
		return nil, failed("look up", err)
	}
	ses, err := s.decode(id, text.Val())
	if err != nil {
		return nil, err
	}
	// The end is that of Redis, by our clock.
	if left.Val() > 0 {
		ses.Expires = time.Now().Add(left.Val())
	}
	return ses, nil
}

func (s *Store) decode(id, text string) (*websockets.Session, error) {
	ses, err := decode([]byte(text))
	if err != nil {
		s.unreadable.Add(1)
		s.said.once(s.opts.Logger)
		return nil, err
	}
	ses.ID = id
	return ses, nil
}

// Touch extends the session's life to its lifetime from now, or returns
// websockets.ErrNoSession.
func (s *Store) Touch(ctx context.Context, id string) error {
	gone, err := s.TouchAll(ctx, []string{id})
	if err == nil && len(gone) > 0 {
		return websockets.ErrNoSession
	}
	return err
}

// TouchAll implements websockets.BatchSessions: it touches sessions with a few
// round trips and returns those that are gone.
func (s *Store) TouchAll(ctx context.Context, ids []string) (gone []string, err error) {
	texts, missing, errs := s.texts(ctx, ids)
	gone = missing
	pipe := s.opts.Client.Pipeline()
	kept := make(map[string]*redis.BoolCmd, len(ids))
	places := make(map[string]place, len(ids))
	for id, text := range texts {
		ses, err := s.decode(id, text)
		if err != nil {
			errs = err
			continue
		}
		if ses.Expires.IsZero() {
			continue
		}
		key, life := s.key(id), lifetime(ses)
		// It never brings back what is deleted meanwhile.
		kept[id] = pipe.PExpire(ctx, key, life)
		owner := s.owner(ses.Context, ses.User)
		places[id] = place{owner, life, extendScript.EvalSha(ctx, pipe, []string{owner}, digest(id), life.Milliseconds())}
	}
	if len(kept) > 0 {
		_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	}
	for id, k := range kept {
		switch {
		case k.Err() != nil:
			errs = failed("touch", k.Err())
		case !k.Val():
			gone = append(gone, id)
		}
		p := places[id]
		err := p.extended.Err()
		if redis.HasErrorPrefix(err, "NOSCRIPT") { // the first, or since Redis started
			err = extendScript.Run(ctx, s.opts.Client, []string{p.owner}, digest(id), p.life.Milliseconds()).Err()
		}
		if err != nil {
			errs = failed("touch", err)
		}
	}
	return gone, errs
}

// Missing implements websockets.BatchSessions: one command says that all are
// there, which is nearly always so.
func (s *Store) Missing(ctx context.Context, ids []string) (gone []string, err error) {
	switch all, err := redispipe.AllExist(ctx, s.opts.Client, s.keys(ids)); {
	case err != nil:
		return nil, failed("look for", err)
	case all:
		return nil, nil
	}
	_, gone, err = s.texts(ctx, ids)
	return gone, err
}

func (s *Store) keys(ids []string) []string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = s.key(id)
	}
	return keys
}

// texts reads documents, and lists the ids that have none. With an error nothing
// is known of those in neither.
func (s *Store) texts(ctx context.Context, ids []string) (texts map[string]string, gone []string, errs error) {
	texts = make(map[string]string, len(ids))
	if !redispipe.Split(s.opts.Client) {
		all, err := s.opts.Client.MGet(ctx, s.keys(ids)...).Result()
		if err != nil {
			return texts, nil, failed("look up", err)
		}
		var left []string
		for i, v := range all {
			if text, ok := v.(string); ok {
				texts[ids[i]] = text
			} else {
				left = append(left, ids[i]) // not there, or of another type
			}
		}
		if ids = left; len(ids) == 0 {
			return texts, nil, nil
		}
	}
	pipe := s.opts.Client.Pipeline()
	each := make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		each[i] = pipe.Get(ctx, s.key(id))
	}
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	for i, id := range ids {
		switch err := each[i].Err(); {
		case errors.Is(err, redis.Nil):
			gone = append(gone, id)
		case err != nil:
			errs = failed("touch", err)
		default:
			texts[id] = each[i].Val()
		}
	}
	return texts, gone, errs
}

// place is one among a user's sessions, which a touch keeps for longer.
type place struct {
	owner    string
	life     time.Duration
	extended *redis.Cmd
}

func lifetime(ses *websockets.Session) time.Duration {
	if ses.Lifetime > 0 {
		return ses.Lifetime
	}
	return websockets.SessionLifetime
}

// Move sets the address from which a session is used, or returns
// websockets.ErrNoSession.
func (s *Store) Move(ctx context.Context, id string, address netip.Addr) error {
	ses, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	ses.Address = address
	// XX: what is deleted meanwhile stays so.
	err = s.opts.Client.SetArgs(ctx, s.key(id), encode(ses), redis.SetArgs{Mode: "XX", KeepTTL: true}).Err()
	switch {
	case errors.Is(err, redis.Nil):
		return websockets.ErrNoSession
	case err != nil:
		return failed("move", err)
	}
	return nil
}

// Delete removes a session and tells Removed, or returns
// websockets.ErrNoSession. One that cannot be read is removed as well.
func (s *Store) Delete(ctx context.Context, id string) error {
	key := s.key(id)
	// Read and removed by two commands, of which both may be sent again: a GETDEL
	// whose answer is lost would leave nobody who knows whose sockets to close.
	text, err := s.opts.Client.Get(ctx, key).Result()
	if err == nil {
		err = s.opts.Client.Del(ctx, key).Err()
	}
	switch {
	case errors.Is(err, redis.Nil):
		return websockets.ErrNoSession
	case err != nil:
		return failed("delete", err)
	}
	ses, err := s.decode(id, text)
	if err != nil {
		return nil
	}
	if err := s.opts.Client.ZRem(ctx, s.owner(ses.Context, ses.User), digest(id)).Err(); err != nil {
		s.opts.Logger.Warn("place of a deleted session is kept until its time is over", slog.Any("session", ses), slog.Any("err", err))
	}
	s.opts.Removed(ses)
	return nil
}

func (s *Store) ready(ctx context.Context) error {
	if s.opts.Ready == nil {
		return nil
	}
	return s.opts.Ready(ctx)
}

// failed says what Redis did not do. Its errors name keys at most, never values.
func failed(what string, err error) error {
	return fmt.Errorf("sessions in Redis: %s: %w", what, err)
}

// sayEvery is the time between two lines on documents that cannot be read, of
// which there may be one for each request.
const sayEvery = time.Minute

// saying keeps them from filling the log.
type saying struct{ last atomic.Int64 } // Unix time, ns

func (s *saying) once(log *slog.Logger) {
	now, last := time.Now().UnixNano(), s.last.Load()
	if now-last >= int64(sayEvery) && s.last.CompareAndSwap(last, now) {
		log.Warn("a session in Redis cannot be read and is skipped: does another program write below this cluster's keys?")
	}
}
