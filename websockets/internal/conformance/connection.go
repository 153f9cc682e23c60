package main

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// writeTimeout bounds one write to a client that does not read.
const writeTimeout = 5 * time.Second

// openDelay separates the open packet from the handshake's answer: the version 3
// suite misses what its client reads together with the 101.
const openDelay = 20 * time.Millisecond

// payload is the data of one Web Socket message, or of one Engine.IO message in
// it.
type payload struct {
	binary bool
	data   []byte
}

// application is what speaks over Engine.IO. What it returns is sent as
// Engine.IO messages; an error ends the connection.
type application interface {
	open() ([]payload, error)
	receive(message payload, now time.Time) ([]payload, error)
	// deadline is when tick must be called, or zero for never.
	deadline() time.Time
	tick(now time.Time) error
}

// connection is one client: one goroutine reads, and the one of run owns all
// the state.
type connection struct {
	ws      *websocket.Conn
	engine  engineio.Session
	app     application
	readErr error // why reading ended, once incoming is closed
}

var (
	errText    = errors.New("text is not UTF-8")
	errStopped = errors.New("server stops")
)

// run serves the connection until it ends, and returns why.
func (c *connection) run(ctx context.Context) error {
	incoming, ended, read := make(chan payload), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		c.read(incoming, ended)
	}()
	err := c.serve(ctx, incoming)
	close(ended)
	code, reason := closing(err)
	_ = c.ws.Close(code, reason) // ends reading, too; a client that is gone needs no goodbye
	<-read
	return err
}

func (c *connection) read(incoming chan<- payload, ended <-chan struct{}) {
	defer close(incoming)
	for {
		kind, data, err := c.ws.Read(context.Background()) // the heartbeat bounds it
		if err != nil {
			c.readErr = err
			return
		}
		select {
		case incoming <- payload{kind == websocket.MessageBinary, data}:
		case <-ended:
			return
		}
	}
}

func (c *connection) serve(ctx context.Context, incoming <-chan payload) error {
	timer := time.NewTimer(openDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errStopped
	case <-timer.C:
	}
	if err := c.write(payload{data: c.engine.AppendOpen(nil)}); err != nil {
		return err
	}
	out, err := c.app.open()
	if err := errors.Join(c.send(out), err); err != nil {
		return err
	}
	for {
		timer.Reset(time.Until(c.deadline()))
		select {
		case <-ctx.Done():
			return errStopped
		case <-timer.C:
			err = c.tick(time.Now())
		case frame, open := <-incoming:
			if !open {
				return c.readErr
			}
			err = c.receive(frame, time.Now())
		}
		if err != nil {
			return err
		}
	}
}

func (c *connection) deadline() time.Time {
	d := c.engine.Deadline()
	if a := c.app.deadline(); !a.IsZero() && a.Before(d) {
		return a
	}
	return d
}

func (c *connection) tick(now time.Time) error {
	if err := c.app.tick(now); err != nil {
		return err
	}
	packet, err := c.engine.Tick(now)
	if err != nil || packet == nil {
		return err
	}
	return c.write(payload{data: packet})
}

func (c *connection) receive(frame payload, now time.Time) error {
	var message, reply []byte
	var err error
	switch {
	case frame.binary:
		message, err = c.engine.ReceiveBinary(frame.data, now)
	case !utf8.Valid(frame.data):
		return errText
	default:
		message, reply, err = c.engine.Receive(frame.data, now)
	}
	if err == nil && reply != nil {
		err = c.write(payload{data: reply})
	}
	if err != nil || message == nil {
		return err
	}
	out, err := c.app.receive(payload{frame.binary, message}, now)
	return errors.Join(c.send(out), err)
}

// send sends Engine.IO messages.
func (c *connection) send(messages []payload) error {
	for _, m := range messages {
		if m.binary {
			m.data = c.engine.Version().AppendBinary(nil, m.data)
		} else {
			m.data = engineio.Packet{Type: engineio.Message, Data: m.data}.Append(nil)
		}
		if err := c.write(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) write(frame payload) error {
	kind := websocket.MessageText
	if frame.binary {
		kind = websocket.MessageBinary
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return c.ws.Write(ctx, kind, frame.data)
}

// closing is what the client is told when the connection ends for err: a code
// of RFC 6455, 7.4.1, and a reason.
func closing(err error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(err, engineio.ErrClosed):
		return websocket.StatusNormalClosure, ""
	case errors.Is(err, errStopped):
		return websocket.StatusGoingAway, err.Error()
	case errors.Is(err, engineio.ErrTimeout), errors.Is(err, socketio.ErrConnectTimeout), errors.Is(err, socketio.ErrAttachmentTimeout):
		return websocket.StatusPolicyViolation, err.Error()
	case errors.Is(err, engineio.ErrTooBig), errors.Is(err, socketio.ErrTooBig):
		return websocket.StatusMessageTooBig, err.Error()
	case errors.Is(err, socketio.ErrBinary):
		return websocket.StatusUnsupportedData, err.Error()
	case errors.Is(err, errText):
		return websocket.StatusInvalidFramePayloadData, err.Error()
	case isRule(err):
		return websocket.StatusProtocolError, err.Error()
	default: // the connection broke, or the client has closed it
		return websocket.StatusInternalError, "connection lost"
	}
}

// isRule reports whether a rule of the protocols has ended the connection, the
// errors that closing tells apart aside.
func isRule(err error) bool {
	return errors.Is(err, engineio.ErrPacket) || errors.Is(err, engineio.ErrHeartbeat) ||
		errors.Is(err, socketio.ErrPacket) || errors.Is(err, socketio.ErrState) || errors.Is(err, socketio.ErrAttachments)
}
