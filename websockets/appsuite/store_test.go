package appsuite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// suite is App Suite's side: it writes sessions as spec 10.4 describes.
type suite struct {
	t      *testing.T
	server *redistest.Server
	redis  *redis.Client
	store  *Store

	mu    sync.Mutex
	held  []websockets.Selector
	ended []string
}

func newSuite(t *testing.T) *suite {
	s := &suite{t: t, server: redistest.Start(t)}
	s.redis = s.server.Client()
	client := redis.NewClient(&redis.Options{
		Addr: s.server.Addr, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: 500 * time.Millisecond, ReadTimeout: time.Second, WriteTimeout: time.Second, MaxRetries: -1,
	})
	t.Cleanup(func() { _ = client.Close() })
	cfg := websockets.DefaultConfig()
	s.store = New(Options{
		Client: client, Config: func() *websockets.Config { return cfg }, Logger: slog.New(slog.DiscardHandler),
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
	return s
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

func TestGet(t *testing.T) {
	s := newSuite(t)
	used := time.Now().Add(-30 * time.Minute)
	s.login("short", used, false, nil)
	s.login("long", time.Now().Add(-24*time.Hour), true, nil)
	s.login("guest", used, false, map[string]any{"parameters": map[string]any{"__session.guest": true}})
	s.login("old", time.Now().Add(-61*time.Minute), false, nil)
	s.login("veryold", time.Now().Add(-8*24*time.Hour), true, nil)
	s.login("noip", used, false, map[string]any{"localIp": nil, "version": nil, "hash": nil, "client": nil, "loginTime": -1, "parameters": nil})

	ses, err := s.store.Get(s.ctx(), "short")
	s.must(err)
	if ses.ID != "short" || ses.Secret != "secret-of-short" || ses.Context != 1337 || ses.User != 17 || ses.Client != "open-xchange-appsuite" ||
		ses.Hash != "remembered" || ses.Address.String() != "192.0.2.7" || ses.Guest || ses.Restricted || ses.AnyAgent ||
		!ses.Expires.Equal(time.UnixMilli(used.UnixMilli()).Add(time.Hour)) || ses.Lifetime != time.Hour || ses.Created.UnixMilli() != 1795000000000 {
		t.Errorf("%+v", *ses)
	}
	if ses, err = s.store.Get(s.ctx(), "long"); err != nil || ses.Lifetime != 7*24*time.Hour {
		t.Errorf("long: %v", err)
	}
	if ses, err = s.store.Get(s.ctx(), "guest"); err != nil || !ses.Guest {
		t.Errorf("guest: %v", err)
	}
	if ses, err = s.store.Get(s.ctx(), "noip"); err != nil || ses.Address.IsValid() || !ses.Created.IsZero() || ses.Hash != "" {
		t.Errorf("noip: %v", err)
	}
	for _, id := range []string{"old", "veryold", "unknown", "alt"} {
		if _, err := s.store.Get(s.ctx(), id); !errors.Is(err, websockets.ErrNoSession) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestRestricted(t *testing.T) {
	s := newSuite(t)
	for name, c := range map[string]struct {
		parameters map[string]any
		want       bool
	}{
		"none":          {map[string]any{}, false},
		"first factor":  {map[string]any{"multifactor": true}, true},
		"as text":       {map[string]any{"multifactor": "true"}, true},
		"not yet":       {map[string]any{"multifactor": true, "multifactorAuthenticated": false}, true},
		"second factor": {map[string]any{"multifactor": true, "multifactorAuthenticated": true}, false},
		"no factors":    {map[string]any{"multifactor": false}, false},
		"scopes":        {map[string]any{"restricted": "read_mail"}, true},
		"flag":          {map[string]any{"restricted": true}, true},
		"no scopes":     {map[string]any{"restricted": ""}, false},
	} {
		id := strings.ReplaceAll(name, " ", "-")
		s.login(id, time.Now(), false, map[string]any{"parameters": c.parameters})
		ses, err := s.store.Get(s.ctx(), id)
		if err != nil || ses.Restricted != c.want {
			t.Errorf("%s: %+v, %v", name, ses, err)
		}
		if err := s.store.Touch(s.ctx(), id); errors.Is(err, websockets.ErrNoSession) != c.want {
			t.Errorf("%s: touch %v", name, err)
		}
	}
}

// Whatever stands there is no session, and no error that would make clients
// come back.
func TestStrangeDocuments(t *testing.T) {
	s := newSuite(t)
	changes := map[string]map[string]any{
		"version3": {"version": 3}, "hugeversion": {"version": 1e18}, "textversion": {"version": "2"},
		"nocontext": {"contextId": nil}, "nouser": {"userId": nil}, "nosecret": {"secret": nil}, "emptysecret": {"secret": ""},
		"user0": {"userId": 0}, "negative": {"contextId": -1}, "textid": {"userId": "17"}, "bigid": {"userId": 2147483648},
		"fraction": {"userId": 1.5}, "otherid": {"sessionId": "another"}, "noid": {"sessionId": nil}, "listsecret": {"secret": []string{"x"}},
		"textparameters": {"parameters": "x"},
	}
	for id, change := range changes {
		s.login(id, time.Now(), false, change)
	}
	for id, text := range map[string]string{
		"empty": "", "nojson": "}{", "null": "null", "list": "[]", "html": "<html>", "cut": `{"sessionId":"cut","contextId":1`,
		"big": `{"sessionId":"big","contextId":1,"userId":1,"secret":"` + strings.Repeat("x", 10<<20) + `"}`,
	} {
		s.login(id, time.Now(), false, nil)
		s.must(s.redis.Set(s.ctx(), sessionKey+id, text, 0).Err())
		changes[id] = nil
	}
	s.login("hash", time.Now(), false, nil)
	s.must(s.redis.Del(s.ctx(), sessionKey+"hash").Err())
	s.must(s.redis.HSet(s.ctx(), sessionKey+"hash", "a", "b").Err())
	changes["hash"] = nil
	s.login("noindex", time.Now(), false, nil)
	s.must(s.redis.ZRem(s.ctx(), shortKey, "noindex").Err())
	changes["noindex"] = nil
	for _, id := range slices.Sorted(maps.Keys(changes)) {
		if ses, err := s.store.Get(s.ctx(), id); !errors.Is(err, websockets.ErrNoSession) {
			t.Errorf("%s: %v, %v", id, ses, err)
		}
		if err := s.store.Touch(s.ctx(), id); !errors.Is(err, websockets.ErrNoSession) {
			t.Errorf("%s: touch %v", id, err)
		}
	}
	if n := s.store.Counts().Unreadable; n < 40 {
		t.Errorf("%d counted", n)
	}
	// An index of the wrong type is trouble of the store, not of the session.
	s.login("good", time.Now(), false, nil)
	s.must(s.redis.Set(s.ctx(), longKey, "x", 0).Err())
	if _, err := s.store.Get(s.ctx(), "good"); err == nil || errors.Is(err, websockets.ErrNoSession) {
		t.Errorf("broken index: %v", err)
	}
}

// The touch is all that is ever written.
func TestTouchIsAllThatIsWritten(t *testing.T) {
	s := newSuite(t)
	used := time.Now().Add(-10 * time.Minute)
	s.login("a", used, false, nil)
	s.login("b", used, true, nil)
	s.login("c", used, false, map[string]any{"version": 9})
	before := s.dump()
	for _, id := range []string{"a", "b", "c", "unknown"} {
		_, _ = s.store.Get(s.ctx(), id) // what it returns is held elsewhere
	}
	if after := s.dump(); !maps.Equal(before, after) {
		t.Error("reading has written")
	}
	_ = s.store.Touch(s.ctx(), "c")
	_ = s.store.Touch(s.ctx(), "unknown")
	if after := s.dump(); !maps.Equal(before, after) {
		t.Error("touching what is no session has written")
	}
	s.must(s.store.Touch(s.ctx(), "a"))
	s.must(s.store.Touch(s.ctx(), "b"))
	after := s.dump()
	for k, v := range after {
		if changed := before[k] != v; changed != (k == shortKey || k == longKey) {
			t.Errorf("%s changed: %v", k, changed)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d keys became %d", len(before), len(after))
	}
	for _, index := range []string{shortKey, longKey} {
		scores, err := s.redis.ZRangeWithScores(s.ctx(), index, 0, -1).Result()
		s.must(err)
		for _, z := range scores {
			touched := time.Since(time.UnixMilli(int64(z.Score))) < time.Minute
			if touched == (z.Member == "c") {
				t.Errorf("%s in %s: %v", z.Member, index, z.Score)
			}
		}
	}
	// A later time, of a clock that is ahead, stays.
	ahead := time.Now().Add(10 * time.Minute)
	s.must(s.redis.ZAdd(s.ctx(), shortKey, redis.Z{Score: float64(ahead.UnixMilli()), Member: "a"}).Err())
	s.must(s.store.Touch(s.ctx(), "a"))
	if score := s.redis.ZScore(s.ctx(), shortKey, "a").Val(); int64(score) != ahead.UnixMilli() {
		t.Errorf("score %v", score)
	}
}

func TestRedisAway(t *testing.T) {
	s := newSuite(t)
	s.login("a", time.Now(), false, nil)
	fails := func(what string) {
		t.Helper()
		_, err := s.store.Get(s.ctx(), "a")
		if err == nil || errors.Is(err, websockets.ErrNoSession) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", what, err)
		}
		if err := s.store.Touch(s.ctx(), "a"); err == nil || errors.Is(err, websockets.ErrNoSession) {
			t.Errorf("%s: touch %v", what, err)
		}
	}
	s.server.Pause()
	fails("paused")
	s.server.Resume()
	s.server.Kill()
	fails("killed")
	s.server.Restart()
	s.must(s.redis.ConfigSet(s.ctx(), "requirepass", "x").Err())
	fails("without its password")
	if s.store.Counts().Failures < 6 {
		t.Errorf("%+v", s.store.Counts())
	}
}

// A message of the channel is a hint: what it says is looked up.
func TestEvents(t *testing.T) {
	s := newSuite(t)
	for _, id := range []string{"lives", "gone", "expired", "elsewhere"} {
		s.login(id, time.Now(), false, nil)
		if id != "elsewhere" {
			s.held = append(s.held, websockets.Selector{Context: 1337, User: 17, Session: id})
		}
	}
	s.must(s.redis.Del(s.ctx(), sessionKey+"gone").Err())
	s.must(s.redis.ZAdd(s.ctx(), shortKey, redis.Z{Score: 1, Member: "expired"}).Err())
	ctx, cancel := context.WithCancel(s.ctx())
	var running sync.WaitGroup
	running.Go(func() { s.store.Run(ctx) })
	defer running.Wait()
	defer cancel()

	publish := func(payload string) {
		t.Helper()
		before := s.store.Counts().Events
		s.until("it arrives", func() bool {
			// Until the channel is followed, or followed again, nobody gets it.
			return s.redis.Publish(s.ctx(), eventsTopic, payload).Val() > 0 || s.store.Counts().Events > before
		})
		s.until("it is counted", func() bool { return s.store.Counts().Events > before })
	}
	event := func(operation string, ids ...string) string {
		data, err := json.Marshal(map[string]any{"operation": operation, "sessionIds": ids})
		s.must(err)
		text, err := json.Marshal(map[string]any{"data": string(data), "instanceId": "0123456789abcdef0123456789abcdef"})
		s.must(err)
		return string(text)
	}
	for _, strange := range []string{"", "null", "[]", "x", `{"data":5}`, `{"data":"x"}`, `{"data":"{\"sessionIds\":[1]}"}`, strings.Repeat("x", maxEvent+1)} {
		publish(strange)
	}
	publish(event("other", "gone"))
	publish(event("invalidate"))
	publish(event("invalidate", "lives", "unknown", "elsewhere"))
	publish(event("invalidate", "lives", "gone", "expired"))
	s.until("two sessions end", func() bool { return len(s.endedIDs()) == 2 })
	if got := s.endedIDs(); !slices.Equal(got, []string{"expired", "gone"}) {
		t.Errorf("ended: %v", got)
	}
	if n := s.store.Counts().Strange; n < 5 {
		t.Errorf("%d strange ones", n)
	}

	// The channel is followed again after Redis was away.
	s.server.Kill()
	s.server.Restart()
	s.login("lives", time.Now(), false, nil)
	publish(event("invalidate", "lives"))
	s.must(s.redis.Del(s.ctx(), sessionKey+"lives").Err())
	publish(event("invalidate", "lives"))
	s.until("the third ends", func() bool { return len(s.endedIDs()) == 3 })
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

func FuzzParse(f *testing.F) {
	f.Add(`{"sessionId":"a","contextId":1,"userId":2,"version":2,"secret":"s","parameters":{"multifactor":true}}`)
	f.Add(`{"sessionId":"a","contextId":1,"userId":2,"secret":"s","localIp":"::ffff:1.2.3.4%eth0","parameters":{"restricted":null}}`)
	f.Fuzz(func(t *testing.T, text string) {
		ses, err := parse(text, "a")
		if err != nil {
			return
		}
		if ses.ID != "a" || ses.Secret == "" || ses.Context < 1 || ses.User < 1 || ses.AnyAgent {
			t.Fatal(fmt.Sprint(ses))
		}
	})
}
