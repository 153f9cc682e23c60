package websockets

import (
	"net/http"
	"net/url"
	"strings"
)

// originAllowed holds the Origin header against the rule of the design: none
// is fine, because only browsers send one and they always do; else it must be
// the request's own host and port, as an http or https origin or without a
// scheme, or be in the allow-list. "null", which sandboxed pages send, is refused. Where the client
// is known to use TLS, a page of the own host that did not is as foreign as any
// other: whoever sits in between may have made it.
//
// An entry of the list is an origin ("https://mail.example.com"), or a host
// with its port if any ("mail.example.com:8443") for both schemes; a host that
// starts with "*." stands for all its subdomains.
func originAllowed(r *http.Request, cfg *Config) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	if isHost(values[0], r.Host) {
		return true
	}
	scheme, host, ok := parseOrigin(values[0])
	if !ok {
		return false
	}
	if host == withoutDefaultPort(scheme, r.Host) && (scheme == "https" || !overTLS(r, cfg)) {
		return true
	}
	for _, entry := range cfg.AllowedOrigins {
		if originMatches(strings.ToLower(strings.TrimSpace(entry)), scheme, host) {
			return true
		}
	}
	return false
}

// isHost reports whether an Origin is the request's host without a scheme, as old
// clients in Node send it. No browser does, so that no page is meant.
func isHost(origin, host string) bool {
	if strings.EqualFold(origin, "null") {
		return false
	}
	for _, scheme := range []string{"http", "https"} {
		if bare := withoutDefaultPort(scheme, origin); bare != "" && bare == withoutDefaultPort(scheme, host) {
			return true
		}
	}
	return false
}

func originMatches(entry, scheme, host string) bool {
	if s, rest, ok := strings.Cut(entry, "://"); ok {
		if s != scheme {
			return false
		}
		entry = rest
	}
	entry = withoutDefaultPort(scheme, entry)
	if parent, ok := strings.CutPrefix(entry, "*"); ok {
		return strings.HasPrefix(parent, ".") && len(parent) > 1 && strings.HasSuffix(host, parent)
	}
	return entry != "" && entry == host
}

// parseOrigin wants exactly scheme://host[:port] and returns both in lower
// case, without the scheme's default port.
func parseOrigin(origin string) (scheme, host string, ok bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", false
	}
	if u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", "", false
	}
	return u.Scheme, withoutDefaultPort(u.Scheme, u.Host), true
}

func withoutDefaultPort(scheme, host string) string {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return strings.TrimSuffix(strings.ToLower(host), port)
}
