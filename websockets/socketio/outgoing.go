package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// maxPending bounds the acks that one connection waits for
// (docs/reference/attacks.md#socketio, W14).
const maxPending = 64

// The errors of what this side wants to send. Nothing was changed, and the
// connection goes on.
var (
	// ErrNotJoined: the client is not in the namespace.
	ErrNotJoined = errors.New("the client is not in the namespace")
	// ErrOutgoing: what is to be sent would be no packet.
	ErrOutgoing = errors.New("invalid outgoing packet")
	// ErrPending: too many acks are waited for; Forget those that are overdue.
	ErrPending = errors.New("too many pending acks")
)

// pendingAck is an ack that the client was asked for.
type pendingAck struct {
	namespace string
	id        uint64
}

// Emit returns the packet of an event for the client. name is UTF-8 and not
// Reserved; args is a JSON array, or nil for an empty one, with one placeholder,
// {"_placeholder":true,"num":0} and so on, for each of up to MaxAttachments
// attachments. The caller sends the packet as a text message and then each
// attachment as a binary one, with nothing but Engine.IO's own packets in
// between. It returns ErrNotJoined or an error that wraps ErrOutgoing.
func (s *Session) Emit(namespace, name string, args json.RawMessage, attachments [][]byte) ([]byte, error) {
	return s.event(Packet{Type: Event, Namespace: namespace}, name, args, len(attachments))
}

// Request is Emit for an event that the client is asked to acknowledge. The
// answer is the Incoming of type Ack with the same namespace and id; it may
// never come, so the caller calls Forget when it has waited long enough, and
// gives up on all of a namespace's when the client leaves it. Further errors:
// ErrPending.
func (s *Session) Request(namespace, name string, args json.RawMessage, attachments [][]byte) (id uint64, packet []byte, err error) {
	if s.rare != nil {
		if len(s.rare.pending) == maxPending {
			return 0, nil, ErrPending
		}
		id = s.rare.nextID
	}
	packet, err = s.event(Packet{Type: Event, Namespace: namespace, HasID: true, ID: id}, name, args, len(attachments))
	if err != nil {
		return 0, nil, err
	}
	ns, _ := s.settings.Namespaces.find(namespace) // joined, and so there
	r := s.rarely()
	r.pending = append(r.pending, pendingAck{ns, id})
	r.nextID++
	return id, packet, nil
}

// Answer returns the packet that answers an event for which the client wants an
// ack. args and attachments are as for Emit. A client takes one answer and
// ignores any other. It returns ErrNotJoined or an error that wraps ErrOutgoing.
func (s *Session) Answer(event *Incoming, args json.RawMessage, attachments [][]byte) ([]byte, error) {
	if !s.JoinedTo(event.Namespace) {
		return nil, ErrNotJoined
	}
	if event.Type != Event || !event.HasID {
		return nil, fmt.Errorf("%w: no ack was asked for", ErrOutgoing)
	}
	if args == nil {
		args = json.RawMessage("[]")
	}
	p := Packet{Type: Ack, Namespace: event.Namespace, HasID: true, ID: event.ID, Data: args}
	if err := p.attach(len(attachments)); err != nil {
		return nil, err
	}
	return p.Append(nil), nil
}

// Forget gives up waiting for an ack: the client's answer is ignored from now
// on. It reports whether it was waited for.
func (s *Session) Forget(namespace string, id uint64) bool {
	if s.rare == nil {
		return false
	}
	i := slices.IndexFunc(s.rare.pending, func(a pendingAck) bool { return a.id == id && a.namespace == namespace })
	if i < 0 {
		return false
	}
	s.rare.pending = slices.Delete(s.rare.pending, i, i+1)
	return true
}

func (s *Session) forgetAll(namespace string) {
	if s.rare != nil {
		s.rare.pending = slices.DeleteFunc(s.rare.pending, func(a pendingAck) bool { return a.namespace == namespace })
	}
}

// event completes p, an EVENT packet without data.
func (s *Session) event(p Packet, name string, args json.RawMessage, attachments int) ([]byte, error) {
	if !s.JoinedTo(p.Namespace) {
		return nil, ErrNotJoined
	}
	if !utf8.ValidString(name) || Reserved(name) {
		return nil, fmt.Errorf("%w: event name %q: use UTF-8, and none that the libraries reserve", ErrOutgoing, name)
	}
	if args == nil {
		args = json.RawMessage("[]")
	}
	if len(args) < 2 || args[0] != '[' || args[len(args)-1] != ']' {
		return nil, errArgs
	}
	p.Data = appendArray(nil, name, args)
	if err := p.attach(attachments); err != nil {
		return nil, err
	}
	return p.Append(nil), nil
}

var errArgs = fmt.Errorf("%w: want a JSON array in UTF-8 with at most %d levels and one placeholder for each of at most %d attachments",
	ErrOutgoing, MaxDepth, MaxAttachments)

// attach makes a plain packet binary when it has attachments, and checks its
// data.
func (p *Packet) attach(attachments int) error {
	if attachments > 0 {
		p.Attachments = attachments
		p.Type += BinaryEvent - Event
	}
	if attachments > MaxAttachments || !validJSON(p.Data, attachments) || p.Data[0] != '[' {
		return errArgs
	}
	return nil
}

// AppendEvent appends an EVENT packet of "/". name is UTF-8, args a valid JSON
// array.
func AppendEvent(dst []byte, name string, args json.RawMessage) []byte {
	return appendArray(append(dst, byte(Event)), name, args)
}

// appendArray appends the array of an event: its name and then args, an array.
func appendArray(dst []byte, name string, args json.RawMessage) []byte {
	dst = appendText(append(dst, '['), name)
	if inner := bytes.TrimSpace(args[1 : len(args)-1]); len(inner) > 0 {
		dst = append(append(dst, ','), inner...)
	}
	return append(dst, ']')
}

// appendText appends s, which is UTF-8, as a JSON string.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(dst, s)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

func appendEscaped(dst []byte, s string) []byte {
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(fmt.Sprintf("socketio: event name: %v", err)) // a string always encodes
	}
	return append(dst, bytes.TrimSuffix(quoted.Bytes(), []byte{'\n'})...)
}
