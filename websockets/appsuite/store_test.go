package appsuite

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

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
	want := map[string]int64{"bad_version": 2 * 2, "bad_document": 2 * 18, "other_id": 2, "wrong_type": 2, "too_big": 2, "unscored": 2, "unknown": 2, "found": 0, "expired": 0, "store_error": 0}
	if got := s.store.Counts().Lookups; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	for _, reason := range []string{"bad_version", "bad_document", "other_id", "wrong_type", "too_big"} {
		if n := strings.Count(s.logs.String(), "reason="+reason+" "); n != 1 {
			t.Errorf("%s is reported %d times a minute, want once", reason, n)
		}
	}
	// An index of the wrong type is trouble of the store, not of the session.
	s.login("good", time.Now(), false, nil)
	s.must(s.redis.Set(s.ctx(), shortKey, "x", 0).Err())
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

// Looking for sessions writes nothing, and finds what is gone or not usable any
// more as soon as one of them is gone.
func TestMissing(t *testing.T) {
	s := newSuite(t)
	for _, id := range []string{"a", "b", "c"} {
		s.login(id, time.Now().Add(-time.Minute), false, nil)
	}
	before := s.dump()
	if gone, err := s.store.Missing(s.ctx(), []string{"a", "b", "c"}); err != nil || len(gone) > 0 {
		t.Errorf("%v, %v", gone, err)
	}
	if !maps.Equal(before, s.dump()) {
		t.Error("a look has written")
	}
	s.must(s.redis.Del(s.ctx(), sessionKey+"b").Err())
	if gone, err := s.store.Missing(s.ctx(), []string{"a", "b", "c"}); err != nil || !slices.Equal(gone, []string{"b"}) {
		t.Errorf("%v, %v", gone, err)
	}
	s.server.Kill()
	if gone, err := s.store.Missing(s.ctx(), []string{"a", "b"}); err == nil || len(gone) > 0 {
		t.Errorf("without Redis: %v, %v", gone, err)
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
	s.until("it answers again", func() bool { _, err := s.store.Get(s.ctx(), "a"); return err == nil })
	s.server.Kill()
	fails("killed")
	s.server.Restart()
	password := func(p string) {
		t.Helper()
		s.must(s.redis.Do(s.ctx(), "acl", "setuser", redistest.SuiteUser, "resetpass", ">"+p).Err())
	}
	password("another")
	fails("without its password")
	if n := s.store.Counts().Lookups["store_error"]; n != 6 {
		t.Errorf("%d failures counted, want 6", n)
	}
	password(redistest.Password)
	s.login("a", time.Now(), false, nil)
	if _, err := s.store.Get(s.ctx(), "a"); err != nil {
		t.Errorf("after all of it: %v", err)
	}
	if text := s.logs.String(); strings.Count(text, "does not answer for sessions") != 2 || strings.Count(text, "answers for sessions again") != 2 {
		t.Errorf("logged:\n%s", text)
	}
}

// The sessions of a user are those of App Suite's set that are alive.
func TestOfUser(t *testing.T) {
	s := newSuite(t)
	s.login("one", time.Now(), false, map[string]any{"loginTime": 1795000000000})
	s.login("two", time.Now(), true, map[string]any{"loginTime": 1795000001000})
	s.login("over", time.Now().Add(-2*time.Hour), false, nil)
	s.login("elsewhere", time.Now(), false, map[string]any{"userId": 18}) // in a set that is out of date
	list, err := s.store.OfUser(s.ctx(), 1337, 17)
	s.must(err)
	if len(list) != 2 || list[0].ID != "two" || list[1].ID != "one" {
		t.Errorf("%v", list)
	}
	if list, err := s.store.OfUser(s.ctx(), 1337, 18); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	s.server.Stop()
	if _, err := s.store.OfUser(s.ctx(), 1337, 17); err == nil {
		t.Error("without Redis nothing is known")
	}
}
