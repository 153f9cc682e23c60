package httpapi

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/httpapi/events"
	"github.com/seed47708276/sluice/node/gate"
)

// breakStore has the file of the store go bad under it, until mend is called.
func (w *world) breakStore() (mend func()) {
	w.t.Helper()
	const metas = 2 * 4096 // the first two pages stay
	whole, err := os.ReadFile(w.storePath)
	must(w.t, err)
	f, err := os.OpenFile(w.storePath, os.O_WRONLY, 0)
	must(w.t, err)
	bad := make([]byte, len(whole)-metas)
	for i := range bad {
		bad[i] = byte(i * 7)
	}
	_, err = f.WriteAt(bad, metas)
	must(w.t, err)
	return func() {
		_, err := f.WriteAt(whole, 0)
		must(w.t, errors.Join(err, f.Close()))
	}
}

// follow runs FollowClosings until the returned function is called.
func (w *world) follow() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.server.FollowClosings(ctx)
	}()
	return func() { cancel(); <-done }
}

// Whoever is switched off while the store takes nothing loses sockets and
// handshakes on this member until it answers: 503, and nothing is stored.
func TestClosedHere(t *testing.T) {
	const user, whole = "/admin/v1/contexts/7/users/17", "/admin/v1/contexts/7"
	off := `{"enabled":false,"reason":"stolen"}`
	for name, c := range map[string]struct{ method, path, body string }{
		"the switch of a user":    {"PUT", user + "/websockets", off},
		"the switch of a context": {"PUT", whole + "/websockets", off},
		"an override":             {"PUT", user + "/properties/com.openexchange.websockets.enabled", `{"value":"false","reason":"stolen"}`},
		"a user disabled":         {"PUT", user, off},
		"a context disabled":      {"PUT", whole, off},
		"a user deleted":          {"DELETE", user + "?reason=stolen", ""},
		"a context deleted":       {"DELETE", whole + "?reason=stolen", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tree)
			w.wantAt("PUT", whole, 201, `{"name":"acme"}`)
			w.wantAt("PUT", user, 201, `{}`)
			w.wantAt("PUT", "/admin/v1/contexts/8/users/1/websockets", 201, `{"enabled":true,"reason":"own"}`)
			l := w.login(17)
			w.connect(l, "a")
			head := w.store.Head()
			mend := w.breakStore()
			// Somebody whom it does not concern.
			w.ask("PUT", "/admin/v1/contexts/9/users/1/websockets", `{"enabled":true,"reason":"r"}`).refused(t, 503, "store_failed")
			a := w.ask(c.method, c.path, c.body)
			a.refused(t, 503, "store_failed")
			if !strings.Contains(a.body, `"local":"closed"`) || !strings.Contains(a.body, "nothing of that is stored") {
				t.Error(a.body)
			}
			if n := w.sockets.Count(); n != 0 {
				t.Errorf("%d sockets are open", n)
			}
			if w.served(17) {
				t.Error("a handshake would be let in")
			}
			x := w.ask("GET", user+"/properties/com.openexchange.websockets.enabled", "")
			if x.status != 200 || !strings.Contains(x.body, "switched off on one alone by "+me+" (stolen)") {
				t.Errorf("explain: %s", x.body)
			}
			if logs := w.logs.String(); !strings.Contains(logs, "switched off on this member alone") || !strings.Contains(logs, "reason=stolen") {
				t.Error(logs)
			}
			if w.server.Events.Counts()[events.Closing] != 1 {
				t.Error("there is no event")
			}
			kept := w.server.Events.Since(events.NewStream(), w.server.incarnation+"-0").Events
			if text := string(kept[len(kept)-1].Data); !strings.Contains(text, `"what":"closed"`) || !strings.Contains(text, `"context":7`) || !strings.Contains(text, `"reason":"stolen"`) {
				t.Errorf("the event: %s", text)
			}
			stop := w.follow()
			defer stop()
			if err := w.store.Probe(t.Context()); !errors.As(err, new(*store.FailedError)) || w.served(17) {
				t.Errorf("it is over while the store does not answer: %v", err)
			}
			mend()
			for limit := time.Now().Add(30 * time.Second); !w.served(17); time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatalf("the store answers, and the user is refused\n%s", w.logs.String())
				}
			}
			if now := w.store.Head(); now != head {
				t.Errorf("something was stored: %v, before %v", now, head)
			}
			w.connect(l, "b")
			// Users are served first, and told of second.
			for limit := time.Now().Add(30 * time.Second); w.server.Events.Counts()[events.Closing] != 2 || !strings.Contains(w.logs.String(), overAnswers); time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatal("nobody is told that it is over")
				}
			}
		})
	}
}

// served asks the gate.
func (w *world) served(user uint32) bool {
	return gate.New(w.engine, w.server.Closings).Allowed(7, user).Allowed
}

// A token that is revoked while the store takes nothing is refused here.
func TestTokenClosedHere(t *testing.T) {
	w := newWorld(t, tree)
	w.server.Tokens = auth.NewStoreTokens(w.store)
	var made CreatedToken
	w.ask("POST", "/admin/v1/tokens", `{"name":"lost","role":"viewer"}`).into(t, &made)
	w.admin = w.tcp
	bearer := "Authorization: Bearer " + made.Token
	if a := w.ask("GET", "/admin/v1/config", "", bearer); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	mend := w.breakStore()
	w.admin = w.socket
	a := w.ask("DELETE", "/admin/v1/tokens/lost", "")
	a.refused(t, 503, "store_failed")
	if !strings.Contains(a.body, `"local":"closed"`) || !strings.Contains(a.body, "the token lost is refused") {
		t.Error(a.body)
	}
	w.admin = w.tcp
	w.ask("GET", "/admin/v1/config", "", bearer).refused(t, 401, "unauthorized")
	mend()
	stop := w.follow()
	defer stop()
	for limit := time.Now().Add(30 * time.Second); w.ask("GET", "/admin/v1/config", "", bearer).status != 200; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the store answers and has the token, and it is refused")
		}
	}
	w.admin = w.socket
	if a := w.ask("DELETE", "/admin/v1/tokens/lost", ""); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// What is refused whatever the store says acts on nobody: a dry run, a condition
// that does not hold, one that the directory does not have, a final that hides it.
func TestNotClosedHere(t *testing.T) {
	w := newWorld(t, tree)
	w.wantAt("PUT", "/admin/v1/contexts/7/users/17", 201, `{}`)
	w.wantAt("PUT", "/admin/v1/contexts/7/users/18/websockets", 201, `{"enabled":true,"reason":"own"}`)
	w.connect(w.login(17), "a")
	w.connect(w.login(18), "b")
	w.server.Closings.add(cascade.Subject{Context: 7}, "", closing{Until: time.Now().Add(time.Hour)})
	if !w.served(18) || w.served(17) {
		t.Error("a switch of the context counts before a user's own, or not at all")
	}
	w.server.Closings.take(func(closing) bool { return true })
	for _, x := range []error{store.ErrBusy, store.ErrClosed, &store.NoStoreError{Reason: "r"}, &store.ConditionError{}} {
		if unasked(x) {
			t.Errorf("%v", x)
		}
	}
	for _, c := range []store.Change{
		{Key: store.UserKey(7, 99)},
		{Key: store.UserKey(7, 17), If: new(uint64)},
		{Key: store.UserKey(7, 17), Body: &store.User{Enabled: true}},
		{Key: store.OverrideKey(cascade.Subject{Context: 7, User: 17}, "com.example.a"), Body: &store.Override{Value: "false"}},
	} {
		if _, closes := w.server.closes(t.Context(), &c); closes {
			t.Errorf("%+v", c)
		}
	}
}

// A closing lasts until the store answers to what it was asked afterwards, and no
// longer than an hour.
func TestClosingLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, su := NewClosings(), cascade.Subject{Context: 7, User: 17}
		down := errors.New("away")
		var answers atomic.Bool
		var why []string
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go c.follow(ctx, func(context.Context) error {
			if answers.Load() {
				return nil
			}
			return down
		}, func(list []ended, text string) {
			for range list {
				why = append(why, text)
			}
		})
		closeNow := func() {
			now := time.Now()
			c.add(su, "", closing{Until: now.Add(maxClosed), made: now})
		}
		refused := func() bool {
			_, ok := c.of(nil, su)
			return ok
		}
		closeNow()
		time.Sleep(maxClosed - time.Second)
		if !refused() {
			t.Error("over before its hour")
		}
		time.Sleep(time.Second)
		if refused() {
			t.Error("it lasts for more than an hour")
		}
		time.Sleep(2 * probeEvery)
		synctest.Wait()
		closeNow()
		time.Sleep(time.Minute)
		answers.Store(true)
		time.Sleep(2 * probeEvery)
		synctest.Wait()
		if refused() || len(why) != 2 || why[0] != overLate || why[1] != overAnswers {
			t.Errorf("%v", why)
		}
		for i := range maxClosings {
			c.add(cascade.Subject{Context: 1, User: uint32(i + 1)}, "", closing{Until: time.Now().Add(maxClosed), made: time.Now()})
		}
		if c.add(su, "", closing{}) {
			t.Error("they are not bounded")
		}
	})
}
