package appsuite

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/websockets"
)

// A Redis that refuses the login, or a command, says nothing of a session: new
// sockets get 503 and are not told to log in again, open ones stay.
func TestSocketsRefused(t *testing.T) {
	s := newSockets(t)
	s.suite.server.Bare()
	admin := func(args ...any) {
		t.Helper()
		if err := s.redis.Do(s.ctx(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	allow := func() { admin("acl", "setuser", "sluice-reads", "reset", "on", ">right", "~*", "&*", "+@all") }
	allow()
	client := redis.NewClient(&redis.Options{
		Addr: s.suite.server.Addr, Username: "sluice-reads", Password: "right", MaxRetries: -1, DialerRetries: 1, DialTimeout: patience,
	})
	t.Cleanup(func() { _ = client.Close() })
	s.store.opts.Client = client
	s.login("a", time.Now(), false, nil)
	a, status, code := s.dial("a", calculated(), nil)
	if status != 101 {
		t.Fatalf("%d %s", status, code)
	}
	for name, refuse := range map[string]func(){
		"password rotated": func() { admin("acl", "setuser", "sluice-reads", "resetpass", ">other") },
		"user removed":     func() { admin("acl", "deluser", "sluice-reads") },
		"NOPERM getrange":  func() { admin("acl", "setuser", "sluice-reads", "-getrange") },
		"NOPERM zscore":    func() { admin("acl", "setuser", "sluice-reads", "-zscore") },
	} {
		t.Run(name, func(t *testing.T) {
			refuse()
			_ = s.redis.Do(s.ctx(), "client", "kill", "user", "sluice-reads").Err() // a removed user has none
			if _, status, code := s.dial("a", calculated(), nil); status != 503 || code != "store_unavailable" {
				t.Errorf("%d %s, want 503 store_unavailable", status, code)
			}
			if gone, err := s.store.TouchAll(s.ctx(), []string{"a"}); err == nil || len(gone) > 0 {
				t.Errorf("gone %v, %v", gone, err)
			}
			if n, err := s.server.SendToUser(1337, 17, websockets.Message{Name: "still"}, websockets.Target{}); n != 1 || err != nil {
				t.Errorf("queued %d (%v)", n, err)
			}
			if text, code := s.read(a); !strings.Contains(text, "still") {
				t.Errorf("got %q, close %d", text, code)
			}
			allow()
			s.until("new sockets are served", func() bool {
				conn, status, _ := s.dial("a", calculated(), nil)
				if conn != nil {
					_ = conn.CloseNow()
				}
				return status == 101
			})
			s.until("only the first is left", func() bool { return s.server.Count() == 1 })
		})
	}
}
