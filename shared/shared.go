// Package shared has the words that the sockets and the link between members
// share: what is known of a socket, why one is not registered, what goes with a
// message, and distributions of times.
package shared

import "errors"

// Why a socket is refused that would be registered.
var (
	ErrTooMany   = errors.New("the user has its maximum of sockets in the cluster")
	ErrDuplicate = errors.New("another session of the user has a socket with this connection id")
)

// FormerUnknown stands for the member whose socket another one takes over, where the
// registry could not be asked. No member has it as its incarnation.
const FormerUnknown = "?"

// Registration is what the cluster knows of a socket.
type Registration struct {
	ID         string // random, as websockets.SocketInfo.ID; at most 255 bytes
	Context    uint32
	User       uint32
	Connection string // the client's id for it, printable ASCII, at most 255 bytes
	Session    string // digest of the session's id, 16 hex digits
}

// Target narrows down which sockets of the addressed users get a message.
type Target struct {
	// PathFilter as in docs/reference/handshake.md#path-filter; empty: every
	// socket. A caller that can tell an absent filter from an empty one refuses
	// the empty one.
	PathFilter string
	// SourceToken is the connection id of the socket that caused the message
	// and gets none (docs/reference/handshake.md#path-filter); empty: every socket.
	SourceToken string
}

// Label is what goes with a message to every socket beside what the client gets.
type Label struct {
	// ID is what the message is remembered by.
	ID string
	// IDs are those by which receivers know the message again, its own and those of
	// the equal ones that were merged with it: a socket gets it once for all of them.
	IDs []string
	// Conflate, where it is not empty, lets the message be given up for a later
	// one of the same name and Conflate: see websockets.Config.MaxWaiting.
	Conflate string
	// From is the name of the member that accepted it, where that is known.
	From string
	// Confirm has the sockets asked whether the message has arrived.
	Confirm bool
}

// Latency is a distribution of times.
type Latency struct {
	Bounds []float64 // seconds, upper bounds of the buckets but the last
	Counts []int64   // of each bucket
	Sum    float64   // seconds
}
