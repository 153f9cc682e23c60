package appsuite

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

func TestMain(m *testing.M) {
	logging.Disable() // of what the tests do to Redis go-redis would write pages
	goleak.VerifyTestMain(m)
}

const patience = 60 * time.Second

// suite is App Suite's side: it writes sessions as
// docs/reference/sessions.md#app-suite-in-redis describes.
type suite struct {
	t      *testing.T
	server *redistest.Server
	redis  *redis.Client // App Suite's
	store  *Store
	logs   *logs

	mu    sync.Mutex
	cfg   websockets.Config
	held  []websockets.Selector
	ended []string
}

// logs keeps every line.
type logs struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func newSuite(t *testing.T) *suite {
	s := &suite{t: t, server: redistest.Start(t), logs: &logs{}, cfg: *websockets.DefaultConfig()}
	s.redis = s.server.Client()
	s.attach()
	return s
}

// attach makes the store.
func (s *suite) attach() {
	client := redis.NewClient(&redis.Options{
		Addr: s.server.Addr, Username: redistest.SuiteUser, Password: redistest.Password, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: 500 * time.Millisecond, ReadTimeout: time.Second, WriteTimeout: time.Second, MaxRetries: -1, DialerRetries: 1,
	})
	s.t.Cleanup(func() { _ = client.Close() })
	s.attachTo(client)
}

func (s *suite) attachTo(client redis.UniversalClient) {
	s.store = testkit.Open(s.t, New, Options{
		Client: client, Config: s.config, Logger: slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Held: func(ids map[string]bool) []websockets.Selector {
			s.mu.Lock()
			defer s.mu.Unlock()
			var found []websockets.Selector
			for _, sel := range s.held {
				if ids[sel.Session] {
					found = append(found, sel)
				}
			}
			return found
		},
		End: func(sel websockets.Selector) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = append(s.ended, sel.Session)
		},
	})
}

func (s *suite) config() *websockets.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.cfg
	return &cfg
}

// dump is every key with its contents.
func (s *suite) dump() map[string]string {
	s.t.Helper()
	keys, err := s.redis.Keys(s.ctx(), "*").Result()
	s.must(err)
	all := make(map[string]string, len(keys))
	for _, k := range keys {
		contents, err := s.redis.Dump(s.ctx(), k).Result()
		s.must(err)
		ttl, err := s.redis.PTTL(s.ctx(), k).Result()
		s.must(err)
		all[k] = fmt.Sprintf("%x, ttl %v", contents, ttl)
	}
	return all
}

func (s *suite) ctx() context.Context { return s.t.Context() }

func (s *suite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// login writes a session. change may replace or remove (nil) members.
func (s *suite) login(id string, lastUse time.Time, long bool, change map[string]any) {
	s.t.Helper()
	d := map[string]any{
		"sessionId": id, "contextId": 1337, "userId": 17, "version": 2, "loginName": "anton", "password": "obfuscated",
		"secret": "secret-of-" + id, "login": "anton@acme", "randomToken": "r", "localIp": "192.0.2.7", "authId": "a",
		"hash": "remembered", "client": "open-xchange-appsuite", "userLogin": "anton", "origin": "HTTP_JSON",
		"staySignedIn": long, "alternativeId": "alt", "userAgent": "Mozilla/5.0", "loginTime": 1795000000000,
		"parameters": map[string]any{},
	}
	maps.Copy(d, change)
	for k, v := range change {
		if v == nil {
			delete(d, k)
		}
	}
	text, err := json.Marshal(d)
	s.must(err)
	index := shortKey
	if long {
		index = longKey
	}
	s.must(s.redis.Set(s.ctx(), sessionKey+id, text, 0).Err())
	s.must(s.redis.SAdd(s.ctx(), "ox-sessionids:1337:17", id).Err())
	s.must(s.redis.Set(s.ctx(), "ox-session-altid:alt", id, 0).Err())
	s.must(s.redis.ZAdd(s.ctx(), index, redis.Z{Score: float64(lastUse.UnixMilli()), Member: id}).Err())
}

func (s *suite) endedIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(s.ended))) // a message may come twice
}

func (s *suite) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s (%+v)", patience, what, s.store.Counts())
		}
	}
}
