package websockets

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// touchBatch is how many sessions a BatchSessions is asked for at once: enough
// to make the way to the store cheap, few enough that an answer of the largest
// documents still fits into sessionCheckTimeout.
const touchBatch = 256

// BatchSessions is a store that is far away: the periodic check asks it for
// many sessions at once.
type BatchSessions interface {
	Sessions
	// TouchAll is Touch for up to 256 sessions; it returns those of the ids for
	// which Touch would return ErrNoSession. With an error nothing is known of
	// the ids that it does not return.
	TouchAll(ctx context.Context, ids []string) (gone []string, err error)
}

// checkSessions touches the sessions of the open sockets, so that a session
// lives while it has one, and closes the sockets of those that are gone. Each
// session has its turn once in sessionCheckInterval, or later when the store
// takes that long.
func (s *Server) checkSessions() {
	tick := time.NewTicker(sessionCheckInterval / shardCount)
	defer tick.Stop()
	failing := false
	for i := 0; ; i = (i + 1) % shardCount {
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
		}
		s.hub.shards[i].sweep(s.clock(), &s.histories)
		s.expireAsking(&s.hub.shards[i])
		owners := s.hub.shards[i].sessions()
		if len(owners) == 0 {
			continue
		}
		err := s.touchSessions(owners)
		if s.stopped.Err() != nil {
			return
		}
		switch {
		case err != nil && !failing:
			s.log.Warn("sessions cannot be checked: their sockets stay open", slog.Any(keyError, err))
		case err == nil && failing:
			s.log.Info("sessions can be checked again")
		}
		failing = err != nil
	}
}

// sessions returns the owners of the sessions of the shard's sockets.
func (sh *shard) sessions() map[string]subject {
	owners := make(map[string]subject)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for owner, list := range sh.users {
		for _, sock := range list {
			owners[sock.session] = owner
		}
	}
	return owners
}

// touchSessions touches sessions and closes the sockets of those that are
// gone. A store that cannot answer ends nobody's socket; what is left is asked
// again in the next round.
func (s *Server) touchSessions(owners map[string]subject) error {
	touch, size := s.touchEach, 1
	if store, ok := s.opts.Sessions.(BatchSessions); ok {
		touch, size = store.TouchAll, touchBatch
	}
	batch := make([]string, 0, min(size, len(owners)))
	for id := range owners {
		batch = append(batch, id)
		if len(batch) < size {
			continue
		}
		if err := s.touchBatch(touch, batch, owners); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if len(batch) == 0 {
		return nil
	}
	return s.touchBatch(touch, batch, owners)
}

func (s *Server) touchBatch(touch func(context.Context, []string) ([]string, error), ids []string, owners map[string]subject) error {
	ctx, cancel := context.WithTimeout(s.stopped, sessionCheckTimeout)
	defer cancel()
	gone, err := touch(ctx, ids)
	for _, id := range gone {
		owner := owners[id]
		s.CloseSockets(Selector{Context: owner.context, User: owner.user, Session: id}, CauseSession)
	}
	return err
}

// touchEach is TouchAll of a store without it.
func (s *Server) touchEach(ctx context.Context, ids []string) (gone []string, err error) {
	for _, id := range ids {
		err := s.opts.Sessions.Touch(ctx, id)
		switch {
		case errors.Is(err, ErrNoSession):
			gone = append(gone, id)
		case err != nil:
			return gone, err
		}
	}
	return gone, nil
}
