package websockets

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The vectors of spec/peers.md section 5.
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
