package websockets

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// protocol is what a socket speaks. It does no input or output, and returns
// whole frames to send.
type protocol interface {
	// open returns the frames that come before everything else.
	open() [][]byte
	// joined reports whether service messages may be sent now.
	joined() bool
	// text takes a text message in UTF-8, which it does not keep.
	text(data []byte, now time.Time) (reply []byte, event *socketio.Incoming, err error)
	// binary takes a binary message, which it does not keep. The event is one
	// that had to wait for its attachments.
	binary(data []byte, now time.Time) (event *socketio.Incoming, err error)
	// answer returns the frames that acknowledge an event for which the client
	// wants that; they must follow each other. args is a JSON array, nil for an
	// empty one, with one placeholder (Options.OnEvent) for each attachment. An
	// error says why there is no such answer; the socket goes on.
	answer(event *socketio.Incoming, args json.RawMessage, attachments [][]byte) ([][]byte, error)
	// pong takes a Web Socket pong.
	pong(now time.Time)
	// ping returns a frame that the page itself answers, or nil where there is
	// none or one is out; pinged reports whether one is out.
	ping(now time.Time) []byte
	pinged() bool
	// deadline is when tick must be called next.
	deadline() time.Time
	tick(now time.Time) (frame []byte, err error)
}

// The errors of the plain protocol.
var (
	errPing     = errors.New("no pong in time")
	errBinary   = errors.New("binary data on /ws")
	errNoEvents = errors.New("a client of /ws sends no events")
)

// causeOf maps the error of a protocol to the close table.
func causeOf(err error) Cause {
	switch {
	case errors.Is(err, engineio.ErrClosed):
		return CauseClient
	case errors.Is(err, engineio.ErrTimeout), errors.Is(err, errPing):
		return CausePing
	case errors.Is(err, socketio.ErrConnectTimeout):
		return CauseConnect
	case errors.Is(err, socketio.ErrBinary), errors.Is(err, errBinary):
		return CauseBinary
	case errors.Is(err, engineio.ErrTooBig), errors.Is(err, socketio.ErrTooBig):
		return CauseTooBig
	default:
		return CauseProtocol
	}
}

// packets is Socket.IO over Engine.IO: one object for all the state of a
// socket's protocol.
type packets struct {
	engine engineio.Session
	socket socketio.Session
}

// clientAttachments is how many attachments an event of a client may have.
const clientAttachments = socketio.MaxAttachments

func newPackets(v engineio.Version, cfg *Config, connect func(json.RawMessage) (sid, pid string), now time.Time) *packets {
	p := socketio.Protocol5
	if v == engineio.V3 {
		p = socketio.Protocol4
	}
	return &packets{
		engine: engineio.NewSession(v, engineio.Settings{
			PingInterval: cfg.PingInterval,
			PingTimeout:  cfg.PingTimeout,
			MaxPayload:   cfg.MaxPayload,
		}, now),
		socket: socketio.NewSession(p, socketSettings(cfg.ConnectTimeout, cfg.MaxPayload, connect), now),
	}
}

func socketSettings(timeout time.Duration, maxBytes int64, connect func(json.RawMessage) (sid, pid string)) socketio.Settings {
	return socketio.Settings{ConnectTimeout: timeout, MaxBytes: maxBytes, Attachments: clientAttachments, Connect: connect}
}

func (p *packets) open() [][]byte {
	frames := [][]byte{textFrame(p.engine.AppendOpen(nil))}
	if start := p.socket.Start(); start != nil {
		frames = append(frames, message(start))
	}
	return frames
}

// message puts a Socket.IO packet into an Engine.IO one, in a frame.
func message(packet []byte) []byte {
	return textFrame(engineio.Packet{Type: engineio.Message, Data: packet}.Append(nil))
}

func (p *packets) joined() bool { return p.socket.Joined() }

func (p *packets) text(data []byte, now time.Time) ([]byte, *socketio.Incoming, error) {
	inner, reply, err := p.engine.Receive(data, now)
	if err != nil {
		return nil, nil, err
	}
	if reply != nil {
		return textFrame(reply), nil, nil
	}
	if inner == nil {
		return nil, nil, nil
	}
	packet, in, err := p.socket.Receive(inner, now)
	if packet != nil {
		return message(packet), event(in), err
	}
	return nil, event(in), err
}

func (p *packets) binary(data []byte, now time.Time) (*socketio.Incoming, error) {
	inner, err := p.engine.ReceiveBinary(data, now)
	if err != nil {
		return nil, err
	}
	in, err := p.socket.ReceiveBinary(inner)
	return event(in), err
}

// event leaves out what the server need not be told: joined says where the
// client is, and no client is asked for an ack.
func event(in *socketio.Incoming) *socketio.Incoming {
	if in != nil && in.Type != socketio.Event {
		return nil
	}
	return in
}

func (p *packets) answer(event *socketio.Incoming, args json.RawMessage, attachments [][]byte) ([][]byte, error) {
	packet, err := p.socket.Answer(event, args, attachments)
	if err != nil {
		return nil, err
	}
	frames := [][]byte{message(packet)}
	for _, data := range attachments {
		frames = append(frames, appendFrame(nil, opBinary, p.engine.Version().AppendBinary(nil, data)))
	}
	return frames, nil
}

// opBinary is the opcode of a binary frame (RFC 6455, 5.2).
const opBinary = 0x2

// pong does nothing: Engine.IO has pongs of its own.
func (p *packets) pong(time.Time) {}

func (p *packets) ping(now time.Time) []byte {
	if packet := p.engine.Ping(now); packet != nil {
		return textFrame(packet)
	}
	return nil
}

func (p *packets) pinged() bool { return p.engine.Pinged() }

func (p *packets) deadline() time.Time {
	d := p.engine.Deadline()
	if c := p.socket.Deadline(); !c.IsZero() && c.Before(d) {
		return c
	}
	return d
}

func (p *packets) tick(now time.Time) ([]byte, error) {
	if err := p.socket.Tick(now); err != nil {
		return nil, err
	}
	packet, err := p.engine.Tick(now)
	if packet == nil {
		return nil, err
	}
	return textFrame(packet), err
}

// plain is the protocol of /ws/*: the JSON of service messages as text, Web
// Socket pings, and nothing that a client could say.
type plain struct {
	limit    int64
	interval time.Duration
	timeout  time.Duration
	waits    bool // for a pong
	due      time.Time
}

// pingFrame is the ping of /ws/*; the client's pong repeats its empty payload.
var pingFrame = appendFrame(nil, opPing, nil)

func newPlain(cfg *Config, now time.Time) *plain {
	return &plain{limit: cfg.MaxPayload, interval: cfg.PingInterval, timeout: cfg.PingTimeout, due: now.Add(cfg.PingInterval)}
}

func (p *plain) open() [][]byte { return nil }
func (p *plain) joined() bool   { return true }

func (p *plain) text(data []byte, _ time.Time) ([]byte, *socketio.Incoming, error) {
	if int64(len(data)) > p.limit {
		return nil, nil, engineio.ErrTooBig
	}
	return nil, nil, nil
}

func (p *plain) binary([]byte, time.Time) (*socketio.Incoming, error) { return nil, errBinary }

func (p *plain) answer(*socketio.Incoming, json.RawMessage, [][]byte) ([][]byte, error) {
	return nil, errNoEvents
}

func (p *plain) pong(now time.Time) {
	if p.waits {
		p.waits = false
		p.due = now.Add(p.interval)
	}
}

// ping and pinged: a client of text answers nothing but Web Socket pings.
func (p *plain) ping(time.Time) []byte { return nil }
func (p *plain) pinged() bool          { return false }

func (p *plain) deadline() time.Time { return p.due }

func (p *plain) tick(now time.Time) ([]byte, error) {
	if now.Before(p.due) {
		return nil, nil
	}
	if p.waits {
		return nil, errPing
	}
	p.waits = true
	p.due = now.Add(p.timeout)
	return pingFrame, nil
}
