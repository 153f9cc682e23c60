package httpapi

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

func lines(pairs ...string) string { return strings.Join(pairs, "\n") + "\n" }

// The rules of the IP check are those of the user, whatever scope they come
// from, and what does not fit makes them stricter.
func TestIPRulesOfUsers(t *testing.T) {
	w := newWorld(t, map[string]string{
		"contextSets/brand.yml": "brand:\n  withTags: brand\n  " + websockets.PropIPCheckMode + ": strict\n  " + websockets.PropIPMaskV4 + ": 255.255.0.0\n" +
			"bad:\n  withTags: bad\n  " + websockets.PropIPCheck + ": \"true\"\n  " + websockets.PropIPMaskV4 + ": nonsense\n" +
			"country:\n  withTags: country\n  " + websockets.PropIPCheckMode + ": countrycode\n",
		"server.properties": lines(websockets.PropIPWhitelist+`="USM-*", plain`, websockets.PropIPMaskV6+"=/64", websockets.PropNoIPCheck+"=10.0.0.0/8"),
	})
	must(t, w.engine.Apply(cascade.Batch{Contexts: []cascade.Context{
		{ID: 1, Enabled: true}, {ID: 2, Enabled: true, Tags: []string{"brand"}}, {ID: 3, Enabled: true, Tags: []string{"bad"}}, {ID: 4, Enabled: true, Tags: []string{"country"}},
	}}))
	rules := w.settings.Config().IPRules
	for _, c := range []struct {
		context uint32
		strict  bool
		v4      int
	}{{1, false, 0}, {2, true, 16}, {3, true, 0}, {4, true, 0}, {5, false, 0}} {
		got := rules(c.context, 1)
		if got.Strict != c.strict || got.MaskV4 != c.v4 || got.MaskV6 != 64 || !slices.Equal(got.Whitelist, []string{"USM-*", "plain"}) ||
			len(got.Exempt) != 1 || got.Exempt[0].From != netip.MustParseAddr("10.0.0.0") {
			t.Errorf("context %d: %+v", c.context, got)
		}
	}
	if logs := w.logs.String(); !strings.Contains(logs, "context=3") || !strings.Contains(logs, "nonsense") {
		t.Errorf("the mask that does not fit is not in the log: %s", logs)
	}
	must(t, w.engine.Apply(cascade.Batch{Contexts: []cascade.Context{{ID: 2, Enabled: true}}}))
	if rules(2, 1).Strict {
		t.Error("the rules are those of an earlier state")
	}
	w.file("server.properties", lines(websockets.PropNoIPCheck+"=10.0.0.0/8, x", websockets.PropIPCheckMode+"=countrycode", websockets.PropIPMaskV4+"=/99"))
	w.reload()
	if got := w.settings.Config().IPRules(1, 1); !got.Strict || len(got.Exempt) != 1 || got.MaskV4 != 0 {
		t.Errorf("after a broken reload: %+v", got)
	}
	for _, said := range []string{"no data on countries", websockets.PropNoIPCheck, websockets.PropIPMaskV4} {
		if !strings.Contains(w.logs.String(), said) {
			t.Errorf("%q is not in the log", said)
		}
	}
}

// Without properties: mode none, with the documented exceptions ready.
func TestIPRulesDefaults(t *testing.T) {
	w := newWorld(t, nil)
	got := w.settings.Config().IPRules(1, 1)
	if got.Strict || got.MaskV4 != 0 || got.MaskV6 != 0 || !slices.Equal(got.Whitelist, []string{"open-xchange-mailapp", "open-xchange-mobile-api-facade"}) || len(got.Exempt) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestSessionSettings(t *testing.T) {
	w := newWorld(t, map[string]string{"sessiond.properties": lines(
		websockets.PropMaxSessions+"=7", websockets.PropMaxSessionsPerUser+"=0",
		websockets.PropSessionLifetime+"=60000", websockets.PropLongLifetime+"=2D",
		websockets.PropProtocolHeader+"=X-Scheme",
	)})
	c := w.settings.Config()
	want := websockets.SessionConfig{Max: 7, MaxPerUser: 0, Lifetime: time.Minute, LongLifetime: 48 * time.Hour}
	if c.Sessions != want || c.ProtocolHeader != "X-Scheme" {
		t.Errorf("%+v, %s", c.Sessions, c.ProtocolHeader)
	}
	w.file("sessiond.properties", lines(websockets.PropSessionLifetime+"=soon", websockets.PropLongLifetime+"=1W"))
	w.reload()
	want = websockets.SessionConfig{MaxPerUser: 100, Lifetime: time.Minute, LongLifetime: 7 * 24 * time.Hour}
	if got := w.settings.Config().Sessions; got != want {
		t.Errorf("with a lifetime that does not parse: %+v, want %+v", got, want)
	}
}

// App Suite's sessions get the salt of the tree or none, never our own, and
// keep it when a reload takes it away.
func TestSaltOfAppSuite(t *testing.T) {
	const on = websockets.PropRedisSessions + "=true"
	w := newWorld(t, map[string]string{"sessiond.properties": lines(on)})
	if salt := w.settings.Config().Cookie.Salt; salt != "" {
		t.Errorf("without a salt in the tree: %q", salt)
	}
	w = newWorld(t, map[string]string{"sessiond.properties": lines(on, websockets.PropCookieSalt+"=theirs")})
	w.file("sessiond.properties", lines(on))
	w.reload()
	if salt := w.settings.Config().Cookie.Salt; salt != "theirs" {
		t.Errorf("after the salt was taken away: %q", salt)
	}
	if logs := w.logs.String(); !strings.Contains(logs, "the salt stays as it was") || strings.Contains(logs, "theirs") {
		t.Errorf("logged: %s", logs)
	}
	w = newWorld(t, nil)
	w.file("sessiond.properties", lines(on))
	w.reload()
	if salt := w.settings.Config().Cookie.Salt; salt != ownSalt {
		t.Errorf("our own sessions lose their salt to a setting that needs a restart: %q", salt)
	}
}
