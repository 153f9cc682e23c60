package cli_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
)

// refusal is what a Redis refuses while everything runs.
type refusal struct {
	name  string
	begin func(t *testing.T, c *redis.Client, r *rand.Rand) (end []any) // the command that ends it
	said  string                                                        // by Redis, as /readyz repeats it
	look  string                                                        // what to look at, there; "": not everything fails
}

func do(t *testing.T, c *redis.Client, args ...any) {
	t.Helper()
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Error(args[:2], err)
	}
}

func refusals() []refusal {
	return []refusal{
		{
			name: "the password is another", said: "WRONGPASS", look: "com.openexchange.redis.username and .password",
			begin: func(t *testing.T, c *redis.Client, _ *rand.Rand) []any {
				do(t, c, "acl", "setuser", "sluice", "resetpass", ">another")
				do(t, c, "client", "kill", "user", "sluice")
				return []any{"acl", "setuser", "sluice", "resetpass", ">" + redistest.Password}
			},
		},
		{
			name: "the user is not known", said: "WRONGPASS", look: "com.openexchange.redis.username and .password",
			begin: func(t *testing.T, c *redis.Client, _ *rand.Rand) (end []any) {
				end = []any{"acl", "setuser"}
				for _, line := range c.Do(t.Context(), "acl", "list").Val().([]any) {
					if fields := strings.Fields(line.(string)); fields[1] == "sluice" {
						for _, f := range fields[1:] {
							end = append(end, f)
						}
					}
				}
				do(t, c, "acl", "deluser", "sluice")
				return end
			},
		},
		{
			name: "one command is not allowed",
			begin: func(t *testing.T, c *redis.Client, r *rand.Rand) []any {
				commands := []string{"xadd", "xread", "get", "set", "hgetall", "evalsha"}
				command := commands[r.IntN(len(commands))]
				t.Log(command)
				do(t, c, "acl", "setuser", "sluice", "-"+command)
				return []any{"acl", "setuser", "sluice", "+" + command}
			},
		},
		{
			name: "there are too many clients", look: "maxclients", // Redis closes the connection, often before it is heard
			begin: func(t *testing.T, c *redis.Client, _ *rand.Rand) []any {
				do(t, c, "config", "set", "maxclients", "1")
				do(t, c, "client", "kill", "user", "sluice")
				return []any{"config", "set", "maxclients", "10000"}
			},
		},
	}
}

// A Redis that refuses is one that is lost: every process lives, nobody is sent
// away or told to log in again, and nothing counts as sent that was not.
func TestLedgerRefusals(t *testing.T) {
	for _, c := range refusals() {
		for seed := range uint64(length(1, ledgerSeeds)) {
			t.Run(fmt.Sprintf("%s, seed %d", c.name, seed), func(t *testing.T) {
				t.Parallel()
				s := redistest.Start(t, onDisk...)
				s.Bare()
				admin := redis.NewClient(&redis.Options{Addr: s.Addr, PoolSize: 1, MaxRetries: -1, DisableIdentity: true})
				defer admin.Close()
				l := newLedger(newFleet(t, s, 3), ledgerRate)
				l.run(inFlight, func(l *ledger, _ *allowance) {
					end := c.begin(t, admin, rand.New(rand.NewPCG(seed, 9)))
					l.refused503(c)
					hold(length(time.Second, 10*time.Second))
					do(t, admin, end...)
				})
			})
		}
	}
}

// refused503 looks at what members say of a refusal, and to whom they send
// handshakes meanwhile.
func (l *ledger) refused503(c refusal) {
	l.t.Helper()
	unavailable := false
	for i, m := range l.members {
		m.poll("readiness says what Redis said", func() bool {
			if code := m.handshake(l.logins[1+i]); code == http.StatusServiceUnavailable {
				unavailable = true
			} else if code != http.StatusSwitchingProtocols {
				l.t.Fatalf("a handshake at %s: %d", m.name, code)
			}
			text := m.readiness()
			return strings.Contains(text, c.said) && strings.Contains(text, c.look)
		})
	}
	if c.look == "" {
		return
	}
	l.members[0].poll("a handshake is told to come later", func() bool {
		code := l.members[0].handshake(l.logins[2])
		unavailable = unavailable || code == http.StatusServiceUnavailable
		return unavailable
	})
}

// readiness is the answer of /readyz.
func (m *member) readiness() string {
	var ready struct {
		Status string
		Checks []struct{ Name, Status, Detail string }
	}
	m.request("GET", "/readyz", "", &ready)
	return fmt.Sprint(ready)
}

// A Redis that refuses from the start: members start and say so, and are whole
// when it lets them in.
func TestRefusedFromTheStart(t *testing.T) {
	for _, c := range []struct{ name, line, said, look string }{
		{"wrong password", "com.openexchange.redis.password=wrong", "WRONGPASS", "com.openexchange.redis.username and .password"},
		{"unknown user", "com.openexchange.redis.username=nobody", "WRONGPASS", "com.openexchange.redis.username and .password"},
		{"no such database", "com.openexchange.redis.database=20", "DB index", "com.openexchange.redis.database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			s.Bare()
			f := &fleet{t: t, redis: s, lines: []string{c.line}}
			for i := range 2 {
				f.members = append(f.members, &member{name: fmt.Sprintf("m%d", i), proxy: redistest.NewProxy(t, s.Addr)})
				f.launch(f.members[i])
			}
			m := f.members[0]
			m.poll("it says what Redis said", func() bool {
				text := m.readiness()
				return strings.Contains(text, c.said) && strings.Contains(text, c.look)
			})
			if code := m.request("POST", "/admin/v1/sessions", `{"context":1337,"user":17,"client":"c"}`, nil); code != http.StatusServiceUnavailable {
				t.Errorf("a login: %d", code)
			}
			if code := m.handshake(login{Session: "unknown"}); code != http.StatusServiceUnavailable {
				t.Errorf("a handshake: %d", code)
			}
			// Redis lets them in.
			admin := s.Client()
			switch c.name {
			case "wrong password":
				do(t, admin, "acl", "setuser", "sluice", ">wrong")
			case "unknown user":
				end := []any{"acl", "setuser", "nobody", "on", ">" + redistest.Password, "~*", "&*", "+@all"}
				do(t, admin, end...)
			default:
				for _, m := range f.members {
					m.stop()
					f.lines = nil
					if err := os.Remove(filepath.Join(m.tree, "zz-fleet.properties")); err != nil {
						t.Fatal(err)
					}
					f.launch(m)
				}
			}
			f.meet()
			l := m.login(17)
			conn, err := f.members[1].dial(l, "c")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if code := m.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"n","args":[]}`, nil); code != http.StatusOK {
				t.Errorf("a message: %d", code)
			}
			if _, data, err := conn.Read(ctx); err != nil {
				t.Errorf("%s, %v", data, err)
			}
		})
	}
}

// stop ends a member as a service manager does.
func (m *member) stop() {
	m.t.Helper()
	m.signal(syscall.SIGTERM)
	if code := m.wait(); code != 0 {
		m.t.Errorf("%s ends with %d\n%s", m.name, code, m.log())
	}
}
