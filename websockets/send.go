package websockets

import (
	"sync"
	"time"

	"github.com/seed47708276/sluice/websockets/trace"
)

// SendToUser queues a message on the matching sockets of one user and returns
// their number. It never waits for a socket: one whose queue is full is closed
// as too slow (4408). It returns ErrPathFilter, or an error that wraps
// ErrMessage, and then nothing was queued.
func (s *Server) SendToUser(context, user uint32, m Message, t Target) (int, error) {
	k := subject{context, user}
	s.keepUnknown(k)
	return s.send(trace.Key{Context: context, User: user}, m, t, func(f receive) { s.hub.toUser(k, f) })
}

// SendToContext is SendToUser for all connected users of a context.
func (s *Server) SendToContext(context uint32, m Message, t Target) (int, error) {
	return s.send(trace.Key{Context: context}, m, t, func(f receive) {
		s.hub.toAll(func(k subject) bool { return k.context == context }, f)
	})
}

// SendToAll is SendToUser for everyone who is connected.
func (s *Server) SendToAll(m Message, t Target) (int, error) {
	return s.send(trace.Key{}, m, t, func(f receive) {
		s.hub.toAll(func(subject) bool { return true }, f)
	})
}

func (s *Server) send(to trace.Key, m Message, t Target, each func(receive)) (int, error) {
	if t.PathFilter != "" {
		if err := ValidatePathFilter(t.PathFilter); err != nil {
			return 0, err
		}
	}
	if m.built == nil {
		if err := m.Validate(); err != nil {
			return 0, err
		}
	}
	cfg := s.opts.Config()
	queued := 0
	work := deliveries.Get().(*delivery)
	defer work.release()
	born := m.built.packet.born
	rec := &trace.Record{Key: to, ID: m.ID, From: m.From, Topic: m.Name, At: time.Unix(0, born), Also: m.IDs}
	m.built.trace(rec)
	ask := m.Confirm || to.User != 0 && cfg.Arrivals > 0 && s.sample.due(born, cfg.Arrivals)
	keep := s.keeping(&m, &t)
	if to.User == 0 {
		keep.stray(subject{to.Context, 0}) // first: a history may begin while the others get it
	}
	each(func(list []*socket, h *history) {
		if h == nil && to.User != 0 {
			keep.stray(subject{to.Context, to.User})
		}
		index := keep.in(h)
		for _, sock := range list {
			switch {
			case t.SourceToken != "" && t.SourceToken == sock.connection:
				rec.Source++
			case !pathMatches(t.PathFilter, sock.path):
				rec.Paths++
			case work.take(sock, sock.push(m.built, index, cfg), rec):
				queued++
				if ask {
					work.asked = append(work.asked, sock)
				}
			}
		}
		keep.out(h)
	})
	keep.done()
	s.totals.messages.Add(int64(queued))
	s.remember(rec, queued, len(work.slow), &m)
	if ask { // before the writing, so that one write has the question as well
		s.ask(rec, work.asked)
	}
	if len(work.mine) <= fewSockets {
		for _, sock := range work.mine {
			sock.flush()
		}
	} else {
		s.flushes.add(s, work.mine)
	}
	for _, sock := range work.slow {
		sock.close(CauseSlow)
	}
	return queued, nil
}

// receive gets the sockets of a user, and what is kept of it: nil where nothing is.
type receive func(list []*socket, h *history)

// keeping is a message that is being kept and queued, in the same order for all
// sockets of a user.
type keeping struct {
	server *Server
	kept   *kept
	users  int  // that have it
	strays bool // it is among the strays, and so perhaps in histories that have begun since
	own    bool // it has a number of this member's that is not delivered yet
}

// keeping gives a message its number. Where nobody can come back for it, here or
// on another member, it gets none.
func (s *Server) keeping(m *Message, t *Target) keeping {
	m.built.stamp = nil
	if s.histories.Load() == 0 && s.opts.Peers == nil {
		return keeping{}
	}
	var to *Target
	if *t != (Target{}) {
		copied := *t
		to = &copied
	}
	k := keeping{server: s, kept: newKept(*m.built.packet, to, s.clock())}
	if k.own = m.Stamp.Origin == ""; k.own {
		k.kept.stamp.origin, k.kept.stamp.number = s.opts.Origin, s.numbers.take()
	} else {
		k.kept.stamp.origin, k.kept.stamp.number = m.Stamp.Origin, m.Stamp.Number
		k.kept.stamp.place.Store(m.Stamp.Place)
	}
	m.built.stamp = &k.kept.stamp
	return k
}

// in locks a history and keeps the message in it, with the index that it returns; 0:
// it is not kept.
func (k *keeping) in(h *history) (index uint64) {
	if h == nil || k.server == nil {
		return 0
	}
	h.mu.Lock()
	if h.off {
		return 0
	}
	if k.strays {
		if index = h.begunWithLocked(k.kept); index != 0 {
			return index
		}
	}
	k.users++
	return h.keepLocked(k.kept)
}

// stray keeps the message for a moment for users of whom no socket is known. Where
// there are no other members, there are none.
func (k *keeping) stray(to subject) {
	if k.server == nil || k.server.opts.Peers == nil {
		return
	}
	k.strays = true
	k.users++
	k.server.strays.add(k.kept, to)
}

// out unlocks the history.
func (k *keeping) out(h *history) {
	if h != nil && k.server != nil {
		h.mu.Unlock()
	}
}

// done counts what was kept. No lock is held.
func (k *keeping) done() {
	if k.own {
		k.server.numbers.delivered(k.kept.stamp.number)
	}
	if k.server != nil {
		k.server.kept.add(k.kept, k.users, k.kept.at)
	}
}

// remember completes the record of a message and keeps it. Of another member's
// message that none here was meant by, nothing is to be told.
func (s *Server) remember(rec *trace.Record, queued, slow int, m *Message) {
	rec.Sockets, rec.Slow = trace.Count(queued), trace.Count(slow)
	if m.Confirm {
		rec.Ask()
		s.memory.Index(rec)
	}
	if queued+slow+int(rec.Paths+rec.Source+rec.Left+rec.Muted) == 0 {
		if m.Copied {
			return
		}
		rec.Outcome = trace.NoSocket
	}
	s.memory.Add(rec)
}

// delivery is what a sender has to do once it holds no lock of the hub: see to
// the sockets that nobody else writes to, close those that are full, and ask
// those that are to confirm.
type delivery struct{ mine, slow, asked []*socket }

// take sorts a socket by what became of the message there, and reports whether
// it has the message.
func (d *delivery) take(sock *socket, result pushResult, rec *trace.Record) bool {
	switch result {
	case pushedFirst:
		d.mine = append(d.mine, sock)
	case pushOverflow:
		d.slow = append(d.slow, sock)
		return false
	case pushRefused:
		rec.Left++
		return false
	case pushMuted:
		rec.Muted++
		return false
	case pushHad:
		return false
	case pushed:
	}
	return true
}

var deliveries = sync.Pool{New: func() any { return &delivery{} }}

func (d *delivery) release() {
	clear(d.mine)
	clear(d.slow)
	clear(d.asked)
	d.mine, d.slow, d.asked = d.mine[:0], d.slow[:0], d.asked[:0]
	deliveries.Put(d)
}
