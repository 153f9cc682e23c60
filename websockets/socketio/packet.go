package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// Type is the first character of a packet.
type Type byte

// The types of docs/reference/socketio.md#socketio-packets. ConnectError is
// called ERROR in protocol 4.
const (
	Connect      Type = '0'
	Disconnect   Type = '1'
	Event        Type = '2'
	Ack          Type = '3'
	ConnectError Type = '4'
	BinaryEvent  Type = '5'
	BinaryAck    Type = '6'
)

// The bounds of a packet. Real clients stay far below them; the reference
// servers had to add such bounds after attacks
// (docs/reference/attacks.md#socketio, W11, W14, W15).
const (
	// MaxNamespace is in bytes, with the query that protocol 4 allows.
	MaxNamespace = 255
	// MaxAttachments is the reference's bound since CVE-2026-33151.
	MaxAttachments = 10
	// MaxAckID is the largest integer that every client can count to.
	MaxAckID = 1<<53 - 1
)

// Main is the namespace that every server has.
const Main = "/"

// ErrPacket is returned for a message that is no packet.
var ErrPacket = errors.New("malformed Socket.IO packet")

// Packet is one packet: <type>[<attachments>-][<namespace>,][<ack id>][<json>].
type Packet struct {
	Type        Type
	Attachments int    // number of binary frames that follow: 1 to MaxAttachments in BinaryEvent and BinaryAck, else 0
	Namespace   string // starts with "/"; a query that protocol 4 allows is still there
	HasID       bool
	ID          uint64 // ack id, at most MaxAckID
	Data        json.RawMessage
}

// binary reports whether attachments follow the packet.
func (p *Packet) binary() bool { return p.Type == BinaryEvent || p.Type == BinaryAck }

// Decode reads one packet. Data is a part of message, is valid JSON in UTF-8
// when it is there, nests at most MaxDepth levels, and has the shape that its
// type wants: an array for events and acks, with a text that is not Reserved as
// an event's first element; an object for CONNECT, a text or object for
// CONNECT_ERROR; nothing for DISCONNECT. A binary packet has one placeholder
// for each of its attachments. Anything else returns ErrPacket.
func Decode(message []byte) (Packet, error) {
	if len(message) == 0 || message[0] < byte(Connect) || message[0] > byte(BinaryAck) {
		return Packet{}, ErrPacket
	}
	p := Packet{Type: Type(message[0]), Namespace: Main}
	rest := message[1:]
	if p.binary() {
		n, after, ok := number(rest, MaxAttachments)
		// None at all is CVE-2026-69185.
		if !ok || n == 0 || len(after) == 0 || after[0] != '-' {
			return Packet{}, ErrPacket
		}
		p.Attachments, rest = int(n), after[1:]
	}
	if len(rest) > 0 && rest[0] == '/' {
		// A namespace without anything behind it may come without its comma.
		ns, after, _ := bytes.Cut(rest, []byte{','})
		if len(ns) > MaxNamespace || !utf8.Valid(ns) {
			return Packet{}, ErrPacket
		}
		p.Namespace, rest = string(ns), after
	}
	if len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9' {
		id, after, ok := number(rest, MaxAckID)
		if !ok {
			return Packet{}, ErrPacket
		}
		p.HasID, p.ID, rest = true, id, after
	}
	if len(rest) > 0 {
		p.Data = json.RawMessage(rest[:len(rest):len(rest)])
	}
	if !p.shapely() {
		return Packet{}, ErrPacket
	}
	return p, nil
}

// number reads decimal digits up to limit. It wants at least one.
func number(b []byte, limit uint64) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		n = n*10 + uint64(b[i]-'0')
		if n > limit {
			return 0, nil, false
		}
		i++
	}
	return n, b[i:], i > 0
}

// shapely reports whether ack id and data are those that the type allows.
func (p *Packet) shapely() bool {
	if p.Data != nil && !validJSON(p.Data, p.Attachments) {
		return false
	}
	switch p.Type {
	case Disconnect:
		return !p.HasID && p.Data == nil
	case Connect:
		return !p.HasID && (p.Data == nil || p.Data[0] == '{')
	case ConnectError:
		return !p.HasID && (p.Data == nil || p.Data[0] == '{' || p.Data[0] == '"')
	case Event, BinaryEvent:
		quoted, _, ok := eventName(p.Data)
		return ok && !reservedText(quoted)
	default: // Ack, BinaryAck
		return p.HasID && len(p.Data) > 0 && p.Data[0] == '['
	}
}

// Reserved reports whether an event name belongs to the libraries, which would
// take it for a change of the connection. Neither side may send one.
func Reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	default:
		return false
	}
}

// reservedText is Reserved for a valid JSON string.
func reservedText(quoted []byte) bool {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		return Reserved(unquote(quoted))
	}
	return Reserved(string(quoted[1 : len(quoted)-1]))
}

// Append appends the text form of the packet to dst.
func (p Packet) Append(dst []byte) []byte {
	dst = append(dst, byte(p.Type))
	if p.binary() {
		dst = append(strconv.AppendInt(dst, int64(p.Attachments), 10), '-')
	}
	if p.Namespace != Main && p.Namespace != "" {
		dst = append(append(dst, p.Namespace...), ',')
	}
	if p.HasID {
		dst = strconv.AppendUint(dst, p.ID, 10)
	}
	return append(dst, p.Data...)
}
