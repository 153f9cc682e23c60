package remote

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

const (
	// keepFor is how long beyond its lease a member's inbox and registrations
	// are kept: a link that is cut for a minute loses nothing.
	keepFor = 2 * time.Minute
	// beatsPerLease has a lease survive two heartbeats that are lost.
	beatsPerLease = 4
	// maxBeatTimeout bounds a heartbeat: a link that is silent is made anew.
	maxBeatTimeout = 2 * time.Second
	// maxMembers bounds what a broken Redis can make this member remember.
	maxMembers = 10_000
	// slotTTL lets what a broken member has left go by itself.
	slotTTL = 30 * time.Second
)

// record is the value of a member's key.
type record struct {
	Member
	Beat     int64  `json:"beat"`     // counts heartbeats
	Complete string `json:"complete"` // id of the registry that has all its sockets
}

// view is what this member knows of the cluster since its last heartbeat. It is
// not changed.
type view struct {
	at       time.Time // zero: never
	registry string
	members  map[string]*seen // by incarnation, this one included
}

// seen is a member in a view.
type seen struct {
	record
	alive   bool
	changed time.Time // when its beat was seen to change
	lost    time.Time // since when its lease is over; zero: it is not
	missing time.Time // since when it has no record; zero: it has one
}

// beats is what one heartbeat leaves to the next.
type beats struct {
	number    int64
	confirmed int64     // the last one that Redis has confirmed; 0: none of this incarnation
	at        time.Time // when
	joined    time.Time // when the first one of this process was

	mu      sync.Mutex
	ok      bool      // the last one worked
	trouble time.Time // the last time that a command did not
}

// Members lists the members that are alive, or were within the last lease time,
// this one included. status is "ok" or "degraded".
func (l *Link) Members() (list []Member, status string) {
	v, now := l.view.Load(), time.Now()
	me := l.Incarnation()
	for id, m := range v.members {
		if id == me || !m.alive && now.Sub(m.lost) > l.opts.Lease {
			continue
		}
		member := m.Member
		member.Alive, member.Age = m.alive, now.Sub(m.changed)
		list = append(list, member)
	}
	self := l.describe(me)
	self.Alive, self.Self = true, true
	list = append(list, self)
	status = "degraded"
	if l.healthy() {
		status = "ok"
	}
	return list, status
}

func (l *Link) describe(incarnation string) Member {
	m := l.opts.Describe()
	m.Name, m.Incarnation = l.opts.Member, incarnation
	return m
}

// healthy reports whether Redis answers and knows this member.
func (l *Link) healthy() bool {
	l.beats.mu.Lock()
	defer l.beats.mu.Unlock()
	return l.beats.ok && time.Since(l.beats.at) < l.opts.Lease
}

// joined is since when this process is one of the cluster; zero: not yet.
func (l *Link) joined() time.Time {
	l.beats.mu.Lock()
	defer l.beats.mu.Unlock()
	return l.beats.joined
}

// troubled notes that Redis did not do what it was asked: until the others have
// been heard again, it is not known who has which sockets.
func (l *Link) troubled() {
	l.beats.mu.Lock()
	defer l.beats.mu.Unlock()
	l.beats.trouble = time.Now()
}

// beat holds the lease and looks at the others.
func (l *Link) beat() {
	every := l.opts.Lease / beatsPerLease
	for {
		start := time.Now()
		err := l.heartbeat()
		l.beats.mu.Lock()
		was := l.beats.ok || l.beats.number <= 1
		l.beats.ok = err == nil
		l.beats.mu.Unlock()
		switch {
		case l.ctx.Err() != nil:
			return
		case err != nil:
			l.counts.beatsFailed.Add(1)
			l.troubled()
			if was {
				l.log.Warn("Redis does not answer: messages for other members wait", slog.Any(keyError, err))
			}
		case !was:
			l.log.Info("Redis answers again")
		}
		t := time.NewTimer(max(every-time.Since(start), every/8))
		select {
		case <-t.C:
		case <-l.beatNow:
		case <-l.ctx.Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}

func (l *Link) heartbeat() error {
	ctx, cancel := context.WithTimeout(l.ctx, min(maxBeatTimeout, l.opts.Lease/2))
	defer cancel()
	b, me := &l.beats, l.Incarnation()
	b.number++
	l.mu.Lock()
	complete := l.complete
	l.mu.Unlock()
	text, err := json.Marshal(record{l.describe(me), b.number, complete})
	if err != nil {
		return err
	}
	pipe := l.opts.Client.Pipeline()
	replaced := pipe.SetArgs(ctx, l.keys.record(me), text, redis.SetArgs{TTL: l.opts.Lease + l.opts.keep, Get: true})
	held := pipe.Set(ctx, l.keys.lease(me), l.opts.Member, l.opts.Lease)
	added := pipe.SAdd(ctx, l.keys.members(), me)
	id := pipe.Get(ctx, l.keys.registry())
	list := pipe.SMembers(ctx, l.keys.members())
	clock := pipe.Time(ctx)
	info := pipe.Info(ctx, "replication")
	start := time.Now()
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	if clock.Err() == nil {
		half := time.Since(start) / 2
		l.counts.clock.Store(int64(clock.Val().Sub(start.Add(half))))
	}
	l.counts.replicas.Store(replicas(info.Val()))
	old, err := replaced.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return l.mend(ctx, l.keys.record(me), err)
	}
	if err := errors.Join(l.mend(ctx, l.keys.lease(me), held.Err()), l.mend(ctx, l.keys.members(), added.Err())); err != nil {
		return err
	}
	registry, err := id.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return l.mend(ctx, l.keys.registry(), err)
	}
	b.mu.Lock()
	silent, confirmed := time.Since(b.at), b.confirmed
	b.mu.Unlock()
	var before record
	if old != "" && json.Unmarshal([]byte(old), &before) != nil {
		l.unreadable("member")
	}
	switch {
	case confirmed == 0:
		// The first: the inbox exists before anybody can know of this member.
		if err := l.openInbox(ctx, me); err != nil {
			return err
		}
		signal(l.rebuild)
	case before.Incarnation == me && before.Beat >= confirmed:
	case old == "" && silent > l.opts.Lease+l.opts.keep-maxBeatTimeout:
		l.reborn()
		return errors.New("the other members took this one for dead: it joins again")
	default:
		l.log.Warn("Redis has lost data: the registry is built anew", slog.Bool("all", old == ""))
		l.counts.losses.Add(1)
		if err := l.openInbox(ctx, me); err != nil {
			return err
		}
		registry = ""
	}
	if registry == "" {
		if registry, err = l.newRegistry(ctx, id.Val()); err != nil {
			return err
		}
	}
	l.mu.Lock()
	if l.complete != registry {
		signal(l.rebuild)
	}
	l.mu.Unlock()
	incarnations, err := list.Result()
	if err != nil {
		return l.mend(ctx, l.keys.members(), err)
	}
	if err := l.look(ctx, registry, incarnations); err != nil {
		return err
	}
	b.mu.Lock()
	b.confirmed, b.at = b.number, time.Now()
	if b.joined.IsZero() {
		b.joined = b.at
	}
	b.mu.Unlock()
	return nil
}

// newRegistry replaces the registry's id, unless another member has done so.
func (l *Link) newRegistry(ctx context.Context, old string) (string, error) {
	id, err := replaceScript.Run(ctx, l.opts.Client, []string{l.keys.registry()}, old, newIncarnation()).Text()
	if err != nil {
		return "", err
	}
	return id, nil
}

// replaceScript sets a key to a new value where it still has the old one, and
// returns its value.
var replaceScript = redis.NewScript(`
local now = redis.call('GET', KEYS[1])
if now and now ~= ARGV[1] then return now end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]`)

// reborn makes this process a new member: the others have taken the old one for
// dead, and with it its inbox.
func (l *Link) reborn() {
	old := l.Incarnation()
	// First, so that no socket comes in between that nobody knows.
	l.beats.mu.Lock()
	l.beats.confirmed = 0
	l.beats.mu.Unlock()
	l.mu.Lock()
	l.incarnation, l.complete = newIncarnation(), ""
	l.mu.Unlock()
	n := l.opts.Deliverer.Abandon()
	l.log.Error("this member was cut off for so long that the others took it for dead: its clients are sent away, since messages have passed them by",
		slog.String(keyIncarnation, old), slog.Int(keyCount, n))
}

// look reads what the others tell of themselves.
func (l *Link) look(ctx context.Context, registry string, incarnations []string) error {
	if len(incarnations) > maxMembers {
		return errors.New("Redis names more members than a cluster can have: is the key " + l.keys.members() + " used by something else?")
	}
	old, now := l.view.Load(), time.Now()
	v := &view{at: now, registry: registry, members: make(map[string]*seen, len(incarnations))}
	records, leases, err := l.records(ctx, incarnations)
	if err != nil {
		return err
	}
	for i, id := range incarnations {
		before := old.members[id]
		m := &seen{changed: now}
		text, _ := records[i].(string)
		switch {
		case text == "":
			if before != nil {
				*m = *before
			}
			if m.missing.IsZero() {
				m.missing = now
			}
		case json.Unmarshal([]byte(text), &m.record) != nil:
			l.unreadable("member")
			continue
		case before != nil && before.Beat == m.Beat:
			m.changed = before.changed
		}
		m.Incarnation = id
		m.alive = leases[i] != nil
		if !m.alive {
			if m.lost = now; before != nil && !before.lost.IsZero() {
				m.lost = before.lost
			}
		}
		v.members[id] = m
		l.tell(before, m, old.at.IsZero())
		if !m.missing.IsZero() && now.Sub(m.missing) > 2*l.opts.Lease {
			l.reap(ctx, id, m.Name)
			delete(v.members, id)
		}
	}
	// Those that a Redis has forgotten which lost data are addressed until they
	// had the time to come back. In any other they have left.
	lost := registry != old.registry
	for id, m := range old.members {
		if v.members[id] == nil && !lost && m.missing.IsZero() && m.alive && l.opts.Seen != nil {
			l.opts.Seen(SeenLeft, m.Member)
		}
		if v.members[id] == nil && (lost || !m.missing.IsZero()) && (m.missing.IsZero() || now.Sub(m.missing) <= 2*l.opts.Lease) {
			kept := *m
			if kept.missing.IsZero() {
				kept.missing = now
			}
			if kept.alive {
				kept.alive, kept.lost = false, now
			}
			v.members[id] = &kept
		}
	}
	l.view.Store(v)
	return nil
}

func (l *Link) records(ctx context.Context, incarnations []string) (records, leases []any, err error) {
	if len(incarnations) == 0 {
		return nil, nil, nil
	}
	names := make([]string, 0, 2*len(incarnations))
	for _, id := range incarnations {
		names = append(names, l.keys.record(id))
	}
	for _, id := range incarnations {
		names = append(names, l.keys.lease(id))
	}
	all, err := l.opts.Client.MGet(ctx, names...).Result()
	if err != nil {
		return nil, nil, err
	}
	if err := redispipe.Len("MGET", len(all), len(names)); err != nil {
		return nil, nil, err
	}
	return all[:len(incarnations)], all[len(incarnations):], nil
}

// What Options.Seen is told.
const (
	SeenJoined = "joined"
	SeenLeft   = "left" // it has ended
	SeenLost   = "lost" // its lease is over
	SeenBack   = "back" // it was lost
	// SeenConfig: its digest is known for the first time, or is another one.
	SeenConfig = "config"
)

// tell logs who comes and goes.
func (l *Link) tell(before, m *seen, first bool) {
	attrs := []any{slog.String(keyMember, m.Name), slog.String(keyIncarnation, m.Incarnation)}
	what := ""
	switch {
	case m.Incarnation == l.Incarnation():
	case before == nil && m.alive && !first:
		what = SeenJoined
		l.log.Info("member joined", attrs...)
	case before != nil && before.alive && !m.alive:
		what = SeenLost
		l.log.Warn("member lost: its lease is over; its messages are kept for a while", attrs...)
	case before != nil && !before.alive && m.alive:
		what = SeenBack
		l.log.Info("member is back", attrs...)
	case m.alive && (before == nil || before.Digest != m.Digest):
		what = SeenConfig
	}
	if what != "" && l.opts.Seen != nil {
		l.opts.Seen(what, m.Member)
	}
}

// reap removes what a dead member has left; one survivor does it.
func (l *Link) reap(ctx context.Context, incarnation, name string) {
	mine, err := l.opts.Client.SetNX(ctx, l.keys.shared("reap:"+incarnation), l.Incarnation(), slotTTL).Result()
	if err != nil || !mine {
		return
	}
	l.work.Go(func() {
		start := time.Now()
		if err := l.bury(l.ctx, incarnation); err != nil {
			l.log.Warn("what a dead member has left is not removed yet", slog.String(keyIncarnation, incarnation), slog.Any(keyError, err))
			return
		}
		l.counts.reaped.Add(1)
		l.log.Info("member is dead: its registrations are removed", slog.String(keyMember, name), slog.String(keyIncarnation, incarnation), slog.Duration(keyDuration, time.Since(start)))
	})
}

// buryBatch is how many registrations are removed with one round trip.
const buryBatch = 500

// bury removes a member with its registrations, exactly those.
func (l *Link) bury(ctx context.Context, incarnation string) error {
	index := l.keys.index(incarnation)
	for cursor := uint64(0); ; {
		places, next, err := l.opts.Client.SScan(ctx, index, cursor, "", buryBatch).Result()
		if err != nil {
			return err
		}
		pipe := l.opts.Client.Pipeline()
		for _, place := range places {
			if r, ok := parsePlace(place); ok {
				pipe.HDel(ctx, l.keys.sockets(r.Context, r.User), r.ID)
			}
		}
		if pipe.Len() > 0 {
			// A key of another type is nobody's registration.
			if err := redispipe.Exec(ctx, pipe); err != nil && !wrongType(err) {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	waiting, err := l.opts.Client.XLen(ctx, l.keys.inbox(incarnation)).Result()
	if err == nil && waiting > 0 && incarnation != l.Incarnation() {
		l.counts.dropped[dropDead].Add(waiting)
	}
	if err := l.opts.Client.Del(ctx, l.keys.inbox(incarnation), index).Err(); err != nil {
		return err
	}
	pipe := l.opts.Client.Pipeline()
	pipe.SRem(ctx, l.keys.members(), incarnation)
	pipe.Del(ctx, l.keys.record(incarnation), l.keys.lease(incarnation))
	err = redispipe.Exec(ctx, pipe)
	return err
}

// mend removes a key of ours that holds another type, and passes the error on.
func (l *Link) mend(ctx context.Context, key string, err error) error {
	if wrongType(err) {
		l.counts.repairs.Add(1)
		l.log.Warn("a key of this cluster held something else and is removed", slog.String("key", key))
		return errors.Join(err, l.opts.Client.Del(ctx, key).Err())
	}
	return err
}

func wrongType(err error) bool { return err != nil && redis.HasErrorPrefix(err, "WRONGTYPE") }
