package redistest

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestProxy(t *testing.T) {
	s := Start(t)
	p := NewProxy(t, s.Addr)
	client := redis.NewClient(&redis.Options{Addr: p.Addr, MaxRetries: -1, ReadTimeout: 200 * time.Millisecond, DialTimeout: time.Second, DialerRetries: 1, ContextTimeoutEnabled: true})
	defer client.Close()
	ping := func() error { return client.Ping(t.Context()).Err() }
	if err := ping(); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]func(){
		"cut":        p.Cut,
		"black hole": func() { p.BlackHole(true, true) },
		"up":         func() { p.BlackHole(true, false) },
		"down":       func() { p.BlackHole(false, true) },
		"delay":      func() { p.Delay(300 * time.Millisecond) },
	} {
		fault()
		if err := ping(); err == nil {
			t.Errorf("%s: it answers", name)
		}
		p.Heal()
		until(t, name+" is healed", func() bool { return ping() == nil })
	}
	other := Start(t)
	other.Client().Set(t.Context(), "which", "other", 0)
	p.Retarget(other.Addr)
	until(t, "the other answers", func() bool { return client.Get(t.Context(), "which").Val() == "other" })
}
