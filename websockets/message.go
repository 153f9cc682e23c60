package websockets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
	"github.com/seed47708276/sluice/websockets/trace"
)

// The bounds of a service message.
const (
	// MaxMessageBytes bounds name and arguments together. It is a quarter of
	// the default queue of a socket, so that no single message makes a socket
	// that keeps up look slow.
	MaxMessageBytes = 256 << 10
	// MaxNameBytes bounds the name. The known topics have some 20.
	MaxNameBytes = 255
	// MaxConflateBytes bounds Message.Conflate, which waiting frames keep.
	MaxConflateBytes = 255
)

// ErrMessage is wrapped by what the Send methods return for a message that may
// not reach a socket; the text says what is wrong with it.
var ErrMessage = errors.New("invalid message")

// Message is a service message (docs/reference/socketio.md#socketio-packets):
// an event for the clients. Name has 1 to MaxNameBytes bytes and is none that
// the libraries reserve; Args is a JSON array, or nil for none; Namespace is
// "/" or empty, which is the same.
type Message struct {
	Name      string          `json:"name"`
	Args      json.RawMessage `json:"args"`
	Namespace string          `json:"namespace"`

	// Label has a Conflate of at most MaxConflateBytes.
	shared.Label `json:"-"`
	// Stamp is which message of another member it is; zero: it is accepted here.
	Stamp Stamp `json:"-"`
	// Copied says that another member than this one has accepted it.
	Copied bool `json:"-"`

	built *encoded // by Validate
}

// Target is shared.Target.
type Target = shared.Target

// Validate returns an error that wraps ErrMessage when the message may not
// reach a socket. It makes Args compact and builds the frames as well, so that
// the fields must not be changed between it and sending, and one goroutine at a
// time may send.
func (m *Message) Validate() (err error) {
	if m.built, err = m.encode(); err == nil {
		m.Args = m.built.args
	}
	return err
}

// encoded is a message in the form that the sockets share: whole Web Socket
// frames, built once whatever the number of sockets.
type encoded struct {
	packet *outgoing // for Socket.IO
	text   *outgoing // for /ws/*, nil until the first such socket
	name   string
	args   json.RawMessage
	stamp  *stamp // of the last time that it was sent; nil: it was not

	// For clients that come back with an offset, and those of /ws/* with ids; nil until
	// the first such socket.
	withOffset, withID *outgoing
	offsetText         string // of stamp; "": nobody has asked
}

// Accepted tells which number a message got when it was sent, after Validate.
func (m *Message) Accepted() Accepted {
	if m.built == nil {
		return Accepted{}
	}
	return Accepted{m.built.stamp}
}

// trace has a record of what becomes of the message from now on. Frames of an
// earlier time keep that of theirs.
func (e *encoded) trace(r *trace.Record) {
	packet := *e.packet
	packet.trace = r
	e.packet, e.text, e.withOffset, e.withID, e.offsetText = &packet, nil, nil, nil, ""
}

// offset is that of the message. Only the goroutine that sends calls it, as for the
// forms of the frame that follow.
func (e *encoded) offset() string {
	if e.offsetText == "" {
		e.offsetText = e.stamp.offset()
	}
	return e.offsetText
}

// form is the frame in a form that is made of the packet, once.
func (e *encoded) form(at **outgoing, text func(packet []byte) []byte) *outgoing {
	if *at == nil {
		f := *e.packet
		f.data = textFrame(text(payloadOf(f.data)))
		*at = &f
	}
	return *at
}

// plain is the frame for /ws/*.
func (e *encoded) plain() *outgoing {
	if e.text == nil {
		var b bytes.Buffer
		j := json.NewEncoder(&b)
		j.SetEscapeHTML(false) // the arguments reach the client as they were sent
		if err := j.Encode(Message{Name: e.name, Args: e.args, Namespace: socketio.Main}); err != nil {
			panic(fmt.Sprintf("websockets: valid arguments do not encode: %v", err))
		}
		e.text = &outgoing{data: textFrame(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})), born: e.packet.born, topic: e.packet.topic, key: e.packet.key, trace: e.packet.trace}
	}
	return e.text
}

func (m *Message) encode() (*encoded, error) {
	switch {
	case m.Name == "" || len(m.Name) > MaxNameBytes || !utf8.ValidString(m.Name):
		return nil, fmt.Errorf("%w: the name must have 1 to %d bytes of UTF-8", ErrMessage, MaxNameBytes)
	case socketio.Reserved(m.Name):
		return nil, fmt.Errorf("%w: the name %q belongs to the Socket.IO libraries: use another", ErrMessage, m.Name)
	case m.Namespace != "" && m.Namespace != socketio.Main:
		return nil, fmt.Errorf("%w: the only namespace is \"/\"", ErrMessage)
	case len(m.Conflate) > MaxConflateBytes || !utf8.ValidString(m.Conflate):
		return nil, fmt.Errorf("%w: the key for conflation must have at most %d bytes of UTF-8", ErrMessage, MaxConflateBytes)
	case len(m.Args) > MaxMessageBytes-MaxNameBytes:
		return nil, fmt.Errorf("%w: the arguments have more than %d bytes: send a reference instead", ErrMessage, MaxMessageBytes-MaxNameBytes)
	}
	args := json.RawMessage("[]")
	if m.Args != nil {
		var compact bytes.Buffer
		if !utf8.Valid(m.Args) || json.Compact(&compact, m.Args) != nil || compact.Bytes()[0] != '[' {
			return nil, fmt.Errorf("%w: the arguments must be a JSON array in UTF-8", ErrMessage)
		}
		args = compact.Bytes()
	}
	packet := socketio.AppendEvent([]byte{byte(engineio.Message)}, m.Name, args)
	frame := &outgoing{data: textFrame(packet), born: time.Now().UnixNano()}
	if m.Conflate != "" {
		frame.topic, frame.key = m.Name, m.Conflate
	}
	return &encoded{
		packet: frame,
		name:   m.Name,
		args:   args,
	}, nil
}
