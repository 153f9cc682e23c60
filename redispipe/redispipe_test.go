package redispipe

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
)

// Whatever refuses the connection, no command is left without an error.
func TestExecRefused(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "secret", "--databases", "2")
	for name, change := range map[string]func(*redis.Options){
		"no password":           func(o *redis.Options) { o.Password = "" },
		"wrong password":        func(o *redis.Options) { o.Password = "wrong" },
		"unknown user":          func(o *redis.Options) { o.Username = "nobody" },
		"database out of range": func(o *redis.Options) { o.DB = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			o := &redis.Options{Addr: s.Addr, Password: "secret", MaxRetries: -1, DialTimeout: 30 * time.Second}
			change(o)
			c := redis.NewClient(o)
			defer c.Close()
			p := c.Pipeline()
			get := p.Get(t.Context(), "x")
			many := p.HMGet(t.Context(), "x", "a", "b")
			err := Exec(t.Context(), p)
			var said redis.Error
			if !errors.As(err, &said) || get.Err() == nil || many.Err() == nil {
				t.Errorf("Exec: %v, GET: %v, HMGET: %v", err, get.Err(), many.Err())
			}
		})
	}
}

// A command's own error stays its own.
func TestExecErrorOfOne(t *testing.T) {
	s := redistest.Start(t)
	c := s.Client()
	p := c.Pipeline()
	set := p.Set(t.Context(), "x", "y", 0)
	wrong := p.LLen(t.Context(), "x")
	none := p.Get(t.Context(), "absent")
	err := Exec(t.Context(), p)
	if set.Err() != nil || !redis.HasErrorPrefix(wrong.Err(), "WRONGTYPE") || !errors.Is(none.Err(), redis.Nil) || err != wrong.Err() {
		t.Errorf("Exec: %v, SET: %v, LLEN: %v, GET: %v", err, set.Err(), wrong.Err(), none.Err())
	}
}

func TestLen(t *testing.T) {
	if err := Len("MGET", 2, 2); err != nil {
		t.Error(err)
	}
	if err := Len("MGET", 1, 2); !errors.Is(err, ErrShort) {
		t.Error(err)
	}
}
