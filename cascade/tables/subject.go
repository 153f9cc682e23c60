package tables

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Subject is who a property is resolved for. Ids run from 1 to MaxID; a User
// needs a Context; the zero Subject is the server view.
type Subject struct {
	Context uint32
	User    uint32
}

// MaxID is the largest context or user id: ids are Java ints in the databases
// that they come from.
const MaxID = 1<<31 - 1

// NewSubject checks ids as they come from outside; 0 means none.
func NewSubject(context, user int64) (Subject, error) {
	switch {
	case context < 0 || context > MaxID:
		return Subject{}, fmt.Errorf("context %d is not an id: use 1 to %d", context, MaxID)
	case user < 0 || user > MaxID:
		return Subject{}, fmt.Errorf("user %d is not an id: use 1 to %d", user, MaxID)
	case user != 0 && context == 0:
		return Subject{}, errors.New("a user belongs to a context: name the context too")
	}
	return Subject{uint32(context), uint32(user)}, nil
}

// ParseID reads one id: decimal digits only, 1 to MaxID.
func ParseID(s string) (uint32, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, fmt.Errorf("%q is not an id: use 1 to %d", s, MaxID)
		}
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not an id: use 1 to %d", s, MaxID)
	}
	return uint32(n), nil
}

// String names the subject as the summaries do.
func (s Subject) String() string {
	switch {
	case s.Context == 0:
		return "the server"
	case s.User == 0:
		return fmt.Sprintf("context %d", s.Context)
	}
	return fmt.Sprintf("user %d in context %d", s.User, s.Context)
}

// The scopes, from the most to the least specific
// (docs/reference/cascade.md#scopes). ScopeReseller has values only where the
// platform's database is read.
const (
	ScopeUser        = "user"
	ScopeContext     = "context"
	ScopeReseller    = "reseller"
	ScopeContextSets = "contextSets"
	ScopeServer      = "server"

	// ScopeDefault is where a value comes from that only the code defines.
	ScopeDefault = "default"
)

// ScopeOrder is every scope from the most to the least specific, whatever the
// configured path says; a lock (final) is looked for from its end.
var ScopeOrder = []string{ScopeUser, ScopeContext, ScopeReseller, ScopeContextSets, ScopeServer}

// DefaultPath is the path that counts when the tree names none.
var DefaultPath = []string{ScopeUser, ScopeContext, ScopeContextSets, ScopeServer}

// Scopes lists every scope from the most to the least specific.
func Scopes() []string { return slices.Clone(ScopeOrder) }
