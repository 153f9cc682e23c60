package websockets

import (
	"errors"
	"strings"
)

// MaxPathFilter bounds a path filter; a socket's path is no longer.
const MaxPathFilter = 255

// ErrPathFilter is returned for a path filter that
// docs/reference/handshake.md#path-filter does not allow.
var ErrPathFilter = errors.New(`invalid path filter: use "*", a path such as "/socket.io/appsuite", or a path followed by "/*", of letters, digits, "_", ".", "-" and "/"`)

// ValidatePathFilter checks a filter that is present
// (docs/reference/handshake.md#path-filter); a caller for whom no filter is
// legal asks only when there is one. It returns ErrPathFilter.
func ValidatePathFilter(filter string) error {
	if filter == "*" {
		return nil
	}
	path := strings.TrimSuffix(filter, "/*")
	if len(filter) > MaxPathFilter || !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.Contains(path, "//") {
		return ErrPathFilter
	}
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '-', c == '/':
		default:
			return ErrPathFilter
		}
	}
	return nil
}

// pathMatches is the table of docs/reference/handshake.md#path-filter. An empty
// filter is one that is absent.
func pathMatches(filter, path string) bool {
	if filter == "" {
		return true
	}
	if path == "" {
		return false
	}
	if filter == "*" {
		return true
	}
	prefix, wild := strings.CutSuffix(filter, "/*")
	if !wild {
		return filter == path
	}
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
