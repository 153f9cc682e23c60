package httpapi

import (
	"net"
	"net/http"
	"strings"
)

// guardOpen protects the admin listener while it is open to everybody on this
// machine: no name that resolves to loopback may be used to read, and no proxy
// may stand in front of it.
func guardOpen(r *http.Request) error {
	switch {
	case !loopbackHost(r.Host):
		return fail(http.StatusForbidden, "host", "without tokens the admin listener answers for loopback names only: use 127.0.0.1 or localhost")
	case forwarded(r.Header):
		return fail(http.StatusForbidden, "forwarded", "without tokens the admin listener does not answer through a proxy: connect to it directly")
	}
	return nil
}

func loopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

func forwarded(h http.Header) bool {
	for name := range h {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}
