package httpapi

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// actorUnix stands before the name of a system user in the audit log: with its
// colon it is no token's name.
const actorUnix = "unix:"

// peer is the process at the other end of the admin socket.
type peer struct {
	name   string // of its user
	editor bool
	err    error // why its credentials are not known
}

type peerKey struct{}

// peerOf returns the process that a request of the admin socket comes from;
// nil: it came over the network.
func peerOf(ctx context.Context) *peer {
	p, _ := ctx.Value(peerKey{}).(*peer)
	return p
}

// SocketListener wraps Admin for the admin socket.
func (s *Server) SocketListener(h http.Handler, a *AdminSocket) *http.Server {
	l := s.Listener(h)
	l.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, a.peer(c))
	}
	return l
}

// peer asks the kernel who has connected: root, the user of this process and
// the members of the group are editors.
func (a *AdminSocket) peer(c net.Conn) *peer {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return &peer{err: fmt.Errorf("%T has no credentials", c)}
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return &peer{err: err}
	}
	var cred *unix.Ucred
	var groups []uint32
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		if cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); credErr == nil && a.group >= 0 {
			groups, credErr = peerGroups(int(fd))
		}
	}); err != nil {
		return &peer{err: err}
	}
	if credErr != nil {
		return &peer{err: credErr}
	}
	p := &peer{name: userName(cred.Uid), editor: cred.Uid == 0 || int(cred.Uid) == os.Geteuid()}
	for _, g := range append(groups, cred.Gid) {
		p.editor = p.editor || a.group >= 0 && int(g) == a.group
	}
	return p
}

// maxPeerGroups is NGROUPS_MAX of Linux.
const maxPeerGroups = 65_536

// peerGroups are the supplementary groups of the process at the other end, as it
// had them when it connected. The user database would not do: a static binary
// does not see the groups that a directory service has.
func peerGroups(fd int) ([]uint32, error) {
	const width = 4 // bytes of a gid_t
	size := uint32(64 * width)
	for {
		buf := make([]byte, size)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && size > uint32(len(buf)) && size <= maxPeerGroups*width:
			continue // the kernel has said how many bytes it needs
		case errno != 0:
			return nil, fmt.Errorf("the groups of the peer: %w", errno)
		}
		groups := make([]uint32, 0, size/width)
		for b := buf[:size]; len(b) >= width; b = b[width:] {
			groups = append(groups, binary.NativeEndian.Uint32(b))
		}
		return groups, nil
	}
}

// userName is the name of a system user, or its number where it has none.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil || u.Username == "" {
		return id
	}
	return u.Username
}
