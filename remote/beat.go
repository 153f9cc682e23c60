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
	// keepFor is how long beyond its lease a member's registrations, and what it
	// has not acknowledged, are kept where Options.Keep says nothing.
	keepFor = 2 * time.Minute
	// beatsPerLease has a lease survive two heartbeats that are lost. maxBeatEvery
	// bounds how late acknowledgements are, and how late a lost log is noticed.
	beatsPerLease = 4
	maxBeatEvery  = 500 * time.Millisecond
	// maxBeatTimeout bounds a heartbeat: a link that is silent is made anew.
	maxBeatTimeout = 2 * time.Second
	// infoEvery is how many heartbeats ask once how many replicas Redis has.
	infoEvery = 8
)

// record is the value of a member's key.
type record struct {
	Member
	Beat int64             `json:"beat"`           // counts heartbeats
	Acks map[string]uint64 `json:"acks,omitempty"` // the last entries that it has taken, by sender
	Last uint64            `json:"last,omitempty"` // the last entry of its own that Redis has had
	Left bool              `json:"left,omitempty"` // it has ended, and lacks nothing

	Gone map[string]goneSender `json:"gone,omitempty"` // of senders that are not alive, by incarnation
}

// beats is what one heartbeat leaves to the next.
type beats struct {
	number    int64
	confirmed int64     // the last one that Redis has confirmed; 0: none
	at        time.Time // when
	joined    time.Time // when the first one of this process was

	mu sync.Mutex
	ok bool // the last one worked
}

func (l *Link) describe() Member {
	m := l.opts.Describe()
	m.Name, m.Incarnation = l.opts.Member, l.Incarnation()
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

// beat holds the lease and looks at the others.
func (l *Link) beat() {
	every := min(l.opts.Lease/beatsPerLease, maxBeatEvery)
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
			l.troubles.set(troubleBeat, err)
			if was {
				l.log.Warn("the link to Redis fails: messages for other members wait", slog.String("advice", Advise(err)), slog.Any(keyError, err))
			}
		default:
			l.troubles.clear(troubleBeat)
			if !was {
				l.log.Info("the link to Redis works again")
			}
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

// heartbeat tells the others of this member, and reads what they tell.
func (l *Link) heartbeat() error {
	ctx, cancel := context.WithTimeout(l.ctx, min(maxBeatTimeout, l.opts.Lease/2))
	defer cancel()
	b, me := &l.beats, l.Incarnation()
	position := l.in.at()
	if position == "" {
		// Before anybody can know of this member, so that it reads all that is
		// sent to it.
		newest, err := l.newestEntries(ctx)
		if err != nil {
			return err
		}
		position = l.in.start(newest)
	}
	b.mu.Lock()
	b.number++
	silent, confirmed := time.Since(b.at), b.confirmed
	b.mu.Unlock()
	text, err := json.Marshal(record{Member: l.describe(), Beat: b.number, Acks: l.in.acks(l.view.Load()), Last: l.outbox.last(), Gone: l.in.gone(l.view.Load())})
	if err != nil {
		return err
	}
	pipe := l.opts.Client.Pipeline()
	replaced := pipe.SetArgs(ctx, l.keys.record(me), text, redis.SetArgs{TTL: l.opts.Lease + l.opts.Keep, Get: true})
	held := pipe.Set(ctx, l.keys.lease(me), l.opts.Member, l.opts.Lease)
	added := pipe.SAdd(ctx, l.keys.members(), me)
	list := pipe.SMembers(ctx, l.keys.members())
	newest := pipe.XRevRangeN(ctx, l.keys.log(), "+", "-", 1)
	clock := pipe.Time(ctx)
	var info *redis.StringCmd
	if b.number%infoEvery == 1 {
		info = pipe.Info(ctx, "replication")
	}
	start := time.Now()
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	if clock.Err() == nil {
		half := time.Since(start) / 2
		l.counts.clock.Store(int64(clock.Val().Sub(start.Add(half))))
	}
	if info != nil && info.Err() == nil {
		l.counts.replicas.Store(replicas(info.Val()))
	}
	old, err := replaced.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return l.mend(ctx, l.keys.record(me), err)
	}
	if err := errors.Join(
		l.mend(ctx, l.keys.lease(me), held.Err()), l.mend(ctx, l.keys.members(), added.Err()),
		l.mend(ctx, l.keys.members(), list.Err()), l.mend(ctx, l.keys.log(), newest.Err()),
	); err != nil {
		return err
	}
	l.compare(old, confirmed, silent)
	l.inspect(newest.Val(), position)
	if err := l.look(ctx, list.Val()); err != nil {
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

// newestEntries are the last entries of the log, the newest first: more than the
// members send between two heartbeats, as a rule.
func (l *Link) newestEntries(ctx context.Context) ([]redis.XMessage, error) {
	list, err := l.opts.Client.XRevRangeN(ctx, l.keys.log(), "+", "-", readCount).Result()
	return list, l.mend(ctx, l.keys.log(), err)
}

// compare holds what Redis had of this member against what it has confirmed: one
// that comes back without its latest data has lost entries too.
func (l *Link) compare(old string, confirmed int64, silent time.Duration) {
	var before record
	if old != "" && json.Unmarshal([]byte(old), &before) != nil {
		l.unreadable("member")
	}
	switch {
	case confirmed == 0, before.Incarnation == l.Incarnation() && before.Beat >= confirmed:
		return
	case old == "" && silent >= l.opts.Lease+l.opts.Keep-maxBeatTimeout:
		l.log.Error("this member was cut off for so long that the others took it for dead: its sockets are registered again", slog.Duration(keyDuration, silent))
	default:
		l.counts.losses.Add(1)
		l.log.Warn("Redis has lost data: what the other members may lack is sent again", slog.Bool("all", old == ""))
		l.counts.resent.Add(int64(l.outbox.rewind(0)))
		l.in.again()
	}
	signal(l.rebuild)
}

// inspect looks whether the log is there, and goes on behind what this member
// has read.
func (l *Link) inspect(newest []redis.XMessage, position string) {
	switch {
	case len(newest) == 0:
		l.logLost()
	case compareIDs(newest[0].ID, position) < 0:
		// Its ids run behind: those to come could be before what was read.
		l.counts.losses.Add(1)
		l.log.Warn("the log of the cluster in Redis was replaced: it is read from its beginning")
		l.in.again()
	}
}
