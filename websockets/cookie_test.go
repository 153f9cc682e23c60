package websockets

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// The vectors of docs/reference/handshake.md#cookie-hash.
func TestCookieHashVectors(t *testing.T) {
	for _, c := range []struct{ agent, client, want string }{
		{testAgent, "open-xchange-appsuite", "gdkw6E067f3SfAa9xJx8w"},
		{"", "default", "VK1NtkX6l3Kvcq8MiV5rw"},
	} {
		if got := CookieHash(c.agent, c.client, nil, nil, testSalt); got != c.want {
			t.Errorf("agent %.20q, client %q: %s, want %s", c.agent, c.client, got, c.want)
		}
	}
}

func TestSecretPresented(t *testing.T) {
	const media = "AppleCoreMedia/1.0.0.20F66"
	const explorer = "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko"
	calculate := CookieConfig{Salt: testSalt}
	remember := CookieConfig{Salt: testSalt, Hash: CookieRemember}
	fields := CookieConfig{Salt: testSalt, Fields: []string{"X-Brand", "X-Absent"}}
	session := &Session{Secret: "s3cret", Context: 1, User: 2, Client: testClient, Hash: "remembered"}
	guest := &Session{Secret: "s3cret", Context: 1, User: 2, Client: testClient, Hash: "remembered", Guest: true}
	every := &Session{Secret: "s3cret", Client: testClient, Hash: "remembered", AnyAgent: true}
	computed := CookieHash(testAgent, testClient, nil, nil, testSalt)
	for _, c := range []struct {
		name    string
		session *Session
		config  CookieConfig
		agent   string
		hash    string // in the name of the cookie that is sent
		value   string
		want    bool
	}{
		{"computed", session, calculate, testAgent, computed, "s3cret", true},
		{"computed, wrong secret", session, calculate, testAgent, computed, "s3cretx", false},
		{"remembered is not computed", session, calculate, testAgent, "remembered", "s3cret", false},
		{"no agent", session, calculate, "", "remembered", "s3cret", true},
		{"no agent, computed", session, calculate, "", CookieHash("", testClient, nil, nil, testSalt), "s3cret", false},
		{"remember", session, remember, testAgent, "remembered", "s3cret", true},
		{"remember, computed", session, remember, testAgent, computed, "s3cret", false},
		{"unknown way is calculate", session, CookieConfig{Salt: testSalt, Hash: "x"}, testAgent, computed, "s3cret", true},
		{"changeable agent", session, calculate, media, "remembered", "s3cret", true},
		{"changeable agent on Windows", session, calculate, explorer, "remembered", "s3cret", true},
		{"session for every agent", every, calculate, "curl", "remembered", "s3cret", true},
		{"other salt", session, CookieConfig{Salt: "x"}, testAgent, computed, "s3cret", false},
		{"guest", guest, calculate, testAgent, CookieHash(testAgent, testClient, []string{"1", "2"}, nil, testSalt), "s3cret", true},
		{"guest as user", guest, calculate, testAgent, computed, "s3cret", false},
		{"fields", session, fields, testAgent, CookieHash(testAgent, testClient, nil, []string{"acme"}, testSalt), "s3cret", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/ws/x", nil)
			r.Header.Set("User-Agent", c.agent)
			if c.agent == "" {
				r.Header.Del("User-Agent")
			}
			r.Header.Set("X-Brand", "acme")
			r.Header.Set("Cookie", SecretCookiePrefix+c.hash+"="+c.value)
			if got := secretPresented(r, c.session, &c.config); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestNewSession(t *testing.T) {
	a := NewSession(1, 2, testClient, testAgent, 0, CookieConfig{Salt: testSalt})
	b := NewSession(1, 2, testClient, testAgent, 0, CookieConfig{Salt: testSalt})
	if a.ID == b.ID || a.Secret == b.Secret || a.ID == a.Secret || len(a.ID) != 32 || len(a.Secret) != 32 {
		t.Error("ids and secrets must be 128 random bits")
	}
	if a.CookieName() != "open-xchange-secret-gdkw6E067f3SfAa9xJx8w" {
		t.Error(a.CookieName())
	}
	if got := a.Expires.Sub(a.Created); got != SessionLifetime {
		t.Errorf("lives for %v", got)
	}
}

func TestFirstCookie(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		value string
		found bool
	}{
		{"one", []string{"a=1"}, "1", true},
		{"among others", []string{"x=2; a=1; y=3"}, "1", true},
		{"without blanks", []string{"x=2;a=1"}, "1", true},
		{"first counts", []string{"a=1; a=2"}, "1", true},
		{"in a second line", []string{"x=2", "a=1"}, "1", true},
		{"quoted", []string{`a="1"`}, "1", true},
		{"half quoted", []string{`a="1`}, `"1`, true},
		{"only a quote", []string{`a="`}, `"`, true},
		{"with equals signs", []string{"a=1=2="}, "1=2=", true},
		{"empty", []string{"a="}, "", true},
		{"without a value", []string{"a"}, "", true},
		{"another case", []string{"A=1"}, "", false},
		{"a longer name", []string{"aa=1; xa=1"}, "", false},
		{"none", nil, "", false},
		{"the last that is looked at", []string{strings.Repeat("x=y; ", maxCookies-1) + "a=1"}, "1", true},
		{"behind too many", []string{strings.Repeat("x=y; ", maxCookies) + "a=1"}, "", false},
		{"behind too many lines", append(slices.Repeat([]string{"x=y"}, maxCookies), "a=1"), "", false},
		{"behind too much", []string{"x=" + strings.Repeat("y", maxCookieBytes), "a=1"}, "", false},
	} {
		value, found := firstCookie(http.Header{"Cookie": c.lines}, "a")
		if value != c.value || found != c.found {
			t.Errorf("%s: %q, %v, want %q, %v", c.name, value, found, c.value, c.found)
		}
	}
}

// An agent that is there and says nothing is an agent; a session without a
// remembered name has none that could fit.
func TestSecretPresentedEdges(t *testing.T) {
	cfg := CookieConfig{Salt: testSalt}
	s := &Session{Secret: "s3cret", Client: testClient}
	request := func(hash string, agent ...string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/ws/x", nil)
		if len(agent) > 0 {
			r.Header["User-Agent"] = agent
		}
		r.Header.Set("Cookie", SecretCookiePrefix+hash+"=s3cret")
		return r
	}
	ofNone := CookieHash("", testClient, nil, nil, testSalt)
	if !secretPresented(request(ofNone, ""), s, &cfg) {
		t.Error("the name that is calculated from an empty agent is refused")
	}
	if secretPresented(request(ofNone), s, &cfg) || secretPresented(request(""), s, &cfg) {
		t.Error("a session without a remembered name is found by one")
	}
	cfg.Hash = CookieRemember
	if secretPresented(request("", testAgent), s, &cfg) {
		t.Error("the prefix alone is taken for a remembered name")
	}
	s.Hash, s.Secret = "h", ""
	r := request("h", testAgent)
	r.Header.Set("Cookie", SecretCookiePrefix+"h=")
	if secretPresented(r, s, &cfg) {
		t.Error("an empty secret is enough")
	}
}
