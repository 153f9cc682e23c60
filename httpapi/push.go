package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets"
	"github.com/seed47708276/sluice/websockets/trace"
)

// priority is how soon a notification is due.
type priority int

const (
	priorityHigh priority = iota
	priorityMedium
	priorityLow
	priorityCount
)

// delayFactors are by how much the waits of each priority are longer.
var delayFactors = [priorityCount]time.Duration{1, 2, 4}

// What has become of a notification when its producer is answered.
const (
	pushAccepted  = "accepted"
	pushCoalesced = "coalesced" // it is one with an equal one that waits
	pushDuplicate = "duplicate" // it was accepted before
	pushDisabled  = "disabled"  // the cascade says no for this user
)

// mailIDs and hookIDs begin the ids of mails and of webhooks. Callers' own may not
// begin so.
const (
	mailIDs = "mail:"
	hookIDs = "hook:"
)

// mailWindow is how long a mail is known again: Dovecot repeats a notification
// within seconds.
const mailWindow = time.Minute

const (
	// claimsAtOnce is how many ids are claimed in Redis at the same time.
	claimsAtOnce = 32
	// deliverAtOnce is how many notifications are claimed before their deliveries
	// begin.
	deliverAtOnce = remote.MaxHaveSockets
)

// pushes are the push notifications on their way to the sockets: accepted,
// waiting for equal ones, then delivered here and to the other members.
type pushes struct {
	server       *Server
	buffers      [priorityCount]*remote.Buffer
	closing      atomic.Bool
	apart        atomic.Uint64
	counts       pushCounts
	mails, hooks memory
	notify       notifyState

	mu      sync.Mutex
	timings remote.Timings
}

// memory is what is remembered of the ids of one kind.
type memory struct{ accepted, delivered sentIDs }

// pushCounts are since the start.
type pushCounts struct {
	delivered atomic.Int64 // to at least one socket here
	carried   atomic.Int64 // no socket is here: the other members were told
	noSocket  atomic.Int64 // no member had a socket of the user
	duplicate atomic.Int64 // another member had accepted the same
	unclaimed atomic.Int64 // Redis could not say whether another member had
}

func newPushes(s *Server) *pushes {
	p := &pushes{server: s}
	t, err := readPushTimings(s.Engine.Snapshot())
	if err != nil { // which the load has told
		t = remote.Timings{Delay: time.Second, MaxDelay: 10 * time.Second, Frequency: 500 * time.Millisecond}
	}
	p.timings = t
	limit := func() int { return int(cascade.ServerValue[int64](s.Engine.Snapshot(), PropPushBuffered)) }
	for i := range p.buffers {
		p.buffers[i] = remote.NewBuffer(scaled(t, priority(i)), limit, p.deliver)
	}
	s.Engine.Subscribe([]string{PropPushDelay, PropPushMaxDelay, PropPushFrequency}, func([]cascade.EffectiveChange) { p.readTimings() })
	p.readTimings() // after Subscribe: a change between the two would go unnoticed
	return p
}

func scaled(t remote.Timings, p priority) remote.Timings {
	return remote.Timings{Delay: t.Delay * delayFactors[p], MaxDelay: t.MaxDelay * delayFactors[p], Frequency: t.Frequency}
}

// readTimings applies the timings to what waits as well.
func (p *pushes) readTimings() {
	t, err := readPushTimings(p.server.Engine.Snapshot())
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || t == p.timings { // an error is told by the load
		return
	}
	p.timings = t
	for i, b := range p.buffers {
		b.SetTimings(scaled(t, priority(i)))
	}
}

// ClosePushes refuses further notifications and delivers what waits. It returns
// when the link has what is for other members.
func (s *Server) ClosePushes() {
	s.pushes.closing.Store(true)
	for _, b := range s.pushes.buffers {
		b.Close()
	}
}

// errPushFull is answered as an overload.
var errPushFull = errors.New("too many notifications wait: send it again")

// accept takes a notification for a user, or says why not. m.IDs has at most one
// id, by which the same notification is known again. It does not wait.
func (p *pushes) accept(m remote.Message, prio priority) (result string, err error) {
	s := p.server
	su := cascade.Subject{Context: m.Context, User: m.User}
	if !pushEnabled(s.Engine.Snapshot(), su, pushClient, m.Name) {
		p.outcome(&m, trace.Disabled)
		return pushDisabled, nil
	}
	if !s.taking.enter() {
		return "", errPushFull // the next process takes it
	}
	defer s.taking.leave()
	buffer := p.buffers[prio]
	if err := buffer.Reserve(); err != nil {
		return "", errPushFull
	}
	if s.Cluster != nil {
		if err := s.Cluster.Reserve(); err != nil {
			buffer.Release()
			return "", errPushFull
		}
	}
	if len(m.IDs) > 0 && !p.firstAccepted(m.IDs) {
		buffer.Release()
		if s.Cluster != nil {
			s.Cluster.Release()
		}
		p.outcome(&m, trace.Duplicate)
		return pushDuplicate, nil
	}
	if m.ID = randomID(); len(m.IDs) > 0 {
		m.ID = m.IDs[0]
	}
	if buffer.Offer(m) {
		if s.Cluster != nil {
			s.Cluster.Release()
		}
		p.outcome(&m, trace.Merged)
		return pushCoalesced, nil
	}
	return pushAccepted, nil
}

// outcome remembers what became of a notification that goes no further.
func (p *pushes) outcome(m *remote.Message, o trace.Outcome) {
	id := m.ID
	if id == "" && len(m.IDs) > 0 {
		id = m.IDs[0]
	}
	p.server.Sockets.Memory().Add(&trace.Record{
		Key: trace.Key{Context: m.Context, User: m.User}, ID: id, From: p.server.Member, Topic: m.Name, At: time.Now(), Outcome: o,
	})
}

// memory is where ids such as this are remembered, and for how long.
func (p *pushes) memory(id string) (accepted, delivered *sentIDs, window time.Duration) {
	switch {
	case strings.HasPrefix(id, mailIDs):
		return &p.mails.accepted, &p.mails.delivered, mailWindow
	case strings.HasPrefix(id, hookIDs):
		return &p.hooks.accepted, &p.hooks.delivered, 2 * signatureWindow
	}
	return &p.server.accepted, &p.server.delivered, cascade.ServerValue[time.Duration](p.server.Engine.Snapshot(), remote.PropDedupWindow)
}

// firstAccepted and firstDelivered report whether one of the ids, which are of one
// kind, is new, and remember them all.
func (p *pushes) firstAccepted(ids []string) bool {
	accepted, _, window := p.memory(ids[0])
	return accepted.first(time.Now(), window, ids...)
}

func (p *pushes) firstDelivered(ids []string) bool {
	_, delivered, window := p.memory(ids[0])
	return delivered.first(time.Now(), window, ids...)
}

// ownID reports whether an id is of a kind that callers may not choose.
func ownID(id string) bool { return strings.HasPrefix(id, mailIDs) || strings.HasPrefix(id, hookIDs) }

// deliver is the sink of the buffers.
func (p *pushes) deliver(messages []remote.Message) {
	for len(messages) > 0 {
		n := min(len(messages), deliverAtOnce)
		claims := p.claim(messages[:n])
		var absent []shared.Registration // users without a socket here
		for i := range messages[:n] {
			m := &messages[i]
			switch sent, local := p.deliverOne(m, claims[i]); {
			case !sent:
				p.counts.duplicate.Add(1)
			case local > 0:
				p.counts.delivered.Add(1)
			default:
				absent = append(absent, shared.Registration{Context: m.Context, User: m.User})
			}
		}
		p.countAbsent(absent)
		messages = messages[n:]
	}
}

// alone reports whether no other member could have a socket.
func (p *pushes) alone() bool {
	if p.server.Cluster == nil {
		return true
	}
	members, status := p.server.Cluster.Members()
	return status == "ok" && len(members) <= 1
}

// claim tells for each notification what another member has done with it. A
// member that stops does not ask: receivers know a notification by its ids.
func (p *pushes) claim(messages []remote.Message) []remote.Claim {
	claims := make([]remote.Claim, len(messages))
	if p.server.Cluster == nil || p.closing.Load() {
		return claims
	}
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(claimsAtOnce, len(messages)) {
		work.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(messages) {
					return
				}
				claims[i] = p.claimOne(messages[i].IDs)
			}
		})
	}
	work.Wait()
	return claims
}

// claimOne is ClaimSent where each of the ids was sent.
func (p *pushes) claimOne(ids []string) remote.Claim {
	sent := 0
	for _, id := range ids {
		_, _, window := p.memory(id)
		switch p.server.Cluster.Claim(context.Background(), id, window) { // which bounds itself
		case remote.ClaimSent:
			sent++
		case remote.ClaimUnknown:
			p.counts.unclaimed.Add(1)
		case remote.ClaimNew, remote.ClaimWaiting:
		}
	}
	if sent > 0 && sent == len(ids) {
		return remote.ClaimSent
	}
	return remote.ClaimNew
}

// deliverOne queues a notification on the local matches, and has the link carry
// it to the other members; sent is false where another member has done that.
func (p *pushes) deliverOne(m *remote.Message, claim remote.Claim) (sent bool, local int) {
	s := p.server
	if claim == remote.ClaimSent {
		p.outcome(m, trace.Duplicate)
		s.Cluster.Release()
		return false, 0
	}
	var accepted websockets.Accepted
	// Another member's copy may have come before.
	if len(m.IDs) == 0 || p.firstDelivered(m.IDs) {
		msg := websockets.Message{Name: m.Name, Args: json.RawMessage(m.Args), Label: m.Label}
		msg.From = s.Member
		err := msg.Validate()
		if err == nil {
			local, err = s.Sockets.SendToUser(m.Context, m.User, msg, m.Target)
		}
		if err != nil {
			s.Logger.Error("a notification cannot be sent", "topic", m.Name, "err", err)
		}
		accepted = msg.Accepted()
	}
	if s.Cluster != nil {
		m.Number, m.Placed = accepted.Number(), []remote.Placed{accepted}
		s.Cluster.Offer(*m)
	}
	return true, local
}

// countAbsent counts notifications for users without a matching socket here, after
// they are on their way: the registry says whether another member has one, and where
// it cannot say, one has. It decides nothing but the count, since it may be behind.
func (p *pushes) countAbsent(absent []shared.Registration) {
	if len(absent) == 0 {
		return
	}
	var have []bool // nil: it is not known
	switch {
	case p.alone():
		have = make([]bool, len(absent))
	case !p.closing.Load(): // a member that stops does not ask
		var err error
		if have, err = p.server.Cluster.HaveSockets(context.Background(), absent); err != nil { // which bounds itself
			p.server.Logger.Debug("notifications without a socket here count as carried", "err", err)
		}
	}
	for i := range absent {
		if have == nil || have[i] {
			p.counts.carried.Add(1)
		} else {
			p.counts.noSocket.Add(1)
		}
	}
}

// warn logs what a producer can cause without end, once a minute for each kind.
func (p *pushes) warn(kind, text string, args ...any) {
	if p.notify.due(kind) {
		p.server.Logger.Warn(text, append([]any{slog.String("kind", kind)}, args...)...)
	}
}
