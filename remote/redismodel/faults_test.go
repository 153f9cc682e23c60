package redismodel

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// What go-redis does over the model is what it was seen to do over Redis 7.0.15.

// A pipeline whose answers do not come is sent again.
func TestPipelineIsRepeated(t *testing.T) {
	within(t, Options{}, func(t *testing.T, s *Server) {
		c := s.Line().Client(1)
		defer c.Close()
		c.Ping(t.Context())
		s.Drops(1, 0)
		stop := time.AfterFunc(5*time.Millisecond, func() { s.Drops(0, 0) })
		defer stop.Stop()
		pipe := c.Pipeline()
		for range 10 {
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", Values: []any{"a", "b"}})
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := c.XLen(t.Context(), "s").Val(); n != 20 {
			t.Errorf("%d entries, want 20", n)
		}
		if n := s.Counts().Dropped; n != 1 {
			t.Errorf("%d batches lost their answers, want 1", n)
		}
	})
}

// What a frozen server was sent it does when it goes on, though its sender has
// given up and sent it again.
func TestFrozenServerDoesItTwice(t *testing.T) {
	for _, retries := range []int{1, -1} {
		within(t, Options{}, func(t *testing.T, s *Server) {
			c := s.Line().Client(retries)
			defer c.Close()
			c.Ping(t.Context())
			s.Freeze()
			time.AfterFunc(1500*time.Millisecond, s.Thaw)
			err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", Values: []any{"a", "b"}}).Err()
			time.Sleep(time.Second)
			n := c.XLen(t.Context(), "s").Val()
			if retries > 0 && (n != 2 || err != nil) || retries < 0 && (n != 1 || err == nil) {
				t.Errorf("retries %d: %d entries, %v", retries, n, err)
			}
		})
	}
}

// A set-up that is refused leaves the commands of a pipeline without an error.
func TestRefusedLogin(t *testing.T) {
	for _, refusal := range []struct {
		want   string // in Exec's error
		left   bool   // without an error
		refuse func(*Server)
	}{
		{"WRONGPASS", true, func(s *Server) { s.Require("default", "another") }},
		{"WRONGPASS", true, func(s *Server) { s.Forget("default") }},
		{"out of range", true, func(s *Server) { s.Databases(1) }},
		// It is told in answer to HELLO; AUTH behind it finds the connection closed.
		{"EOF", false, func(s *Server) { s.MaxClients(true) }},
	} {
		within(t, Options{}, func(t *testing.T, s *Server) {
			s.Require("default", "right")
			c := s.Line().Client(-1)
			defer c.Close()
			c.Options().Password, c.Options().DB = "right", 2
			refusal.refuse(s)
			pipe := c.Pipeline()
			get := pipe.Get(t.Context(), "a")
			_, err := pipe.Exec(t.Context())
			if err == nil || !strings.Contains(err.Error(), refusal.want) {
				t.Errorf("%s: Exec says %v", refusal.want, err)
			}
			if refusal.left && get.Err() != nil {
				t.Errorf("%s: the command says %v, and did not in go-redis 9.23", refusal.want, get.Err())
			}
		})
	}
}

// A replica that lags has lost what it had not got, but for what WAIT waited for.
func TestFailOver(t *testing.T) {
	within(t, Options{Lag: 200 * time.Millisecond}, func(t *testing.T, s *Server) {
		c := s.Line().Client(3)
		defer c.Close()
		c.Set(t.Context(), "old", "1", 0)
		c.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", ID: "1-1", Values: []any{"a", "b"}})
		if n := c.Do(t.Context(), "wait", 1, 1000).Val(); n != int64(1) {
			t.Errorf("WAIT says %v", n)
		}
		c.Set(t.Context(), "old", "2", 0)
		c.Set(t.Context(), "new", "1", 0)
		c.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", ID: "2-1", Values: []any{"a", "b"}})
		s.FailOver()
		s.StepClock(-5 * time.Second)
		if err := c.Get(t.Context(), "old").Err(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("while it is down: %v", err)
		}
		s.Start()
		old, lost, n := c.Get(t.Context(), "old").Val(), c.Get(t.Context(), "new").Err(), c.XLen(t.Context(), "s").Val()
		if old != "1" || lost != redis.Nil || n != 1 {
			t.Errorf("old is %s, new is %v, %d entries", old, lost, n)
		}
		if behind := time.Since(c.Time(t.Context()).Val()); behind < 4*time.Second {
			t.Errorf("its clock is %v behind", behind)
		}
	})
}

// A black hole keeps bytes back; a cut loses them.
func TestLine(t *testing.T) {
	within(t, Options{}, func(t *testing.T, s *Server) {
		l := s.Line()
		c := l.Client(-1)
		defer c.Close()
		c.Ping(t.Context())
		l.BlackHole(true, false)
		time.AfterFunc(300*time.Millisecond, l.Heal)
		start := time.Now()
		if err := c.Set(t.Context(), "a", "1", 0).Err(); err != nil || time.Since(start) < 300*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		l.BlackHole(false, true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := c.Set(ctx, "a", "2", 0).Err(); err == nil {
			t.Error("an answer has come through")
		}
		l.Cut()
		if err := c.Ping(t.Context()).Err(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("cut: %v", err)
		}
		l.Heal()
		if v := c.Get(t.Context(), "a").Val(); v != "2" {
			t.Errorf("a is %s: what was sent has been done", v)
		}
	})
}

// What is lost is what was picked, and an eviction takes any.
func TestLoss(t *testing.T) {
	within(t, Options{Seed: 7}, func(t *testing.T, s *Server) {
		c := s.Line().Client(1)
		defer c.Close()
		for _, key := range []string{"{a}:1", "{a}:2", "{b}:1", "{c}:1", "{d}:1", "{e}:1", "{f}:1"} {
			c.Set(t.Context(), key, "1", 0)
		}
		if lost := s.Evict(2); len(lost) != 2 || c.DBSize(t.Context()).Val() != 5 {
			t.Errorf("evicted %v", lost)
		}
		c.MSet(t.Context(), "{a}:1", "1", "{a}:2", "1")
		s.LoseShard(slot("{a}:1")%3, 3)
		if n := c.Exists(t.Context(), "{a}:1", "{a}:2").Val(); n != 0 {
			t.Errorf("%d keys of one slot are left", n)
		}
		s.Refuse(func(name string, write bool) string {
			if write {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return ""
		})
		if err := c.Set(t.Context(), "a", "1", 0).Err(); !redis.HasErrorPrefix(err, "OOM") {
			t.Errorf("refused: %v", err)
		}
		if err := c.Eval(t.Context(), "return redis.call('SET', KEYS[1], 1)", []string{"a"}).Err(); !redis.HasErrorPrefix(err, "OOM") {
			t.Errorf("refused in a script: %v", err)
		}
		s.Refuse(nil)
		s.Flush()
		if n := c.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}
