package websockets

import (
	"encoding/binary"

	"github.com/seed47708276/sluice/websockets/trace"
)

// The opcodes of RFC 6455 that the server builds frames of.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
)

const finBit = 0x80

// outgoing is a whole frame that waits to be written, shared by all sockets that
// get it.
type outgoing struct {
	data []byte
	born int64 // Unix nanoseconds of a service message, 0 for anything else
	// topic and key are the name and Message.Conflate of a message that may be
	// given up for a newer one; "" for anything else.
	topic, key string
	trace      *trace.Record // of a service message; nil for anything else
}

// queued is a frame in the queue of a socket.
type queued struct {
	*outgoing
	index uint64 // in the history of the user; 0: it is in none
}

// appendFrame appends one unmasked, unfragmented frame.
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, finBit|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, byte(n))
	case n <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}

// textFrame is a text frame of its own.
func textFrame(payload []byte) []byte {
	return appendFrame(make([]byte, 0, len(payload)+10), opText, payload)
}

// closeFrame is a close frame. reason has at most 123 bytes.
func closeFrame(code uint16, reason string) []byte {
	return appendFrame(nil, opClose, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}
