package appsuite

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/websockets"
)

// A message of the channel is a hint: what it says is looked up.
func TestEvents(t *testing.T) {
	s := newSuite(t)
	for _, id := range []string{"lives", "gone", "expired", "elsewhere"} {
		s.login(id, time.Now(), false, nil)
		if id != "elsewhere" {
			s.held = append(s.held, websockets.Selector{Context: 1337, User: 17, Session: id})
		}
	}
	s.must(s.redis.Del(s.ctx(), sessionKey+"gone").Err())
	s.must(s.redis.ZAdd(s.ctx(), shortKey, redis.Z{Score: 1, Member: "expired"}).Err())
	ctx, cancel := context.WithCancel(s.ctx())
	var running sync.WaitGroup
	running.Go(func() { s.store.Run(ctx) })
	defer running.Wait()
	defer cancel()

	publish := func(payload string) {
		t.Helper()
		before := s.events()
		s.until("it arrives", func() bool {
			// Until the channel is followed, or followed again, nobody gets it.
			return s.redis.Publish(s.ctx(), eventsTopic, payload).Val() > 0 || s.events() > before
		})
		s.until("it is counted", func() bool { return s.events() > before })
	}
	event := func(operation string, ids ...string) string {
		data, err := json.Marshal(map[string]any{"operation": operation, "sessionIds": ids})
		s.must(err)
		text, err := json.Marshal(map[string]any{"data": string(data), "instanceId": "0123456789abcdef0123456789abcdef"})
		s.must(err)
		return string(text)
	}
	for _, strange := range []string{"", "null", "[]", "x", `{"data":5}`, `{"data":"x"}`, `{"data":"{\"sessionIds\":[1]}"}`, strings.Repeat("x", maxEvent+1)} {
		publish(strange)
	}
	publish(event("other", "gone"))
	publish(event("invalidate"))
	publish(event("invalidate", "lives", "unknown", "elsewhere"))
	publish(event("invalidate", "lives", "gone", "expired"))
	s.until("two sessions end", func() bool { return len(s.endedIDs()) == 2 })
	if got := s.endedIDs(); !slices.Equal(got, []string{"expired", "gone"}) {
		t.Errorf("ended: %v", got)
	}
	if c := s.store.Counts(); c.Events["strange"] != 8 || c.Events["other"] != 2 || c.Events["invalidate"] != 2 {
		t.Errorf("counted %v", c.Events)
	}

	// The channel is followed again after Redis was away.
	s.server.Kill()
	s.server.Restart()
	s.login("lives", time.Now(), false, nil)
	publish(event("invalidate", "lives"))
	s.must(s.redis.Del(s.ctx(), sessionKey+"lives").Err())
	publish(event("invalidate", "lives"))
	s.until("the third ends", func() bool { return len(s.endedIDs()) == 3 })
}

// events are the messages that have been counted.
func (s *suite) events() int64 {
	c := s.store.Counts().Events
	return c["strange"] + c["other"] + c["invalidate"]
}
