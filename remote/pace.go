package remote

import "time"

const (
	// postPace and readPace are the times between two posts and two reads of a
	// member that is always busy, as an average: 2,000 posts and 1,000 reads a
	// second. They bound what the members make Redis do, 20,000 posts and 10,000
	// reads a second for those above pacedMembers together.
	postPace     = 500 * time.Microsecond
	readPace     = time.Millisecond
	pacedMembers = 10
	// paceBurst is how many posts or reads may follow each other at once after a
	// pause. Below the pace nothing waits: the runtime's timers are late by about
	// a millisecond, which each message would have to bear.
	paceBurst = 16
	// ownReads is how many reads one counts as that brings only what this member
	// has sent itself.
	ownReads = 6
)

// pacer bounds how often something is done, and not how soon. What comes while
// it waits, or while the one before is under way, goes together.
type pacer struct {
	paid time.Time // what was done is paid for at this time
}

// rest is how long to wait now; 0 or less: not at all.
func (p *pacer) rest(pace time.Duration) time.Duration {
	return max(time.Until(p.paid), 0) - paceBurst*pace
}

// spent notes that something was done, which counts as n.
func (p *pacer) spent(pace time.Duration, n int) {
	if now := time.Now(); p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(time.Duration(n) * pace)
}

// shared is a pace among as many members as there are.
func (l *Link) shared(pace time.Duration) time.Duration {
	return pace * time.Duration(max(1+l.others(), pacedMembers)) / pacedMembers
}
