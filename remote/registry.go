package remote

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

const (
	// registerTimeout bounds what the registry adds to a handshake.
	registerTimeout = time.Second
	// registryTTL lets go what nobody is left to remove; every pass renews it.
	registryTTL = 24 * time.Hour
	// passEvery is how often all sockets of this member are held against the
	// registry although nothing speaks for a difference: with ten million sockets
	// that is 33,000 commands a second.
	passEvery = 10 * time.Minute
	// passBatch and passPause bound the rate of a pass: 10,000 sockets a second.
	passBatch = 500
	passPause = 50 * time.Millisecond
	// maxRemovals bounds the removals that wait while Redis does not answer. What
	// is above is found by the next pass.
	maxRemovals = 20_000
	removeRetry = 200 * time.Millisecond
)

// Why the cluster refuses a socket.
var (
	ErrTooMany   = errors.New("the user has its maximum of sockets in the cluster")
	ErrDuplicate = errors.New("another session of the user has a socket with this connection id")
	// ErrUnready: what others accept for the socket from now on could pass it by.
	ErrUnready = errors.New("the other members cannot be told of the socket at the moment: try again")
)

// registerScript adds a socket to its user's hash. A socket with the same
// connection id and session is replaced; sockets of the members in ARGV[7...]
// do not count. It returns {0}, {1, id, incarnation of the replaced},
// {2, incarnations} for a duplicate or {3, incarnations} for too many.
var registerScript = redis.NewScript(`
local id, inc, sess, conn = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local gone = {}
for i = 7, #ARGV do gone[ARGV[i]] = true end
local all = redis.call('HGETALL', KEYS[1])
local n, old, holders, junk = 0, nil, {}, {}
for i = 1, #all, 2 do
  local v = all[i+1]
  local h = string.sub(v, 1, 16)
  if #v < 33 then
    junk[#junk+1] = all[i]
  elseif gone[h] or all[i] == id then
  elseif string.sub(v, 33) == conn then
    if string.sub(v, 17, 32) ~= sess then return {2, h} end
    old = {1, all[i], h}
  else
    n = n + 1
    holders[#holders+1] = h
  end
end
if n >= tonumber(ARGV[5]) then return {3, unpack(holders)} end
for _, f in ipairs(junk) do redis.call('HDEL', KEYS[1], f) end
if old then redis.call('HDEL', KEYS[1], old[2]) end
redis.call('HSET', KEYS[1], id, inc .. sess .. conn)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return old or {0}`)

// Register makes a socket known to all members, before its 101 is written. It
// returns ErrTooMany or ErrDuplicate, after which the caller calls Unregister as
// for every socket that leaves. When Redis cannot say, the socket is admitted and
// registered later, once the others know that they do not know of all sockets
// here; until then it is ErrUnready, as it is before this member has joined.
func (l *Link) Register(ctx context.Context, r Registration, limit int) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if !l.awaitJoin(ctx) {
		return ErrUnready
	}
	if !l.healthy() {
		return l.registerLater()
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
		l.troubled()
		l.log.Debug("socket is not registered", slog.Any(keyError, err))
		return l.registerLater()
	case result.code == registryDuplicate:
		return ErrDuplicate
	case result.code == registryFull:
		return ErrTooMany
	case result.code == registryReplaced && result.holders[0] != me:
		l.tellOne(result.holders[0], parcel{Message: Message{ID: newIncarnation(), Context: r.Context, User: r.User, Name: result.replaced, Args: "[]"}, Kind: kindReplace})
	}
	if l.Incarnation() != me {
		return l.registerLater()
	}
	return nil
}

// awaitJoin returns when the others can know of this member, or false.
func (l *Link) awaitJoin(ctx context.Context) bool {
	for {
		l.beats.mu.Lock()
		joined := l.beats.confirmed > 0
		l.beats.mu.Unlock()
		if joined {
			return true
		}
		t := time.NewTimer(minRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// registerLater returns nil when no other member believes any more that it knows
// all sockets of this one. The last heartbeat that said so was under way for half
// a lease at most, was seen a quarter later, and counts for half a lease.
func (l *Link) registerLater() error {
	l.incomplete()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.incarnation != l.doubter || time.Since(l.doubted) < 3*l.opts.Lease/2 {
		return ErrUnready
	}
	return nil
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

func (l *Link) register(ctx context.Context, me string, r Registration, limit int, dead []string) (*registered, error) {
	if err := l.opts.Client.SAdd(ctx, l.keys.index(me), r.place()).Err(); err != nil {
		return nil, l.mend(ctx, l.keys.index(me), err)
	}
	args := []any{r.ID, me, r.Session, r.Connection, limit, registryTTL.Milliseconds()}
	for _, d := range dead {
		args = append(args, d)
	}
	key := l.keys.sockets(r.Context, r.User)
	answer, err := registerScript.Run(ctx, l.opts.Client, []string{key}, args...).Slice()
	if err != nil {
		if wrongType(err) {
			err = errors.Join(err, l.mend(ctx, key, err))
		}
		return nil, err
	}
	if len(answer) == 0 {
		return nil, redispipe.Len("the register script", 0, 1)
	}
	var result registered
	result.code, _ = answer[0].(int64)
	for _, a := range answer[1:] {
		text, _ := a.(string)
		result.holders = append(result.holders, text)
	}
	if result.code == registryReplaced {
		if err := redispipe.Len("the register script", len(result.holders), 2); err != nil {
			return nil, err
		}
		result.replaced, result.holders = result.holders[0], result.holders[1:]
	}
	return &result, nil
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

// incomplete notes that the registry may lack a socket of this member.
func (l *Link) incomplete() {
	l.mu.Lock()
	if l.complete != "" || l.doubter != l.incarnation {
		l.doubter, l.doubted = l.incarnation, time.Now()
	}
	l.doubt, l.complete = true, ""
	l.mu.Unlock()
	signal(l.rebuild)
}

// removals are registrations that wait to be removed.
type removals struct {
	mu   sync.Mutex
	list []Registration
	wake chan struct{}
}

// Unregister removes a registration that Register has made, in the background.
// Its id is random, so that it never removes another.
func (l *Link) Unregister(r Registration) {
	l.gone.mu.Lock()
	full := len(l.gone.list) >= maxRemovals
	if !full {
		l.gone.list = append(l.gone.list, r)
	}
	l.gone.mu.Unlock()
	if full {
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
		for len(list) > 0 {
			batch := list[:min(len(list), passBatch)]
			if err := l.unregister(batch); err != nil {
				l.troubled()
				if !l.pause(removeRetry) {
					return
				}
				continue
			}
			list = list[len(batch):]
		}
	}
}

func (l *Link) unregister(batch []Registration) error {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	me := l.Incarnation()
	pipe := l.opts.Client.Pipeline()
	for i := range batch {
		pipe.HDel(ctx, l.keys.sockets(batch[i].Context, batch[i].User), batch[i].ID)
	}
	places := make([]any, len(batch))
	for i := range batch {
		places[i] = batch[i].place()
	}
	pipe.SRem(ctx, l.keys.index(me), places...)
	err := redispipe.Exec(ctx, pipe)
	if wrongType(err) {
		return nil // nobody's registration
	}
	return err
}

// reconcile holds the registry against the sockets of this member: at once
// after it may have lost some, else every passEvery.
func (l *Link) reconcile() {
	tick := time.NewTicker(passEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.rebuild:
		case <-l.ctx.Done():
			return
		}
		for !l.healthy() {
			if !l.pause(l.opts.Lease / beatsPerLease) {
				return
			}
		}
		if err := l.pass(); err != nil && l.ctx.Err() == nil {
			l.troubled()
			l.log.Warn("registry is not complete yet", slog.Any(keyError, err))
			if !l.pause(removeRetry) {
				return
			}
			signal(l.rebuild)
		}
	}
}

// pass writes every socket of this member into the registry that is missing
// there, and removes what is not there any more.
func (l *Link) pass() error {
	registry, me := l.view.Load().registry, l.Incarnation()
	l.mu.Lock()
	l.doubt = false
	l.mu.Unlock()
	var own []Registration
	l.opts.Deliverer.Registrations(func(r Registration) bool {
		own = append(own, r)
		return true
	})
	for len(own) > 0 {
		n := min(len(own), passBatch)
		if err := l.ensure(me, own[:n]); err != nil {
			return err
		}
		if own = own[n:]; len(own) > 0 && !l.pause(passPause) {
			return l.ctx.Err()
		}
	}
	if err := l.sweep(me); err != nil {
		return err
	}
	l.mu.Lock()
	done := !l.doubt && l.incarnation == me && l.complete != registry && l.view.Load().registry == registry
	if done {
		l.complete = registry
	}
	l.mu.Unlock()
	if done {
		signal(l.beatNow)
	}
	return nil
}

func (l *Link) ensure(me string, batch []Registration) error {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	pipe := l.opts.Client.Pipeline()
	places := make([]any, len(batch))
	set := make([]*redis.IntCmd, len(batch))
	for i := range batch {
		r := &batch[i]
		key := l.keys.sockets(r.Context, r.User)
		places[i] = r.place()
		set[i] = pipe.HSet(ctx, key, r.ID, r.value(me))
		pipe.PExpire(ctx, key, registryTTL)
	}
	added := pipe.SAdd(ctx, l.keys.index(me), places...)
	err := redispipe.Exec(ctx, pipe)
	for i, s := range set {
		if wrongType(s.Err()) {
			return l.mend(ctx, l.keys.sockets(batch[i].Context, batch[i].User), s.Err())
		}
		if s.Val() > 0 {
			l.counts.repairs.Add(1)
		}
	}
	if wrongType(added.Err()) {
		return l.mend(ctx, l.keys.index(me), added.Err())
	}
	if err != nil {
		return err
	}
	for _, r := range batch {
		if !l.opts.Deliverer.Registered(r) { // it closed meanwhile
			l.Unregister(r)
		}
	}
	return nil
}

// sweep removes registrations of this member whose sockets are closed.
func (l *Link) sweep(me string) error {
	size := int64(0)
	for cursor := uint64(0); ; {
		ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
		places, next, err := l.opts.Client.SScan(ctx, l.keys.index(me), cursor, "", passBatch).Result()
		cancel()
		if err != nil {
			return err
		}
		size += int64(len(places))
		for _, place := range places {
			if r, ok := parsePlace(place); !ok || !l.opts.Deliverer.Registered(r) {
				l.counts.repairs.Add(1)
				l.Unregister(r)
			}
		}
		if cursor = next; cursor == 0 {
			l.counts.registered.Store(size)
			return nil
		}
	}
}
