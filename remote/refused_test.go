package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

// refusal is a way in which Redis refuses a member that runs.
type refusal struct {
	begin, end func(c *redis.Client) error
	says       string // of Redis
	look       string // the property to look at
}

func do(c *redis.Client, args ...any) error { return c.Do(context.Background(), args...).Err() }

// cut breaks the connections of the members' user.
func cut(c *redis.Client) error { return do(c, "client", "kill", "user", "test") }

func noCommand(name string) refusal {
	return refusal{
		begin: func(c *redis.Client) error { return do(c, "acl", "setuser", "test", "-"+name) },
		end:   func(c *redis.Client) error { return do(c, "acl", "setuser", "test", "+"+name) },
		says:  "NOPERM", look: "com.openexchange.redis.username",
	}
}

// A member that Redis refuses lives: its sockets stay, its status says what Redis
// said and what to look at, nothing counts as posted that was not, and it is
// whole again, and loses nothing, when Redis lets it.
func TestRefused(t *testing.T) {
	wrong := func(c *redis.Client) error { return do(c, "acl", "setuser", "test", "resetpass", ">another") }
	right := func(c *redis.Client) error {
		return do(c, "acl", "setuser", "test", "resetpass", ">"+redistest.Password)
	}
	var rules string
	kinds := map[string]refusal{
		"password rotated": {
			begin: func(c *redis.Client) error { return errors.Join(wrong(c), cut(c)) },
			end:   right, says: "WRONGPASS", look: "com.openexchange.redis.username and .password",
		},
		"user removed": {
			begin: func(c *redis.Client) error {
				list, err := c.Do(context.Background(), "acl", "list").StringSlice()
				for _, line := range list {
					if strings.HasPrefix(line, "user test ") {
						rules = line
					}
				}
				return errors.Join(err, do(c, "acl", "deluser", "test"))
			},
			end: func(c *redis.Client) error {
				args := []any{"acl", "setuser", "test"}
				for _, rule := range strings.Fields(rules)[2:] {
					args = append(args, rule)
				}
				return do(c, args...)
			},
			says: "WRONGPASS", look: "com.openexchange.redis.username and .password",
		},
		"too many clients": {
			begin: func(c *redis.Client) error { return errors.Join(do(c, "config", "set", "maxclients", "1"), cut(c)) },
			end:   func(c *redis.Client) error { return do(c, "config", "set", "maxclients", "1000") },
			says:  "max number of clients", look: "com.openexchange.redis.connection.pool.maxTotal",
		},
	}
	for _, name := range []string{"set", "sadd", "smembers", "xrevrange", "mget", "xadd", "xread", "evalsha"} {
		kinds["NOPERM for "+name] = noCommand(name)
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			s.Bare()
			admin := s.Client()
			a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
			meet(t, a, b)
			b.mustOpen(1, 5, "x")
			want := a.flood(0, 10)
			b.wantIDs(want...)
			if err := kind.begin(admin); err != nil {
				t.Fatal(err)
			}
			// What needs a script does so when a socket opens.
			wait(t, "the status says so", func() bool {
				_, _ = b.open(1, 6, "x", "s", 8)
				p := b.Problem()
				_, status := b.Members()
				return strings.Contains(p, kind.says) && strings.Contains(p, kind.look) && status == "degraded"
			})
			posted := a.Stats().Posted
			want = append(want, a.flood(10, 20)...)
			if kindStops(name) {
				wait(t, "a's messages wait", func() bool { return a.Stats().Buffer.Buffered == 10 })
				if now := a.Stats().Posted; now != posted {
					t.Errorf("%d entries count as posted", now-posted)
				}
			}
			if _, err := b.open(1, 7, "y", "s", 8); err != nil {
				t.Errorf("a socket is not admitted: %v", err)
			}
			if err := kind.end(admin); err != nil {
				t.Fatal(err)
			}
			b.wantIDs(want...)
			meet(t, a, b)
			wait(t, "the sockets are registered", func() bool { return registeredOf(s, a, 1, 7) == 1 && registeredOf(s, a, 1, 5) == 1 })
			if n := b.sentAway(); n > 0 {
				t.Errorf("clients were sent away %d times", n)
			}
		})
	}
}

// kindStops tells whether a refusal keeps messages from being posted.
func kindStops(name string) bool {
	return name == "NOPERM for xadd" || !strings.HasPrefix(name, "NOPERM")
}

// A member that Redis refuses from its start lives, says why, and joins when it
// may.
func TestRefusedAtStart(t *testing.T) {
	s := redistest.Start(t, "--databases", "4")
	s.Bare()
	for name, c := range map[string]struct {
		change     func(*Redis)
		says, look string
		repair     func(c *redis.Client) error
	}{
		"wrong password": {
			func(w *Redis) { w.Password = "later" }, "WRONGPASS", "com.openexchange.redis.username and .password",
			func(c *redis.Client) error { return do(c, "acl", "setuser", "test", ">later") },
		},
		"no password": {
			func(w *Redis) { w.Username, w.Password = "", "" }, "NOAUTH", "com.openexchange.redis.username and .password", nil,
		},
		"unknown user": {
			func(w *Redis) { w.Username = "nobody" }, "WRONGPASS", "com.openexchange.redis.username and .password", nil,
		},
		"database out of range": {func(w *Redis) { w.Database = 7 }, "DB index is out of range", "com.openexchange.redis.database", nil},
	} {
		t.Run(name, func(t *testing.T) {
			admin := s.Client()
			if name == "no password" {
				if err := do(admin, "config", "set", "requirepass", "of the administrator"); err != nil {
					t.Fatal(err)
				}
			}
			w := way(s)
			c.change(&w)
			n := newNode(t, w, "n", func(o *Options) { o.Cluster = "test" })
			wait(t, "the status says so", func() bool {
				p := n.Problem()
				return strings.Contains(p, c.says) && strings.Contains(p, c.look)
			})
			if _, err := n.open(1, 5, "x", "s", 8); !errors.Is(err, ErrUnready) {
				t.Errorf("a socket of which nobody can know: %v", err)
			}
			n.send(1, 5, "m")
			if st := n.Stats(); st.Posted != 0 || st.Sent != 0 {
				t.Errorf("%d posted, %d sent", st.Posted, st.Sent)
			}
			if name == "no password" {
				if err := do(admin, "config", "set", "requirepass", ""); err != nil {
					t.Fatal(err)
				}
			}
			if c.repair == nil {
				return
			}
			if err := c.repair(admin); err != nil {
				t.Fatal(err)
			}
			wait(t, "it joins and sends", func() bool { return n.healthy() && n.drained() && n.Problem() == "" })
			n.mustOpen(1, 5, "x")
		})
	}
}

// shorten has answers lack what was asked for.
type shorten struct{ on chan bool }

func (s shorten) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s shorten) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && s.is() {
			cutShort(cmd)
		}
		return err
	}
}

func (s shorten) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if s.is() {
			for _, c := range cmds {
				if c.Err() == nil {
					cutShort(c)
				}
			}
		}
		return err
	}
}

func (s shorten) is() bool {
	on := <-s.on
	s.on <- on
	return on
}

func (s shorten) set(on bool) {
	<-s.on
	s.on <- on
}

func cutShort(cmd redis.Cmder) {
	switch c := cmd.(type) {
	case *redis.SliceCmd:
		if v := c.Val(); len(v) > 0 {
			c.SetVal(v[:len(v)-1])
		}
	case *redis.XStreamSliceCmd:
		c.SetVal(nil)
	case *redis.Cmd:
		if v, ok := c.Val().([]any); ok && len(v) > 0 {
			c.SetVal(v[:1])
		}
	}
}

// Answers that are shorter than what was asked for are errors, and nothing is
// taken from them.
func TestShortAnswers(t *testing.T) {
	s := redistest.Start(t)
	hook := shorten{make(chan bool, 1)}
	hook.on <- false
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b", func(o *Options) { o.Client.AddHook(hook) })
	meet(t, a, b)
	b.mustOpen(1, 5, "x")
	hook.set(true)
	wait(t, "the status says so", func() bool { return strings.Contains(b.Problem(), redispipe.ErrShort.Error()) })
	if _, err := b.open(1, 6, "x", "s", 8); err != nil {
		t.Errorf("a socket is not admitted: %v", err)
	}
	want := a.flood(0, 10)
	hook.set(false)
	b.wantIDs(want...)
	meet(t, a, b)
	wait(t, "the sockets are registered", func() bool { return registeredOf(s, a, 1, 6) == 1 })
}

// Every reply that is known has its property, and what Redis says is told.
func TestAdvise(t *testing.T) {
	for _, a := range advices {
		err := fmt.Errorf("a command: %w", redisError(a.prefix+" something"))
		if text := Advise(err); !strings.Contains(text, a.prefix) || !strings.Contains(text, redisPrefix+strings.Fields(a.look)[0]) {
			t.Errorf("%s: %s", a.prefix, text)
		}
	}
	if text := Advise(errors.New(strings.Repeat("x", 5000))); len(text) > 1000 {
		t.Errorf("%d bytes", len(text))
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (redisError) RedisError() {}

// The canaries of members that read nothing are missed, and of those that do
// are measured.
func TestCanary(t *testing.T) {
	s := redistest.Start(t)
	// A member whose lease is over is gone, and not late: a judges b by its own.
	long := func(o *Options) { o.Lease = time.Minute }
	a, b := newNode(t, way(s), "a", long), newNode(t, way(s), "b", long)
	meet(t, a, b)
	wait(t, "canaries come", func() bool {
		list := a.Canaries()
		return len(list) == 1 && list[0].From == "b" && !list[0].Late && len(b.Canaries()) == 1 && total(list[0].Seconds) > 0
	})
	b.kill()
	wait(t, "one is missed", func() bool {
		list := a.Canaries()
		return len(list) == 1 && list[0].Late && list[0].Missed > 0 && strings.Contains(a.Problem(), "member b")
	})
}

func total(h shared.Latency) (n int64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}
