package remote

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// A member that was cut off while a sender ended, and comes back to a Redis
// without its entries, cannot be sent them again and would not know that there
// were any. So each member tells in its record how far it has taken the entries
// of senders that are gone: who lacks some of them knows it from the others.

// maxGone bounds the senders that are gone of which a record tells, those whose
// entries were taken last: a restart of each of 16 members.
const maxGone = 16

// goneSender is what a member has taken of a sender that is not alive.
type goneSender struct {
	Last uint64 `json:"n"` // number of the last entry
	Ago  int64  `json:"t"` // milliseconds since it was taken
}

// gone are the senders that are not alive in the view.
func (in *inbox) gone(v *view) map[string]goneSender {
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	var ids []string
	for id, s := range in.sources {
		if m := v.members[id]; (m == nil || !m.alive) && !s.took.IsZero() && now.Sub(s.took) < rememberFor {
			ids = append(ids, id)
		}
	}
	if len(ids) > maxGone {
		slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(now.Sub(in.sources[a].took), now.Sub(in.sources[b].took)) })
		ids = ids[:maxGone]
	}
	list := make(map[string]goneSender, len(ids))
	for _, id := range ids {
		s := in.sources[id]
		list[id] = goneSender{s.last, now.Sub(s.took).Milliseconds()}
	}
	return list
}

// witness notes what the records of a view say of senders that are not alive.
func (l *Link) witness(v *view) {
	for id, m := range v.members {
		switch {
		case id == l.Incarnation():
		case m.alive:
			for origin, number := range m.Acks {
				l.in.settled(origin, number)
			}
			for origin, g := range m.Gone {
				l.in.settled(origin, g.Last)
				if s := v.members[origin]; len(origin) == incarnationLen && (s == nil || !s.alive) && g.Ago >= 0 {
					l.told(origin, g.Last, m.changed.Add(-time.Duration(g.Ago)*time.Millisecond))
				}
			}
		case l.in.heardOf(id):
			l.told(id, m.Last, m.changed)
		}
	}
}

// told notes that the entries of a sender up to last were taken at a time, or
// soon before. Those from before this process started are not for it: a record
// may be as old as a lease and a heartbeat when it is read.
func (l *Link) told(origin string, last uint64, at time.Time) {
	if origin == l.Incarnation() || at.Before(l.started.Add(l.opts.Lease+maxBeatEvery)) {
		return
	}
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	s := l.in.sources[origin]
	if s == nil {
		s = l.in.expect(origin, time.Now())
	}
	if last <= s.last {
		return
	}
	if s.told <= s.last {
		s.toldAt = time.Now()
	}
	s.told = max(s.told, last)
}

// goesOn looks, after a time in which the log could not be read, whether it still
// has the entry that was read last. Where it has not, nobody may be left to send
// again what a sender that has ended meanwhile had there.
func (l *Link) goesOn(ctx context.Context, key string) error {
	l.in.mu.Lock()
	last, silent, failed := l.in.newest, time.Since(l.in.read), l.in.failed
	l.in.mu.Unlock()
	if silent <= readBlock+readSlack && !failed {
		return nil
	}
	there := false
	if last != beginning {
		list, err := l.opts.Client.XRangeN(ctx, key, last, last, 1).Result()
		if err != nil {
			return l.mend(ctx, key, err)
		}
		there = len(list) > 0
	}
	v, now := l.view.Load(), time.Now()
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	l.in.read, l.in.failed = now, false
	for id, m := range v.members {
		ended := !m.alive && m.lost.Before(now.Add(-silent)) // before: all that it had sent could be read
		if s := l.in.sources[id]; !there && !ended && s != nil && !s.took.IsZero() {
			s.doubt, s.doubtAt = true, now
		}
	}
	return nil
}

// settled notes that another member, which lives, has taken the entries of a
// sender up to number and knows of none behind.
func (in *inbox) settled(origin string, number uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := in.sources[origin]; s != nil && number <= s.last {
		s.doubt = false
	}
}

// heardOf reports whether an entry of a sender was taken.
func (in *inbox) heardOf(origin string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.sources[origin]
	return s != nil && !s.took.IsZero()
}
