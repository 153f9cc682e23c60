package websockets

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// MaxList bounds one answer of List.
const MaxList = 1000

// Selector names sockets: those that match every field that is not zero.
type Selector struct {
	Context    int32
	User       int32
	Session    string // session id
	Connection string // connection id
	PathFilter string // spec 5.1; must be valid
}

func (sel *Selector) matches(s *socket) bool {
	return (sel.Session == "" || sel.Session == s.session) &&
		(sel.Connection == "" || sel.Connection == s.connection) &&
		pathMatches(sel.PathFilter, s.path)
}

// each calls f under a shard's lock for the sockets that the selector names.
func (s *Server) each(sel Selector, f func(*socket)) {
	matching := func(sock *socket) {
		if sel.matches(sock) {
			f(sock)
		}
	}
	if sel.Context != 0 && sel.User != 0 {
		s.hub.user(subject{sel.Context, sel.User}, matching)
		return
	}
	s.hub.all(func(k subject) bool {
		return (sel.Context == 0 || sel.Context == k.context) && (sel.User == 0 || sel.User == k.user)
	}, matching)
}

// CloseSockets closes the sockets that the selector names, for a cause of the
// close table, and returns their number. It does not wait for the clients.
func (s *Server) CloseSockets(sel Selector, cause Cause) int {
	var chosen []*socket
	s.each(sel, func(sock *socket) { chosen = append(chosen, sock) })
	closed := 0
	for _, sock := range chosen {
		if sock.close(cause) {
			closed++
		}
	}
	return closed
}

// CloseSession closes the sockets of a session that has ended; it fits as the
// hook of NewMemorySessions.
func (s *Server) CloseSession(session *Session) {
	s.CloseSockets(Selector{Context: session.Context, User: session.User, Session: session.ID}, CauseSession)
}

// SocketInfo describes a socket. It does not name the session.
type SocketInfo struct {
	ID          string // random, unlike Connection unique
	Context     int32
	User        int32
	Connection  string
	Path        string
	Client      string // the session's client id
	Protocol    string // "engine.io-v3", "engine.io-v4" or "text"
	Address     netip.Addr
	Since       time.Time
	Queued      int // frames that wait to be written
	QueuedBytes int // their bytes
}

// List returns up to limit (1 to MaxList) sockets in the order of context,
// user and ID, beginning after the one that next named, or at the start for
// "". A next that is not empty says that there are more.
func (s *Server) List(sel Selector, after string, limit int) (infos []SocketInfo, next string) {
	limit = min(max(limit, 1), MaxList)
	var found []*socket
	s.each(sel, func(sock *socket) {
		if after == "" || sock.order > after {
			found = append(found, sock)
		}
	})
	slices.SortFunc(found, func(a, b *socket) int { return cmp.Compare(a.order, b.order) })
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].order
	}
	infos = make([]SocketInfo, len(found))
	for i, sock := range found {
		infos[i] = sock.info()
	}
	return infos, next
}

// orderKey sorts as (context, user, id) and is opaque to callers.
func orderKey(k subject, id string) string {
	var b strings.Builder
	for _, n := range []int32{k.context, k.user} {
		for shift := 28; shift >= 0; shift -= 4 {
			b.WriteByte("0123456789abcdef"[uint32(n)>>shift&0xF])
		}
	}
	return b.String() + id
}
