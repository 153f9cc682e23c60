package httpapi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxSocketPath is what sockaddr_un has room for (unix(7)): 108 bytes with
	// the zero byte at the end.
	maxSocketPath = 107
	// socketMode lets the owner and the group connect.
	socketMode = 0o660
	// socketProbe bounds the question whether somebody answers at a path: the
	// kernel answers it without the other process.
	socketProbe = time.Second
)

// AdminSocket is the Unix socket for administrators of this machine. Who
// connects is an editor by the credentials of its process, and needs no token.
type AdminSocket struct {
	*net.UnixListener
	path  string
	group int // whose members are editors; negative: none
}

// ListenAdminSocket makes the socket. The members of the group are let in beside
// root and the user of this process; "" is no group. What is left of a server
// that ended without removing its socket is replaced; a path where a server
// answers, that is no socket, belongs to another user, or is too long for Unix
// is an error that says what to do.
func ListenAdminSocket(path, group string) (*AdminSocket, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the admin socket %s: the path has %d bytes, and Unix allows %d: choose a shorter one with %s or --socket", path, len(path), maxSocketPath, PropAdminSocket)
	}
	gid, err := socketGroup(group)
	if err != nil {
		return nil, err
	}
	if err := freeSocketPath(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("the admin socket %s: %w: choose another path with %s or --socket", path, err, PropAdminSocket)
	}
	// Until the mode is set the umask decides who connects; whoever does is held
	// to its credentials all the same.
	err = os.Chmod(path, socketMode)
	if err == nil && gid >= 0 {
		err = os.Chown(path, -1, gid)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the admin socket: %w: this process must own it, and be a member of the group of %s", err, PropSocketGroup), l.Close())
	}
	return &AdminSocket{l, path, gid}, nil
}

// ReopenAdminSocket is ListenAdminSocket for one that is open, at the same path.
func ReopenAdminSocket(open *net.UnixListener, path, group string) (*AdminSocket, error) {
	gid, err := socketGroup(group)
	if err != nil {
		return nil, err
	}
	open.SetUnlinkOnClose(true)
	return &AdminSocket{open, path, gid}, nil
}

// socketGroup is the id of a group; negative: none.
func socketGroup(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: create the group, or name another", PropSocketGroup, err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("%s: the id of %s: %w", PropSocketGroup, name, err)
	}
	return gid, nil
}

// freeSocketPath removes a socket that nobody serves any more.
func freeSocketPath(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the admin socket: %w: choose another path with %s or --socket", err, PropAdminSocket)
	case fi.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("the admin socket %s: something else has this path, which is no socket: move it away, or choose another path with %s or --socket", path, PropAdminSocket)
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && os.Geteuid() != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("the admin socket %s belongs to user %s: remove it as that user, or choose another path with %s or --socket", path, userName(st.Uid), PropAdminSocket)
	}
	c, err := net.DialTimeout("unix", path, socketProbe)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("the admin socket %s: a server answers there already: stop it, or choose another path with %s or --socket", path, PropAdminSocket)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("the admin socket %s: whether a server answers there cannot be told (%w): choose another path with %s or --socket", path, err, PropAdminSocket)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("the admin socket: %w: nobody serves it any more: remove it", err)
	}
	return nil
}

// Path is where the socket is.
func (a *AdminSocket) Path() string { return a.path }

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
