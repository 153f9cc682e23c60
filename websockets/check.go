package websockets

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"time"
)

// touchShare is the part of a session's life after which a far store extends it
// again; maxTouchRounds bounds that in checks, so that a life which somebody
// shortens is noticed in time.
const (
	touchShare     = 6
	maxTouchRounds = 10
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
	// Missing looks whether up to 256 sessions are there, at the least cost and
	// without extending their lives. Its answers are those of TouchAll.
	Missing(ctx context.Context, ids []string) (gone []string, err error)
}

// checkSessions touches the sessions of the open sockets, so that a session
// lives while it has one, and closes the sockets of those that are gone. Each
// session has its turn once in sessionCheckInterval, or later when the store
// takes that long. A far store extends its life when a socket has opened since,
// and then once in touchRounds turns; in the others it looks whether it is there.
func (s *Server) checkSessions() {
	tick := time.NewTicker(sessionCheckInterval / shardCount)
	defer tick.Stop()
	failing, seed := false, maphash.MakeSeed()
	for n := uint64(0); ; n++ {
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
		}
		shard, rounds := &s.hub.shards[n%shardCount], s.touchRounds()
		now := s.clock()
		s.kept.trim(now)
		s.strays.expire(now)
		shard.sweep(now, &s.histories)
		s.expireAsking(shard)
		owners, due := shard.sessions(func(id string) bool {
			return (maphash.String(seed, id)+n/shardCount)%rounds == 0
		})
		if len(owners)+len(due) == 0 {
			continue
		}
		err := s.touchSessions(owners, due)
		shard.touched(due, err == nil)
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

// touchRounds is how many turns of a session come to one that extends its life.
func (s *Server) touchRounds() uint64 {
	if _, far := s.opts.Sessions.(BatchSessions); !far {
		return 1
	}
	life := s.opts.Config().Sessions
	return uint64(max(1, min(min(life.Lifetime, life.LongLifetime)/touchShare/sessionCheckInterval, maxTouchRounds)))
}

// sessions returns the owners of the sessions of the shard's sockets: due are
// those of which a socket has not been touched yet, or whose turn it is.
func (sh *shard) sessions(turn func(id string) bool) (owners, due map[string]subject) {
	owners, due = make(map[string]subject), make(map[string]subject)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for owner, list := range sh.users {
		for _, sock := range list {
			if !sock.touched || turn(sock.session) {
				due[sock.session] = owner
			} else {
				owners[sock.session] = owner
			}
		}
	}
	for id := range due {
		delete(owners, id)
	}
	return owners, due
}

// touched notes whether the sessions that were due were touched.
func (sh *shard) touched(due map[string]subject, done bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id, owner := range due {
		for _, sock := range sh.users[owner] {
			if sock.session == id {
				sock.touched = done
			}
		}
	}
}

// touchSessions touches the sessions that are due, looks for the others, and
// closes the sockets of those that are gone. A store that cannot answer ends
// nobody's socket; what is left is asked again in the next round.
func (s *Server) touchSessions(owners, due map[string]subject) error {
	touch, look, size := s.touchEach, s.touchEach, 1
	if store, ok := s.opts.Sessions.(BatchSessions); ok {
		touch, look, size = store.TouchAll, store.Missing, touchBatch
	}
	if err := s.inBatches(touch, size, due); err != nil {
		return err
	}
	return s.inBatches(look, size, owners)
}

func (s *Server) inBatches(ask func(context.Context, []string) ([]string, error), size int, owners map[string]subject) error {
	batch := make([]string, 0, min(size, len(owners)))
	for id := range owners {
		batch = append(batch, id)
		if len(batch) < size {
			continue
		}
		if err := s.touchBatch(ask, batch, owners); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if len(batch) == 0 {
		return nil
	}
	return s.touchBatch(ask, batch, owners)
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
