package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/node/gate"
	"github.com/seed47708276/sluice/websockets"
)

// closed reads until the close and compares its code; it returns what came
// before.
func (s *socket) closed(code websocket.StatusCode) (before []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			if got := websocket.CloseStatus(err); got != code {
				s.t.Fatalf("close %d (%v), want %d", got, err, code)
			}
			return before
		}
		before = append(before, string(data))
	}
}

func TestSockets(t *testing.T) {
	w := newWorld(t, tree)
	l17, l18 := w.login(17), w.login(18)
	a, b := w.connect(l17, "a"), w.connect(l17, "b")
	c := w.connect(l18, "c")

	var all socketPage
	for cursor := ""; ; {
		var page socketPage
		w.ask("GET", "/admin/v1/sockets?limit=2&cursor="+cursor, "").into(t, &page)
		if len(page.Sockets) > 2 {
			t.Fatalf("a page of %d", len(page.Sockets))
		}
		all.Sockets = append(all.Sockets, page.Sockets...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(all.Sockets) != 3 || all.Sockets[2].User != 18 {
		t.Fatalf("%+v", all)
	}
	first := all.Sockets[2]
	if first.Context != 7 || first.Connection != "c" || first.Path != "/socket.io/appsuite/" || first.Protocol != "engine.io-v3" ||
		first.Client != "open-xchange-appsuite" || first.Member != "one" || !first.Address.IsLoopback() || time.Since(first.Since) > time.Minute || first.ID == "" {
		t.Errorf("%+v", first)
	}
	for query, want := range map[string]int{
		"context=7": 3, "context=8": 0, "context=7&user=17": 2, "context=7&connection=a": 1, "connection=b": 1,
		"path=/socket.io/*": 3, "path=/ws/*": 0, "context=7&user=18&path=/socket.io/appsuite/*": 1,
	} {
		var page socketPage
		w.ask("GET", "/admin/v1/sockets?"+query, "").into(t, &page)
		if len(page.Sockets) != want || page.Next != "" {
			t.Errorf("%s: %+v, want %d", query, page, want)
		}
	}
	for _, text := range []string{l17.Session, l17.Secret} {
		if body := w.ask("GET", "/admin/v1/sockets", "").body; strings.Contains(body, text) {
			t.Errorf("a session's id or secret is in %s", body)
		}
	}

	wantClosed := func(query string, n int) {
		t.Helper()
		var got struct{ Closed int }
		w.ask("DELETE", "/admin/v1/sockets?"+query, "").into(t, &got)
		if got.Closed != n {
			t.Errorf("%s closed %d, want %d", query, got.Closed, n)
		}
	}
	wantClosed("context=7&user=17&connection=a", 1)
	if before := a.closed(4410); len(before) != 1 || before[0] != "41" {
		t.Errorf("before the close: %q", before)
	}
	wantClosed("context=7&user=17", 1)
	b.closed(4410)
	wantClosed("all=true", 1)
	c.closed(4410)
	wantClosed("context=7", 0)
}

func TestSessionOfAdministrator(t *testing.T) {
	w := newWorld(t, tree)
	l, other := w.login(17), w.login(18)
	s, witness := w.connect(l, "a"), w.connect(other, "b")
	path := "/admin/v1/sessions/" + l.Session

	a := w.ask("GET", path, "")
	var got struct {
		Session       string
		Context, User int
		Client        string
		Expires       time.Time
		Sockets       int
	}
	a.into(t, &got)
	if a.status != http.StatusOK || got.Session != l.Session || got.Context != 7 || got.User != 17 || got.Sockets != 1 ||
		got.Client != "open-xchange-appsuite" || time.Until(got.Expires) < time.Minute || strings.Contains(a.body, l.Secret) {
		t.Fatalf("%d %s", a.status, a.body)
	}

	if a := w.ask("DELETE", path, ""); a.status != http.StatusNoContent || a.body != "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if before := s.closed(4401); strings.Join(before, " ") != `42["session:invalid"] 41` {
		t.Errorf("before the close: %q", before)
	}
	w.ask("GET", path, "").refused(t, http.StatusNotFound, "no_session")
	w.ask("DELETE", path, "").refused(t, http.StatusNotFound, "no_session")
	w.ask("GET", "/admin/v1/sessions/"+strings.Repeat("x", 5000), "").refused(t, http.StatusNotFound, "no_session")
	w.ask("GET", "/admin/v1/sessions/%2F", "").refused(t, http.StatusNotFound, "no_session")
	w.ask("POST", "/admin/v1/messages", `{"context":7,"user":18,"name":"n"}`)
	witness.want(`42["n"]`)
	if logs := w.logs.String(); strings.Contains(logs, l.Session) || strings.Contains(logs, l.Secret) {
		t.Errorf("a session's id or secret is in the log: %s", logs)
	}
}

// resalting are sessions during whose making the cluster's salt becomes known.
type resalting struct {
	*websockets.MemorySessions
	settings *gate.Settings
	salts    []string
}

func (r *resalting) Create(ctx context.Context, s *websockets.Session) error {
	if len(r.salts) > 0 {
		r.settings.SetSalt(r.salts[0])
		r.salts = r.salts[1:]
	}
	return r.MemorySessions.Create(ctx, s)
}

// A session has the cookie of the salt that is in force when it is answered, and
// no other is left behind.
func TestSessionWhileTheSaltChanges(t *testing.T) {
	w := newWorld(t, map[string]string{"websockets.properties": "com.openexchange.websockets.enabled=true\n"})
	r := &resalting{w.sessions, w.settings, []string{"first", "second"}}
	w.server.Sessions = r
	a := w.ask("POST", "/admin/v1/sessions", `{"context":7,"user":1,"client":"c","userAgent":"agent"}`)
	if want := websockets.SecretCookiePrefix + websockets.CookieHash("agent", "c", nil, nil, "second"); a.status != http.StatusCreated || !strings.Contains(a.body, `"name":"`+want+`"`) {
		t.Errorf("%d %s, want the cookie %s", a.status, a.body, want)
	}
	if n := w.sessions.Len(); n != 1 {
		t.Errorf("%d sessions", n)
	}
	r.salts = []string{"a", "b", "c", "d"}
	w.ask("POST", "/admin/v1/sessions", `{"context":7,"user":1,"client":"c"}`).refused(t, http.StatusServiceUnavailable, "store_unavailable")
	if n := w.sessions.Len(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// foreign are sessions that can only be looked up; broken ones not even that.
type foreign struct{ err error }

func (f foreign) Get(context.Context, string) (*websockets.Session, error) {
	if f.err != nil {
		return nil, f.err
	}
	return &websockets.Session{ID: "s", Secret: "hidden", Context: 1, User: 2}, nil
}

func (f foreign) Touch(context.Context, string) error { return f.err }

func (f foreign) OfUser(context.Context, uint32, uint32) ([]*websockets.Session, error) {
	return nil, f.err
}

func TestForeignSessions(t *testing.T) {
	w := newWorld(t, tree)
	w.server.Sessions = foreign{}
	w.ask("POST", "/admin/v1/sessions", `{"context":7,"user":1,"client":"c"}`).refused(t, http.StatusConflict, "foreign_sessions")
	w.ask("DELETE", "/admin/v1/sessions/s", "").refused(t, http.StatusConflict, "foreign_sessions")
	if a := w.ask("GET", "/admin/v1/sessions/s", ""); a.status != http.StatusOK || !strings.Contains(a.body, `"created":null,"expires":null`) || strings.Contains(a.body, "hidden") {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.server.Sessions = foreign{errors.New("connection refused")}
	w.ask("GET", "/admin/v1/sessions/s", "").refused(t, http.StatusServiceUnavailable, "store_unavailable")
}

// TestLastDelivery shows when a socket got its last message, and how the last
// one of a user ended.
func TestLastDelivery(t *testing.T) {
	w := newWorld(t, tree)
	s := w.connect(w.login(17), "a")
	list := func(query string) (page socketPage) {
		w.ask("GET", "/admin/v1/sockets"+query, "").into(t, &page)
		return page
	}
	if p := list("?context=7&user=17"); len(p.Sockets) != 1 || p.Sockets[0].Sent != nil || p.Ended != nil {
		t.Errorf("before: %+v", p)
	}
	w.send(`{"context":7,"user":17,"name":"x","args":[]}`, 1, false)
	w.poll("the message is out", func() bool {
		p := list("?context=7&user=17")
		return p.Sockets[0].Sent != nil && time.Since(*p.Sockets[0].Sent) < time.Minute
	})
	w.ask("DELETE", "/admin/v1/sockets?context=7&user=17", "")
	s.closed(4410)
	w.poll("its end is remembered", func() bool {
		e := list("?context=7&user=17").Ended
		return len(e) == 1 && e[0].Member == "one" && e[0].Cause == "admin" && e[0].Code == 4410 && !e[0].Time.IsZero()
	})
	if p := list("?context=7"); p.Ended != nil {
		t.Errorf("of a context: %+v", p.Ended)
	}
}
