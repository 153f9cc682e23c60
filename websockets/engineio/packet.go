package engineio

import (
	"errors"
	"strconv"
	"time"
)

// Version is a version of the protocol.
type Version uint8

// The versions. V3 is what socket.io-client 1 and 2 speak, V4 what 3 and 4 do.
const (
	V3 Version = 3
	V4 Version = 4
)

// ParseVersion reads the query parameter EIO as the existing system does:
// exactly "4" is version 4, anything else or nothing is version 3
// (docs/reference/socketio.md#versions).
func ParseVersion(eio string) Version {
	if eio == "4" {
		return V4
	}
	return V3
}

// ParseVersionStrict reads the query parameter EIO as the protocol documents
// it: anything but "3" and "4" is no version (docs/reference/socketio.md#versions).
func ParseVersionStrict(eio string) (v Version, ok bool) {
	switch eio {
	case "3":
		return V3, true
	case "4":
		return V4, true
	default:
		return 0, false
	}
}

// Type is the first character of a packet.
type Type byte

// The types of docs/reference/socketio.md#packets.
const (
	Open    Type = '0'
	Close   Type = '1'
	Ping    Type = '2'
	Pong    Type = '3'
	Message Type = '4'
	Upgrade Type = '5'
	Noop    Type = '6'
)

// binaryMessage is the first byte of a binary frame in version 3: a message is
// all that can be binary. Version 4 has no such byte.
const binaryMessage = 4

// Packet is one packet of a text frame. Data is what follows the type.
type Packet struct {
	Type Type
	Data []byte
}

// ErrPacket is returned for a frame that is no packet.
var ErrPacket = errors.New("malformed Engine.IO packet")

// Decode reads the packet of one text frame. Data is a part of frame. It
// returns ErrPacket for an empty frame and for an unknown type; the base64
// form of binary data ("b...") belongs to long-polling and is unknown here.
func Decode(frame []byte) (Packet, error) {
	if len(frame) == 0 || frame[0] < byte(Open) || frame[0] > byte(Noop) {
		return Packet{}, ErrPacket
	}
	return Packet{Type(frame[0]), frame[1:]}, nil
}

// Append appends the text form of the packet to dst.
func (p Packet) Append(dst []byte) []byte {
	return append(append(dst, byte(p.Type)), p.Data...)
}

// DecodeBinary returns the data of the message in one binary frame, a part of
// frame. It returns ErrPacket when version 3's first byte is not there.
func (v Version) DecodeBinary(frame []byte) ([]byte, error) {
	if v != V3 {
		return frame, nil
	}
	if len(frame) == 0 || frame[0] != binaryMessage {
		return nil, ErrPacket
	}
	return frame[1:], nil
}

// AppendBinary appends the payload of the binary frame that carries data as a
// message.
func (v Version) AppendBinary(dst, data []byte) []byte {
	if v == V3 {
		dst = append(dst, binaryMessage)
	}
	return append(dst, data...)
}

// Settings are what the server tells the client in the open packet.
type Settings struct {
	// PingInterval is above 0 and sent in milliseconds.
	PingInterval time.Duration
	// PingTimeout is above 0 and sent in milliseconds.
	PingTimeout time.Duration
	// MaxPayload is above 0: the bytes of one frame of the client.
	MaxPayload int64
}

// appendOpen appends the open packet, its keys in the order in which the
// reference servers write them; maxPayload belongs to version 4 only. sid needs
// no escapes. upgrades is always empty: a client that is offered "websocket"
// opens a second socket (docs/reference/socketio.md#upgrades).
func appendOpen(dst []byte, v Version, sid string, s *Settings) []byte {
	dst = append(append(dst, byte(Open)), `{"sid":"`...)
	dst = append(append(dst, sid...), `","upgrades":[],"pingInterval":`...)
	dst = strconv.AppendInt(dst, s.PingInterval.Milliseconds(), 10)
	dst = strconv.AppendInt(append(dst, `,"pingTimeout":`...), s.PingTimeout.Milliseconds(), 10)
	if v != V3 {
		dst = strconv.AppendInt(append(dst, `,"maxPayload":`...), s.MaxPayload, 10)
	}
	return append(dst, '}')
}
