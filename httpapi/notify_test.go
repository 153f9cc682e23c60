package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

const (
	serviceLogin = PropBasicLogin + "=mw\n" + PropBasicPassword + "=pw\n"
	goodLogin    = "Authorization: Basic bXc6cHc="
	atOnce       = PropPushDelay + "=0\n"
)

// pushWorld is a world in which Dovecot may notify, and nothing waits.
func pushWorld(t testing.TB, lines string) *world {
	t.Helper()
	files := map[string]string{"push.properties": serviceLogin + lines}
	for name, text := range tree {
		files[name] = text
	}
	return newWorld(t, files)
}

func (w *world) put(path, body string, headers ...string) answer {
	w.t.Helper()
	return w.askAt(w.public.URL, http.MethodPut, path, body, headers...)
}

// mailFor is a notification as Dovecot 2.3 writes it.
func mailFor(user string, uid int, subject string) string {
	return fmt.Sprintf(`{"user":%q,"event":"messageNew","folder":"INBOX","imap-uidvalidity":1795347842,"imap-uid":%d,"from":"=?utf-8?Q?J=C3=BCrgen?= <j@example.org>","subject":%q,"snippet":"Hey","unseen":2}`, user, uid, subject)
}

func mailEvent(uid int, subject string) string {
	return fmt.Sprintf(`42["ox:mail:new",{"displayname":"Jürgen","email":"j@example.org","folder":"default0/INBOX","id":"%d","subject":%q,"teaser":"Hey","unread":2}]`, uid, subject)
}

func TestNotify(t *testing.T) {
	w := pushWorld(t, atOnce)
	must(t, w.engine.Apply(cascade.Batch{
		Contexts: []cascade.Context{{ID: 7, Enabled: true}},
		Users:    []cascade.User{{Context: 7, ID: 1, Enabled: true, Login: "anna", Mails: []string{"Anna@Example.com"}}, {Context: 7, ID: 2, Enabled: true, Login: "twin"}, {Context: 7, ID: 3, Enabled: true, Login: "twin"}},
	}))
	one, two := w.connect(w.login(1), "c1"), w.connect(w.login(2), "c2")
	ok := func(path, body string, headers ...string) {
		t.Helper()
		if a := w.put(path, body, append(headers, goodLogin)...); a.status != 200 || a.body != `{"success":true}`+"\n" {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	ok(notifyPath, mailFor("1@7", 2, "=?utf-8?q?=C3=9Cbung?="))
	one.want(mailEvent(2, "Übung"))
	ok("/some/prefix"+notifyPath+"?a=b", mailFor("anna", 3, "by login"))
	one.want(mailEvent(3, "by login"))
	ok(notifyPath, mailFor("anna@example.COM", 4, "by address"), "Content-Type: application/json; charset=utf-8")
	one.want(mailEvent(4, "by address"))
	// The same once more, by another of the user's names or not, and then the next.
	ok(notifyPath, mailFor("1@7", 2, "=?utf-8?q?=C3=9Cbung?="))
	ok(notifyPath, mailFor("2@7", 2, "of another user"))
	two.want(mailEvent(2, "of another user"))
	ok(notifyPath, mailFor("1@7", 0, "nobody knows which"))
	ok(notifyPath, mailFor("1@7", 0, "nobody knows which"))
	one.want(mailEvent(0, "nobody knows which"))
	one.want(mailEvent(0, "nobody knows which"))
	ok(notifyPath, `{"user":"","event":"flagsSet","folder":"INBOX"}`)
	ok(notifyPath, mailFor("9@7", 1, "no socket"))

	for _, c := range []struct{ body, code string }{
		{"", "bad_notification"},
		{"<html>", "bad_notification"},
		{`{"user":"1@7","event":"messageNew"}`, "bad_notification"},
		{mailFor("nobody@example.com", 1, "x"), "unknown_user"},
		{mailFor("", 1, "x"), "unknown_user"},
		{mailFor("twin", 1, "x"), "unknown_user"},
		{mailFor("1@0", 1, "x"), "unknown_user"},
		{mailFor("17", 1, "x"), "unknown_user"},
		{mailFor("1@99999999999", 1, "x"), "unknown_user"},
	} {
		w.put(notifyPath, c.body, goodLogin).refused(t, 400, c.code)
	}
	w.put(notifyPath, "{}").refused(t, 401, "unauthorized")
	if a := w.put("/socket.io"+notifyPath, "{}", goodLogin); a.header.Get("Content-Type") == "application/problem+json" {
		t.Errorf("proxies publish it: %d %s", a.status, a.body)
	}
	if a := w.put(notifyPath, "{}", "Authorization: Basic eDp5"); a.status != 401 || a.header.Get("WWW-Authenticate") != basicRealm {
		t.Errorf("%d %v", a.status, a.header)
	}
	w.askAt(w.public.URL, http.MethodPost, notifyPath, "{}").refused(t, 405, "method_not_allowed")
	w.put(notifyPath, strings.Repeat(" ", maxNotification+1), goodLogin).refused(t, 413, "too_large")
	ok(notifyPath, mailFor("1@7", 77, strings.Repeat("x", 7<<20)))
	one.want(mailEvent(77, strings.Repeat("x", 1000)))

	var st pushStatus
	w.ask("GET", "/admin/v1/mailpush", "").into(t, &st)
	if st.Requests[pushAccepted] != 8 || st.Requests[pushDuplicate] != 1 || st.Requests[notifyIgnored] != 1 || st.Requests[notifyBad] != 3 ||
		st.Requests[notifyUnknownUser] != 6 || len(st.UnknownUsers) != 6 || st.UnknownUsers[5].User != "nobody@example.com" {
		t.Errorf("%+v", st)
	}
	w.poll("all are delivered", func() bool {
		w.ask("GET", "/admin/v1/mailpush", "").into(t, &st)
		return st.Delivered == 7 && st.NoSocket == 1 && st.Waiting == 0
	})
	if n := strings.Count(w.logs.String(), "kind=unknown_user"); n != 1 {
		t.Errorf("%d lines about unknown users in a minute", n)
	}
}

// Only who may notify does, and a proxy must not speak for somebody else.
func TestNotifyAddresses(t *testing.T) {
	w := pushWorld(t, PropNotifyAddresses+"=127.0.0.1, 10.0.0.0/8\n")
	for _, c := range []struct {
		header string
		may    bool
	}{
		{"X-Forwarded-For: 10.1.2.3", true},
		{"X-Forwarded-For: 10.1.2.3, 127.0.0.1", true},
		{"X-Forwarded-For: 8.8.8.8", false},
		{"X-Forwarded-For: 8.8.8.8, 10.1.2.3", false},
		{"X-Forwarded-For: unknown", false},
		{"X-Real-IP: 8.8.8.8", false},
		{`Forwarded: for="[2001:db8::1]:80";proto=https`, false},
		{`Forwarded: for=10.1.2.3;by=8.8.8.8`, true},
		{"Forwarded: proto=http, for=_hidden", false},
	} {
		a := w.put(notifyPath, mailFor("1@7", 0, "x"), goodLogin, c.header)
		if c.may && a.status != 200 {
			t.Errorf("%s: %d %s", c.header, a.status, a.body)
		}
		if !c.may {
			a.refused(t, 403, "address")
		}
	}
	w.file("push.properties", serviceLogin+PropNotifyAddresses+"=10.0.0.0/8\n")
	w.reload()
	w.put(notifyPath, mailFor("1@7", 0, "x"), goodLogin).refused(t, 403, "address")
	w.file("push.properties", serviceLogin+PropNotifyAddresses+"=rubbish\n")
	w.reload()
	w.put(notifyPath, mailFor("1@7", 0, "x"), goodLogin).refused(t, 403, "address")
	w.file("push.properties", PropNotifyAddresses+"=127.0.0.1\n")
	w.reload()
	w.put(notifyPath, mailFor("1@7", 0, "x"), goodLogin).refused(t, 403, "not_configured")
}

// An overload is what Dovecot sends again for, and nothing of it is remembered.
func TestNotifyOverload(t *testing.T) {
	w := pushWorld(t, PropPushDelay+"=600000\n"+PropPushMaxDelay+"=0\n"+PropPushBuffered+"=1\n")
	one := w.connect(w.login(1), "c1")
	if a := w.put(notifyPath, mailFor("1@7", 1, "waits"), goodLogin); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a := w.put(notifyPath, mailFor("1@7", 2, "later"), goodLogin)
	a.refused(t, 503, "overload")
	at, err := http.ParseTime(a.header.Get("Date"))
	if a.header.Get("Retry-After") != "1" || err != nil || time.Since(at).Abs() > patience {
		t.Errorf("%v", a.header)
	}
	w.server.pushes.notify.reading.Add(maxNotifying)
	w.put(notifyPath, mailFor("1@7", 2, "later"), goodLogin).refused(t, 503, "overload")
	w.server.pushes.notify.reading.Add(-maxNotifying)
	// Timings count for what waits.
	w.file("push.properties", serviceLogin+atOnce)
	w.reload()
	one.want(mailEvent(1, "waits"))
	if a := w.put(notifyPath, mailFor("1@7", 2, "later"), goodLogin); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	one.want(mailEvent(2, "later"))
	w.server.SetReady(false)
	w.put(notifyPath, mailFor("1@7", 3, "never"), goodLogin).refused(t, 503, "overload")
}

// The most specific name that is set says whether a topic goes to the sockets.
func TestPushRules(t *testing.T) {
	const all, mail, other = PropPushEnabled, PropPushEnabled + ".open-xchange-appsuite.ox\\:mail\\:new", PropPushEnabled + ".open-xchange-appsuite.acme\\:note"
	for _, c := range []struct {
		lines, topic string
		on           bool
	}{
		{"", "ox:mail:new", true},
		{all + "=false\n", "ox:mail:new", false},
		{all + "=false\n" + all + ".open-xchange-appsuite=true\n", "ox:mail:new", true},
		{all + "=false\n" + mail + "=true\n", "ox:mail:new", true},
		{all + "=false\n" + mail + "=true\n", "ox:calendar:updates", false},
		{all + ".open-xchange-appsuite=true\n" + mail + "=false\n", "ox:mail:new", false},
		{all + ".other=false\n", "ox:mail:new", true},
		{other + "=false\n", "acme:note", false},
		{all + "=false\n" + other + "=TRUE\n", "acme:note", true},
		{all + "=false\n" + other + "=maybe\n", "acme:note", false},
	} {
		w := pushWorld(t, c.lines)
		want := pushDisabled
		if c.on {
			want = pushAccepted
		}
		a := w.ask("POST", "/admin/v1/notifications", fmt.Sprintf(`{"context":7,"user":1,"topic":%q,"data":{}}`, c.topic))
		if a.status != 200 || a.body != `{"result":"`+want+`"}`+"\n" {
			t.Errorf("%q %s: %d %s", c.lines, c.topic, a.status, a.body)
		}
	}
}

func TestNotifications(t *testing.T) {
	w := pushWorld(t, atOnce)
	l := w.login(1)
	one, cause := w.connect(l, "c1"), w.connect(l, "cause")
	post := func(body, result string) {
		t.Helper()
		if a := w.ask("POST", "/admin/v1/notifications", body); a.status != 200 || a.body != `{"result":"`+result+`"}`+"\n" {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	post(`{"context":7,"user":1,"topic":"ox:calendar:updates","data":{"folders":["cal://0/31"]},"sourceToken":"cause"}`, pushAccepted)
	one.want(`42["ox:calendar:updates",{"folders":["cal://0/31"]}]`)
	post(`{"context":7,"user":1,"topic":"t","data":{},"id":"i","priority":"high"}`, pushAccepted)
	post(`{"context":7,"user":1,"topic":"t","data":{},"id":"i"}`, pushDuplicate)
	one.want(`42["t",{}]`)
	cause.want(`42["t",{}]`)
	for _, c := range []struct {
		body, code string
		status     int
	}{
		{`{"context":7,"topic":"t","data":{}}`, "bad_id", 400},
		{`{"context":7,"user":1,"topic":"t","data":[]}`, "bad_message", 400},
		{`{"context":7,"user":1,"topic":"t"}`, "bad_message", 400},
		{`{"context":7,"user":1,"topic":"connect","data":{}}`, "bad_message", 422},
		{`{"context":7,"user":1,"topic":"t","data":{},"priority":"urgent"}`, "bad_message", 400},
		{`{"context":7,"user":1,"topic":"t","data":{},"id":"mail:x"}`, "bad_message", 400},
		{`{"context":7,"user":1,"topic":"t","data":{},"sourceToken":"` + strings.Repeat("x", maxToken+1) + `"}`, "bad_message", 400},
	} {
		w.ask("POST", "/admin/v1/notifications", c.body).refused(t, c.status, c.code)
	}
	// Equal ones that wait are one.
	w.file("push.properties", PropPushDelay+"=600000\n"+PropPushMaxDelay+"=0\n")
	w.reload()
	post(`{"context":7,"user":1,"topic":"t","data":{"n":1}}`, pushAccepted)
	post(`{"context":7,"user":1,"topic":"t","data":{ "n":1 }}`, pushCoalesced)
	w.server.ClosePushes()
	one.want(`42["t",{"n":1}]`)
	w.ask("POST", "/admin/v1/notifications", `{"context":7,"user":1,"topic":"t","data":{}}`).refused(t, 503, "overload")
}

func signed(key, body string, at int64) string { return signedAs("v1", key, body, at) }

func signedAs(version, key, body string, at int64) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s:%d:%s", version, at, body)
	return fmt.Sprintf("X-OX-Signature: t=%d, %s=%s", at, version, hex.EncodeToString(mac.Sum(nil)))
}

func TestWebhook(t *testing.T) {
	w := pushWorld(t, atOnce)
	one := w.connect(w.login(1), "c1")
	const body = `{"event":"ox:calendar:updates","payload":{"folders":["cal://0/31"],"user":1,"context":7,"sourceToken":"other"}}`
	post := func(body string, headers ...string) answer {
		t.Helper()
		return w.askAt(w.public.URL, http.MethodPost, webhookPath, body, headers...)
	}
	now := time.Now().Unix()
	post(body, goodLogin, signed("key", body, now)).refused(t, 403, "not_configured")
	w.file("push.properties", serviceLogin+atOnce+PropWebhookKey+"=key\n")
	w.reload()
	if a := post(body, goodLogin, signed("key", body, now)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	one.want(`42["ox:calendar:updates",{"folders":["cal://0/31"]}]`)
	post(body, goodLogin, signed("key", body, now)).refused(t, 409, "replay")
	if a := post(body, goodLogin, signed("key", body, now-1)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	one.want(`42["ox:calendar:updates"`)
	// The version is the sender's, and signed; the replay is one in any writing.
	if a := post(body, goodLogin, signedAs("v12", "key", body, now)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	one.want(`42["ox:calendar:updates"`)
	head, sum, _ := strings.Cut(signed("key", body, now), "v1=")
	post(body, goodLogin, head+"v1="+strings.ToUpper(sum)).refused(t, 409, "replay")
	for _, s := range []string{
		head + "v2=" + sum, head + "v=" + sum, head + "vx=" + sum, head + "v1=00, v1=" + sum,
		signed("other", body, now), signed("key", body+" ", now), signed("key", body, now-301), signed("key", body, now+330),
		"X-OX-Signature: t=x, v1=00", "X-OX-Signature: ", "X-Other: 1",
	} {
		post(body, goodLogin, s).refused(t, 401, "bad_signature")
	}
	for _, bad := range []string{"", "[]", `{"event":"t"}`, `{"event":"t","payload":{"user":1}}`, `{"event":"t","payload":{"user":[],"context":7}}`, `{"event":"t","payload":{"context":7}}`} {
		if a := post(bad, goodLogin, signed("key", bad, now)); a.status != 400 {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
	post(body, signed("key", body, now)).refused(t, 401, "unauthorized")
	w.askAt(w.public.URL, http.MethodPut, webhookPath, body).refused(t, 405, "method_not_allowed")
	large := strings.Repeat(" ", maxWebhook+1)
	post(large, goodLogin, signed("key", large, now)).refused(t, 413, "too_large")
	w.file("push.properties", PropWebhookKey+"=key\n"+PropWebhookSecret+"=Bearer word\n"+PropPushBuffered+"=1\n"+PropPushDelay+"=600000\n"+PropPushMaxDelay+"=0\n")
	w.reload()
	post(body, goodLogin, signed("key", body, now-2)).refused(t, 401, "unauthorized")
	if a := post(body, "Authorization: Bearer word", signed("key", body, now-3)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	other := strings.Replace(body, "31", "32", 1)
	post(other, "Authorization: Bearer word", signed("key", other, now-3)).refused(t, 503, "overload")
}
