package socketio

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxNamespaces bounds the namespaces of a server, and so what one client can
// join (docs/reference/attacks.md#socketio, W11). The namespaces of a
// connection are a list that is searched from end to end.
const maxNamespaces = 64

// Namespaces are the namespaces of a server beside "/", for all its sessions.
// They never change. A nil *Namespaces has none.
type Namespaces struct{ names []string }

// NewNamespaces registers names beside "/". A name starts with "/", has at most
// MaxNamespace bytes of UTF-8, and neither a comma nor a question mark, which
// end a name on the wire.
func NewNamespaces(names ...string) (*Namespaces, error) {
	n := &Namespaces{}
	for _, name := range names {
		switch {
		case !strings.HasPrefix(name, "/") || strings.ContainsAny(name, ",?") || len(name) > MaxNamespace || !utf8.ValidString(name):
			return nil, fmt.Errorf("namespace %q: want at most %d bytes of UTF-8 that start with / and have neither , nor ?", name, MaxNamespace)
		case name == Main || slices.Contains(n.names, name):
			continue
		case len(n.names) == maxNamespaces:
			return nil, fmt.Errorf("more than %d namespaces beside /: register fewer", maxNamespaces)
		}
		n.names = append(n.names, name)
	}
	return n, nil
}

// find returns the registered name, which unlike the client's text does not
// belong to a message.
func (n *Namespaces) find(name string) (registered string, ok bool) {
	if name == Main {
		return Main, true
	}
	if n == nil {
		return "", false
	}
	i := slices.Index(n.names, name)
	if i < 0 {
		return "", false
	}
	return n.names[i], true
}

// membership is where a client stands with a namespace.
type membership uint8

const (
	outside   membership = iota // never joined, or left
	joined                      // packets go both ways
	dismissed                   // this side sent DISCONNECT: what is still on its way is dropped
)

// member is a namespace other than "/".
type member struct {
	name  string
	state membership
}

// rare is what few connections have.
type rare struct {
	others   []member
	pending  []pendingAck // at most maxPending
	nextID   uint64       // of the next ack that is asked for
	assembly *assembly    // nil: no attachments are awaited
}

func (s *Session) membership(ns string) membership {
	if ns == Main {
		return s.main
	}
	if s.rare != nil {
		for i := range s.rare.others {
			if m := &s.rare.others[i]; m.name == ns {
				return m.state
			}
		}
	}
	return outside
}

// setMembership follows the client in and out of ns, a registered name. A
// client that is nowhere has the time of ConnectTimeout to join again.
func (s *Session) setMembership(ns string, state membership, now time.Time) {
	before := s.anywhere()
	if ns == Main {
		s.main = state
	} else {
		r := s.rarely()
		i := slices.IndexFunc(r.others, func(m member) bool { return m.name == ns })
		if i < 0 {
			r.others = append(r.others, member{name: ns})
			i = len(r.others) - 1
		}
		r.others[i].state = state
	}
	if state != joined {
		s.forgetAll(ns)
	}
	if before && !s.anywhere() {
		s.deadline = now.Add(s.settings.ConnectTimeout)
	}
}

// anywhere reports whether the client is in any namespace.
func (s *Session) anywhere() bool {
	return s.main == joined || s.rare != nil &&
		slices.ContainsFunc(s.rare.others, func(m member) bool { return m.state == joined })
}

func (s *Session) rarely() *rare {
	if s.rare == nil {
		s.rare = &rare{}
	}
	return s.rare
}
