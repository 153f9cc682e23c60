package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// server is a running peer with what to ask of it.
type server struct {
	*process.Server
	port    int // of its sockets
	users   int
	dialect sockets.Dialect
	publish func(batch []message) (*http.Request, error)
	answer  func(body []byte, batch int) error
	request func(i int) []byte
}

// userOf is the user of socket i, from 1 on.
func (s *server) userOf(i int) int { return i%s.users + 1 }

// target is where socket i goes, and with what.
func (s *server) target(i int) (port int, request []byte) { return s.port, s.request(i) }

// launch prepares a peer with a port for its sockets and one to publish on.
func (r *rig) launch(ctx context.Context, args []string, files map[string]string) (*server, error) {
	p, err := process.Launch(ctx, r.pinned, args, files, 2)
	if err != nil {
		return nil, err
	}
	return &server{Server: p, port: p.Ports[0]}, nil
}

// post sends a batch in one request.
func (s *server) post(ctx context.Context, batch []message) error {
	req, err := s.publish(batch)
	if err != nil {
		return err
	}
	r, err := s.HTTP.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %.300s", r.Status, bytes.TrimSpace(body))
	}
	return s.answer(body, len(batch))
}
