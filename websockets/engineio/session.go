package engineio

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"
)

// The ways in which a session ends, beside ErrPacket.
var (
	// ErrClosed: the client sent a close packet.
	ErrClosed = errors.New("closed by the client")
	// ErrTimeout: the peer gave no sign of life in time.
	ErrTimeout = errors.New("ping timeout")
	// ErrHeartbeat: a ping or pong came from the wrong side for the version.
	ErrHeartbeat = errors.New("invalid heartbeat direction")
	// ErrTooBig: a frame over MaxPayload.
	ErrTooBig = errors.New("message over maxPayload")
)

// Packets without data, shared by all sessions.
var (
	pingPacket = []byte{byte(Ping)}
	pongPacket = []byte{byte(Pong)}
)

// sidBytes is the randomness of a session id. The id is no secret here, since
// no transport can be upgraded with it, but a client may take it for one.
const sidBytes = 16

// Session is the state of one connection: who pings whom, and until when.
// Version 3: the client pings, and any packet keeps the session alive for
// PingInterval + PingTimeout. Version 4: the server pings every PingInterval
// after the open packet or the last pong, and a pong must follow within
// PingTimeout; other packets do not count.
//
// A Session is a plain value without pointers of its own, to be embedded. It is
// not safe for concurrent use.
type Session struct {
	settings Settings
	deadline time.Time
	sid      [sidBytes]byte
	version  Version
	pinged   bool // version 4: a ping is out and not yet answered
}

// NewSession starts a session at now, with a new random id.
func NewSession(v Version, s Settings, now time.Time) Session {
	var sid [sidBytes]byte
	rand.Read(sid[:]) // never fails (crypto/rand)
	e := Session{settings: s, sid: sid, version: v}
	e.deadline = now.Add(e.patience())
	return e
}

// patience is the time from a sign of life to the next thing to do: to give
// up in version 3, to send a ping in version 4.
func (e *Session) patience() time.Duration {
	if e.version == V3 {
		return e.settings.PingInterval + e.settings.PingTimeout
	}
	return e.settings.PingInterval
}

// Version is the version the session speaks.
func (e *Session) Version() Version { return e.version }

// SID is the session's id: 32 hexadecimal digits.
func (e *Session) SID() string { return hex.EncodeToString(e.sid[:]) }

// AppendOpen appends the open packet, which must be the first thing sent.
func (e *Session) AppendOpen(dst []byte) []byte {
	return appendOpen(dst, e.version, e.SID(), &e.settings)
}

// Deadline is the time at which Tick must be called next.
func (e *Session) Deadline() time.Time { return e.deadline }

// Tick is called at or after the deadline. It returns a packet to send, if
// any, which the caller must not change, or ErrTimeout. Before the deadline it
// does nothing.
func (e *Session) Tick(now time.Time) (packet []byte, err error) {
	if now.Before(e.deadline) {
		return nil, nil
	}
	if e.version == V3 || e.pinged {
		return nil, ErrTimeout
	}
	e.pinged = true
	e.deadline = now.Add(e.settings.PingTimeout)
	return pingPacket, nil
}

// Ping returns a ping to send before it is due, which counts as the next one. It
// returns nil where one is out that is not answered yet, and in version 3, whose
// clients ping. The caller must not change it.
func (e *Session) Ping(now time.Time) (packet []byte) {
	if e.version != V4 || e.pinged {
		return nil
	}
	e.pinged = true
	e.deadline = now.Add(e.settings.PingTimeout)
	return pingPacket
}

// Pinged reports whether a ping is out that is not answered yet.
func (e *Session) Pinged() bool { return e.pinged }

// Receive takes a text frame of the client. It returns the data of a message
// packet, a part of frame (nil for any other packet), and a packet to send in
// answer (nil for none), which the caller must not change. Any error ends the
// session: ErrPacket, ErrHeartbeat, ErrClosed, ErrTooBig.
func (e *Session) Receive(frame []byte, now time.Time) (message, reply []byte, err error) {
	if int64(len(frame)) > e.settings.MaxPayload {
		return nil, nil, ErrTooBig
	}
	p, err := Decode(frame)
	if err != nil {
		return nil, nil, err
	}
	e.alive(now)
	switch p.Type {
	case Message:
		return p.Data[:len(p.Data):len(p.Data)], nil, nil
	case Ping:
		if e.version != V3 {
			return nil, nil, ErrHeartbeat
		}
		if len(p.Data) == 0 {
			return nil, pongPacket, nil
		}
		return nil, Packet{Pong, p.Data}.Append(nil), nil
	case Pong:
		if e.version != V4 {
			return nil, nil, ErrHeartbeat
		}
		// A pong nobody asked for must not put the next ping off.
		if e.pinged {
			e.pinged = false
			e.deadline = now.Add(e.settings.PingInterval)
		}
		return nil, nil, nil
	case Close:
		return nil, nil, ErrClosed
	case Upgrade, Noop:
		return nil, nil, nil
	default: // Open is for servers only
		return nil, nil, ErrPacket
	}
}

// ReceiveBinary takes a binary frame of the client. It returns the data of the
// message in it, a part of frame and never nil. Any error ends the session:
// ErrPacket, ErrTooBig.
func (e *Session) ReceiveBinary(frame []byte, now time.Time) (message []byte, err error) {
	if int64(len(frame)) > e.settings.MaxPayload {
		return nil, ErrTooBig
	}
	data, err := e.version.DecodeBinary(frame)
	if err != nil {
		return nil, err
	}
	e.alive(now)
	if data == nil {
		data = []byte{}
	}
	return data[:len(data):len(data)], nil
}

// alive notes that a packet of the client has come in.
func (e *Session) alive(now time.Time) {
	if e.version == V3 {
		e.deadline = now.Add(e.patience())
	}
}
