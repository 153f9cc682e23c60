package engineio

import (
	"encoding/json"
	"errors"
	"fmt"
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
// exactly "4" is version 4, anything else or nothing is version 3 (spec 7.1).
func ParseVersion(eio string) Version {
	if eio == "4" {
		return V4
	}
	return V3
}

// Type is the first character of a packet.
type Type byte

// The types of spec/peers.md section 2.
const (
	Open    Type = '0'
	Close   Type = '1'
	Ping    Type = '2'
	Pong    Type = '3'
	Message Type = '4'
	Upgrade Type = '5'
	Noop    Type = '6'
)

// Packet is one packet of a text frame. Data is what follows the type.
type Packet struct {
	Type Type
	Data []byte
}

// ErrPacket is returned for a text frame that is no packet.
var ErrPacket = errors.New("malformed Engine.IO packet")

// Decode reads the packet of one text frame. Data is a part of frame. It
// returns ErrPacket for an empty frame and for an unknown type.
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

// Settings are what the server tells the client in the open packet. Both
// durations are above 0 and are sent in milliseconds; MaxPayload is in bytes.
type Settings struct {
	PingInterval time.Duration
	PingTimeout  time.Duration
	MaxPayload   int64
}

// openPacket has the keys in the order that the reference servers write them;
// maxPayload belongs to version 4 only.
type openPacket struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int64    `json:"pingInterval"`
	PingTimeout  int64    `json:"pingTimeout"`
	MaxPayload   int64    `json:"maxPayload,omitempty"`
}

// appendOpen appends the open packet. upgrades is always empty: a client that
// is offered "websocket" opens a second socket (spec/peers.md 1.4).
func appendOpen(dst []byte, v Version, sid string, s Settings) []byte {
	p := openPacket{
		SID:          sid,
		Upgrades:     []string{},
		PingInterval: s.PingInterval.Milliseconds(),
		PingTimeout:  s.PingTimeout.Milliseconds(),
	}
	if v == V4 {
		p.MaxPayload = s.MaxPayload
	}
	data, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("engineio: open packet: %v", err)) // strings and integers always marshal
	}
	return append(append(dst, byte(Open)), data...)
}
