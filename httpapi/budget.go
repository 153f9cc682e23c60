package httpapi

import (
	"net"
	"net/http"
	"sync/atomic"
	"syscall"

	"github.com/seed47708276/sluice/websockets"
)

const (
	// reservedFiles are kept for configuration files, the state folder and
	// Redis, so that clients can never keep a file from being read again.
	reservedFiles = 128
	// handshakeFiles are kept from the sockets, so that a client that comes when
	// there are too many is told so.
	handshakeFiles = 64
	// adminFiles are kept from clients, so that an administrator can always
	// connect.
	adminFiles = 64
	// leastFiles is what is needed to serve anybody at all.
	leastFiles = 2 * (reservedFiles + handshakeFiles + adminFiles)
)

// FileLimit is how many descriptors this process may have.
func FileLimit() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	const enough = 1 << 24
	return int(min(l.Cur, enough)), nil
}

// MaxSockets is how many sockets a process with that many descriptors may have.
func MaxSockets(files int) int {
	if files < leastFiles {
		return max(1, files/4)
	}
	return min(websockets.DefaultMaxSockets, files-reservedFiles-handshakeFiles-adminFiles)
}

// budget bounds the connections of all listeners and the sockets together; those
// of the listener for clients leave some to administrators.
// One that is beyond is closed at once: accepting it later would keep it, and
// all behind it, waiting for nothing.
type budget struct {
	max     int64
	clients int64 // the bound for the listener for clients
	sockets func() int64
	open    atomic.Int64 // connections that are no sockets
	refused atomic.Int64
}

func newBudget(files int, sockets func() int64) *budget {
	reserved, admin := reservedFiles, adminFiles
	if files < leastFiles {
		reserved, admin = files/2, files/8
	}
	most := int64(files - reserved)
	return &budget{max: most, clients: most - int64(admin), sockets: sockets}
}

// follow is the ConnState of a listener.
func (b *budget) follow(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if b.open.Add(1)+b.sockets() > b.max {
			b.refused.Add(1)
			_ = c.Close() // the server finds out, and says StateClosed
		}
	case http.StateHijacked, http.StateClosed:
		b.open.Add(-1)
	}
}
