package websockets

import "sync"

// SendToUser queues a message on the matching sockets of one user and returns
// their number. It never waits for a socket: one whose queue is full is closed
// as too slow (4408). It returns ErrPathFilter, or an error that wraps
// ErrMessage, and then nothing was queued.
func (s *Server) SendToUser(context, user int32, m Message, t Target) (int, error) {
	return s.send(m, t, func(f receive) { s.hub.toUser(subject{context, user}, f) })
}

// SendToContext is SendToUser for all connected users of a context.
func (s *Server) SendToContext(context int32, m Message, t Target) (int, error) {
	return s.send(m, t, func(f receive) {
		s.hub.toAll(func(k subject) bool { return k.context == context }, f)
	})
}

// SendToAll is SendToUser for everyone who is connected.
func (s *Server) SendToAll(m Message, t Target) (int, error) {
	return s.send(m, t, func(f receive) {
		s.hub.toAll(func(subject) bool { return true }, f)
	})
}

func (s *Server) send(m Message, t Target, each func(receive)) (int, error) {
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
	keep := s.keeping(&m, &t)
	each(func(list []*socket, h *history) {
		k := keep.in(h)
		for _, sock := range list {
			if !t.matches(sock) {
				continue
			}
			switch sock.push(m.built, k, cfg) {
			case pushedFirst:
				work.mine = append(work.mine, sock)
				queued++
			case pushed:
				queued++
			case pushOverflow:
				work.slow = append(work.slow, sock)
			case pushRefused:
			}
		}
		keep.out(h)
	})
	keep.done()
	s.totals.messages.Add(int64(queued))
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
	frame  *outgoing
	stamp  *stamp
	to     *Target
	now    int64
	bytes  []keptBytes
	own    bool // it has a number of this member's that is not delivered yet
}

// keptBytes is what one user's history has grown by.
type keptBytes struct {
	h     *history
	bytes int
}

// keeping gives a message its number. Where nobody can come back for it, here or
// on another member, it gets none.
func (s *Server) keeping(m *Message, t *Target) keeping {
	m.built.stamp = nil
	if s.histories.Load() == 0 && s.opts.Peers == nil {
		return keeping{}
	}
	k := keeping{server: s, frame: m.built.packet, now: s.clock()}
	if *t != (Target{}) {
		to := *t
		k.to = &to
	}
	if k.own = m.Stamp.Origin == ""; k.own {
		k.stamp = &stamp{origin: s.opts.Origin, number: s.numbers.take()}
	} else {
		k.stamp = &stamp{origin: m.Stamp.Origin, number: m.Stamp.Number}
		k.stamp.place.Store(m.Stamp.Place)
	}
	m.built.stamp = k.stamp
	return k
}

// in locks a history and keeps the message in it; nil: it is not kept.
func (k *keeping) in(h *history) *kept {
	if h == nil || k.server == nil {
		return nil
	}
	h.mu.Lock()
	if h.off {
		return nil
	}
	x := &kept{outgoing: *k.frame, stamp: k.stamp, to: k.to, at: k.now}
	k.bytes = append(k.bytes, keptBytes{h, h.keepLocked(x)})
	return x
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
		k.server.numbers.delivered(k.stamp.number)
	}
	for _, b := range k.bytes {
		k.server.hub.shard(b.h.owner).histories.trim(b.h, k.now, b.bytes, k.now)
	}
}

// delivery is what a sender has to do once it holds no lock of the hub: see to
// the sockets that nobody else writes to, and close those that are full.
type delivery struct{ mine, slow []*socket }

var deliveries = sync.Pool{New: func() any { return &delivery{} }}

func (d *delivery) release() {
	clear(d.mine)
	clear(d.slow)
	d.mine, d.slow = d.mine[:0], d.slow[:0]
	deliveries.Put(d)
}
