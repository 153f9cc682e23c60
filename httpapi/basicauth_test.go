package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/httpapi/auth"
)

// What the service account may read is asked for with its login; nobody may
// while it has none, but who is let in by the Unix socket.
func TestBasicAuth(t *testing.T) {
	const path = "/preliminary/nothing"
	w := newWorld(t, tree)
	ask := func(login, password string) answer {
		req := httptest.NewRequest("GET", "http://localhost/", nil)
		req.SetBasicAuth(login, password)
		return w.ask("GET", path, "", "Authorization: "+req.Header.Get("Authorization"))
	}
	w.ask("GET", path, "").refused(t, 404, "not_found")
	w.admin = w.tcp
	w.server.Tokens = &memoryTokens{}
	token := w.server.Tokens.(*memoryTokens).give(t, "a", auth.Editor, time.Time{})
	for _, file := range []string{"x=y\n", PropBasicLogin + "=mw\n", PropBasicPassword + "=pw\n", PropBasicLogin + "=\n" + PropBasicPassword + "=pw\n"} {
		w.file("auth.properties", file)
		w.reload()
		w.ask("GET", path, "").refused(t, 403, "not_configured")
		ask("mw", "pw").refused(t, 403, "not_configured")
		ask("", "").refused(t, 403, "not_configured")
	}
	if w.failed(authNotConfigured) == 0 {
		t.Error("not counted")
	}
	w.file("auth.properties", PropBasicLogin+"=mw\n"+PropBasicPassword+"=p\u00e4ss:w\n")
	w.reload()
	a := w.ask("GET", path, "")
	a.refused(t, 401, "unauthorized")
	if got := a.header.Get("WWW-Authenticate"); got != `Basic realm="OX REST", encoding="UTF-8"` {
		t.Errorf("challenge %q", got)
	}
	ask("mw", "p\u00e4ss:w").refused(t, 404, "not_found") // it is let in, and there is nothing
	w.ask("GET", path, "", token).refused(t, 401, "unauthorized")
	for _, c := range [][2]string{{"mw", ""}, {"", ""}, {"mw", "p\u00e4ss:"}, {"MW", "p\u00e4ss:w"}} {
		ask(c[0], c[1]).refused(t, 401, "unauthorized")
	}
	// A password can be guessed: who does must wait, even with the right one.
	for a := ask("mw", "guess"); a.status != 429; a = ask("mw", "guess") {
		a.refused(t, 401, "unauthorized")
	}
	a = ask("mw", "p\u00e4ss:w")
	a.refused(t, 429, "too_many_failures")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if logs := w.logs.String(); strings.Contains(logs, "p\u00e4ss") || strings.Contains(logs, "guess") {
		t.Errorf("a password is in the log: %s", logs)
	}
}
