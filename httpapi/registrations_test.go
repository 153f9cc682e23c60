package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// doveAdm answers as Dovecot 2.3.19 does: what it has, by login.
type doveAdm struct {
	*httptest.Server
	mu     sync.Mutex
	values map[string]string
	broken bool // it drops connections
	asked  int
}

func newDoveAdm(t *testing.T) *doveAdm {
	d := &doveAdm{values: map[string]string{"a@x.test": "", "b@x.test": "", "busy@x.test": ""}}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.asked++
		w.Header().Set("Connection", "close")
		switch {
		case d.broken:
			panic(http.ErrAbortHandler)
		case r.Header.Get("Authorization") != "X-Dovecot-API a2V5":
			w.WriteHeader(http.StatusUnauthorized)
			return
		case r.Method == http.MethodGet:
			var list []string
			for _, op := range []string{"Set", "Unset", "Get"} {
				list = append(list, `{"command":"mailboxMetadata`+op+`","parameters":[{"name":"user"},{"name":"mailbox"},{"name":"allowEmptyMailboxName"},{"name":"key"},{"name":"value"}]}`)
			}
			fmt.Fprintf(w, "[%s]", strings.Join(list, ","))
			return
		}
		var commands [][3]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&commands); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answers := []any{}
		for _, c := range commands {
			var op, tag string
			var p struct{ User, Value string }
			if json.Unmarshal(c[0], &op) != nil || json.Unmarshal(c[1], &p) != nil || json.Unmarshal(c[2], &tag) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			value, known := d.values[p.User]
			switch {
			case !known:
				answers = append(answers, []any{"error", map[string]any{"type": "exitCode", "exitCode": 67}, tag})
				continue
			case p.User == "busy@x.test":
				answers = append(answers, []any{"error", map[string]any{"type": "exitCode", "exitCode": 75}, tag})
				continue
			case strings.HasSuffix(op, "Get"):
				answers = append(answers, []any{"doveadmResponse", []any{map[string]string{"value": value}}, tag})
				continue
			case strings.HasSuffix(op, "Unset"):
				p.Value = ""
			}
			d.values[p.User] = p.Value
			answers = append(answers, []any{"doveadmResponse", []any{}, tag})
		}
		_ = json.NewEncoder(w).Encode(answers) // the client may be gone
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *doveAdm) value(login string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.values[login]
}

func (d *doveAdm) requests() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func TestRegistrations(t *testing.T) {
	first, second := newDoveAdm(t), newDoveAdm(t)
	w := pushWorld(t, atOnce)
	must(t, w.engine.Apply(cascade.Batch{
		Contexts: []cascade.Context{{ID: 7, Enabled: true}},
		Users: []cascade.User{
			{Context: 7, ID: 1, Enabled: true, Login: "a", Mails: []string{"a@x.test"}},
			{Context: 7, ID: 2, Enabled: true, Login: "b@x.test"},
			{Context: 7, ID: 3, Enabled: true},
			{Context: 7, ID: 4, Enabled: true, Login: "nobody@x.test"},
			{Context: 7, ID: 5, Enabled: true, Login: "busy@x.test"},
		},
	}))
	const path, one = "/admin/v1/mailpush/registrations", "/admin/v1/contexts/7/users/1/mailpush"
	w.ask("POST", path, `{"action":"status","users":[{"context":7,"user":1}]}`).refused(t, 409, "not_configured")
	w.ask("GET", one, "").refused(t, 409, "not_configured")
	settings := serviceLogin + atOnce + PropDoveAdm + "=true\n" + PropDoveAdmSecret + "=key\n" + PropDoveAdmEndpoints + "="
	w.file("push.properties", settings+first.URL+"/doveadm/v1, "+second.URL+"/doveadm/v1\n")
	w.reload()
	do := func(action string, want ...string) {
		t.Helper()
		a := w.ask("POST", path, `{"action":"`+action+`","again":true,"users":[{"context":7,"user":1},{"context":7,"user":2},{"context":7,"user":3},{"context":7,"user":4},{"context":7,"user":5}]}`)
		var got struct{ Results []registration }
		a.into(t, &got)
		for i, r := range got.Results {
			if r.Result != want[i] {
				t.Errorf("%s: %+v, want %s", action, r, want[i])
			}
		}
		if len(got.Results) != len(want) {
			t.Errorf("%s: %d %s", action, a.status, a.body)
		}
	}
	// One endpoint is down: the other is asked. Both lead to the same stores, which
	// these do not: nothing is asked of the first.
	first.mu.Lock()
	first.broken = true
	first.mu.Unlock()
	do(actionStatus, resultUnregistered, resultUnregistered, resultNoLogin, resultNoUser, resultLater)
	do(actionRegister, resultRegistered, resultRegistered, resultNoLogin, resultNoUser, resultLater)
	if v := second.value("a@x.test"); v != "user=1@7" {
		t.Errorf("the metadata is %q", v)
	}
	second.mu.Lock()
	second.values["b@x.test"] = "user=9@9"
	second.mu.Unlock()
	do(actionStatus, resultRegistered, resultOther, resultNoLogin, resultNoUser, resultLater)
	if a := w.ask("GET", one, "", "If-None-Match: *"); a.status != 304 {
		t.Errorf("of a user who is there: %d", a.status)
	}
	if a := w.ask("GET", one, ""); !strings.Contains(a.body, `"result":"registered","value":"user=1@7"`) {
		t.Errorf("%s", a.body)
	}
	// Who looks sees which endpoint fails, and why; the member is not degraded.
	for path, want := range map[string][]string{
		"/admin/v1/mailpush": {`"url":"` + first.URL + `/doveadm/v1","status":"failing","error":"Get `, `"url":"` + second.URL + `/doveadm/v1","status":"ok"`},
		"/readyz":            {`"status":"ready"`, `{"name":"doveadm","status":"warning","detail":"1 of 2 endpoints of Dovecot's HTTP API fail`, first.URL},
		"/admin/v1/members":  {`"doveAdm":["` + first.URL + `/doveadm/v1: Get `},
		"/metrics":           {`sluice_push_doveadm_up{endpoint="` + first.URL + `/doveadm/v1"} 0`, `sluice_push_doveadm_up{endpoint="` + second.URL + `/doveadm/v1"} 1`, `sluice_degraded{check="doveadm"} 0`},
	} {
		for _, part := range want {
			if a := w.ask("GET", path, ""); !strings.Contains(a.body, part) {
				t.Errorf("%s has no %s: %s", path, part, a.body)
			}
		}
	}
	do(actionUnregister, resultUnregistered, resultUnregistered, resultNoLogin, resultNoUser, resultLater)
	second.mu.Lock()
	second.broken = true
	second.mu.Unlock()
	do(actionStatus, resultUncertain, resultUncertain, resultNoLogin, resultUncertain, resultUncertain)
	for _, body := range []string{`{"action":"x","users":[{"context":7,"user":1}]}`, `{"action":"status","users":[]}`, `{"action":"status","users":[{"context":7,"user":0}]}`} {
		if a := w.ask("POST", path, body); a.status != 400 {
			t.Errorf("%s: %d", body, a.status)
		}
	}
	if strings.Contains(w.logs.String(), "a2V5") {
		t.Error("the key is in the log")
	}
}

// Whoever opens a socket is registered, and not with each socket again.
func TestRegisterAtFirstSocket(t *testing.T) {
	d := newDoveAdm(t)
	w := pushWorld(t, PropDoveAdm+"=true\n"+PropDoveAdmSecret+"=key\n"+PropDoveAdmEndpoints+"="+d.URL+"/doveadm/v1\n"+PropRegister+"=auto\n")
	must(t, w.engine.Apply(cascade.Batch{
		Contexts: []cascade.Context{{ID: 7, Enabled: true}},
		Users:    []cascade.User{{Context: 7, ID: 1, Enabled: true, Mails: []string{"a@x.test"}}, {Context: 7, ID: 2, Enabled: true}},
	}))
	r := w.server.registrar
	su := cascade.Subject{Context: 7, User: 1}
	for _, id := range []uint32{1, 1, 2} {
		r.opened(cascade.Subject{Context: 7, User: id})
	}
	if n := len(r.order); n != 1 || r.nameless.Load() != 1 {
		t.Errorf("%d wait, %d have no login", n, r.nameless.Load())
	}
	if wait := r.turn(t.Context()); wait != registerEvery || d.value("a@x.test") != "user=1@7" || !r.recent(su) {
		t.Errorf("%v, %q", wait, d.value("a@x.test"))
	}
	asked := d.requests()
	if r.opened(su); len(r.order) != 0 || r.turn(t.Context()) != 0 || d.requests() != asked {
		t.Error("registered again")
	}
	// Whom Dovecot does not know, or whose home is not there, is left alone, until the
	// user has another name; and puts nobody else off.
	stranger := cascade.Subject{Context: 7, User: 4}
	must(t, w.engine.Apply(cascade.Batch{Users: []cascade.User{{Context: 7, ID: 4, Enabled: true, Mails: []string{"stranger@x.test"}}, {Context: 7, ID: 5, Enabled: true, Mails: []string{"busy@x.test"}}}}))
	busy := cascade.Subject{Context: 7, User: 5}
	r.opened(stranger)
	r.opened(busy)
	if wait := r.turn(t.Context()); wait != registerEvery || r.failed.Load() != 2 {
		t.Errorf("%v, %d failed", wait, r.failed.Load())
	}
	asked = d.requests()
	r.opened(stranger)
	r.opened(busy)
	if len(r.order) != 0 || r.turn(t.Context()) != 0 || d.requests() != asked {
		t.Errorf("%d wait, %d requests more", len(r.order), d.requests()-asked)
	}
	must(t, w.engine.Apply(cascade.Batch{Users: []cascade.User{{Context: 7, ID: 4, Enabled: true, Mails: []string{"b@x.test"}}}}))
	r.opened(stranger)
	if wait := r.turn(t.Context()); wait != registerEvery || d.value("b@x.test") != "user=4@7" || r.done.Load() != 2 {
		t.Errorf("%v, %q", wait, d.value("b@x.test"))
	}
	// A long-lived socket has its user registered again.
	w.connect(w.login(1), "c1")
	w.poll("the hub has it", func() bool { return w.server.Sockets.Count() == 1 })
	r.sweep()
	if len(r.order) != 0 {
		t.Error("registered again before its time")
	}
	r.known.Put(7, 1, time.Now().Add(-25*time.Hour))
	r.sweep()
	if len(r.order) != 1 || r.order[0] != su {
		t.Errorf("%v wait", r.order)
	}
	r.turn(t.Context())
	// A failure of Dovecot is tried again later.
	d.mu.Lock()
	d.broken = true
	d.mu.Unlock()
	must(t, w.engine.Apply(cascade.Batch{Users: []cascade.User{{Context: 7, ID: 3, Enabled: true, Mails: []string{"b@x.test"}}}}))
	r.opened(cascade.Subject{Context: 7, User: 3})
	if wait := r.turn(t.Context()); wait != registerRetry || len(r.order) != 1 {
		t.Errorf("%v, %d wait", wait, len(r.order))
	}
}

// Sockets that open all the time put off nobody's registration.
func TestRegisterInARush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistrar(nil)
		ctx, stop := context.WithCancel(t.Context())
		turns := 0
		var work sync.WaitGroup
		work.Go(func() {
			r.run(ctx, func() {}, func(context.Context) time.Duration { turns++; return 0 })
		})
		for range 100 {
			select {
			case r.wake <- struct{}{}:
			default:
			}
			time.Sleep(registerEvery / 10)
		}
		stop()
		work.Wait()
		if turns < 9 {
			t.Errorf("%d turns in 10 s", turns)
		}
	})
}

// The memory of those who are left alone is bounded.
func TestLeftAlone(t *testing.T) {
	r := newRegistrar(nil)
	for user := range uint32(3 * maxRefused) {
		r.leaveAlone(refusedUser{cascade.Subject{Context: 7, User: user + 1}, "x"}, time.Unix(1_900_000_000, 0))
	}
	if n := len(r.refused); n != maxRefused {
		t.Errorf("%d are left alone", n)
	}
}
