package websockets

import "time"

// What a client may send. The existing clients send a packet each 25 s and
// nothing else; these bounds are for clients that are broken or hostile.
const (
	inboundFrames      = 50  // a second, on average, fragments included
	inboundFramesBurst = 200 // and at once; below the default queue, which the answers must fit
	inboundBytes       = 256 << 10
	// inboundBytesBurst is added to twice the largest message.
	inboundBytesBurst = 1 << 20
)

// bucket is a token bucket. The zero value is full.
type bucket struct {
	used float64
	last time.Time
}

// take takes n tokens, of which rate come back each second, and reports
// whether there were as many.
func (b *bucket) take(n, rate, burst float64, now time.Time) bool {
	b.used = max(0, b.used-now.Sub(b.last).Seconds()*rate) + n
	b.last = now
	return b.used <= burst
}
