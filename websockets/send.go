package websockets

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
	frames, err := m.encode()
	if err != nil {
		return 0, err
	}
	cfg := s.opts.Config()
	queued := 0
	// Closing takes the shard's lock, which is held while the sockets are
	// walked: it has to wait until after.
	var slow []*socket
	each(func(sock *socket) {
		if t.SourceToken != "" && t.SourceToken == sock.connection || !pathMatches(t.PathFilter, sock.path) {
			return
		}
		switch sock.push(frames, cfg) {
		case pushed:
			queued++
		case pushOverflow:
			slow = append(slow, sock)
		case pushRefused:
		}
	})
	for _, sock := range slow {
		sock.close(CauseSlow)
	}
	s.totals.messages.Add(int64(queued))
	return queued, nil
}
