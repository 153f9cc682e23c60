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

// frameCounter counts the frames of a client in the stream of their bytes, since
// coder/websocket does not tell of fragments. The zero value is at the start.
type frameCounter struct {
	head [14]byte // of the frame that comes: RFC 6455 section 5.2
	have int      // bytes of head
	skip uint64   // bytes of the payload that have not come
}

// count returns how many frames begin to carry their payload, or end without
// one, in the bytes that follow those of the last call.
func (c *frameCounter) count(p []byte) (frames int) {
	for len(p) > 0 {
		if c.skip > 0 {
			n := min(c.skip, uint64(len(p)))
			c.skip -= n
			p = p[n:]
			continue
		}
		c.head[c.have] = p[0]
		c.have++
		p = p[1:]
		if c.have < 2 {
			continue
		}
		length, extended := uint64(c.head[1]&0x7f), 0
		switch length {
		case 126:
			extended = 2
		case 127:
			extended = 8
		}
		whole := 2 + extended
		if c.head[1]&0x80 != 0 {
			whole += 4
		}
		if c.have < whole {
			continue
		}
		if extended > 0 {
			length = 0
			for _, b := range c.head[2 : 2+extended] {
				length = length<<8 | uint64(b)
			}
		}
		c.skip, c.have = length, 0
		frames++
	}
	return frames
}
