// Package trace remembers what became of the last messages of each user, also
// after the sockets are gone. It keeps no payloads.
package trace

import (
	"math"
	"sync/atomic"
	"time"
)

// Key is whom a message was for. User 0 is everybody in Context, Context 0
// everybody.
type Key struct{ Context, User uint32 }

// Outcome is why a message went no further on this member.
type Outcome uint8

// The outcomes.
const (
	Queued    Outcome = iota // it went to the sockets that fitted
	NoSocket                 // nobody had a socket here
	Disabled                 // the cascade says no for this user
	Duplicate                // a message with this id was taken before
	Merged                   // an equal message waited, which stands for both
	outcomes
)

// String is the outcome's name in answers.
func (o Outcome) String() string {
	if o >= outcomes {
		return "unknown"
	}
	return [...]string{"queued", "no_socket", "disabled", "duplicate", "merged"}[o]
}

// Record is one message. The fields up to Muted are set before it is added and
// do not change afterwards; the rest is counted by the sockets.
type Record struct {
	Key  Key
	ID   string
	From string // the member that accepted it
	// Topic is the name of the event.
	Topic string
	At    time.Time
	// Also are the ids of equal messages that this one stands for.
	Also    []string
	Outcome Outcome

	// Sockets is on how many it was queued; the others are those that it was not
	// queued on, by reason.
	Sockets int32
	Paths   int32 // of another path
	Source  int32 // the one that has caused it
	Slow    int32 // whose queue was full, which closed them
	Left    int32 // that were closing, or had left the namespace
	Muted   int32 // of a user who is switched off and keeps them

	conflated atomic.Int32
	unsent    atomic.Int32
	proof     atomic.Pointer[Proof]

	// Of the memory's order, under its lock.
	before, after *Record
	size          int
}

// Conflated counts a socket on which the message was given up for a newer one.
func (r *Record) Conflated() {
	if r != nil {
		r.conflated.Add(1)
	}
}

// Unsent counts a socket that ended before the message was written.
func (r *Record) Unsent() {
	if r != nil {
		r.unsent.Add(1)
	}
}

// Proof is what is known of a message's arrival, of all sockets that were asked.
type Proof struct {
	Asked   atomic.Int32 // sockets
	Unasked atomic.Int32 // that could not be asked: too many confirmations are out
	Gone    atomic.Int32 // that ended, or did not answer in time
	Done    atomic.Int32 // that have answered all that they can
	Browser Stage
	Page    Stage
}

// Stage is a place that messages arrive at.
type Stage struct {
	Sockets     atomic.Int32
	first, last atomic.Int64 // ns since the message was queued
}

// arrived counts a socket whose answer came after that time. The counter comes
// last, so that a reader that sees it sees the times.
func (s *Stage) arrived(after time.Duration) {
	ns := max(int64(after), 1) // 0 is none
	for {
		first := s.first.Load()
		if first != 0 && first <= ns || s.first.CompareAndSwap(first, ns) {
			break
		}
	}
	for {
		last := s.last.Load()
		if last >= ns || s.last.CompareAndSwap(last, ns) {
			break
		}
	}
	s.Sockets.Add(1)
}

// ArrivedBrowser and ArrivedPage count a socket's answer.
func (p *Proof) ArrivedBrowser(after time.Duration) { p.Browser.arrived(after) }

// ArrivedPage is ArrivedBrowser for the page.
func (p *Proof) ArrivedPage(after time.Duration) { p.Page.arrived(after) }

// Ask makes the record one whose arrival is asked for.
func (r *Record) Ask() *Proof {
	if p := r.proof.Load(); p != nil {
		return p
	}
	r.proof.CompareAndSwap(nil, &Proof{})
	return r.proof.Load()
}

// Arrival is a Stage at one moment.
type Arrival struct {
	Sockets     int
	First, Last time.Duration // of the first and the last socket
}

func (s *Stage) read() Arrival {
	n := int(s.Sockets.Load())
	return Arrival{n, time.Duration(s.first.Load()), time.Duration(s.last.Load())}
}

// Delivery is a Record at one moment.
type Delivery struct {
	Key     Key
	ID      string
	From    string
	Topic   string
	At      time.Time
	Also    []string
	Outcome Outcome

	Sockets, Paths, Source, Slow, Left, Muted int
	Conflated, Unsent                         int

	// Asked says how many sockets were asked whether it has come, Done how many of
	// them have answered all that they can, Gone how many will not; Unasked are
	// those that could not be asked.
	Asked, Done, Gone, Unasked int
	Browser, Page              Arrival
}

// Read returns what is known of a record now.
func (r *Record) Read() Delivery {
	d := Delivery{
		Key: r.Key, ID: r.ID, From: r.From, Topic: r.Topic, At: r.At, Also: r.Also, Outcome: r.Outcome,
		Sockets: int(r.Sockets), Paths: int(r.Paths), Source: int(r.Source), Slow: int(r.Slow), Left: int(r.Left), Muted: int(r.Muted),
		Conflated: int(r.conflated.Load()), Unsent: int(r.unsent.Load()),
	}
	if p := r.proof.Load(); p != nil {
		d.Asked, d.Unasked = int(p.Asked.Load()), int(p.Unasked.Load())
		d.Done, d.Gone = int(p.Done.Load()), int(p.Gone.Load())
		d.Browser, d.Page = p.Browser.read(), p.Page.read()
	}
	return d
}

// Count is a number of sockets as records hold it.
func Count(n int) int32 { return int32(min(n, math.MaxInt32)) }
