package websockets

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
	"unique"

	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// FrozenSocket is a socket without a server, and its connection.
type FrozenSocket struct {
	SocketState
	Conn net.Conn
}

// SocketState is what a process has to know of a socket to go on with it. Times are
// since Frozen.Since, but Opened and Sent, which are Unix nanoseconds. The rates at
// which the client may send begin anew.
type SocketState struct {
	Context, User int32 // as in HistoryState
	ID            []byte
	Connection    string
	Path          string
	Session       string
	Client        string
	Address       []byte
	Opened        int64
	Speaks        uint8
	Engine        *engineio.State
	SocketIO      *socketio.State
	Plain         *PlainState
	Admit         uint8
	Held          []FrameState
	Queue         []FrameState
	Rest          []byte // of a frame that is partly out
	Writing       int    // frames that Rest is the end of
	WritingBytes  int
	Muted         bool
	Sent          int64
	Recovery      *RecoveryState // nil: the client does not recover
}

// PlainState is the protocol's of a socket of /ws/*.
type PlainState struct {
	Limit             int64
	Interval, Timeout time.Duration
	Waits             bool
	Due               time.Duration
}

// FrameState is a frame that waits.
type FrameState struct {
	Data       []byte
	Born       int64
	Topic, Key string
	Index      uint64
}

// RecoveryState is what the socket of a client that may come back has beside.
type RecoveryState struct {
	Window       time.Duration
	Start        uint64
	Offsets, IDs bool
	Former       string
	First        []byte
	Waits        bool
	PID, SID     string
	Based        bool // Base is known
	Base         Positions
	Seen         []string
	Offset       string
	Grace        int
	GraceBytes   int

	Writing, Written, Asked, Confirmed uint64
	AskedAt                            int64
}

// stateLocked is not ok while more than a frame is awaited from the client. The
// caller holds talk as well.
func (s *socket) stateLocked() (state SocketState, ok bool) {
	address, err := s.address.MarshalBinary()
	if err != nil {
		return state, false
	}
	state = SocketState{
		Context: int32(s.subject.context), User: int32(s.subject.user), ID: slices.Clone(s.id[:]), Connection: s.connection, Path: s.path,
		Session: s.session, Client: s.client, Address: address, Opened: s.since.UnixNano(), Speaks: uint8(s.kind.protocol),
		Admit: uint8(s.admit), Held: frameStates(s.held), Queue: frameStates(s.queue), Rest: s.rest,
		Writing: s.writing.frames, WritingBytes: s.writing.bytes, Muted: s.muted, Sent: s.sent,
	}
	zero := s.server.started
	switch p := s.proto.(type) {
	case *plain:
		state.Plain = &PlainState{p.limit, p.interval, p.timeout, p.waits, p.due.Sub(zero)}
	case *packets:
		inner, ok := p.socket.State(zero)
		if !ok {
			return state, false
		}
		outer := p.engine.State(zero)
		state.Engine, state.SocketIO = &outer, &inner
	}
	if r := s.rec; r != nil {
		x := &RecoveryState{
			Window: r.window, Start: r.start, Offsets: r.offsets, IDs: r.ids, Former: r.former, First: r.first, Waits: r.waits,
			PID: r.pid, SID: r.sid, Based: r.base != nil, Base: r.base, Offset: r.offset, Grace: r.grace.frames, GraceBytes: r.grace.bytes,
			Writing: r.writing, Written: r.written, Asked: r.asked, Confirmed: r.confirmed, AskedAt: r.askedAt,
		}
		for offset := range r.seen {
			x.Seen = append(x.Seen, offset)
		}
		state.Recovery = x
	}
	return state, true
}

func frameStates(list []queued) (states []FrameState) {
	for _, f := range list {
		states = append(states, FrameState{f.data, f.born, f.topic, f.key, f.index})
	}
	return states
}

// thaw makes a socket of a state. It is not registered yet.
func (s *Server) thaw(state *SocketState) (*socket, error) {
	k := subject{uint32(state.Context), uint32(state.User)}
	var address netip.Addr
	switch {
	case !k.valid() || len(state.ID) != secretBytes || state.Speaks >= uint8(protocolCount) || state.Admit > uint8(admitRefuse):
		return nil, errors.New("a socket out of bounds")
	case address.UnmarshalBinary(state.Address) != nil:
		return nil, errors.New("a socket without an address")
	}
	speaks := Protocol(state.Speaks)
	sock := &socket{
		server: s, shard: s.hub.shard(k), subject: k, id: [secretBytes]byte(state.ID), kind: kindOf(state.Path, speaks),
		connection: state.Connection, path: unique.Make(state.Path).Value(), session: state.Session, client: unique.Make(state.Client).Value(),
		address: address, since: time.Unix(0, state.Opened), asText: speaks == PlainText,
		admit: admission(state.Admit), rest: state.Rest, writing: load{state.Writing, state.WritingBytes}, muted: state.Muted, sent: state.Sent,
	}
	sock.held, sock.queue = framesOf(state.Held), framesOf(state.Queue)
	sock.waiting = sock.writing
	for _, list := range [][]queued{sock.held, sock.queue} {
		for _, f := range list {
			sock.waiting.add(f.outgoing)
		}
	}
	if x := state.Recovery; x != nil {
		sock.rec = &recovery{
			session: sessionDigest(state.Session), window: x.Window, start: x.Start, offsets: x.Offsets, ids: x.IDs, former: x.Former,
			departed: make(chan struct{}), first: x.First, waits: x.Waits, pid: x.PID, sid: x.SID, offset: x.Offset, grace: load{x.Grace, x.GraceBytes},
			writing: x.Writing, written: x.Written, asked: x.Asked, confirmed: x.Confirmed, askedAt: x.AskedAt,
		}
		if x.Based {
			sock.rec.base = x.Base.clone()
		}
		if len(x.Seen) > 0 {
			sock.rec.seen = make(map[string]bool, len(x.Seen))
			for _, offset := range x.Seen {
				sock.rec.seen[offset] = true
			}
		}
	}
	var err error
	sock.proto, err = s.thawProtocol(sock, state)
	return sock, err
}

func (s *Server) thawProtocol(sock *socket, state *SocketState) (protocol, error) {
	zero := s.started
	if p := state.Plain; sock.asText && p != nil {
		return &plain{p.Limit, p.Interval, p.Timeout, p.Waits, zero.Add(p.Due)}, nil
	}
	if sock.asText || state.Engine == nil || state.SocketIO == nil {
		return nil, errors.New("a socket without the state of its protocol")
	}
	engine, err := engineio.Restore(*state.Engine, zero)
	if err != nil {
		return nil, err
	}
	var connect func(json.RawMessage) (sid, pid string)
	if sock.rec != nil && sock.rec.offsets {
		connect = sock.connect
	}
	inner, err := socketio.Restore(*state.SocketIO, socketSettings(s.opts.Config().ConnectTimeout, state.Engine.MaxPayload, connect), zero)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", sock.kind.protocol, err)
	}
	return &packets{engine, inner}, nil
}

func framesOf(states []FrameState) (list []queued) {
	for _, f := range states {
		list = append(list, queued{&outgoing{data: f.Data, born: f.Born, topic: f.Topic, key: f.Key}, f.Index})
	}
	return list
}
