package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// visitor is a browser without scripts, which follows redirects.
type visitor struct {
	t *testing.T
	http.Client
	base string
}

func newVisitor(t *testing.T, base string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, http.Client{Jar: jar, Timeout: 2 * time.Minute}, base}
}

// get returns where a page led to, and its status and text.
func (v *visitor) get(address string) (at string, status int, text string) {
	v.t.Helper()
	res, err := v.Get(address)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res.Request.URL.Path, res.StatusCode, string(b)
}

// TestOpenIDConnect has people log in to the console with a real provider.
func TestOpenIDConnect(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	p := launch(t, tree, t.TempDir())
	redirect := p.tcp + "/console/oidc/callback"
	provider := runNode(t, "the provider", nil, "oidc.mjs", redirect, `{"anna":["staff","admins"],"otto":["helpdesk"],"eve":["guests"]}`)
	p.poll("the provider runs", func() bool { return provider.seen("issuer", 1) != nil })
	var issuer string
	if err := json.Unmarshal(provider.seen("issuer", 1).Data, &issuer); err != nil {
		t.Fatal(err)
	}
	conf := func(editors string) {
		put(t, tree, "oidc.properties", fmt.Sprintf("sluice.admin.oidc.issuer=%s\nsluice.admin.oidc.clientId=console\nsluice.admin.oidc.clientSecret=a secret\nsluice.admin.oidc.redirectUrl=%s\nsluice.admin.oidc.editors=%s\nsluice.admin.oidc.viewers=helpdesk, staff\n", issuer, redirect, editors))
	}
	v := newVisitor(t, p.tcp)
	if _, status, text := v.get(p.tcp + "/console/oidc/login"); status != http.StatusForbidden || strings.Contains(text, "organization") {
		t.Errorf("without a provider: %d", status)
	}
	conf("admins")
	p.poll("the login is offered", func() bool {
		_, _, text := v.get(p.tcp + "/console/login")
		return strings.Contains(text, "organization")
	})
	login := func(who string) (*visitor, int, string) {
		t.Helper()
		v := newVisitor(t, p.tcp)
		v.get(issuer + "/as/" + who)
		at, status, text := v.get(p.tcp + "/console/oidc/login?next=" + url.QueryEscape("/console/cluster"))
		if at != "/console/oidc/callback" {
			t.Errorf("%s is led to %s: %s", who, at, text)
		}
		return v, status, text
	}
	anna, status, text := login("anna")
	if status != http.StatusOK || !strings.Contains(text, `href="/console/cluster"`) {
		t.Fatalf("anna: %d %s", status, text)
	}
	role := func(v *visitor, want string) bool {
		_, status, text := v.get(p.tcp + "/console/cluster")
		return status == http.StatusOK && strings.Contains(text, want)
	}
	if !role(anna, `<span title="editor">oidc:anna</span>`) {
		t.Error("anna is no editor")
	}
	res, err := anna.PostForm(p.tcp+"/console/plan", url.Values{"reason": {"by anna"}, "do": {"off"}, "key": {"1337.17.0"}, "property": {"com.openexchange.websockets.enabled"}})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	var log struct {
		Entries []struct{ Actor, Reason string }
	}
	p.request("GET", "/admin/v1/audit?context=1337&user=17&limit=1", "", &log)
	if len(log.Entries) != 1 || log.Entries[0].Actor != "oidc:anna" || log.Entries[0].Reason != "by anna" {
		t.Errorf("the audit log has %+v", log.Entries)
	}
	otto, _, _ := login("otto")
	if !role(otto, `<span title="viewer">oidc:otto</span>`) {
		t.Error("otto is no viewer")
	}
	if _, status, text := login("eve"); status != http.StatusForbidden || !strings.Contains(text, "none of the groups (guests)") {
		t.Errorf("eve: %d %s", status, text)
	}
	// A code is good for the browser that has begun, and once.
	for _, query := range []string{"?code=x&state=y", "", "?error=access_denied&error_description=%3Cb%3E"} {
		if _, status, text := newVisitor(t, p.tcp).get(redirect + query); status != http.StatusForbidden || strings.Contains(text, "<b>") {
			t.Errorf("%s: %d", query, status)
		}
	}
	// A role that is taken away is so at once.
	conf("nobody")
	p.poll("anna is a viewer", func() bool { return role(anna, `<span title="viewer">oidc:anna</span>`) })
	if res, err := otto.PostForm(p.tcp+"/console/logout", nil); err != nil || res.Request.URL.Path != "/console/login" {
		t.Errorf("logging out: %v", err)
	}
	if at, _, _ := otto.get(p.tcp + "/console/cluster"); at != "/console/login" {
		t.Errorf("who has logged out sees %s", at)
	}
}
