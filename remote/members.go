package remote

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

// maxMembers bounds what a broken Redis can make this member remember.
const maxMembers = 10_000

// stallAfter is how long a member that lives may have acknowledged nothing of
// what it lacks until that is posted again: an acknowledgement takes two
// heartbeats, of the one and of the other.
const stallAfter = 4 * maxBeatEvery

// view is what this member knows of the cluster since its last heartbeat. It is
// not changed.
type view struct {
	at      time.Time        // zero: never
	members map[string]*seen // by incarnation, this one included
}

// seen is a member in a view.
type seen struct {
	record
	alive   bool
	changed time.Time // when its beat was seen to change
	lost    time.Time // since when its lease is over; zero: it is not
	missing time.Time // since when it has no record, and never had; zero: it had

	arrived   map[string]uint64 // Acks of the beat before the last: its clients have had the time to get those entries
	arrivedAt time.Time         // when that beat was seen to change; zero: there is none

	acked  uint64    // the last of our entries that it has taken
	moved  time.Time // when that was seen to change, or to be all
	nudged time.Time // when the rest was posted again
}

// Members lists the members that are alive, or were within the last lease time,
// this one included. status is "ok" or "degraded".
func (l *Link) Members() (list []Member, status string) {
	v, now := l.view.Load(), time.Now()
	me := l.Incarnation()
	for id, m := range v.members {
		if id == me || !m.alive && (m.lost.IsZero() || now.Sub(m.lost) > l.opts.Lease) {
			continue
		}
		member := m.Member
		member.Alive, member.Age = m.alive, now.Sub(m.changed)
		list = append(list, member)
	}
	self := l.describe()
	self.Alive, self.Self = true, true
	list = append(list, self)
	status = "ok"
	if l.Problem() != "" {
		status = "degraded"
	}
	return list, status
}

// others is how many other members are alive.
func (l *Link) others() (n int) {
	me := l.Incarnation()
	for id, m := range l.view.Load().members {
		if id != me && m.alive {
			n++
		}
	}
	return n
}

// look reads what the others tell of themselves. A member that was seen is known
// until it says that it has left, or its lease has been over for Options.Keep by
// the clock of this one: whatever Redis forgets, what is meant for it is kept.
func (l *Link) look(ctx context.Context, listed []string) error {
	if len(listed) > maxMembers {
		return errors.New("Redis names more members than a cluster can have: is the key " + l.keys.members() + " used by something else?")
	}
	old := l.view.Load()
	ids := listed
	known := make(map[string]bool, len(listed))
	for _, id := range listed {
		known[id] = true
	}
	for id := range old.members {
		if !known[id] {
			ids = append(ids, id)
		}
	}
	records, leases, err := l.records(ctx, ids)
	if err != nil {
		return err
	}
	now := time.Now()
	v := &view{at: now, members: make(map[string]*seen, len(ids))}
	for i, id := range ids {
		before := old.members[id]
		m := &seen{changed: now, moved: now}
		if before != nil {
			*m = *before
		}
		text, _ := records[i].(string)
		var r record
		switch {
		case text == "":
			if before == nil {
				m.missing, m.lost = now, now
			}
		case json.Unmarshal([]byte(text), &r) != nil:
			l.unreadable("member")
			if before == nil {
				continue
			}
		default:
			if before != nil && r.Beat != before.Beat {
				m.arrived, m.arrivedAt = before.Acks, before.changed
			}
			if before == nil || r.Beat != before.Beat {
				m.changed = now
			}
			m.record, m.missing = r, time.Time{}
			if old.at.IsZero() && id != l.Incarnation() {
				l.in.join(id, r.Last, now)
			}
		}
		m.Incarnation = id
		if m.Left {
			l.leftBy(id, before, m)
			continue
		}
		// A lease that Redis has lost is not over, and one that a clock which was set
		// back prolongs is.
		m.alive = m.missing.IsZero() && now.Sub(m.changed) < l.opts.Lease+maxBeatEvery &&
			(leases[i] != nil || before != nil && before.alive && now.Sub(m.changed) < l.opts.Lease)
		switch {
		case m.alive:
			m.lost = time.Time{}
		case m.lost.IsZero():
			m.lost = now
		}
		v.members[id] = m
		l.tell(before, m, old.at.IsZero())
		switch {
		case !m.missing.IsZero():
			if now.Sub(m.missing) > 2*l.opts.Lease {
				l.reap(ctx, id, m.Name)
				delete(v.members, id)
			}
		case !m.alive && now.Sub(m.lost) > l.opts.Keep:
			l.dropped(dropDead, l.outbox.lacking(m.acked), id)
			l.reap(ctx, id, m.Name)
			delete(v.members, id)
		}
	}
	l.collect(v)
	l.witness(v)
	l.view.Store(v)
	l.gaps(v)
	return nil
}

// leftBy notes that a member has ended.
func (l *Link) leftBy(id string, before, m *seen) {
	if before == nil {
		return
	}
	if id != l.Incarnation() && before.alive && l.opts.Seen != nil {
		l.opts.Seen(SeenLeft, m.Member)
	}
	l.dropped(dropGone, l.outbox.lacking(m.Acks[l.Incarnation()]), id)
	if id != l.Incarnation() {
		l.in.settled(id, m.Last)
		l.told(id, m.Last, time.Now())
	}
}

// collect forgets what the others have acknowledged, and posts again what one
// lacks that lives.
func (l *Link) collect(v *view) {
	me, now := l.Incarnation(), v.at
	last := l.outbox.last()
	var debtors []debtor
	var names []string
	again := uint64(0)
	for id, m := range v.members {
		if id == me || !m.missing.IsZero() {
			continue
		}
		acked := max(m.acked, min(m.Acks[me], last)) // Redis may come back with an older record
		if acked != m.acked || acked == last {
			m.moved, m.nudged = now, now
		}
		m.acked = acked
		if m.alive && acked < last && now.Sub(m.nudged) > stallAfter {
			m.nudged = now
			if again == 0 || acked+1 < again {
				again = acked + 1
			}
		}
		names = append(names, id)
		debtors = append(debtors, debtor{acked, m.alive && now.Sub(m.moved) <= l.opts.Lease})
	}
	for i, n := range l.outbox.trim(debtors, l.opts.Buffered()) {
		l.dropped(dropFull, n, names[i])
	}
	if again > 0 {
		l.counts.resent.Add(int64(l.outbox.rewind(again)))
	}
}

// dropped counts messages that a member will never get.
func (l *Link) dropped(why int, n int64, incarnation string) {
	if n <= 0 {
		return
	}
	l.counts.dropped[why].Add(n)
	l.once(drops[why], "messages for another member are dropped", slog.String("reason", drops[why]), slog.String(keyIncarnation, incarnation), slog.Int64(keyCount, n))
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
		l.log.Warn("member lost: its lease is over; what it lacks is kept for a while", attrs...)
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
