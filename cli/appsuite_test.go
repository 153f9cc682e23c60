package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

const (
	suiteSalt  = "the salt of the App Suite"
	suiteAgent = "Mozilla/5.0 (X11; Linux x86_64)"
)

// suiteLogin writes a session as App Suite 8 does
// (docs/reference/sessions.md#app-suite-in-redis).
func suiteLogin(t *testing.T, rdb *redis.Client, id string) login {
	t.Helper()
	secret := "secret-of-" + id
	hash := websockets.CookieHash(suiteAgent, "open-xchange-appsuite", nil, nil, suiteSalt)
	text, err := json.Marshal(map[string]any{
		"sessionId": id, "contextId": 1337, "userId": 17, "version": 2, "loginName": "anton", "secret": secret, "login": "anton@acme",
		"localIp": "127.0.0.1", "hash": hash, "client": "open-xchange-appsuite", "staySignedIn": false, "userAgent": suiteAgent,
		"loginTime": time.Now().UnixMilli(), "parameters": map[string]any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		rdb.Set(t.Context(), "ox-session:"+id, text, 0).Err(),
		rdb.ZAdd(t.Context(), "ox-sessionids-shortlife", redis.Z{Score: float64(time.Now().UnixMilli()), Member: id}).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l := login{Session: id}
	l.Cookie.Name, l.Cookie.Value = websockets.SecretCookiePrefix+hash, secret
	return l
}

// suiteDial opens a socket with the agent of the session.
func (p *process) suiteDial(l login, connection string) (*websocket.Conn, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, p.public+"/socket.io/appsuite/?EIO=3&transport=websocket&connection="+connection+"&session="+l.Session,
		&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}, "User-Agent": {suiteAgent}}})
	if err == nil {
		p.t.Cleanup(func() { _ = conn.CloseNow() })
		return conn, nil
	}
	if res == nil {
		return nil, err
	}
	b, _ := io.ReadAll(res.Body) // what is missing is missing from the comparison
	var body struct{ Error string }
	_ = json.Unmarshal(b, &body)
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		p.t.Error("a 503 without Retry-After")
	}
	return nil, errors.New(strconv.Itoa(res.StatusCode) + " " + body.Error)
}

// TestAppSuiteSessions serves the sessions that App Suite keeps in its Redis.
func TestAppSuiteSessions(t *testing.T) {
	server := redistest.Start(t)
	rdb := server.Client()
	tree := newTree(t)
	put(t, tree, "suite.properties", fmt.Sprintf("%s=true\n%s=%s\ncom.openexchange.redis.enabled=true\ncom.openexchange.redis.mode=standalone\ncom.openexchange.redis.hosts=%s\n",
		websockets.PropRedisSessions, websockets.PropCookieSalt, suiteSalt, server.Addr))
	p := launch(t, tree, t.TempDir())
	l, other := suiteLogin(t, rdb, "first"), suiteLogin(t, rdb, "second")
	a, err := p.suiteDial(l, "a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.suiteDial(other, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.suiteDial(login{Session: "unknown"}, "c"); err == nil || err.Error() != "403 forbidden" {
		t.Errorf("without a session: %v", err)
	}

	// They are shown, and neither made nor ended here.
	var shown struct{ Context, User, Sockets int }
	if code := p.request("GET", "/admin/v1/sessions/first", "", &shown); code != http.StatusOK || shown.Context != 1337 || shown.User != 17 || shown.Sockets != 1 {
		t.Errorf("session: %d %+v", code, shown)
	}
	var refused struct{ Code string }
	if code := p.request("DELETE", "/admin/v1/sessions/first", "", &refused); code != http.StatusConflict || refused.Code != "foreign_sessions" {
		t.Errorf("DELETE: %d %+v", code, refused)
	}
	if code := p.request("POST", "/admin/v1/sessions", `{"context":1337,"user":17,"client":"c"}`, &refused); code != http.StatusConflict || refused.Code != "foreign_sessions" {
		t.Errorf("POST: %d %+v", code, refused)
	}

	// A logout in App Suite ends the sockets of the session, and no others.
	p.poll("the events are followed", func() bool { return p.metric("sluice_appsuite_events_followed") == "1" })
	for _, err := range []error{
		rdb.Del(t.Context(), "ox-session:first").Err(),
		rdb.Publish(t.Context(), "ox-channel:sessionEvents", `{"data":"{\"operation\":\"invalidate\",\"sessionIds\":[\"first\"]}","instanceId":"0123456789abcdef0123456789abcdef"}`).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if code := closeCode(t, a); code != 4401 {
		t.Errorf("close %d after the logout, want 4401", code)
	}

	// Without Redis nobody gets in, with a reason to come back; who is in stays.
	server.Stop()
	p.poll("handshakes are put off", func() bool {
		_, err := p.suiteDial(other, "d")
		return err != nil && err.Error() == "503 store_unavailable"
	})
	if code := p.request("GET", "/admin/v1/sessions/second", "", &refused); code != http.StatusServiceUnavailable || refused.Code != "store_unavailable" {
		t.Errorf("without Redis: %d %+v", code, refused)
	}
	if code := p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"still","args":[]}`, nil); code != http.StatusOK {
		t.Errorf("message: %d", code)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, data, err := b.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if string(data) == `42["still"]` {
			break
		}
	}
	server.Restart()
	other = suiteLogin(t, server.Client(), "second") // nothing is kept over a restart
	p.poll("handshakes succeed again", func() bool {
		_, err := p.suiteDial(other, "e")
		return err == nil
	})
}
