package redismodel

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Start runs a model in real time and returns a client of it without retries;
// both end with the test. It is for what is run over a real Redis beside it.
func Start(t testing.TB) *redis.Client {
	s := New(Options{Latency: time.Microsecond})
	c := s.Line().Client(-1)
	t.Cleanup(func() {
		_ = c.Close()
		s.Close()
	})
	return c
}

// Client is one that reaches the server through the line, with so many retries
// of a command, -1: none. Whoever calls it closes it.
func (l *Line) Client(retries int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Dialer:     func(ctx context.Context, _, _ string) (net.Conn, error) { return l.Dial(ctx) },
		MaxRetries: retries, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
		ReadTimeout: time.Second, PipelinePoolSize: -1,
		// These look an address up, which has no place in a bubble.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Step is a call of a script.
type Step struct {
	Script *redis.Script
	Keys   []string
	Args   []any
}

// Same runs steps over a real Redis and over a model, and fails the test where
// their answers, or what the keys hold afterwards, are not the same.
func Same(t testing.TB, real redis.UniversalClient, steps []Step, keys ...string) {
	t.Helper()
	ctx, model := t.Context(), Start(t)
	for i, s := range steps {
		want, err1 := s.Script.Run(ctx, real, s.Keys, s.Args...).Result()
		got, err2 := s.Script.Run(ctx, model, s.Keys, s.Args...).Result()
		if w, g := outcome(want, err1), outcome(got, err2); w != g {
			t.Errorf("step %d %v: the model answers %s, redis-server %s", i, s.Args, g, w)
		}
	}
	for _, key := range keys {
		if w, g := held(ctx, real, key), held(ctx, model, key); w != g {
			t.Errorf("%s: the model holds %s, redis-server %s", key, g, w)
		}
	}
}
