package websockets

import "sync"

// SendToUser queues a message on the matching sockets of one user and returns
// their number. It never waits for a socket: one whose queue is full is closed
// as too slow (4408). It returns ErrPathFilter, or an error that wraps
// ErrMessage, and then nothing was queued.
func (s *Server) SendToUser(context, user int32, m Message, t Target) (int, error) {
	return s.send(m, t, func(f func(*socket)) { s.hub.user(subject{context, user}, f) })
}

// SendToContext is SendToUser for all connected users of a context.
func (s *Server) SendToContext(context int32, m Message, t Target) (int, error) {
	return s.send(m, t, func(f func(*socket)) {
		s.hub.all(func(k subject) bool { return k.context == context }, f)
	})
}

// SendToAll is SendToUser for everyone who is connected.
func (s *Server) SendToAll(m Message, t Target) (int, error) {
	return s.send(m, t, func(f func(*socket)) {
		s.hub.all(func(subject) bool { return true }, f)
	})
}

func (s *Server) send(m Message, t Target, each func(func(*socket))) (int, error) {
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
	each(func(sock *socket) {
		if t.SourceToken != "" && t.SourceToken == sock.connection || !pathMatches(t.PathFilter, sock.path) {
			return
		}
		switch sock.push(m.built, cfg) {
		case pushedFirst:
			work.mine = append(work.mine, sock)
			queued++
		case pushed:
			queued++
		case pushOverflow:
			work.slow = append(work.slow, sock)
		case pushRefused:
		}
	})
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
