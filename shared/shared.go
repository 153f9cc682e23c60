// Package shared has the words that the sockets and the link between members
// share: what is known of a socket, why one is not registered, and distributions of
// times.
package shared

import "errors"

// Why a socket is refused that would be registered.
var (
	ErrTooMany   = errors.New("the user has its maximum of sockets in the cluster")
	ErrDuplicate = errors.New("another session of the user has a socket with this connection id")
)

// Registration is what the cluster knows of a socket.
type Registration struct {
	ID         string // random, as websockets.SocketInfo.ID; at most 255 bytes
	Context    uint32
	User       uint32
	Connection string // the client's id for it, printable ASCII, at most 255 bytes
	Session    string // digest of the session's id, 16 hex digits
}

// Latency is a distribution of times.
type Latency struct {
	Bounds []float64 // seconds, upper bounds of the buckets but the last
	Counts []int64   // of each bucket
	Sum    float64   // seconds
}
