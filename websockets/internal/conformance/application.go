package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// echo sends every message back: the contract of the Engine.IO suites.
type echo struct{}

func (echo) open() ([]payload, error) { return nil, nil }

func (echo) receive(message payload, _ time.Time) ([]payload, error) {
	return []payload{message}, nil
}

func (echo) deadline() time.Time  { return time.Time{} }
func (echo) tick(time.Time) error { return nil }

// contract is the application of the Socket.IO suite, in each namespace:
//
//   - on connect it emits "auth" with the payload of the CONNECT, {} if none;
//   - "message" comes back as "message-back" with the same arguments;
//   - "message-with-ack" is acknowledged with its arguments.
//
// And for acks in the other direction, which the suite does not look at:
//
//   - "ask" comes back as "question", for which an ack is asked, and what that
//     brings comes back as "answer".
type contract struct{ socket socketio.Session }

func (s *server) newContract(v engineio.Version, now time.Time) application {
	p := socketio.Protocol5
	if v == engineio.V3 {
		p = socketio.Protocol4
	}
	return &contract{socketio.NewSession(p, s.socket, now)}
}

func (c *contract) open() ([]payload, error) {
	packet := c.socket.Start()
	if packet == nil {
		return nil, nil
	}
	// The client is in "/" without having asked.
	out, err := c.handle(&socketio.Incoming{Type: socketio.Connect, Namespace: socketio.Main})
	return append([]payload{{data: packet}}, out...), err
}

func (c *contract) deadline() time.Time      { return c.socket.Deadline() }
func (c *contract) tick(now time.Time) error { return c.socket.Tick(now) }

func (c *contract) receive(message payload, now time.Time) (out []payload, err error) {
	var in *socketio.Incoming
	if message.binary {
		in, err = c.socket.ReceiveBinary(message.data)
	} else {
		var reply []byte
		reply, in, err = c.socket.Receive(message.data, now)
		if reply != nil {
			out = append(out, payload{data: reply})
		}
	}
	if err != nil || in == nil {
		return out, err
	}
	more, err := c.handle(in)
	return append(out, more...), err
}

func (c *contract) handle(in *socketio.Incoming) ([]payload, error) {
	var packet []byte
	var err error
	switch {
	case in.Type == socketio.Connect:
		args := json.RawMessage("[{}]")
		if in.Auth != nil {
			args = append(append(json.RawMessage("["), in.Auth...), ']')
		}
		packet, err = c.socket.Emit(in.Namespace, "auth", args, nil)
	case in.Type == socketio.Ack:
		packet, err = c.socket.Emit(in.Namespace, "answer", in.Args, in.Attachments)
	case in.Type == socketio.Event && in.Name == "message":
		packet, err = c.socket.Emit(in.Namespace, "message-back", in.Args, in.Attachments)
	case in.Type == socketio.Event && in.Name == "message-with-ack" && in.HasID:
		packet, err = c.socket.Answer(in, in.Args, in.Attachments)
	case in.Type == socketio.Event && in.Name == "ask":
		_, packet, err = c.socket.Request(in.Namespace, "question", in.Args, in.Attachments)
		if errors.Is(err, socketio.ErrPending) {
			return nil, nil // the client answers nothing
		}
	}
	if err != nil || packet == nil {
		return nil, err
	}
	out := []payload{{data: packet}}
	for _, data := range in.Attachments {
		out = append(out, payload{true, data})
	}
	return out, nil
}
