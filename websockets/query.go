package websockets

import (
	"net/url"
	"strings"
)

// maxQuery bounds the query of a handshake in bytes. It is what the listener
// of the existing system takes (docs/reference/handshake.md#query-size); the known
// clients send below 200.
const maxQuery = 10_240

// param is a query parameter: given tells an empty value from none.
type param struct {
	value string
	given bool
}

// params are the query parameters that a handshake looks at. Of several with
// one name the first counts (docs/reference/handshake.md#request).
type params struct {
	session, connection, version, transport, sid param
	recovery, ids                                param
}

// parseParams reads a query. It refuses a query that is too long, and one in
// which a parameter that it looks at is broken; what clients put beside those
// is their business.
func parseParams(query string) (p params, refused *refusal) {
	if len(query) > maxQuery {
		return params{}, refuseQuery
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			continue // so it is none of the names below
		}
		field := p.field(name)
		if field == nil || field.given {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return params{}, refuseQuery
		}
		*field = param{value, true}
	}
	return p, nil
}

func (p *params) field(name string) *param {
	switch name {
	case "session":
		return &p.session
	case "connection":
		return &p.connection
	case "EIO":
		return &p.version
	case "transport":
		return &p.transport
	case "sid":
		return &p.sid
	case "recovery":
		return &p.recovery
	case "ids":
		return &p.ids
	}
	return nil
}

// printable reports whether a value has 1 to limit bytes, all of them ASCII
// that can be seen: what the known clients and servers use in ids.
func printable(value string, limit int) bool {
	if value == "" || len(value) > limit {
		return false
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}
