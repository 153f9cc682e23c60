package websockets

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// checkSessions touches the sessions of the open sockets, so that a session
// lives while it has one, and closes the sockets of those that are gone.
func (s *Server) checkSessions() {
	tick := time.NewTicker(sessionCheckInterval / shardCount)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % shardCount {
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
			s.checkShard(&s.hub.shards[i])
		}
	}
}

func (s *Server) checkShard(sh *shard) {
	sockets := make(map[string]*socket) // one for each session
	sh.mu.RLock()
	for _, list := range sh.users {
		for _, sock := range list {
			sockets[sock.session] = sock
		}
	}
	sh.mu.RUnlock()
	for id, sock := range sockets {
		ctx, cancel := context.WithTimeout(s.stopped, sessionCheckTimeout)
		err := s.opts.Sessions.Touch(ctx, id)
		cancel()
		switch {
		case err == nil:
		case errors.Is(err, ErrNoSession):
			s.CloseSockets(Selector{Context: sock.subject.context, User: sock.subject.user, Session: id}, CauseSession)
		case s.stopped.Err() != nil:
			return
		default:
			// A store that cannot answer ends nobody's socket; the rest of the
			// shard is asked in the next round.
			s.log.Warn("sessions cannot be checked: their sockets stay open", slog.Int(keyCount, len(sockets)), slog.Any(keyError, err))
			return
		}
	}
}
