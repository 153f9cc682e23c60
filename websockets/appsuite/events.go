package appsuite

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/websockets"
)

const (
	// probeInterval is how long the channel may be silent before it is asked
	// whether it is still there; go-redis connects anew when it is not.
	probeInterval = 3 * time.Second
	// maxEvent bounds a message of the channel, maxEventIDs the sessions in it:
	// the existing system collects those of 5 s.
	maxEvent    = 1 << 20
	maxEventIDs = 20_000
	// eventTimeout bounds the work for one message.
	eventTimeout = 10 * time.Second
)

// Run follows the channel on which the existing system says which sessions
// have changed, until ctx ends. A message is a hint and no more: each session
// that has a socket here is read again, and only one that is gone or expired
// is ended. What is missed while the channel is away is found when the sockets'
// sessions are checked.
func (s *Store) Run(ctx context.Context) {
	sub := s.opts.Client.Subscribe(ctx, eventsTopic)
	messages := sub.Channel(redis.WithChannelHealthCheckInterval(probeInterval))
	defer func() {
		if err := sub.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			s.opts.Logger.Debug("leaving the channel of the sessions", "err", err)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			s.hint(ctx, m.Payload)
		}
	}
}

// hint handles a message: {"data":"<JSON>","instanceId":"..."}, whose data is
// {"operation":"invalidate","sessionIds":[...]} (spec 10.4).
func (s *Store) hint(ctx context.Context, payload string) {
	s.counts.events.Add(1)
	var outer struct {
		Data string `json:"data"`
	}
	var inner struct {
		Operation  string   `json:"operation"`
		SessionIDs []string `json:"sessionIds"`
	}
	if len(payload) > maxEvent || json.Unmarshal([]byte(payload), &outer) != nil ||
		json.Unmarshal([]byte(outer.Data), &inner) != nil || len(inner.SessionIDs) > maxEventIDs {
		s.counts.strange.Add(1)
		return
	}
	if inner.Operation != "invalidate" || len(inner.SessionIDs) == 0 {
		return
	}
	ids := make(map[string]bool, len(inner.SessionIDs))
	for _, id := range inner.SessionIDs {
		ids[id] = true
	}
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	for _, held := range s.opts.Held(ids) {
		_, err := s.Get(ctx, held.Session)
		switch {
		case errors.Is(err, websockets.ErrNoSession):
			s.opts.End(held)
		case err != nil:
			s.opts.Logger.Warn("sessions cannot be read again: their sockets stay open until the next check", "err", err)
			return
		}
	}
}
