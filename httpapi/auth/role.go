// Package auth is who may use the admin listener: roles, tokens and where they are
// kept, logins with OpenID Connect, and how often somebody may be wrong.
package auth

import (
	"fmt"
	"slices"
)

// Role is what the holder of a token may do. Each role may do what the ones
// below it may.
type Role uint8

// The roles. The zero value may do nothing.
const (
	// None is that of nobody.
	None Role = iota
	// Viewer reads.
	Viewer
	// Operator also sends messages and closes sockets.
	Operator
	// Editor also writes overrides, the directory, sessions and tokens, and
	// makes the server read its files.
	Editor
)

// Roles are the names of the roles, the least first.
var Roles = []string{"viewer", "operator", "editor"}

// ParseRole reads a role's name. Its error does not repeat the text, which may
// be a token that stands in the wrong place.
func ParseRole(name string) (Role, error) {
	i := slices.Index(Roles, name)
	if i < 0 {
		return None, fmt.Errorf("the role is none of %s, %s and %s", Roles[0], Roles[1], Roles[2])
	}
	return Viewer + Role(i), nil
}

func (r Role) String() string {
	if r < Viewer || r > Editor {
		return "none"
	}
	return Roles[r-Viewer]
}

// MarshalText implements encoding.TextMarshaler.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Role) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRole(string(b))
	return err
}
