package httpapi

import (
	"net/http/httptest"
	"testing"

	"github.com/seed47708276/sluice/httpapi/auth"
)

func TestClientNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5":               "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5":      "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"nonsense":                  "invalid Prefix",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		if got := clientNetwork(r).String(); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// An address that sends wrong tokens must wait, but never who has a right one.
func TestTooManyFailures(t *testing.T) {
	w, headers := newGuarded(t)
	const path, wrong = "/admin/v1/config", "Authorization: Bearer slt_wrong"
	for range auth.FailureBurst {
		w.ask("GET", path, "", wrong).refused(t, 401, "unauthorized")
	}
	a := w.ask("GET", path, "", wrong)
	a.refused(t, 429, "too_many_failures")
	if s := a.header.Get("Retry-After"); s != "6" && s != "5" {
		t.Errorf("Retry-After: %q", s)
	}
	if n := w.failed(authLimited); n != 1 {
		t.Errorf("%d counted", n)
	}
	if a := w.ask("GET", path, "", headers[auth.Viewer]); a.status != 200 {
		t.Errorf("a right token: %d %s", a.status, a.body)
	}
	w.ask("GET", path, "").refused(t, 401, "unauthorized")
}
