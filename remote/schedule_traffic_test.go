package remote

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/shared"
)

// sentMessage is a message that a client has sent.
type sentMessage struct {
	number  int // in the order of acceptance
	id      string
	from    *peer
	to      addressee
	at      time.Time // of acceptance
	want    []*worldSocket
	named   bool // by its sender
	sync    bool
	refused bool // the sender was told that it may not arrive

	// A sender that has got no answer sends the same id to another member.
	repeat    *sentMessage // which has accepted it
	duplicate bool         // which has called it one
}

// ids are those by which a receiver knows the message again.
func (m *sentMessage) ids() []string {
	if m.named {
		return []string{m.id}
	}
	return nil
}

func (m *sentMessage) matches(s *worldSocket) bool {
	return m.to.context == 0 || m.to.context == s.Context && (m.to.user == 0 || m.to.user == s.User)
}

// traffic sends until faults and the time to be whole are over, less often
// afterwards.
func (w *world) traffic(d *dice) {
	for w.sleep(d.between(10*time.Millisecond, w.pace())) {
		p := w.living(d)
		if p == nil {
			continue
		}
		to := addressee{1, uint32(1 + d.n(worldUsers))}
		switch d.n(10) {
		case 0:
			to.user = 0
		case 1:
			to = addressee{}
		}
		sync, named, id := d.n(10) == 0, d.n(3) == 0, fmt.Sprintf("%016x", d.rng.Uint64())
		w.work.Go(func() { w.send(p, id, to, sync, named, nil) })
	}
}

// pace is the longest time between two messages.
func (w *world) pace() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return 300 * time.Millisecond
	}
	return 90 * time.Millisecond
}

// send is what a member does with a message. named: its sender gives the id;
// again is one that was sent before, or nil.
func (w *world) send(p *peer, id string, to addressee, sync, named bool, again *sentMessage) {
	if p.gone() || p.Reserve() != nil {
		w.mu.Lock()
		w.refused++
		w.mu.Unlock()
		return
	}
	if named {
		switch claim := p.Claim(w.ctx, id, time.Minute); {
		case claim == ClaimNew, claim == ClaimUnknown:
		case again == nil:
			p.Release()
			w.breach("id claimed twice: %s was sent once and is a duplicate at %s", id, p.name)
			return
		case claim == ClaimSent:
			p.Release()
			w.mu.Lock()
			again.duplicate = true
			w.mu.Unlock()
			return
		}
	}
	p.accepting.Lock()
	defer p.accepting.Unlock()
	if p.gone() {
		p.Release()
		return
	}
	m := &sentMessage{id: id, from: p, to: to, at: time.Now(), named: named, sync: sync}
	w.accept(m, again)
	message := Message{Context: to.context, User: to.user, Name: "n", Args: `["` + id + `"]`, Label: shared.Label{ID: id, IDs: m.ids()}}
	if !sync {
		p.Offer(message)
		return
	}
	w.work.Go(func() {
		ctx, cancel := context.WithTimeout(w.ctx, 3*time.Second)
		defer cancel()
		if _, err := p.Send(message)(ctx); err != nil {
			w.mu.Lock()
			m.refused = true
			w.mu.Unlock()
		}
	})
}

// accept delivers a message at its member, and notes who is to get it.
func (w *world) accept(m, again *sentMessage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.number = len(w.sent) + 1
	w.sent = append(w.sent, m)
	if again != nil {
		again.repeat = m
	} else {
		w.byID[m.id] = m
	}
	for _, s := range w.sockets {
		// A member that had the id already does not take it again.
		if s.live && s.closed.IsZero() && m.matches(s) && (again == nil || slices.Contains(again.want, s)) {
			m.want = append(m.want, s)
		}
	}
	m.from.deliver(m)
}

// clients come and go.
func (w *world) clients(d *dice) {
	for w.sleep(d.between(50*time.Millisecond, 400*time.Millisecond)) {
		p := w.living(d)
		if p == nil {
			continue
		}
		w.mu.Lock()
		var mine []*worldSocket
		for _, s := range w.sockets {
			if s.peer == p && s.live && s.closed.IsZero() {
				mine = append(mine, s)
			}
		}
		w.mu.Unlock()
		if len(mine) > 4 || len(mine) > 1 && d.n(5) == 0 {
			w.shut(mine[d.n(len(mine))])
			continue
		}
		user := uint32(1 + d.n(worldUsers))
		w.work.Go(func() { _ = w.open(p, user) }) // a client comes again
	}
}

// open is a handshake.
func (w *world) open(p *peer, user uint32) error {
	w.mu.Lock()
	n := len(w.sockets)
	s := &worldSocket{peer: p, Registration: shared.Registration{
		ID: fmt.Sprintf("%032x", n+1), Context: 1, User: user, Connection: fmt.Sprint("c", n), Session: fmt.Sprintf("%016d", n),
	}}
	if !p.dead.IsZero() || p.closing {
		w.mu.Unlock()
		return nil
	}
	w.sockets = append(w.sockets, s)
	p.sockets[s.ID] = s
	w.mu.Unlock()
	_, err := p.Register(w.ctx, s.Registration, 1000)
	if err != nil {
		w.shut(s)
		return err
	}
	w.mu.Lock()
	s.live, s.opened = true, time.Now()
	w.mu.Unlock()
	return nil
}

// shut is a client that leaves.
func (w *world) shut(s *worldSocket) {
	w.mu.Lock()
	s.end("left")
	delete(s.peer.sockets, s.ID)
	w.mu.Unlock()
	s.peer.Unregister(s.Registration)
}

// resend sends the ids of a dead member's last messages to another, as a
// producer does that has got no answer.
func (w *world) resend(d *dice, dead *peer) {
	w.mu.Lock()
	var ids []*sentMessage
	for _, m := range w.sent {
		if m.from == dead && m.named && time.Since(m.at) < time.Second {
			ids = append(ids, m)
		}
	}
	w.mu.Unlock()
	p := w.living(d)
	if p == nil {
		return
	}
	for _, m := range ids {
		w.send(p, m.id, m.to, false, true, m)
	}
}

// check holds what was sent against what arrived.
func (w *world) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	missing := make(map[*peer]map[*sentMessage]bool) // by sender
	dropped := int64(0)
	for _, p := range w.all {
		for _, n := range p.Stats().Dropped {
			dropped += n
		}
	}
	lost := int64(0)
	for _, m := range w.sent {
		for _, s := range m.want {
			switch {
			case slices.ContainsFunc(s.got, func(g *sentMessage) bool { return g.id == m.id }) || !s.closed.IsZero() || m.refused || m.repeat != nil:
			case m.duplicate:
				w.note("id of a dead member: %d from %s is a duplicate and never came to %s", m.number, m.from.name, s)
			case !m.from.dead.IsZero():
				if missing[m.from] == nil {
					missing[m.from] = make(map[*sentMessage]bool)
				}
				missing[m.from][m] = true
			default:
				lost++
				if w.away && lost <= dropped {
					continue
				}
				w.note("lost: %d from %s to %v at %.3fs for %s", m.number, m.from.name, m.to, w.seconds(m.at), s)
			}
		}
	}
	for p, list := range missing {
		if may := w.mayLose(p); int64(len(list)) > may {
			w.note("lost: %d messages of %s, which may lose %d, the first %d", len(list), p.name, may, first(list))
		}
	}
	w.checkSockets()
}

// mayLose is how many messages of a member that has ended may never come to
// sockets that stay.
func (w *world) mayLose(p *peer) int64 {
	switch {
	case p.closing:
		return p.Stats().Dropped[drops[dropStopped]]
	case w.lossy:
		return int64(p.buffered + p.kept)
	}
	return int64(p.buffered)
}

// first is the lowest number.
func first(list map[*sentMessage]bool) int {
	n := math.MaxInt
	for m := range list {
		n = min(n, m.number)
	}
	return n
}

// checkSockets looks for what came twice, out of order or late.
func (w *world) checkSockets() {
	for _, s := range w.sockets {
		last := make(map[*peer]int)
		seen := make(map[*sentMessage]int)
		for i, m := range s.got {
			if seen[m]++; seen[m] > 1 {
				w.note("doubled: %d from %s for %s", m.number, m.from.name, s)
			}
			if m.number < last[m.from] && m.repeat == nil {
				w.note("out of order: %d behind %d from %s for %s", m.number, last[m.from], m.from.name, s)
			}
			last[m.from] = max(m.number, last[m.from])
			if late := w.lateness(m, s.at[i]); late > 0 && m.repeat == nil {
				what := "late"
				if s.opened.After(m.at) {
					what = "stale" // for a socket that was not there
				}
				w.note("%s: %d from %s, accepted at %.3fs, for %s, at %.3fs, by %v", what, m.number, m.from.name, w.seconds(m.at), s, w.seconds(s.at[i]), late)
			}
		}
	}
}

// lateness is how much later than it may a message has come. What stops Redis or
// a line may delay what is sent until worldWhole after its end; that a member is
// dead or that Redis has lost data may not for more than worldPrompt.
func (w *world) lateness(m *sentMessage, at time.Time) time.Duration {
	until := m.at.Add(worldPrompt + w.timings.MaxDelay)
	if !w.stopped.IsZero() && m.at.Before(w.stopped.Add(worldWhole)) && at.After(w.stopping) {
		until = later(until, w.stopped.Add(worldWhole))
	}
	return at.Sub(until)
}

func (w *world) seconds(t time.Time) float64 { return t.Sub(w.start).Seconds() }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// note is breach with the world locked.
func (w *world) note(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// maxTold bounds the report of one schedule.
const maxTold = 12

// result tells what was not held.
func (w *world) result() result {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := result{schedules: 1, messages: len(w.sent), refused: w.refused, commands: w.redis.Counts().Commands}
	for _, s := range w.sockets {
		r.deliveries += len(s.got)
		if s.why == "1012" {
			r.sentAway++
		}
	}
	if len(w.broken) > 0 {
		told := w.broken
		if len(told) > maxTold {
			told = append(slices.Clone(told[:maxTold]), fmt.Sprintf("and %d more", len(w.broken)-maxTold))
		}
		w.t.Errorf("seed %d:\n  %s\nwhat happened:\n%s", w.seed, strings.Join(told, "\n  "), strings.Join(w.faults, "\n"))
	}
	return r
}
