package remote

import (
	"cmp"
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
			for origin, g := range m.Gone {
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

// heardOf reports whether an entry of a sender was taken.
func (in *inbox) heardOf(origin string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.sources[origin]
	return s != nil && !s.took.IsZero()
}
