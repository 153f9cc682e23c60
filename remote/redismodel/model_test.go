package redismodel

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within runs f in a bubble with a server, and holds that nothing is left.
func within(t *testing.T, o Options, f func(t *testing.T, s *Server)) {
	synctest.Test(t, func(t *testing.T) {
		if o.Latency == 0 {
			o.Latency = 100 * time.Microsecond
		}
		s := New(o)
		defer s.Close()
		f(t, s)
	})
}

func TestBasics(t *testing.T) {
	within(t, Options{}, func(t *testing.T, s *Server) {
		c := s.Line().Client(-1)
		defer c.Close()
		if err := c.Set(t.Context(), "a", "1", time.Second).Err(); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Get(t.Context(), "a").Result(); v != "1" || err != nil {
			t.Fatal(v, err)
		}
		time.Sleep(1100 * time.Millisecond)
		if v, err := c.Get(t.Context(), "a").Result(); err != redis.Nil {
			t.Fatal(v, err)
		}
		go func() {
			time.Sleep(300 * time.Millisecond)
			c.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", Values: []any{"k", "v"}})
		}()
		start := time.Now()
		r, err := c.XRead(t.Context(), &redis.XReadArgs{Streams: []string{"s", "0"}, Block: time.Second}).Result()
		if err != nil || len(r) != 1 || time.Since(start) > 400*time.Millisecond {
			t.Fatal(r, err, time.Since(start))
		}
		n, err := redis.NewScript(`redis.call('HSET', KEYS[1], 'f', ARGV[1]) return redis.call('HLEN', KEYS[1])`).Run(t.Context(), c, []string{"h"}, "x").Int()
		if n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
}
