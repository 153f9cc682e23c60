package appsuite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

// monitor collects what Redis says that it was asked, but for the asker's own
// greeting of its connections.
func (s *suite) monitor() (stop func() []string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Addr)
	s.must(err)
	_, err = io.WriteString(conn, "MONITOR\r\n")
	s.must(err)
	r := bufio.NewReader(conn)
	if ok, err := r.ReadString('\n'); err != nil || ok != "+OK\r\n" {
		s.t.Fatalf("MONITOR: %q (%v)", ok, err)
	}
	var lines []string
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			lines = append(lines, strings.TrimSpace(line))
			if strings.Contains(line, `"end-of-test"`) {
				return
			}
		}
	})
	return func() []string {
		// What came before it is in the stream before it.
		s.must(s.redis.Echo(s.ctx(), "end-of-test").Err())
		reading.Wait()
		s.must(conn.Close())
		return lines
	}
}

// Of all that can happen to a session, the commands that reach Redis are these.
func TestCommands(t *testing.T) {
	s := newSuite(t)
	for i := range 10 {
		s.login(fmt.Sprint("short", i), time.Now(), false, nil)
		s.login(fmt.Sprint("long", i), time.Now(), true, nil)
	}
	s.login("broken", time.Now(), false, map[string]any{"version": 3})
	s.login("expired", time.Now().Add(-2*time.Hour), false, nil)
	s.login("halfway", time.Now(), false, map[string]any{"parameters": map[string]any{"multifactor": true}})
	s.held = []websockets.Selector{{Context: 1337, User: 17, Session: "short1"}, {Context: 1337, User: 17, Session: "expired"}}
	before := s.dump()
	stop := s.monitor()

	ctx, cancel := context.WithCancel(s.ctx())
	var running sync.WaitGroup
	running.Go(func() { s.store.Run(ctx) })
	for _, id := range []string{"short1", "long1", "broken", "expired", "halfway", "unknown", "* x\r\n", ""} {
		_, _ = s.store.Get(ctx, id) // what it returns is held elsewhere
		_ = s.store.Touch(ctx, id)
	}
	ids := []string{"expired", "broken", "unknown"}
	for i := range 10 {
		ids = append(ids, fmt.Sprint("short", i), fmt.Sprint("long", i))
	}
	gone, err := s.store.TouchAll(ctx, ids)
	s.must(err)
	if !slices.Equal(gone, ids[:3]) {
		t.Errorf("gone: %v", gone)
	}
	s.until("the events are heard", func() bool { return s.store.Counts().Following })
	s.must(s.redis.Publish(s.ctx(), eventsTopic, `{"data":"{\"operation\":\"invalidate\",\"sessionIds\":[\"short1\",\"expired\"]}"}`).Err())
	s.until("a session ends", func() bool { return len(s.endedIDs()) == 1 })
	cancel()
	running.Wait()

	allowed := []string{"getrange", "zscore", "zadd", "subscribe", "ping", "hello", "publish", "echo"}
	seen := map[string]int{}
	for _, line := range stop() {
		_, command, _ := strings.Cut(line, "] ")
		name := strings.ToLower(strings.Trim(strings.SplitN(command, " ", 2)[0], `"`))
		seen[name]++
		if !slices.Contains(allowed, name) || name == "zadd" && (!strings.Contains(command, `"xx"`) || !strings.Contains(command, `"gt"`)) {
			t.Errorf("Redis was asked: %s", command)
		}
	}
	for _, name := range []string{"getrange", "zscore", "zadd", "subscribe"} {
		if seen[name] == 0 {
			t.Errorf("%s was not seen: is this the right Redis?", name)
		}
	}
	after := s.dump()
	for _, set := range []string{shortKey, longKey} {
		delete(before, set)
		delete(after, set)
	}
	if !maps.Equal(before, after) {
		t.Error("more than the two sets has changed")
	}
	if members, err := s.redis.ZRange(s.ctx(), shortKey, 0, -1).Result(); err != nil || len(members) != 13 {
		t.Errorf("%d members (%v), want 13 as before", len(members), err)
	}
}

// What Redis says about a command it refuses holds the command's arguments, and
// must not be repeated.
func TestErrorsKeepIDs(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	for name, args := range map[string][]string{
		"zadd":     {"--rename-command", "ZADD", ""},
		"zscore":   {"--rename-command", "ZSCORE", ""},
		"getrange": {"--rename-command", "GETRANGE", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &suite{t: t, server: redistest.Start(t, args...), logs: &logs{}, cfg: *websockets.DefaultConfig()}
			s.redis = s.server.Client()
			s.attach()
			if name == "zadd" {
				// Without the command App Suite's side cannot write it either.
				s.must(s.redis.Do(s.ctx(), "zincrby", shortKey, time.Now().UnixMilli(), id).Err())
				s.must(s.redis.Set(s.ctx(), sessionKey+id, `{"sessionId":"`+id+`","contextId":1,"userId":2,"secret":"s3cret"}`, 0).Err())
			} else {
				s.login(id, time.Now(), false, nil)
			}
			said := s.redis.Do(s.ctx(), name, id, id).Err()
			if said == nil || !strings.Contains(said.Error(), id) {
				t.Fatalf("Redis does not repeat arguments (%v): what is this test for?", said)
			}
			_, getErr := s.store.Get(s.ctx(), id)
			touchErr := s.store.Touch(s.ctx(), id)
			_, allErr := s.store.TouchAll(s.ctx(), []string{id})
			for _, err := range []error{getErr, touchErr, allErr} {
				if err != nil && (strings.Contains(err.Error(), id) || strings.Contains(err.Error(), "s3cret")) {
					t.Errorf("the error gives the session away: %v", err)
				}
			}
			if touchErr == nil || errors.Is(touchErr, websockets.ErrNoSession) || allErr == nil || !strings.Contains(touchErr.Error(), "the answer of Redis is ERR") {
				t.Errorf("touch: %v, %v", touchErr, allErr)
			}
			if text := s.logs.String(); strings.Contains(text, id) || !strings.Contains(text, "does not answer for sessions") {
				t.Errorf("logged:\n%s", text)
			}
		})
	}
}

// The codes of Redis that may be repeated.
func TestCode(t *testing.T) {
	for said, want := range map[string]string{
		"LOADING Redis is loading the dataset in memory": "LOADING",
		"READONLY You can't write":                       "READONLY",
		"ERR unknown command 'x'":                        "ERR",
		"NOAUTH":                                         "NOAUTH",
		"secret-of-x is wrong":                           "an error",
		"":                                               "an error",
	} {
		if got := code(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}

// A Redis that may only be read serves sessions that nobody can touch: that is
// trouble of the store, and no session is gone for it.
func TestReadOnlyReplica(t *testing.T) {
	s := newSuite(t)
	s.login("a", time.Now(), false, nil)
	s.must(s.redis.ConfigSet(s.ctx(), "min-replicas-to-write", "1").Err())
	if _, err := s.store.Get(s.ctx(), "a"); err != nil {
		t.Error(err)
	}
	gone, err := s.store.TouchAll(s.ctx(), []string{"a", "unknown"})
	if err == nil || !slices.Equal(gone, []string{"unknown"}) {
		t.Errorf("gone %v, %v", gone, err)
	}
	if err := s.store.Touch(s.ctx(), "a"); err == nil || errors.Is(err, websockets.ErrNoSession) {
		t.Errorf("touch: %v", err)
	}
}

// In a cluster the keys of a session are in several slots.
func TestCluster(t *testing.T) {
	s := &suite{t: t, server: redistest.StartCluster(t), logs: &logs{}, cfg: *websockets.DefaultConfig()}
	s.redis = s.server.Client()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.server.Addr}, DisableIdentity: true, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	s.attachTo(client)
	var ids []string
	for i := range 100 {
		id := fmt.Sprint("session", i)
		ids = append(ids, id)
		s.login(id, time.Now().Add(-time.Minute), i%2 == 0, nil)
	}
	gone, err := s.store.TouchAll(s.ctx(), append(ids, "unknown"))
	if err != nil || !slices.Equal(gone, []string{"unknown"}) {
		t.Errorf("gone %v, %v", gone, err)
	}
	if n := s.redis.ZCount(s.ctx(), longKey, fmt.Sprint(time.Now().Add(-30*time.Second).UnixMilli()), "+inf").Val(); n != 50 {
		t.Errorf("%d touched in %s, want 50", n, longKey)
	}
	ctx, cancel := context.WithCancel(s.ctx())
	var running sync.WaitGroup
	running.Go(func() { s.store.Run(ctx) })
	s.until("the events are heard", func() bool { return s.store.Counts().Following })
	cancel()
	running.Wait()
}
