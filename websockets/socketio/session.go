package socketio

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	// ErrState: a packet for a namespace that the client has not joined, or a
	// second CONNECT for one that it has.
	ErrState = errors.New("packet does not fit the state of its namespace")
	// ErrBinary: binary data that no packet has announced, or a packet that
	// announces more than the server takes.
	ErrBinary = errors.New("binary data is not accepted")
	// ErrAttachments: a packet while attachments of another are awaited.
	ErrAttachments = errors.New("packet before the attachments of another")
	// ErrTooBig: a packet that is over MaxBytes with its attachments.
	ErrTooBig = errors.New("packet and attachments over the limit")
	// ErrConnectTimeout: the client did not join a namespace in time.
	ErrConnectTimeout = errors.New("no CONNECT packet in time")
	// ErrAttachmentTimeout: announced attachments did not come in time.
	ErrAttachmentTimeout = errors.New("no attachment in time")
)

// Settings are what a server decides for all its sessions.
type Settings struct {
	// ConnectTimeout, above 0, is how long a client may be in no namespace.
	ConnectTimeout time.Duration
	// MaxBytes, above 0, bounds one packet together with its attachments.
	MaxBytes int64
	// Namespaces are those beside "/"; nil: none.
	Namespaces *Namespaces
	// Connect, where it is not nil, is called for a CONNECT to "/" of protocol 5,
	// with its payload: it returns the id of the client, and its private id for
	// Socket.IO's own recovery.
	Connect func(auth json.RawMessage) (sid, pid string)
	// Attachments is how many of them one packet may announce, up to
	// MaxAttachments. 0: binary packets end the connection with ErrBinary.
	Attachments uint8
}

// Session is the state of one connection: the namespaces that the client is in,
// and what is on its way in them. It is a plain value, to be embedded, and not
// safe for concurrent use.
type Session struct {
	settings Settings
	deadline time.Time // of a CONNECT; counts while the client is in no namespace
	rare     *rare     // nil until it is needed
	protocol Protocol
	main     membership // of "/"
}

// NewSession starts a session at now.
func NewSession(p Protocol, settings Settings, now time.Time) Session {
	return Session{settings: settings, protocol: p, deadline: now.Add(settings.ConnectTimeout)}
}

// Start returns the packet that the server sends unasked right after the
// connection is open: CONNECT in protocol 4, none in protocol 5.
func (s *Session) Start() []byte {
	if s.protocol == Protocol5 {
		return nil
	}
	s.main = joined
	return Packet{Type: Connect}.Append(nil)
}

// Joined reports whether the client is in "/", so that events may go to it.
func (s *Session) Joined() bool { return s.main == joined }

// JoinedTo is Joined for any namespace.
func (s *Session) JoinedTo(namespace string) bool { return s.membership(namespace) == joined }

// Deadline is the time at which Tick must be called, or zero for none.
func (s *Session) Deadline() time.Time {
	var d time.Time
	if !s.anywhere() {
		d = s.deadline
	}
	if a := s.awaited(); a != nil && (d.IsZero() || a.deadline.Before(d)) {
		d = a.deadline
	}
	return d
}

// Tick is called at or after the deadline. It returns ErrConnectTimeout or
// ErrAttachmentTimeout when what it waits for has not come in time.
func (s *Session) Tick(now time.Time) error {
	if a := s.awaited(); a != nil && !now.Before(a.deadline) {
		return ErrAttachmentTimeout
	}
	if !s.anywhere() && !now.Before(s.deadline) {
		return ErrConnectTimeout
	}
	return nil
}

// Incoming is something that has come from the client. It shares no memory with
// the message that it came in.
type Incoming struct {
	// Type is Event, Ack, Connect or Disconnect. The last two say that the
	// client is in the namespace now, or no longer.
	Type      Type
	Namespace string
	// Name of an Event.
	Name string
	// Args of an Event or Ack: a JSON array in UTF-8 in which placeholders,
	// {"_placeholder":true,"num":0}, stand for the attachments, each once.
	Args        json.RawMessage
	Attachments [][]byte
	// HasID: the client wants the Event acknowledged, with this ID. Of an Ack,
	// ID is what Request returned.
	HasID bool
	ID    uint64
	// SID is the random id of the client in the namespace that protocol 5
	// tells it on Connect.
	SID string
	// Auth is the payload of a Connect, a JSON object, or nil.
	Auth json.RawMessage
	// Query is what followed the namespace in a Connect of protocol 4.
	Query string
}

// Receive takes the data of one Engine.IO text message, and does not keep it.
// It returns a packet to send in answer (nil for none) and what has come in
// (nil for nothing). Any error ends the connection: ErrPacket, ErrState,
// ErrBinary, ErrAttachments, ErrTooBig.
func (s *Session) Receive(message []byte, now time.Time) (reply []byte, in *Incoming, err error) {
	if s.awaited() != nil {
		return nil, nil, ErrAttachments
	}
	if int64(len(message)) > s.settings.MaxBytes {
		return nil, nil, ErrTooBig
	}
	p, err := Decode(message)
	if err != nil {
		return nil, nil, err
	}
	query := ""
	if s.protocol == Protocol4 {
		// Protocol 4 carries the query of the namespace's address here.
		p.Namespace, query, _ = strings.Cut(p.Namespace, "?")
	}
	switch p.Type {
	case Connect:
		return s.connect(&p, query, now)
	case ConnectError: // only servers refuse
		return nil, nil, ErrPacket
	}
	state := s.membership(p.Namespace)
	switch {
	case state == outside:
		return nil, nil, ErrState
	case p.Type == Disconnect:
		s.setMembership(p.Namespace, outside, now)
		if state == dismissed {
			return nil, nil, nil
		}
		return nil, &Incoming{Type: Disconnect, Namespace: p.Namespace}, nil
	case p.binary():
		return nil, nil, s.await(&p, len(message), now)
	}
	return nil, s.complete(&p, nil), nil
}

// connect answers a CONNECT.
func (s *Session) connect(p *Packet, query string, now time.Time) (reply []byte, in *Incoming, err error) {
	ns, ok := s.settings.Namespaces.find(p.Namespace)
	if !ok {
		refusal := Packet{Type: ConnectError, Namespace: p.Namespace, Data: json.RawMessage(`{"message":"Invalid namespace"}`)}
		if s.protocol == Protocol4 {
			refusal.Data = json.RawMessage(`"Invalid namespace"`)
		}
		return refusal.Append(nil), nil, nil
	}
	if s.membership(ns) == joined {
		// In protocol 4 the client may not know yet that it is in "/".
		if s.protocol == Protocol4 && ns == Main {
			return nil, nil, nil
		}
		return nil, nil, ErrState
	}
	s.setMembership(ns, joined, now)
	in = &Incoming{Type: Connect, Namespace: ns, Query: query}
	if p.Data != nil {
		in.Auth = append(in.Auth, trimSpace(p.Data)...)
	}
	answer := Packet{Type: Connect, Namespace: ns}
	if s.protocol == Protocol5 {
		pid := ""
		if s.settings.Connect != nil && ns == Main {
			in.SID, pid = s.settings.Connect(in.Auth)
		} else {
			in.SID = newSID()
		}
		answer.Data = append(append(json.RawMessage(`{"sid":"`), in.SID...), '"')
		if pid != "" {
			answer.Data = append(append(append(answer.Data, `,"pid":"`...), pid...), '"')
		}
		answer.Data = append(answer.Data, '}')
	}
	return answer.Append(nil), in, nil
}

// newSID returns 128 random bits in hex.
func newSID() string {
	var sid [16]byte
	rand.Read(sid[:]) // never fails (crypto/rand)
	return hex.EncodeToString(sid[:])
}

// complete makes what has come in of a packet whose attachments are all there.
// Its namespace is one that the client had joined.
func (s *Session) complete(p *Packet, attachments [][]byte) *Incoming {
	if s.membership(p.Namespace) != joined {
		return nil
	}
	in := &Incoming{Namespace: p.Namespace, HasID: p.HasID, ID: p.ID, Attachments: attachments}
	switch p.Type {
	case Event, BinaryEvent:
		in.Type = Event
		in.Name, in.Args, _ = split(p.Data) // Decode has seen that there is a name
	default: // Ack, BinaryAck
		if !s.Forget(p.Namespace, p.ID) {
			return nil // of an event for which none was asked, or twice
		}
		in.Type = Ack
		in.Args = append(in.Args, trimSpace(p.Data)...)
	}
	return in
}

// Leave takes the client out of a namespace. It returns the DISCONNECT packet,
// or nil when the client is not in it. What the client has sent meanwhile is
// dropped.
func (s *Session) Leave(namespace string, now time.Time) []byte {
	if s.membership(namespace) != joined {
		return nil
	}
	s.setMembership(namespace, dismissed, now)
	return Packet{Type: Disconnect, Namespace: namespace}.Append(nil)
}
