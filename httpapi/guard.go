package httpapi

import (
	"net"
	"net/http"
	"strings"
)

// guard protects the admin listener while it is open to everybody on this
// machine: no page of another origin may write, no name that resolves to
// loopback may be used to read, and no proxy may stand in front of it.
func (s *Server) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(s.handle(func(http.ResponseWriter, *http.Request) error {
		return fail(http.StatusForbidden, "cross_origin", "a page of another origin may not do this: use the command line or a page of this server")
	}))
	protected := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		switch {
		case !loopbackHost(r.Host):
			err = fail(http.StatusForbidden, "host", "without tokens the admin listener answers for loopback names only: use 127.0.0.1 or localhost")
		case forwarded(r.Header):
			err = fail(http.StatusForbidden, "forwarded", "without tokens the admin listener does not answer through a proxy: connect to it directly")
		}
		if err != nil {
			s.handle(func(http.ResponseWriter, *http.Request) error { return err })(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
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
