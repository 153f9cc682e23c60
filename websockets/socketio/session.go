package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Protocol is the version of Socket.IO's own protocol.
type Protocol uint8

// The protocols. Protocol4 runs over Engine.IO 3, Protocol5 over Engine.IO 4.
const (
	Protocol4 Protocol = 4
	Protocol5 Protocol = 5
)

// The errors beside ErrPacket. Each ends the connection.
var (
	// ErrState: a packet for a namespace that the client has not joined.
	ErrState = errors.New("packet for a namespace that is not connected")
	// ErrBinary: a packet that announces binary data, which nothing here takes.
	ErrBinary = errors.New("binary data is not accepted")
	// ErrConnectTimeout: the client did not join in time.
	ErrConnectTimeout = errors.New("no CONNECT packet in time")
)

// Incoming is an event of the client. Args is a JSON array.
type Incoming struct {
	Name string
	Args json.RawMessage
	// ID is the ack id when the client wants one (HasID).
	HasID bool
	ID    uint64
}

// Session is the state of one connection with its one namespace. It is not
// safe for concurrent use.
type Session struct {
	protocol Protocol
	sid      string // of the namespace, sent with CONNECT in protocol 5
	timeout  time.Duration
	joined   bool
	deadline time.Time // of the CONNECT; counts while not joined
}

// NewSession starts a session at now. sid is the id that protocol 5 tells the
// client; connectTimeout, above 0, is how long it may stay without a CONNECT.
func NewSession(p Protocol, sid string, connectTimeout time.Duration, now time.Time) *Session {
	return &Session{protocol: p, sid: sid, timeout: connectTimeout, deadline: now.Add(connectTimeout)}
}

// Start returns the packet that the server sends unasked right after the
// connection is open: CONNECT in protocol 4, none in protocol 5.
func (s *Session) Start() []byte {
	if s.protocol == Protocol5 {
		return nil
	}
	s.joined = true
	return Packet{Type: Connect}.Append(nil)
}

// Joined reports whether the client is in the namespace, so that events may go
// to it.
func (s *Session) Joined() bool { return s.joined }

// Deadline is the time at which Tick must be called, or zero for none.
func (s *Session) Deadline() time.Time {
	if s.joined {
		return time.Time{}
	}
	return s.deadline
}

// Tick returns ErrConnectTimeout when the client has not joined in time.
func (s *Session) Tick(now time.Time) error {
	if s.joined || now.Before(s.deadline) {
		return nil
	}
	return ErrConnectTimeout
}

// Receive takes the data of one Engine.IO message. It returns a packet to send
// in answer (nil for none) and the event for the application (nil for none).
// Any error ends the connection: ErrPacket, ErrState, ErrBinary.
func (s *Session) Receive(message []byte, now time.Time) (reply []byte, event *Incoming, err error) {
	p, err := Decode(message)
	if err != nil {
		return nil, nil, err
	}
	if p.Type == BinaryEvent || p.Type == BinaryAck {
		return nil, nil, ErrBinary
	}
	if s.protocol == Protocol4 {
		// Protocol 4 carries the query of the namespace's address here.
		p.Namespace, _, _ = strings.Cut(p.Namespace, "?")
	}
	switch p.Type {
	case Connect:
		return s.connect(p), nil, nil
	case ConnectError: // only servers refuse
		return nil, nil, ErrPacket
	}
	if p.Namespace != Main || !s.joined {
		return nil, nil, ErrState
	}
	switch p.Type {
	case Disconnect:
		s.joined = false
		s.deadline = now.Add(s.timeout)
		return nil, nil, nil
	case Event:
		name, args, _ := split(p.Data)
		return nil, &Incoming{Name: name, Args: args, HasID: p.HasID, ID: p.ID}, nil
	default: // an ack of an event for which none was asked
		return nil, nil, nil
	}
}

func (s *Session) connect(p Packet) []byte {
	if p.Namespace != Main {
		refusal := Packet{Type: ConnectError, Namespace: p.Namespace, Data: json.RawMessage(`{"message":"Invalid namespace"}`)}
		if s.protocol == Protocol4 {
			refusal.Data = json.RawMessage(`"Invalid namespace"`)
		}
		return refusal.Append(nil)
	}
	if s.joined { // a second CONNECT changes nothing (spec 7.1)
		return nil
	}
	s.joined = true
	answer := Packet{Type: Connect}
	if s.protocol == Protocol5 {
		answer.Data = json.RawMessage(fmt.Sprintf(`{"sid":%q}`, s.sid))
	}
	return answer.Append(nil)
}

// AckFor returns the packet that answers an event's ack request with args, a
// JSON array; nil args answer with an empty one.
func AckFor(id uint64, args json.RawMessage) []byte {
	if args == nil {
		args = json.RawMessage("[]")
	}
	return Packet{Type: Ack, HasID: true, ID: id, Data: args}.Append(nil)
}

// AppendEvent appends an EVENT packet of "/". name is UTF-8, args a valid JSON
// array.
func AppendEvent(dst []byte, name string, args json.RawMessage) []byte {
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	if err := e.Encode(name); err != nil {
		panic(fmt.Sprintf("socketio: event name: %v", err)) // a string always encodes
	}
	dst = append(dst, byte(Event), '[')
	dst = append(dst, bytes.TrimSuffix(quoted.Bytes(), []byte{'\n'})...)
	if inner := bytes.TrimSpace(args[1 : len(args)-1]); len(inner) > 0 {
		dst = append(append(dst, ','), inner...)
	}
	return append(dst, ']')
}
