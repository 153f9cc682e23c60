package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/redis"
	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// members is how many there are; the first is the keeper of the store.
const members = 3

// soak is a run.
type soak struct {
	load
	redis   *redis.Redis
	links   []*link
	members []*process.Server
	clients *sockets.Clients
	logins  []sluice.Login

	counts  counts
	samples [][]sample // of each member
}

// open starts everything.
func open(ctx context.Context, binary string, l load) (_ *soak, err error) {
	s := &soak{load: l, samples: make([][]sample, members)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.redis, err = redis.Start(ctx); err != nil {
		return nil, err
	}
	for i := range members {
		k, err := newLink(fmt.Sprintf("127.0.0.1:%d", s.redis.Port))
		if err != nil {
			return nil, err
		}
		s.links = append(s.links, k)
		files, err := sluice.TokenFiles(map[string]string{
			"etc/websockets.properties": "com.openexchange.websockets.enabled = true\n",
			"etc/redis.properties":      fmt.Sprintf("com.openexchange.redis.hosts = 127.0.0.1:%d\n", k.port()),
			"etc/sluice.properties":     fmt.Sprintf("sluice.remote.member = m%d\nsluice.store.keeper = m0\n", i),
		})
		if err != nil {
			return nil, err
		}
		m, err := process.Launch(ctx, false, []string{binary, "serve", "--etc", "DIR/etc", "--state", "DIR/state", "--public", "127.0.0.1:PORT0", "--admin", "127.0.0.1:PORT1"}, files, 2)
		if err != nil {
			return nil, err
		}
		if err := m.Up(ctx, admin(m)+"/readyz"); err != nil {
			return nil, err
		}
		s.members = append(s.members, m)
	}
	if err := s.login(ctx); err != nil {
		return nil, err
	}
	s.clients, err = sockets.New(l.sockets, sockets.SocketIO)
	return s, err
}

// login makes a session for each socket's user. On a busy machine a member may have
// lost Redis for a moment, and refuses.
func (s *soak) login(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for len(s.logins) < s.sockets {
		one, err := sluice.Logins(ctx, s.members[0].HTTP, admin(s.members[0]), len(s.logins)+1, 1)
		if err == nil {
			s.logins = append(s.logins, one...)
		} else if !pause(ctx, again) {
			return err
		}
	}
	return nil
}

func (s *soak) close() {
	if s.clients != nil {
		s.clients.Close()
	}
	for _, m := range s.members {
		m.Stop()
	}
	for _, k := range s.links {
		k.close()
	}
	if s.redis != nil {
		s.redis.Stop()
	}
}

func admin(m *process.Server) string { return fmt.Sprintf("http://127.0.0.1:%d", m.Ports[1]) }

// patience bounds a request: while a link is cut, some wait.
const patience = 20 * time.Second

// ask sends a request to a member, and returns its status and its answer.
func (s *soak) ask(ctx context.Context, member int, method, path string, body any) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	m := s.members[member]
	req, err := http.NewRequestWithContext(ctx, method, admin(m)+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := sluice.Authorize(req); err != nil {
		return 0, nil, err
	}
	r, err := m.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	return r.StatusCode, answer, err
}

// support saves the support bundle of each member.
func (s *soak) support(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for i := range s.members {
		status, bundle, err := s.ask(ctx, i, http.MethodGet, "/admin/v1/support", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("support of member %d: status %d: %.300s", i, status, bundle)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, fmt.Sprintf("m%d.tar.gz", i)), bundle, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
