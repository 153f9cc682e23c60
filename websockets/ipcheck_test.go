package websockets

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/testkit"
)

func TestParseIPMask(t *testing.T) {
	for _, c := range []struct {
		text string
		bits int
		want int // 0 with an error, unless text is empty
	}{
		{"/24", 32, 24},
		{"24", 32, 24},
		{" /8 ", 32, 8},
		{"255.255.255.0", 32, 24},
		{"255.255.255.255", 32, 32},
		{"255.0.255.0", 32, 0},
		{"0.0.0.0", 32, 0},
		{"/0", 32, 0},
		{"/33", 32, 0},
		{"/-1", 32, 0},
		{"//24", 32, 0},
		{"/64", 128, 64},
		{"/128", 128, 128},
		{"/129", 128, 0},
		{"ffff:ffff::", 128, 0},
		{"255.255.255.0", 128, 0},
		{"x", 32, 0},
		{"", 32, 0},
		{" ", 128, 0},
	} {
		got, err := ParseIPMask(c.text, c.bits)
		if got != c.want || (err != nil) != (c.want == 0 && strings.TrimSpace(c.text) != "") {
			t.Errorf("%q of %d bits: %d (%v), want %d", c.text, c.bits, got, err, c.want)
		}
	}
}

func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"open-xchange-mailapp", "open-xchange-mailapp", true},
		{"open-xchange-mailapp", "open-xchange-mailapp2", false},
		{"open-xchange-*", "open-xchange-mailapp", true},
		{"open-xchange-*", "open-xchange-", true},
		{"open-xchange-*", "Open-Xchange-x", false},
		{"*", "", true},
		{"", "", true},
		{"", "x", false},
		{"?", "", false},
		{"?", "x", true},
		{"*app", "mailapp", true},
		{"*app", "mailappx", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a**?", "ab", true},
		{"[a]", "a", false},
		{"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	} {
		if got := wildcard(c.pattern, c.text); got != c.want {
			t.Errorf("%q against %q: %v, want %v", c.text, c.pattern, got, c.want)
		}
	}
}

// The table of docs/reference/handshake.md#ip-check.
func TestIPRules(t *testing.T) {
	exempt, err := ParseRanges("127.0.0.0/8, ::1")
	if err != nil {
		t.Fatal(err)
	}
	strict := IPRules{Strict: true, Exempt: exempt, Whitelist: []string{"open-xchange-mailapp", "mobile-*"}, MaskV4: 24, MaskV6: 64}
	noMasks := strict
	noMasks.MaskV4, noMasks.MaskV6 = 0, 0
	for _, c := range []struct {
		name      string
		rules     IPRules
		client    string
		from, to  string
		ok, adopt bool
	}{
		{"none", IPRules{}, testClient, "192.0.2.1", "203.0.113.9", true, true},
		{"none, no address", IPRules{}, testClient, "192.0.2.1", "", true, false},
		{"none, EAS", IPRules{}, clientEAS, "192.0.2.1", "203.0.113.9", true, false},
		{"other subnet", strict, testClient, "192.0.2.1", "192.0.3.1", false, false},
		{"same subnet", strict, testClient, "192.0.2.1", "192.0.2.254", true, true},
		{"same subnet, no masks", noMasks, testClient, "192.0.2.1", "192.0.2.254", false, false},
		{"other subnet of version 6", strict, testClient, "2001:db8::1", "2001:db8:0:1::1", false, false},
		{"same subnet of version 6", strict, testClient, "2001:db8::1", "2001:db8::ffff:1", true, true},
		{"other version", strict, testClient, "192.0.2.1", "2001:db8::1", false, false},
		{"no address", strict, testClient, "192.0.2.1", "", false, false},
		{"from no address", strict, testClient, "", "192.0.2.1", false, false},
		{"loopback", strict, testClient, "192.0.2.1", "127.3.2.1", true, true},
		{"loopback of version 6", strict, testClient, "192.0.2.1", "::1", true, true},
		{"listed", strict, "open-xchange-mailapp", "192.0.2.1", "203.0.113.9", true, true},
		{"listed by a pattern", strict, "mobile-7", "192.0.2.1", "203.0.113.9", true, true},
		{"listed, no address", strict, "mobile-7", "192.0.2.1", "", true, false},
		{"EAS in the subnet", strict, clientEAS, "192.0.2.1", "192.0.2.2", true, false},
		{"JSON in the subnet", strict, clientJSON, "192.0.2.1", "192.0.2.2", true, false},
		{"EAS elsewhere", strict, clientEAS, "192.0.2.1", "192.0.3.2", false, false},
		{"EAS, listed", IPRules{Strict: true, Whitelist: []string{"USM-*"}}, clientEAS, "192.0.2.1", "192.0.3.2", true, true},
	} {
		address := func(text string) netip.Addr {
			if text == "" {
				return netip.Addr{}
			}
			return netip.MustParseAddr(text)
		}
		s := &Session{Client: c.client, Address: address(c.from)}
		if ok, adopt := c.rules.pass(s, clientAddress{addr: address(c.to)}); ok != c.ok || adopt != c.adopt {
			t.Errorf("%s: passes %v, adopted %v, want %v, %v", c.name, ok, adopt, c.ok, c.adopt)
		}
	}
}

// An exempt address counts where it is the client's, never where it may be that
// of the proxy: what a proxy forwards that is no address is refused and told.
func TestHandshakeUnknownAddress(t *testing.T) {
	var logs testkit.Log
	w := newWorld(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
	s := w.login(1, 2)
	if err := w.sessions.Move(t.Context(), s.ID, netip.MustParseAddr("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	exempt, err := ParseRanges("127.0.0.0/8, ::1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, proxies, header string
		considers             bool
		status                int
		why                   string
	}{
		{"unknown", "", "X-Forwarded-For: unknown", true, 403, "client_address_unknown"},
		{"empty", "", "X-Forwarded-For: ", true, 403, "client_address_unknown"},
		{"the proxy alone", "127.0.0.1", "X-Forwarded-For: 127.0.0.1", true, 403, "client_address_unknown"},
		{"missing, from a known proxy", "127.0.0.1", "X-Other: x", true, 403, "client_address_unknown"},
		{"missing", "", "X-Other: x", true, 403, "client_address"},
		{"with a port", "", "X-Forwarded-For: 192.0.2.1:4711", true, 101, ""},
		{"elsewhere with a port", "", "X-Forwarded-For: 198.51.100.1:4711", true, 403, "client_address"},
		{"exempt, as the proxy says", "", "X-Forwarded-For: 127.0.0.9", true, 101, ""},
		{"exempt, and there is no proxy", "", "X-Forwarded-For: unknown", false, 101, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxies, err := ParseRanges(c.proxies)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.sessions.Move(t.Context(), s.ID, netip.MustParseAddr("192.0.2.1")); err != nil {
				t.Fatal(err)
			}
			w.configure(func(cfg *Config) {
				cfg.ConsiderXForwards, cfg.KnownProxies = c.considers, proxies
				cfg.IPRules = func(uint32, uint32) IPRules { return IPRules{Strict: true, Exempt: exempt} }
			})
			before := w.server.Stats().Handshakes[Handshake{"forbidden", c.why}]
			conn, resp, _ := w.rawDial(get("/ws/x?session="+s.ID), s, c.header)
			defer conn.Close()
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			if n := w.server.Stats().Handshakes[Handshake{"forbidden", c.why}] - before; c.why != "" && n != 1 {
				t.Errorf("counted %d times as %s", n, c.why)
			}
		})
	}
	if log := logs.String(); strings.Count(log, "the address of a client cannot be read") != 1 || !strings.Contains(log, "header=X-Forwarded-For headers=1") {
		t.Errorf("log: %s", log)
	}
}

// The check in a handshake: a change that passes moves the session, one that
// does not leaves it where it is, and a session of ours without an address
// takes its first client's.
func TestHandshakeAddressChange(t *testing.T) {
	w := newWorld(t)
	s, fresh := w.login(1, 2), w.login(1, 3)
	if err := w.sessions.Move(t.Context(), s.ID, netip.MustParseAddr("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	asked := 0
	w.configure(func(c *Config) {
		c.IPRules = func(context, user uint32) IPRules {
			asked++
			return IPRules{Strict: context == 1 && user == 2, MaskV4: 24}
		}
	})
	for _, c := range []struct {
		name    string
		session *Session
		from    string
		status  int
		moved   string // "" : as before
		rules   int    // how often the rules are asked for
	}{
		{"the same", s, "192.0.2.1", 101, "192.0.2.1", 0},
		{"elsewhere", s, "198.51.100.1", 403, "192.0.2.1", 1},
		{"in the subnet", s, "192.0.2.77", 101, "192.0.2.77", 1},
		{"from there", s, "192.0.2.77", 101, "192.0.2.77", 0},
		{"loopback is not exempt by itself", s, "127.0.0.1", 403, "192.0.2.77", 1},
		{"the first client", fresh, "203.0.113.1", 101, "203.0.113.1", 0},
		{"mode none", fresh, "203.0.114.1", 101, "203.0.114.1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked = 0
			conn, resp, _ := w.rawDial(get("/ws/x?session="+c.session.ID), c.session, "X-Forwarded-For: "+c.from)
			defer conn.Close()
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			now, err := w.sessions.Get(t.Context(), c.session.ID)
			if err != nil || now.Address.String() != c.moved {
				t.Errorf("the session is at %v (%v), want %s", now.Address, err, c.moved)
			}
			if asked != c.rules {
				t.Errorf("the rules were asked for %d times, want %d", asked, c.rules)
			}
		})
	}
	wrong, resp, _ := w.rawDial(get("/ws/x?session="+fresh.ID), s, "X-Forwarded-For: 198.51.100.7")
	wrong.Close()
	if now, err := w.sessions.Get(t.Context(), fresh.ID); resp.StatusCode != 403 || err != nil || now.Address.String() != "203.0.114.1" {
		t.Errorf("status %d: a client without the secret has moved the session to %v (%v)", resp.StatusCode, now.Address, err)
	}
}
