package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// A Redis that has no room for a client says so, unasked, and closes the
// connection. The client library takes that for an answer to its greeting, goes
// on, and reports the broken connection only.

// maxSaid bounds what is remembered of the first answer.
const maxSaid = 200

// saidError is what a Redis has said before it closed a connection.
type saidError struct {
	said string
	err  error // of the connection
}

// Error implements error.
func (e *saidError) Error() string { return fmt.Sprintf("%s (%v)", e.said, e.err) }

// Is and As are that of the connection's error. There is no Unwrap: the client
// library takes off one layer of what stops a connection from being set up.
func (e *saidError) Is(target error) bool { return errors.Is(e.err, target) }

// As implements what errors.As wants.
func (e *saidError) As(target any) bool { return errors.As(e.err, target) }

// listening is a connection that remembers an error with which it begins, until
// something else is said. Only its one user reads and writes.
type listening struct {
	net.Conn
	heard bool
	said  string
}

// Read implements net.Conn.
func (c *listening) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.said = ""
		if !c.heard && b[0] == '-' {
			c.said = firstLine(b[1:n])
		}
		c.heard = true
	}
	return n, c.with(err)
}

// Write implements net.Conn.
func (c *listening) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.with(err)
}

func (c *listening) with(err error) error {
	if err == nil || c.said == "" {
		return err
	}
	return &saidError{c.said, err}
}

func firstLine(b []byte) string {
	b = b[:min(len(b), maxSaid)]
	for i, x := range b {
		if x == '\r' || x == '\n' {
			return string(b[:i])
		}
	}
	return string(b)
}

// listeningSocket is one whose socket the client library can look at, which it
// does before it uses an idle connection again.
type listeningSocket struct {
	*listening
	syscall.Conn
}

// listen has the connections of dial remember what Redis says first.
func listen(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l := &listening{Conn: conn}
		if socket, ok := conn.(syscall.Conn); ok {
			return listeningSocket{l, socket}, nil
		}
		return l, nil
	}
}
