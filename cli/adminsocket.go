package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/node"
)

const (
	// unixScheme stands before a path in --server.
	unixScheme = "unix:"
	// socketBase is where a request over the socket goes: HTTP wants a host.
	socketBase = "http://sluice"
	// socketDial bounds a connect to a socket whose server does not accept.
	socketDial = 10 * time.Second
)

// socketPlace is where a server may have its socket.
type socketPlace struct {
	path string
	// anybodys: others can make files at the path, so that only a server of root
	// or of the caller is asked.
	anybodys bool
}

// usualSockets are where servers make their sockets, in the order in which they
// are tried: that of the machine, and those of the usual state folders.
func usualSockets() []socketPlace {
	places := []socketPlace{{path: node.SystemSocket}}
	if d := os.Getenv("STATE_DIRECTORY"); d != "" {
		places = append(places, socketPlace{path: filepath.Join(filepath.SplitList(d)[0], node.StateSocket)})
	}
	return append(places, socketPlace{path: filepath.Join(systemState, node.StateSocket)}, socketPlace{path: filepath.Join(localState, node.StateSocket), anybodys: true})
}

func joinPlaces(places []socketPlace) string {
	paths := make([]string, 0, len(places))
	for _, p := range places {
		paths = append(paths, p.path)
	}
	return strings.Join(paths, ", ")
}

// socketTransport connects to the first of the places at which a server answers.
func socketTransport(places []socketPlace) *http.Transport {
	return &http.Transport{IdleConnTimeout: socketDial, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var failed error
		for _, p := range places {
			c, err := p.dial(ctx)
			if err == nil {
				return c, nil
			}
			// A socket that may not be used says more than one that is not there.
			if failed == nil || errors.Is(failed, os.ErrNotExist) {
				failed = err
			}
		}
		return nil, failed
	}}
}

func (p socketPlace) dial(ctx context.Context) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: socketDial}).DialContext(ctx, "unix", p.path)
	if err != nil || !p.anybodys {
		return c, err
	}
	if err := trustedServer(c.(*net.UnixConn)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// trustedServer refuses the server of another user, who may have made the socket
// in a folder that this command happens to run in.
func trustedServer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	switch {
	case credErr != nil:
		return credErr
	case cred.Uid != 0 && int(cred.Uid) != os.Geteuid():
		return fmt.Errorf("the server at %s runs as user %d, neither root nor you: name it with --server unix:PATH if you trust it", c.RemoteAddr(), cred.Uid)
	}
	return nil
}
