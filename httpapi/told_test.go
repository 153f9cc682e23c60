package httpapi

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/websockets"
)

// TestRefusedIsTold refuses a user who is switched off: the log has a line with
// whom, from where and why, and so has the answer about the user's sockets.
func TestRefusedIsTold(t *testing.T) {
	w := newWorld(t, tree)
	l := w.login(17)
	w.ask("PUT", "/admin/v1/contexts/7/users/17/websockets", `{"enabled":false,"reason":"a test"}`)
	req, err := http.NewRequest("GET", w.public.URL+"/socket.io/appsuite/?EIO=3&transport=websocket&session="+l.Session, nil)
	must(t, err)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		"Cookie": l.Cookie.Name + "=" + l.Cookie.Value,
	} {
		req.Header.Set(name, value)
	}
	res, err := w.client.Do(req)
	must(t, err)
	body, _ := io.ReadAll(res.Body)
	must(t, res.Body.Close())
	if res.StatusCode != 400 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	var page socketPage
	w.ask("GET", "/admin/v1/sockets?context=7&user=17", "").into(t, &page)
	if len(page.Refused) != 1 || page.Refused[0].Code != "disabled" || page.Refused[0].Member != "one" || page.Refused[0].Address == "" {
		t.Errorf("%+v", page.Refused)
	}
	if log := w.logs.String(); !strings.Contains(log, `level=INFO msg="handshake refused" code=disabled context=7 user=17 address=`) {
		t.Error(log)
	}

	// One that is refused before its session is looked at has an address, too.
	res, err = w.client.Get(w.public.URL + "/socket.io/?EIO=4&transport=polling")
	must(t, err)
	must(t, res.Body.Close())
	if log := w.logs.String(); !regexp.MustCompile(`msg="handshake refused" code=\S+ address=127\.0\.0\.1`).MatchString(log) {
		t.Errorf("no address of a refusal of a request that is none: %s", log)
	}
}

// TestWritesAreLogged has a line for each write, with whom, who and why, and
// bounds that of many.
func TestWritesAreLogged(t *testing.T) {
	w := newWorld(t, tree)
	w.ask("PUT", "/admin/v1/contexts/7/users/17/websockets", `{"enabled":false,"reason":"gone on leave"}`)
	want := `msg=stored member=one revision=1 action=websockets.disable records="[override of user 17 in context 7 ` + websockets.PropEnabled + `]" actor=` + me + ` reason="gone on leave"`
	w.poll("a line", func() bool { return strings.Contains(w.logs.String(), `reason="gone on leave"`) })
	if log := w.logs.String(); !strings.Contains(log, want) {
		t.Errorf("%s\nwant %s", log, want)
	}
	lines := strings.Repeat(`{"context":{"id":7}}`+"\n", 1)
	for _, id := range []string{"8", "9", "10", "11", "12", "13"} {
		lines += `{"context":{"id":` + id + `}}` + "\n"
	}
	w.wantAt("POST", "/admin/v1/import?reason=moved", 200, lines, "Content-Type: "+ndjson)
	w.poll("a line", func() bool { return strings.Contains(w.logs.String(), "and 2 more]") })
}

// TestReloadIsLogged names the files and the properties with both values, hides
// secrets, and says so where nothing has changed.
func TestReloadIsLogged(t *testing.T) {
	w := newWorld(t, tree)
	w.ask("POST", "/admin/v1/config/reload", "")
	w.file("a.properties", "com.example.a=changed\ncom.example.password=s3cret-value\n")
	w.file("new.properties", PropPublicPort+"=9000\n")
	w.ask("POST", "/admin/v1/config/reload", "")
	log := w.logs.String()
	for _, want := range []string{
		`level=INFO msg="reload found nothing changed"`, `msg="reload asked for" member=one actor=` + me,
		`files="[a.properties +new.properties]"`, `property=com.example.a old=one new=changed result=applied`,
		`property=com.example.password old="not defined" new=***`,
		`property=` + PropPublicPort + ` old="not defined" new=9000 result=needs_restart`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	if strings.Contains(log, "s3cret-value") {
		t.Error("a secret is in the log")
	}
}
