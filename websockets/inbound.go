package websockets

import (
	"math"
	"unicode/utf8"
)

// inbound follows the frames of a client in the stream of its bytes (RFC 6455,
// section 5.2): coder/websocket does not tell of fragments, and looks at a
// message when all of it is there. So the frames are counted here, and a message
// that is too large or no UTF-8 is noticed as soon as it can be known. What
// breaks the protocol otherwise is left to the library, which has the right code
// for it. The zero value is at the start of a connection.
type inbound struct {
	head [14]byte // of the frame that comes
	have int      // bytes of head
	skip uint64   // bytes of the payload that have not come

	size     uint64 // bytes of the message, with the frame that comes
	key      [4]byte
	at       int                   // place in key
	begun    [utf8.UTFMax - 1]byte // of a character that is not whole yet
	nBegun   int                   // bytes of it
	open     bool                  // a message has begun
	text     bool                  // which is one of text
	ours     bool                  // the payload that comes belongs to it
	final    bool                  // and its frame is the last
	ignoring bool                  // the library will close, or has been told to
}

// count returns how many frames begin to carry their payload, or end without
// one, in the bytes that follow those of the last call; and why the socket must
// close, where that is known: CauseTooBig for a message beyond limit, CauseText
// for one of text that is no UTF-8.
func (c *inbound) count(p []byte, limit uint64) (frames int, bad Cause) {
	for len(p) > 0 {
		if c.skip > 0 {
			n := min(c.skip, uint64(len(p)))
			if c.ours && c.text && !c.ignoring && !c.valid(p[:n]) {
				c.ignoring, bad = true, CauseText
			}
			c.skip -= n
			p = p[n:]
			if c.skip == 0 {
				c.over()
			}
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
		if c.head[1]&maskBit != 0 {
			whole += len(c.key)
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
		if !c.ignoring && !c.begin(length, 2+extended, limit) {
			c.ignoring, bad = true, CauseTooBig
		}
		if length == 0 {
			c.over()
		}
	}
	return frames, bad
}

// The bits of a frame's first two bytes.
const (
	opcodeBits   = 0x0f
	reservedBits = 0x70
	maskBit      = 0x80
	opContinue   = 0x0
	opPong       = 0xA
)

// begin looks at the head of a frame, whose key is at a place of it. It reports
// whether the message stays within the limit.
func (c *inbound) begin(length uint64, key int, limit uint64) bool {
	opcode := c.head[0] & opcodeBits
	c.ours = false
	if (opcode == opPing || opcode == opPong) && c.head[0]&^opcodeBits == finBit && c.head[1]&maskBit != 0 && length < 126 {
		return true // which may stand between fragments
	}
	// A close ends what is looked at, and so does what the library refuses.
	starts := opcode == opText || opcode == opBinary
	if c.head[0]&reservedBits != 0 || c.head[1]&maskBit == 0 || starts == c.open || !starts && opcode != opContinue || length > math.MaxInt64 {
		c.ignoring = true
		return true
	}
	if starts {
		c.text, c.size, c.nBegun = opcode == opText, 0, 0
	}
	c.open, c.ours, c.final, c.at = true, true, c.head[0]&finBit != 0, 0
	copy(c.key[:], c.head[key:])
	c.size += length
	return length <= limit && c.size <= limit
}

// over ends a frame.
func (c *inbound) over() {
	if c.ours && c.final {
		c.open = false
	}
	c.ours = false
}

// unmaskedBytes is how many bytes are looked at at once.
const unmaskedBytes = 512

// valid reports whether the text may still become valid with what follows.
func (c *inbound) valid(p []byte) bool {
	var buf [utf8.UTFMax - 1 + unmaskedBytes]byte
	for len(p) > 0 {
		n := copy(buf[:], c.begun[:c.nBegun])
		part := p[:min(len(p), unmaskedBytes)]
		p = p[len(part):]
		for _, b := range part {
			buf[n] = b ^ c.key[c.at&3]
			n++
			c.at++
		}
		whole := n - cut(buf[:n])
		if !utf8.Valid(buf[:whole]) {
			return false
		}
		c.nBegun = copy(c.begun[:], buf[whole:n])
	}
	return true
}

// cut is how many bytes at the end begin a character that is not whole. What
// can become none counts as whole.
func cut(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if end := b[len(b)-i:]; utf8.RuneStart(end[0]) {
			if utf8.FullRune(end) {
				return 0
			}
			return i
		}
	}
	return 0
}
