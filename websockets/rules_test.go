package websockets

import (
	"errors"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// The table of docs/reference/handshake.md#path-filter, and its neighbours.
func TestPathMatches(t *testing.T) {
	for _, c := range []struct {
		filter, path string
		want         bool
	}{
		{"/socket.io/appsuite/*", "/socket.io/appsuite/", true},
		{"/socket.io/appsuite/*", "/socket.io/appsuite", true},
		{"/socket.io/appsuite/*", "/socket.io/appsuite2/", false},
		{"/socket.io/*", "/socket.io/appsuite/x", true},
		{"/socket.io/appsuite", "/socket.io/appsuite/", false},
		{"/socket.io/appsuite", "/socket.io/appsuite", true},
		{"*", "", false},
		{"*", "/x", true},
		{"", "", true},
		{"", "/x", true},
		{"/x", "", false},
		{"/ws/*", "/socket.io/ws/", false},
		{"/ws/*", "/WS/x", false},
	} {
		if got := pathMatches(c.filter, c.path); got != c.want {
			t.Errorf("filter %q, path %q: %v, want %v", c.filter, c.path, got, c.want)
		}
	}
}

func TestValidatePathFilter(t *testing.T) {
	for filter, ok := range map[string]bool{
		"*": true, "/a": true, "/a/*": true, "/socket.io/appsuite/*": true, "/A-z_0.9/b": true,
		"": false, " ": false, "/*": false, "/": false, "a": false, "a/*": false, "/a/": false, "/a//b": false, "//a": false,
		"/a*": false, "/a/*/b": false, "/a b": false, "/ä": false, "/a//*": false, "/a%2f": false, "**": false,
		"/" + strings.Repeat("a", MaxPathFilter): false,
	} {
		if err := ValidatePathFilter(filter); (err == nil) != ok || err != nil && !errors.Is(err, ErrPathFilter) {
			t.Errorf("%q: %v, want ok %v", filter, err, ok)
		}
	}
}

func TestOrigin(t *testing.T) {
	cfg := DefaultConfig()
	cfg.AllowedOrigins = []string{"https://mail.example.com", "intra.example.com:8443", "*.wild.example", " HTTP://Upper.example ", "*", "*.", "", "null"}
	for origin, want := range map[string]bool{
		"http://server.example":                true,
		"https://server.example":               true, // a proxy may have ended TLS
		"https://SERVER.example:443":           true,
		"http://server.example:80":             true,
		"http://server.example:8080":           false,
		"https://server.example:80":            false,
		"https://mail.example.com":             true,
		"https://mail.example.com:443":         true,
		"http://mail.example.com":              false,
		"https://mail.example.com:8443":        false,
		"https://intra.example.com:8443":       true,
		"http://intra.example.com:8443":        true,
		"https://intra.example.com":            false,
		"https://a.wild.example":               true,
		"https://a.b.wild.example":             true,
		"https://wild.example":                 false,
		"https://xwild.example":                false,
		"http://upper.example":                 true,
		"https://server.example.evil":          false,
		"https://evil-server.example":          false,
		"https://server.example@evil":          false,
		"https://evil@server.example":          false,
		"https://server.example/":              false,
		"https://server.example/path":          false,
		"https://server.example?x":             false,
		"https://server.example#x":             false,
		"null":                                 false,
		"":                                     false,
		"file://":                              false,
		"ftp://server.example":                 false,
		"//server.example":                     false,
		"server.example":                       true, // old clients in Node
		"Server.Example:80":                    true,
		"server.example:8080":                  false,
		"evil.example":                         false,
		"https://":                             false,
		"https://:443":                         false,
		"https://server.example\x00":           false,
		"https://server.example, https://b":    false,
		"chrome-extension://server.example":    false,
		"javascript://server.example/%0aalert": false,
	} {
		r := httptest.NewRequest("GET", "http://server.example/ws/x", nil)
		r.Header["Origin"] = []string{origin}
		if got := originAllowed(r, cfg); got != want {
			t.Errorf("origin %q: %v, want %v", origin, got, want)
		}
	}
	if !originAllowed(httptest.NewRequest("GET", "/", nil), cfg) {
		t.Error("a request without an origin is refused")
	}
}

func TestClientAddr(t *testing.T) {
	const unknown = "invalid IP"
	proxies, err := ParseRanges("10.0.0.0/8, 192.0.2.1 , 2001:db8::/32,172.16.0.1-172.16.0.9")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		proxies []AddrRange
		values  []string
		peer    string
		want    string
	}{
		{"no header", proxies, nil, "127.0.0.1:99", "127.0.0.1"},
		{"no header from a known proxy", proxies, nil, "10.1.2.3:99", unknown},
		{"no proxies: the right-most", nil, []string{"1.1.1.1, 2.2.2.2"}, "127.0.0.1:99", "2.2.2.2"},
		{"proxies are skipped", proxies, []string{"6.6.6.6, 1.1.1.1, 10.1.2.3, 192.0.2.1"}, "127.0.0.1:99", "1.1.1.1"},
		{"several headers", proxies, []string{"1.1.1.1", "10.1.2.3"}, "127.0.0.1:99", "1.1.1.1"},
		{"a range", proxies, []string{"1.1.1.1, 172.16.0.9"}, "127.0.0.1:99", "1.1.1.1"},
		{"beyond a range", proxies, []string{"1.1.1.1, 172.16.0.10"}, "127.0.0.1:99", "172.16.0.10"},
		{"proxies only", proxies, []string{"10.0.0.1"}, "127.0.0.1:99", unknown},
		{"no address", proxies, []string{"1.1.1.1, evil"}, "127.0.0.1:99", unknown},
		{"unknown", proxies, []string{"unknown"}, "127.0.0.1:99", unknown},
		{"unknown behind a proxy", proxies, []string{"1.1.1.1, unknown, 10.0.0.1"}, "127.0.0.1:99", unknown},
		{"hidden", proxies, []string{"_hidden"}, "127.0.0.1:99", unknown},
		{"garbage further left", proxies, []string{"evil, 1.1.1.1"}, "127.0.0.1:99", "1.1.1.1"},
		{"empty", proxies, []string{""}, "127.0.0.1:99", unknown},
		{"with a port", proxies, []string{"1.1.1.1:4711, 10.0.0.1:80"}, "127.0.0.1:99", "1.1.1.1"},
		{"version 6 with a port", proxies, []string{"[2a00::1]:4711"}, "127.0.0.1:99", "2a00::1"},
		{"version 6 in brackets", proxies, []string{"[2a00::1]"}, "127.0.0.1:99", "2a00::1"},
		{"quoted", proxies, []string{`"[2a00::1]:4711"`}, "127.0.0.1:99", "2a00::1"},
		{"version 4 in brackets", proxies, []string{"[1.1.1.1]"}, "127.0.0.1:99", unknown},
		{"no port after the colon", proxies, []string{"1.1.1.1:"}, "127.0.0.1:99", unknown},
		{"a port too large", proxies, []string{"1.1.1.1:65536"}, "127.0.0.1:99", unknown},
		{"half a bracket", proxies, []string{"[2a00::1"}, "127.0.0.1:99", unknown},
		{"mapped", proxies, []string{"::ffff:1.1.1.1, ::ffff:10.0.0.1"}, "127.0.0.1:99", "1.1.1.1"},
		{"mapped with a port", proxies, []string{"[::ffff:1.1.1.1]:1"}, "127.0.0.1:99", "1.1.1.1"},
		{"version 6", proxies, []string{"2a00::1, 2001:db8::5"}, "127.0.0.1:99", "2a00::1"},
		{"mapped peer with zone", nil, nil, "[::ffff:127.0.0.1]:99", "127.0.0.1"},
		{"a thousand entries", proxies, []string{strings.Repeat("10.0.0.1,", 1000) + "10.0.0.1"}, "127.0.0.1:99", unknown},
		{"a pipe", nil, nil, "pipe", unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/ws/x", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"] = c.values
			cfg := DefaultConfig()
			cfg.KnownProxies = c.proxies
			got := clientAddr(r, cfg)
			if got.addr.String() != c.want {
				t.Errorf("%v, want %v", got.addr, c.want)
			}
			if assumed := got.addr.IsValid() && len(c.values) == 0; got.assumed != assumed {
				t.Errorf("assumed %v, want %v", got.assumed, assumed)
			}
			cfg.ConsiderXForwards = false
			if peer, err := netip.ParseAddrPort(c.peer); err == nil && clientAddr(r, cfg) != (clientAddress{addr: peer.Addr().Unmap()}) {
				t.Errorf("considers the header although it must not")
			}
		})
	}
}

func TestParseRangesRefuses(t *testing.T) {
	for _, list := range []string{"x", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "10.0.0.1-", "1.1.1.1;2.2.2.2", strings.Repeat("1.1.1.1,", MaxRanges+1)} {
		if r, err := ParseRanges(list); err == nil {
			t.Errorf("%.40q: %v, want an error", list, r)
		}
	}
	if r, err := ParseRanges(" , "); err != nil || len(r) != 0 {
		t.Errorf("an empty list: %v (%v)", r, err)
	}
}
