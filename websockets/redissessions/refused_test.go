package redissessions

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

// A Redis that refuses says nothing of a session: nobody is told to log in
// again, and no socket is closed.
func TestRefused(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "secret")
	s.Bare()
	connect := func(change func(*redis.Options)) *redis.Client {
		o := &redis.Options{Addr: s.Addr, Password: "secret", MaxRetries: -1, DialerRetries: 1, DialTimeout: 30 * time.Second}
		change(o)
		c := redis.NewClient(o)
		t.Cleanup(func() { c.Close() })
		return c
	}
	admin := connect(func(*redis.Options) {})
	ses := session(17, time.Hour)
	if err := open(t, admin, 0, nil).Create(t.Context(), ses); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*redis.Options)
		rule   string // of the user that is asked as
	}{
		{"wrong password", func(o *redis.Options) { o.Password = "wrong" }, ""},
		{"unknown user", func(o *redis.Options) { o.Username = "nobody" }, ""},
		{"database out of range", func(o *redis.Options) { o.DB = 99 }, ""},
		{"NOPERM for get", func(o *redis.Options) { o.Username, o.Password = "few", "few" }, "-get"},
		{"NOPERM for mget", func(o *redis.Options) { o.Username, o.Password = "few", "few" }, "-mget"},
		{"NOPERM for exists", func(o *redis.Options) { o.Username, o.Password = "few", "few" }, "-exists"},
		{"NOPERM for pttl", func(o *redis.Options) { o.Username, o.Password = "few", "few" }, "-pttl"},
		{"NOPERM for pexpire", func(o *redis.Options) { o.Username, o.Password = "few", "few" }, "-pexpire"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.rule != "" {
				if err := admin.Do(t.Context(), "acl", "setuser", "few", "reset", "on", ">few", "~*", "+@all", c.rule).Err(); err != nil {
					t.Fatal(err)
				}
			}
			store := open(t, connect(c.change), 0, nil)
			reads := slices.Contains([]string{"-pexpire", "-mget", "-exists"}, c.rule)
			if got, err := store.Get(t.Context(), ses.ID); !reads && (err == nil || errors.Is(err, websockets.ErrNoSession)) {
				t.Errorf("Get: %v, %v", got, err)
			}
			// Only what is not there is asked for with GET, and only a list that ends
			// too early with PEXPIRE.
			touches := slices.Contains([]string{"-pttl", "-get", "-exists"}, c.rule)
			if err := store.Touch(t.Context(), ses.ID); !touches && (err == nil || errors.Is(err, websockets.ErrNoSession)) {
				t.Errorf("Touch: %v", err)
			}
			gone, err := store.TouchAll(t.Context(), []string{ses.ID, "absent"})
			if len(gone) > 1 || len(gone) == 1 && gone[0] != "absent" || c.rule != "-pttl" && c.rule != "-exists" && err == nil {
				t.Errorf("TouchAll: %v, %v", gone, err)
			}
			gone, err = store.Missing(t.Context(), []string{ses.ID, "absent"})
			if len(gone) > 1 || len(gone) == 1 && gone[0] != "absent" || c.rule == "" && err == nil {
				t.Errorf("Missing: %v, %v", gone, err)
			}
			if c.rule != "" {
				return
			}
			if err := store.Delete(t.Context(), ses.ID); err == nil || errors.Is(err, websockets.ErrNoSession) {
				t.Errorf("Delete: %v", err)
			}
		})
	}
}
