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

// The types of spec/peers.md 2.3. ConnectError is called ERROR in protocol 4.
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
// servers had to add such bounds after attacks (faults.md, W11, W14, W15).
const (
	MaxNamespace   = 255 // bytes of a namespace with its query
	MaxAttachments = 16  // binary frames announced by one packet
	MaxAckID       = 1<<53 - 1
	// MaxDepth bounds nested arrays and objects, so that no reader of the
	// arguments has to recurse deeper.
	MaxDepth = 64
)

// Main is the namespace this server has.
const Main = "/"

// ErrPacket is returned for a message that is no packet.
var ErrPacket = errors.New("malformed Socket.IO packet")

// Packet is one packet: <type>[<attachments>-][<namespace>,][<ack id>][<json>].
type Packet struct {
	Type        Type
	Attachments int    // number of binary frames that follow; BinaryEvent and BinaryAck only
	Namespace   string // starts with "/"; a query that protocol 4 allows is still there
	HasID       bool
	ID          uint64 // ack id, at most MaxAckID
	Data        json.RawMessage
}

// Decode reads one packet. Data is a part of message, is valid JSON in UTF-8
// when it is there, and has the shape that its type wants: an array for events
// and acks, with a text as an event's first element; a text or object for
// CONNECT and CONNECT_ERROR; nothing for DISCONNECT. Anything else returns
// ErrPacket.
func Decode(message []byte) (Packet, error) {
	if len(message) == 0 || message[0] < byte(Connect) || message[0] > byte(BinaryAck) {
		return Packet{}, ErrPacket
	}
	p := Packet{Type: Type(message[0]), Namespace: Main}
	rest := message[1:]
	if p.Type == BinaryEvent || p.Type == BinaryAck {
		n, after, ok := number(rest, MaxAttachments)
		if !ok || len(after) == 0 || after[0] != '-' {
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
	if p.Data != nil && !validJSON(p.Data) {
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
		name, _, ok := split(p.Data)
		return ok && !Reserved(name)
	default: // Ack, BinaryAck
		return p.HasID && len(p.Data) > 0 && p.Data[0] == '['
	}
}

// validJSON holds data against the grammar, UTF-8 and MaxDepth. The first
// byte of a value that passes is the first byte of data.
func validJSON(data []byte) bool {
	if data[0] <= ' ' || !utf8.Valid(data) {
		return false
	}
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return false
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return json.Valid(data)
}

// split parts an event's array into its name and the array of the arguments
// behind it. It reports false when data is no array that starts with a text.
// data must be valid JSON or empty.
func split(data json.RawMessage) (name string, args json.RawMessage, ok bool) {
	if len(data) == 0 || data[0] != '[' {
		return "", nil, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return "", nil, false
	}
	t, err := d.Token()
	if err != nil {
		return "", nil, false
	}
	name, ok = t.(string)
	if !ok {
		return "", nil, false
	}
	rest := bytes.TrimSpace(data[d.InputOffset():])
	if rest[0] == ',' {
		rest = rest[1:]
	}
	return name, append(json.RawMessage{'['}, rest...), true
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

// Append appends the text form of the packet to dst.
func (p Packet) Append(dst []byte) []byte {
	dst = append(dst, byte(p.Type))
	if p.Type == BinaryEvent || p.Type == BinaryAck {
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
