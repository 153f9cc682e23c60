package remote

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/shared"
)

// The registry tells which sockets a user has in the cluster: for limits, for
// one socket per connection id, for counting, and for nothing else. No message
// depends on it.

const (
	// registerTimeout bounds what the registry adds to a handshake.
	registerTimeout = time.Second
	removeRetry     = 200 * time.Millisecond
	// maxRemovals bounds the removals that wait while Redis does not answer. What
	// is above is found by the next pass.
	maxRemovals = 20_000
)

// Why a socket is not registered, beside those of package shared.
var (
	// ErrUnready: what others accept for the socket from now on could pass it by.
	ErrUnready = errors.New("the other members do not know of this one yet: try again")

	errNoRegistry = errors.New("Redis does not answer: who has sockets on other members is not known")
)

// Register makes a socket known to all members, before its 101 is written. It
// returns ErrTooMany or ErrDuplicate, after which the caller calls Unregister as
// for every socket that leaves. When Redis cannot say, the socket is admitted and
// registered later: this member reads what is sent to all. Before it has joined
// it is ErrUnready. former is the other member whose socket it takes over, or
// shared.FormerUnknown: see Former.
func (l *Link) Register(ctx context.Context, r shared.Registration, limit int) (former string, err error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if !l.awaitJoin(ctx) {
		return "", ErrUnready
	}
	if len(r.ID) > maxPart || len(r.Connection) > maxPart || len(r.Session) != sessionLen {
		return "", errors.New("a registration has an id or connection above 255 bytes, or a session that is no digest")
	}
	if !l.healthy() {
		signal(l.rebuild)
		return shared.FormerUnknown, nil
	}
	me := l.Incarnation()
	result, err := l.register(ctx, me, r, limit, nil)
	if err == nil && result.refused() {
		// Of members that are alive by now, not by the last heartbeat.
		var dead []string
		if dead, err = l.dead(ctx, result.holders); err == nil && len(dead) > 0 {
			result, err = l.register(ctx, me, r, limit, dead)
		}
	}
	switch {
	case err != nil:
		l.counts.registerFailed.Add(1)
		l.log.Debug("socket is not registered yet", slog.Any(keyError, err))
		l.gone.forgot.Store(true) // Redis may do it later, when the socket is closed
		signal(l.rebuild)
		return shared.FormerUnknown, nil
	case result.code == registryDuplicate:
		return "", shared.ErrDuplicate
	case result.code == registryFull:
		return "", shared.ErrTooMany
	case result.code == registryReplaced && result.holders[0] != me:
		l.postToAllOrLog(parcel{Message: Message{Context: r.Context, User: r.User, Name: result.replaced, Args: "[]", Label: shared.Label{ID: newIncarnation()}}, Kind: kindReplace})
		return result.holders[0], nil
	}
	return "", nil
}

// Former is the other member on which the registry has a socket of the same client,
// "" for none, once Redis can say; "" when ctx ends before. Whoever had a socket on a
// member that died is in the registry for as long as what it lacks is kept.
func (l *Link) Former(ctx context.Context, r shared.Registration) string {
	field := fieldOf(&r)
	for {
		if l.healthy() {
			text, err := l.opts.Client.HGet(ctx, l.keys.bucket(bucketOf(field)), field).Result()
			if err == nil || errors.Is(err, redis.Nil) {
				list, _ := parseField(text) // what does not parse, a pass counts
				for _, e := range list {
					if e.holder != l.Incarnation() && e.ID != r.ID && e.Connection == r.Connection && e.Session == r.Session {
						return e.holder
					}
				}
				return ""
			}
		}
		if !pause(ctx, minRetry) {
			return ""
		}
	}
}

// awaitJoin returns when the others can know of this member, or false.
func (l *Link) awaitJoin(ctx context.Context) bool {
	for l.joined().IsZero() {
		if !pause(ctx, minRetry) {
			return false
		}
	}
	return true
}

// The codes of registerScript.
const (
	registryAdded = iota
	registryReplaced
	registryDuplicate
	registryFull
)

type registered struct {
	code     int64
	replaced string   // socket id
	holders  []string // incarnations
}

func (r *registered) refused() bool { return r.code >= registryDuplicate }

func (l *Link) register(ctx context.Context, me string, r shared.Registration, limit int, dead []string) (*registered, error) {
	field := fieldOf(&r)
	n := bucketOf(field)
	told := l.shelves.read()
	args := []any{field, counter(me), valueOf(&r, me), r.ID, me, r.Session, r.Connection, limit, told.floors[n]}
	for _, d := range dead {
		args = append(args, d)
	}
	key := l.keys.bucket(n)
	answer, err := registerScript.Run(ctx, l.opts.Client, []string{key}, args...).Slice()
	if err != nil {
		return nil, l.mendBucket(ctx, n, err)
	}
	if len(answer) < 3 {
		return nil, redispipe.Len("the register script", len(answer), 3)
	}
	var result registered
	result.code, _ = answer[0].(int64)
	count, _ := answer[1].(int64)
	was, _ := answer[2].(int64)
	for _, a := range answer[3:] {
		text, _ := a.(string)
		result.holders = append(result.holders, text)
	}
	if result.code == registryReplaced {
		if err := redispipe.Len("the register script", len(result.holders), 2); err != nil {
			return nil, err
		}
		result.replaced, result.holders = result.holders[0], result.holders[1:]
	}
	if !result.refused() {
		l.shelves.answered(n, count, was, told.counts[n])
	}
	return &result, nil
}

// MaxHaveSockets is how many users HaveSockets is asked about at once.
const MaxHaveSockets = 256

// haveSocketsTimeout bounds HaveSockets.
const haveSocketsTimeout = 500 * time.Millisecond

// HaveSockets tells for each of at most MaxHaveSockets users, named by Context and
// User, whether the registry has a socket of it on any member; on one that died it
// stays for some lease times. Where Redis cannot say it is an error.
func (l *Link) HaveSockets(ctx context.Context, users []shared.Registration) ([]bool, error) {
	if !l.healthy() {
		return nil, errNoRegistry
	}
	ctx, cancel := context.WithTimeout(ctx, haveSocketsTimeout)
	defer cancel()
	pipe := l.opts.Client.Pipeline()
	cmds := make([]*redis.StringCmd, len(users))
	for i := range users {
		field := fieldOf(&users[i])
		cmds[i] = pipe.HGet(ctx, l.keys.bucket(bucketOf(field)), field)
	}
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	have := make([]bool, len(users))
	for i, c := range cmds {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
		have[i] = c.Val() != ""
	}
	return have, nil
}

// dead are those of the incarnations whose lease is over.
func (l *Link) dead(ctx context.Context, incarnations []string) (dead []string, err error) {
	_, leases, err := l.records(ctx, incarnations)
	if err != nil {
		return nil, err
	}
	for i, lease := range leases {
		if lease == nil {
			dead = append(dead, incarnations[i])
		}
	}
	return dead, nil
}

// removals are registrations that wait to be removed.
type removals struct {
	mu   sync.Mutex
	list []shared.Registration
	wake chan struct{}
	// forgot: the registry may have sockets of this member that are closed.
	forgot atomic.Bool
}

// Unregister removes a registration that Register has made, in the background.
// Its id is random, so that it never removes another.
func (l *Link) Unregister(r shared.Registration) {
	l.gone.mu.Lock()
	full := len(l.gone.list) >= maxRemovals
	if !full {
		l.gone.list = append(l.gone.list, r)
	}
	l.gone.mu.Unlock()
	if full {
		l.gone.forgot.Store(true)
		signal(l.rebuild)
	}
	signal(l.gone.wake)
}

// remove works off the removals. Those that wait when the link ends are removed
// by Leave with all others.
func (l *Link) remove() {
	for {
		select {
		case <-l.gone.wake:
		case <-l.ctx.Done():
			return
		}
		l.gone.mu.Lock()
		list := l.gone.list
		l.gone.list = nil
		l.gone.mu.Unlock()
		// What was told before a socket left must be there for whoever finds that it
		// has.
		l.outbox.mu.Lock()
		told := l.outbox.next - 1
		l.outbox.mu.Unlock()
		if !l.awaitPosted(l.ctx, told) {
			return
		}
		for len(list) > 0 {
			batch := list[:min(len(list), passBatch)]
			if err := l.unregister(batch); err != nil {
				l.troubles.set(troubleRegistry, err)
				if !l.pause(removeRetry) {
					return
				}
				continue
			}
			list = list[len(batch):]
		}
	}
}

func (l *Link) unregister(batch []shared.Registration) error {
	me, told := l.Incarnation(), l.shelves.read()
	return l.eachInBucket(removeScript, batch, func(r *shared.Registration) []any {
		return []any{fieldOf(r), counter(me), r.ID, told.floors[bucketOf(fieldOf(r))]}
	}, func(n int, c *redis.Cmd) error {
		answer, err := c.Int64Slice()
		if err == nil {
			err = redispipe.Len("the remove script", len(answer), 2)
		}
		if err != nil {
			return err
		}
		l.shelves.answered(n, answer[0], answer[1], told.counts[n])
		return nil
	})
}

// eachInBucket runs a script for each registration, all in one pipeline.
func (l *Link) eachInBucket(script *redis.Script, batch []shared.Registration, args func(*shared.Registration) []any, took func(n int, c *redis.Cmd) error) error {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	return l.runInBuckets(ctx, script, batch, args, took)
}

func (l *Link) runInBuckets(ctx context.Context, script *redis.Script, batch []shared.Registration, args func(*shared.Registration) []any, took func(n int, c *redis.Cmd) error) error {
	for attempt := 0; ; attempt++ {
		pipe := l.opts.Client.Pipeline()
		cmds := make([]*redis.Cmd, len(batch))
		for i := range batch {
			key := []string{l.keys.bucket(bucketOf(fieldOf(&batch[i])))}
			if attempt == 0 {
				cmds[i] = script.EvalSha(ctx, pipe, key, args(&batch[i])...)
			} else { // the first, or since Redis started
				cmds[i] = script.Eval(ctx, pipe, key, args(&batch[i])...)
			}
		}
		_ = redispipe.Exec(ctx, pipe) // each answer is looked at
		var failed error
		unknown := false
		for i, c := range cmds {
			n := bucketOf(fieldOf(&batch[i]))
			if err := took(n, c); err != nil {
				unknown = unknown || redis.HasErrorPrefix(err, "NOSCRIPT")
				failed = l.mendBucket(ctx, n, err)
			}
		}
		if !unknown || attempt > 0 {
			return failed
		}
	}
}

// mendBucket removes a bucket that holds another type, and passes the error on.
func (l *Link) mendBucket(ctx context.Context, n int, err error) error {
	if wrongType(err) {
		l.shelves.forget(n)
		signal(l.rebuild)
	}
	return l.mend(ctx, l.keys.bucket(n), err)
}
