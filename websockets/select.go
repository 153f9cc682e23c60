package websockets

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// MaxList bounds one answer of List.
const MaxList = 1000

// Selector names sockets: those that match every field that is not zero.
type Selector struct {
	Context uint32
	User    uint32
	Session string // session id
	// SessionHash names a session whose id is not known.
	SessionHash string
	Connection  string // connection id
	ID          string // SocketInfo.ID
	PathFilter  string // as in Message; must be valid
}

func (sel *Selector) matches(s *socket) bool {
	return (sel.Session == "" || sel.Session == s.session) &&
		(sel.SessionHash == "" || sel.SessionHash == SessionHash(s.session)) &&
		(sel.Connection == "" || sel.Connection == s.connection) &&
		(sel.ID == "" || sel.ID == hex.EncodeToString(s.id[:])) &&
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
	s.CloseSockets(Selector{Context: session.Context, User: session.User, Session: session.ID, SessionHash: session.IDHash}, CauseSession)
}

// SocketInfo describes a socket. It does not name the session.
type SocketInfo struct {
	ID          string // random, unlike Connection unique
	Context     uint32
	User        uint32
	Connection  string
	Path        string
	Client      string // the session's client id
	SessionHash string // of the session's id
	Protocol    string // "engine.io-v3", "engine.io-v4" or "text"
	Address     netip.Addr
	Since       time.Time
	Queued      int       // frames that wait to be written
	QueuedBytes int       // their bytes
	Sent        time.Time // when the kernel took the last service message; zero: none yet
	Muted       bool      // its user is switched off and held: it gets no message
}

// List returns up to limit (1 to MaxList) sockets in the order of context,
// user and ID, beginning after the one that next named, or at the start for
// "" and for one that is none. A next that is not empty says that there are
// more.
func (s *Server) List(sel Selector, after string, limit int) (infos []SocketInfo, next string) {
	limit = min(max(limit, 1), MaxList)
	from, resumed := parseOrder(after)
	var found []*socket
	s.each(sel, func(sock *socket) {
		if !resumed || compareOrder(sock.order(), from) > 0 {
			found = append(found, sock)
		}
	})
	slices.SortFunc(found, func(a, b *socket) int { return compareOrder(a.order(), b.order()) })
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].order().String()
	}
	infos = make([]SocketInfo, len(found))
	for i, sock := range found {
		infos[i] = sock.info()
	}
	return infos, next
}

// ValidNext reports whether next may have come from List.
func ValidNext(next string) bool {
	_, ok := parseOrder(next)
	return ok || next == ""
}

// Next is what List answers as next after a socket: whoever merges the lists
// of several servers goes on in all of them behind the same socket. It is no
// ValidNext where the id is not of a socket.
func Next(context, user uint32, id string) string {
	var place [8]byte
	binary.BigEndian.PutUint32(place[:], context)
	binary.BigEndian.PutUint32(place[4:], user)
	return hex.EncodeToString(place[:]) + id
}

// order is the place of a socket in a list: context, user and id.
type order [8 + secretBytes]byte

func (s *socket) order() (o order) {
	binary.BigEndian.PutUint32(o[:], s.subject.context)
	binary.BigEndian.PutUint32(o[4:], s.subject.user)
	copy(o[8:], s.id[:])
	return o
}

// String is opaque to callers of List.
func (o order) String() string { return hex.EncodeToString(o[:]) }

// parseOrder reads what String has written.
func parseOrder(text string) (o order, ok bool) {
	if len(text) != hex.EncodedLen(len(o)) {
		return order{}, false
	}
	_, err := hex.Decode(o[:], []byte(text))
	return o, err == nil
}

func compareOrder(a, b order) int { return bytes.Compare(a[:], b[:]) }

// Held returns a selector for each of these sessions that has a socket here.
func (s *Server) Held(ids map[string]bool) []Selector {
	found := map[Selector]bool{}
	s.hub.all(func(subject) bool { return true }, func(sock *socket) {
		if ids[sock.session] {
			found[Selector{Context: sock.subject.context, User: sock.subject.user, Session: sock.session}] = true
		}
	})
	return slices.Collect(maps.Keys(found))
}
