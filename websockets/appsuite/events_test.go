package appsuite

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
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

// follow runs the store's Run and returns how to end it.
func (s *suite) follow() (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.ctx())
	var running sync.WaitGroup
	running.Go(func() { s.store.Run(ctx) })
	s.until("the events are heard", func() bool { return s.store.Counts().Following })
	return func() {
		cancel()
		running.Wait()
	}
}

// A Redis that says nothing is noticed although its connection stands, and a
// subscription that Redis ends is made again.
func TestSilence(t *testing.T) {
	s := newSuite(t)
	defer s.follow()()
	s.server.Pause()
	s.until("the silence is noticed", func() bool { return !s.store.Counts().Following })
	s.server.Resume()
	s.until("the events are heard again", func() bool { return s.store.Counts().Following })
	s.must(s.redis.ClientKillByFilter(s.ctx(), "TYPE", "pubsub").Err())
	s.until("the loss is noticed", func() bool { return strings.Count(s.logs.String(), "events are not heard") == 2 })
	s.until("the events are heard a third time", func() bool { return s.store.Counts().Following })
	if n := strings.Count(s.logs.String(), "session events are heard"); n != 3 {
		t.Errorf("subscribed %d times, want 3", n)
	}
}

// A silent channel is not a silent Redis: the subscription stays.
func TestQuietChannel(t *testing.T) {
	s := newSuite(t)
	defer s.follow()()
	since := time.Now()
	s.until("it has been quiet for longer than a silence", func() bool { return time.Since(since) > maxSilence+2*probeInterval })
	if n := strings.Count(s.logs.String(), "session events are heard"); n != 1 || !s.store.Counts().Following {
		t.Errorf("subscribed %d times, following %v", n, s.store.Counts().Following)
	}
}

// Run ends with its context, in whatever state Redis is.
func TestRunEnds(t *testing.T) {
	for name, do := range map[string]func(*suite){
		"paused": func(s *suite) { s.server.Pause() },
		"killed": func(s *suite) { s.server.Kill() },
		"well":   func(*suite) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSuite(t)
			stop := s.follow()
			do(s)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				stop()
			}()
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("Run goes on")
			}
			if s.store.Counts().Following {
				t.Error("following without Run")
			}
		})
	}
}

// Events that come faster than sessions can be read are gathered, and beyond
// their bound counted and dropped.
func TestGathering(t *testing.T) {
	h := newHints()
	event := func(from, to int) string {
		var ids []string
		for i := from; i < to; i++ {
			ids = append(ids, strconv.Itoa(i))
		}
		data, err := json.Marshal(map[string]any{"operation": "invalidate", "sessionIds": ids})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]string{"data": string(data)})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	h.take(event(0, 30_000))
	h.take(event(0, 30_000)) // again
	h.take(event(30_000, 60_000))
	if len(h.waiting) != 1 {
		t.Error("nobody is told that there is work")
	}
	if ids := h.drain(); len(ids) != maxPending {
		t.Errorf("%d wait, want %d", len(ids), maxPending)
	}
	h.take(event(0, 3))
	if ids := h.drain(); len(ids) != 3 {
		t.Errorf("%d wait, want 3", len(ids))
	}
	if c, _ := h.counters(); c["dropped"] != 10_000 || c["invalidate"] != 4 {
		t.Errorf("counted %v", c)
	}
}

// A session that loses its full authentication ends like one that is gone; a
// Redis that does not answer ends none.
func TestEventsWithoutAnAnswer(t *testing.T) {
	s := newSuite(t)
	for i := range 2*maxBatch + 3 {
		id := "s" + strconv.Itoa(i)
		s.login(id, time.Now(), false, nil)
		s.held = append(s.held, websockets.Selector{Context: 1337, User: 17, Session: id})
	}
	s.login("s5", time.Now(), false, map[string]any{"parameters": map[string]any{"multifactor": true}})
	all := make(map[string]bool)
	for _, sel := range s.held {
		all[sel.Session] = true
	}
	text := func() string {
		var ids []string
		for id := range all {
			ids = append(ids, id)
		}
		data, err := json.Marshal(map[string]any{"operation": "invalidate", "sessionIds": ids})
		s.must(err)
		outer, err := json.Marshal(map[string]string{"data": string(data)})
		s.must(err)
		return string(outer)
	}()
	defer s.follow()()
	s.must(s.redis.Publish(s.ctx(), eventsTopic, text).Err())
	s.until("all are looked at", func() bool { return s.store.Counts().Lookups["found"] >= int64(len(all)) })
	s.until("one ends", func() bool { return slices.Equal(s.endedIDs(), []string{"s5"}) })

	s.must(s.redis.Rename(s.ctx(), shortKey, "aside").Err())
	s.must(s.redis.Set(s.ctx(), shortKey, "no set", 0).Err())
	s.must(s.redis.Publish(s.ctx(), eventsTopic, text).Err())
	s.until("the failure is seen", func() bool { return strings.Contains(s.logs.String(), "cannot be read again") })
	if got := s.endedIDs(); len(got) != 1 {
		t.Errorf("ended without an answer: %v", got)
	}
}
