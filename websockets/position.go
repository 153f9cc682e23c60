package websockets

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Every member numbers what it accepts, and the link numbers what it carries. A
// position is how far somebody has got in both: it means the same on every
// member, whatever Redis loses, so that a client may come back to any of them.

// Stamp is which message of another member a message is. The zero value stands
// for one that is accepted here.
type Stamp struct {
	Origin string // incarnation of the member that accepted it
	Number uint64 // that it gave the message, the highest of equal ones that were merged; 0: none
	Place  uint64 // in what the link carries of that member, see PlaceOf
}

// placeBits is room for the messages of one entry of the link.
const placeBits = 10

// PlaceOf is the place of a message in an entry of the link, which has fewer than
// 1023 messages; line counts from 0.
func PlaceOf(entry uint64, line int) uint64 { return entry<<placeBits | uint64(line+1) }

// endOf is the place behind all messages of an entry.
func endOf(entry uint64) uint64 { return entry<<placeBits | (1<<placeBits - 1) }

// Position is how far somebody has got in the messages of one member: those up to
// a place of the link, and those that the member had numbered up to Number when
// the client was connected to it.
type Position struct{ Place, Number uint64 }

// Positions are those of all members, by incarnation.
type Positions map[string]Position

// has reports whether a message lies before the positions.
func (p Positions) has(m *stamp) bool {
	at, ok := p[m.origin]
	if !ok {
		return false
	}
	place := m.place.Load()
	return place != 0 && place <= at.Place || m.number != 0 && m.number <= at.Number
}

func (p Positions) clone() Positions {
	if p == nil {
		return Positions{}
	}
	return maps.Clone(p)
}

// stamp is which message a kept message is. That of a message accepted here gets
// its place when the link carries it.
type stamp struct {
	origin string
	number uint64
	place  atomic.Uint64
}

// Accepted is the number of a message that was accepted here. Whoever carries it
// to other members sends the number along, and says where it was placed.
type Accepted struct{ stamp *stamp }

// Number is 0 where the message was not delivered here.
func (a Accepted) Number() uint64 {
	if a.stamp == nil {
		return 0
	}
	return a.stamp.number
}

// Placed notes the place of the message in what the link carries.
func (a Accepted) Placed(entry uint64, line int) {
	if a.stamp != nil {
		a.stamp.place.Store(PlaceOf(entry, line))
	}
}

// numbers gives messages theirs, and knows which have not reached every socket.
type numbers struct {
	mu     sync.Mutex
	last   uint64
	flying []uint64 // given, and not delivered yet; ascending
}

func (n *numbers) take() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	n.flying = append(n.flying, n.last)
	return n.last
}

func (n *numbers) delivered(number uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, f := range n.flying {
		if f == number {
			n.flying = append(n.flying[:i], n.flying[i+1:]...)
			return
		}
	}
}

// through is the highest number up to which all messages have been delivered.
func (n *numbers) through() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.flying) > 0 {
		return n.flying[0] - 1
	}
	return n.last
}

// offsetPrefix makes an offset recognisable as ours.
const offsetPrefix = "sluice:"

// maxOffset bounds an offset, and a pid, that a client may send.
const maxOffset = 128

// offset names a message for clients. The number of a message that has none is
// its place, which is set before anybody gets it.
func (m *stamp) offset() string {
	if m.number == 0 {
		return offsetPrefix + m.origin + "/" + strconv.FormatUint(m.place.Load(), 36)
	}
	return offsetPrefix + m.origin + "-" + strconv.FormatUint(m.number, 36)
}

// validOffset reports whether a text can be an offset.
func validOffset(text string) bool {
	return strings.HasPrefix(text, offsetPrefix) && printable(text, maxOffset)
}
