package remote

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/shared"
)

const (
	// canaryEvery is the time between two canaries of a member. One reaches all
	// others, since all read one log.
	canaryEvery = time.Second
	// canaryLate is how long none of a living member may have come until it
	// counts as missed.
	canaryLate = 2500 * time.Millisecond
)

// canary is what is known of the canaries of another member.
type canary struct {
	first   time.Time // when it was seen to live
	heard   time.Time // when the last one came; zero: none did
	took    time.Duration
	missed  int64 // seconds in which one was due and none came
	late    bool
	seconds histogram
}

// Canary is how messages of another member come through, measured with one of
// its own each second.
type Canary struct {
	From        string         `json:"from"` // name of the sender
	Incarnation string         `json:"incarnation"`
	Late        bool           `json:"late"`   // none has come for canaryLate
	Age         time.Duration  `json:"age"`    // since the last one came, or since the sender was first seen
	Took        time.Duration  `json:"took"`   // of the last one, by the clock of Redis
	Missed      int64          `json:"missed"` // seconds without one, since this process started
	Seconds     shared.Latency `json:"-"`
}

// sing sends a canary each second, and looks whether those of the others come.
func (l *Link) sing() {
	for l.pause(canaryEvery) {
		if !l.joined().IsZero() {
			text, err := json.Marshal([]int64{l.redisTime().UnixMicro()})
			if err == nil {
				l.postToAllOrLog(parcel{Message: Message{Name: kindCanary, Args: string(text), Label: shared.Label{ID: newIncarnation()}}, Kind: kindCanary})
			}
		}
		l.miss()
	}
}

// redisTime is now by the clock of Redis, as far as it is known.
func (l *Link) redisTime() time.Time { return time.Now().Add(time.Duration(l.counts.clock.Load())) }

// hearCanary takes a canary.
func (l *Link) hearCanary(origin string, p *parcel) {
	var sent []int64
	if json.Unmarshal([]byte(p.Args), &sent) != nil || len(sent) != 1 {
		l.unreadable("canary")
		return
	}
	took := max(l.redisTime().Sub(time.UnixMicro(sent[0])), 0)
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	if s := l.in.sources[origin]; s != nil {
		s.canary.heard, s.canary.took, s.canary.late = time.Now(), took, false
		s.canary.seconds.observe(took)
	}
}

// miss counts the canaries that did not come.
func (l *Link) miss() {
	v, me, now := l.view.Load(), l.Incarnation(), time.Now()
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	for id, m := range v.members {
		if id == me || !m.alive {
			continue
		}
		s := l.in.sources[id]
		if s == nil {
			s = l.in.expect(id, now)
		}
		c := &s.canary
		if c.first.IsZero() {
			c.first = now
		}
		last := c.heard
		if last.Before(c.first) {
			last = c.first
		}
		if c.late = now.Sub(last) > canaryLate; c.late {
			c.missed++
		}
	}
}

// expect notes a member of which nothing was read yet. Its first entry tells
// from which on they are to be taken.
func (in *inbox) expect(id string, now time.Time) *source {
	s := &source{heard: now}
	if len(in.sources) < maxOrigins {
		in.sources[id] = s
	}
	return s
}

// Canaries are those of the other members that are alive, by name.
func (l *Link) Canaries() (list []Canary) {
	v, me, now := l.view.Load(), l.Incarnation(), time.Now()
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	for id, m := range v.members {
		s := l.in.sources[id]
		if id == me || !m.alive || s == nil || s.canary.first.IsZero() && s.canary.heard.IsZero() {
			continue
		}
		c := &s.canary
		last := c.heard
		if last.Before(c.first) {
			last = c.first
		}
		list = append(list, Canary{
			From: m.Name, Incarnation: id, Late: c.late, Age: now.Sub(last), Took: c.took, Missed: c.missed, Seconds: c.seconds.read(),
		})
	}
	slices.SortFunc(list, func(a, b Canary) int { return strings.Compare(a.From+a.Incarnation, b.From+b.Incarnation) })
	return list
}
