package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets"
)

// openLink makes the link to the other members where a Redis is configured.
func (n *Node) openLink() error {
	way, enabled, err := remote.ReadRedis(n.engine.Snapshot())
	if err != nil {
		return err
	}
	if !enabled {
		return nil
	}
	remote.SetRedisLogger(n.log)
	if w := way.Warning(); w != "" {
		n.redisWarning = w
		n.log.Warn(w)
	}
	if n.redis, err = remote.NewClient(way); err != nil {
		return err
	}
	var state *remote.State
	var since time.Time
	if n.frozen != nil {
		state, since = n.frozen.link, n.frozen.sockets.Since
	}
	n.link, err = remote.New(remote.Options{
		State: state, Since: since,
		Client:    n.redis,
		Cluster:   cascade.ServerValue[string](n.engine.Snapshot(), remote.PropCluster),
		Member:    n.member,
		Lease:     cascade.ServerValue[time.Duration](n.engine.Snapshot(), remote.PropLease),
		Keep:      cascade.ServerValue[time.Duration](n.engine.Snapshot(), remote.PropKeep),
		Timings:   n.timings(remote.DefaultTimings),
		Buffered:  func() int { return int(cascade.ServerValue[int64](n.engine.Snapshot(), remote.PropMaxBuffered)) },
		Deliverer: deliverer{n},
		Describe:  func() remote.Member { return n.api.Self() },
		Seen: func(what string, m remote.Member) {
			n.api.Seen(what, m)
			if what == remote.SeenJoined || what == remote.SeenBack {
				n.sockets.TellPresent()
			}
		},
		Logger: n.log,
	})
	return err
}

// leaveTimeout bounds how long a member that ends takes out of Redis what it had
// there; what is left is removed by the others.
const leaveTimeout = 5 * time.Second

func (n *Node) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := n.link.Leave(ctx); err != nil {
		n.log.Warn("this member is not out of the cluster: the others remove it when its lease is over", "err", err)
	}
}

// memberName is this member's name in the cluster.
func (n *Node) memberName() (string, error) {
	if name := cascade.ServerValue[string](n.engine.Snapshot(), remote.PropMember); name != "" {
		return name, nil
	}
	return os.Hostname()
}

// timings are the buffer's as the tree has them, or those before where the
// three do not fit together.
func (n *Node) timings(before remote.Timings) remote.Timings {
	t, err := remote.ReadTimings(n.engine.Snapshot())
	if err != nil {
		n.log.Error("the buffer's timings stay as they were: correct the three together", slog.Any("err", err),
			slog.Duration("delay", before.Delay), slog.Duration("maxDelay", before.MaxDelay), slog.Duration("frequency", before.Frequency))
		return before
	}
	return t
}

// followTimings hands the buffer its timings whenever they change. The caller
// calls cancel.
func (n *Node) followTimings() (cancel func()) {
	current := n.timings(remote.DefaultTimings)
	return n.engine.Subscribe([]string{remote.PropDelay, remote.PropMaxDelay, remote.PropFrequency}, func([]cascade.EffectiveChange) {
		current = n.timings(current)
		n.link.SetTimings(current)
	})
}

// otherSockets are the sockets of each other member that takes some. A link that
// is not whole does not know.
func (n *Node) otherSockets() (counts []int64) {
	members, status := n.link.Members()
	if status != "ok" {
		return nil
	}
	for _, m := range members {
		if !m.Self && m.Alive && !m.Draining {
			counts = append(counts, m.Sockets)
		}
	}
	return counts
}

// deliverer is the sockets as the link needs them.
type deliverer struct{ s *Node }

func (d deliverer) Deliver(m remote.Message) error {
	msg := websockets.Message{
		Name: m.Name, Args: json.RawMessage(m.Args), Label: m.Label, Copied: true,
		Stamp: websockets.Stamp{Origin: m.Origin, Number: m.Number, Place: websockets.PlaceOf(m.Entry, m.Line)},
	}
	if m.PathFilter != "" {
		if err := websockets.ValidatePathFilter(m.PathFilter); err != nil {
			return err
		}
	}
	if !d.s.api.Fresh(m.IDs) {
		return nil
	}
	var err error
	switch {
	case m.Context == 0:
		_, err = d.s.sockets.SendToAll(msg, m.Target)
	case m.User == 0:
		_, err = d.s.sockets.SendToContext(m.Context, msg, m.Target)
	default:
		_, err = d.s.sockets.SendToUser(m.Context, m.User, msg, m.Target)
	}
	return err
}

func (d deliverer) Registrations(f func(shared.Registration) bool) {
	d.s.sockets.Registrations(f)
}

func (d deliverer) Registered(r shared.Registration) bool {
	return d.s.sockets.Registered(r.Context, r.User, r.ID)
}

func (d deliverer) Replace(context, user uint32, id string) {
	d.s.sockets.CloseSockets(websockets.Selector{Context: context, User: user, ID: id}, websockets.CauseTakeover)
}

func (d deliverer) Abandon() int {
	return d.s.sockets.CloseSockets(websockets.Selector{}, websockets.CauseMissed)
}

func (d deliverer) Told(origin, op string, body []byte) {
	if err := d.s.sockets.Told(origin, op, body); err != nil {
		d.s.log.Warn("what another member tells is not understood", "op", op, "incarnation", origin, "err", err)
	}
}

// opSessionEnded tells that a session has ended.
const opSessionEnded = "session.ended"

// endedSession is the body of opSessionEnded.
type endedSession struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
	Session string `json:"session"`
	Hash    string `json:"hash,omitempty"` // where the id is not known
}

func (d deliverer) Answer(op string, body []byte) ([]byte, error) {
	switch op {
	case opSessionEnded:
	case websockets.OpHistory:
		return d.s.sockets.AnswerHistory(body)
	case remote.OpPropose, remote.OpSince, remote.OpPage, remote.OpLog:
		if d.s.storeLink == nil || d.s.fixed {
			return nil, errors.New("this member keeps no store for others")
		}
		return d.s.storeLink.Answer(d.s.store, op, body)
	default:
		return d.s.api.AnswerMember(op, body)
	}
	var e endedSession
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	if e.Context == 0 || e.User == 0 || e.Session == "" && e.Hash == "" {
		return nil, errors.New("no session")
	}
	d.s.sockets.CloseSockets(websockets.Selector{Context: e.Context, User: e.User, Session: e.Session, SessionHash: e.Hash}, websockets.CauseSession)
	return nil, nil
}

// tellTimeout bounds how long a session's end waits for the other members; those
// that are not reached find out when they check their sessions.
const tellTimeout = 2 * time.Second

// sessionEnded closes the sockets of a session on all members.
func (n *Node) sessionEnded(ses *websockets.Session) {
	n.sockets.CloseSession(ses)
	if n.link == nil {
		return
	}
	body, err := json.Marshal(endedSession{ses.Context, ses.User, ses.ID, ses.IDHash})
	if err != nil {
		n.log.Error("session's end not encoded", "err", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	for _, a := range n.link.Ask(ctx, opSessionEnded, body) {
		if a.Err != nil {
			n.log.Warn("a member does not know of a session's end yet: it finds out within a minute", "member", a.Member, "err", a.Err)
		}
	}
}

// watcher is the API as the sockets need it, which is made after them.
type watcher struct{ s *Node }

func (w watcher) Watched() bool                                      { return w.s.api.Watched() }
func (w watcher) Opened(i websockets.SocketInfo)                     { w.s.api.Opened(i) }
func (w watcher) Closed(i websockets.SocketInfo, c websockets.Cause) { w.s.api.Closed(i, c) }
