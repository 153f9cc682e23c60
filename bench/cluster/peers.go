package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/redis"
	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

const (
	labelSluice  = "sluice"
	labelStreams = "socket.io+streams"
	labelPubSub  = "socket.io+pubsub"
	labelBefore  = "before" // another build of Sluice

	labelCentrifugo = "centrifugo"
	// labelBare is the least that a member in Go can do: what a message costs
	// that has its wake-ups for itself.
	labelBare = "bare"
)

var labels = []string{labelSluice, labelStreams, labelPubSub, labelCentrifugo, labelBare}

// cluster is a Redis with members, and a sender into the first of them.
type cluster struct {
	dialect sockets.Dialect
	redis   *redis.Redis
	members []*process.Server
	send    sender
	// target is where a socket goes, by member and user; connection is its own
	// number.
	target func(member, user, connection int) (port int, request []byte)
}

func (c *cluster) close() {
	if c.send != nil {
		c.send.close()
	}
	for _, m := range c.members {
		m.Stop()
	}
	c.redis.Stop()
}

func (c *cluster) pids() []int {
	pids := []int{c.redis.PID()}
	for _, m := range c.members {
		pids = append(pids, m.PID())
	}
	return pids
}

// plan is what a cluster is for.
type plan struct {
	members int
	users   int
	perUser int
	// memberOf is where the sockets of a user are.
	memberOf func(user int) int
	buffered bool // Sluice's own timings instead of sending at once
}

// onB has all sockets on the second member.
func onB(int) int { return 1 }

func (r *rig) start(ctx context.Context, peer string, p plan) (*cluster, error) {
	store, err := redis.Start(ctx)
	if err != nil {
		return nil, err
	}
	c := &cluster{redis: store, dialect: sockets.SocketIO}
	switch peer {
	case labelSluice:
		err = r.startSluice(ctx, r.sluice, c, p)
	case labelBefore:
		err = r.startSluice(ctx, r.before, c, p)
	case labelCentrifugo:
		err = r.startCentrifugo(ctx, c, p)
	case labelBare:
		err = r.startBare(ctx, c, p)
	default:
		err = r.startNode(ctx, c, p, map[string]string{labelStreams: "streams", labelPubSub: "pubsub"}[peer])
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// meetLimit is how long members may take to see each other.
const meetLimit = 20 * time.Second

func (r *rig) startSluice(ctx context.Context, binary string, c *cluster, p plan) error {
	properties := fmt.Sprintf("com.openexchange.redis.hosts = 127.0.0.1:%d\n", c.redis.Port)
	if !p.buffered {
		properties += "com.openexchange.websockets.grizzly.remote.delayDuration = 0\ncom.openexchange.websockets.grizzly.remote.maxDelayDuration = 0\n"
	}
	for i := range p.members {
		files, err := sluice.TokenFiles(map[string]string{
			"etc/websockets.properties": "com.openexchange.websockets.enabled = true\n",
			"etc/redis.properties":      properties,
			// The sockets are where a figure wants them. A build that does not know the
			// property leaves them there anyway.
			"etc/sluice.properties": fmt.Sprintf("sluice.remote.member = m%d\nsluice.websockets.rebalance = false\n", i),
		})
		if err != nil {
			return err
		}
		m, err := process.Launch(ctx, false, []string{binary, "serve", "--etc", "DIR/etc", "--state", "DIR/state", "--public", "127.0.0.1:PORT0", "--admin", "127.0.0.1:PORT1"}, files, 2)
		if err != nil {
			return err
		}
		if err := m.Up(ctx, admin(m)+"/readyz"); err != nil {
			return err
		}
		c.members = append(c.members, m)
	}
	if err := c.meet(ctx); err != nil {
		return err
	}
	logins := make([]sluice.Login, p.users+1)
	for u := 1; u <= p.users; u++ {
		m := c.members[p.memberOf(u)]
		l, err := sluice.Logins(ctx, m.HTTP, admin(m), u, 1)
		if err != nil {
			return err
		}
		logins[u] = l[0]
	}
	c.target = func(member, user, connection int) (int, []byte) {
		port := c.members[member].Ports[0]
		return port, logins[user].Request(port, connection)
	}
	// The stream outlives the usual time of a request.
	client := &http.Client{Transport: &http.Transport{}}
	c.send = newStreams(ctx, r.lanes, func(s *streams) outlet {
		return &lane{s: s, http: client, url: admin(c.members[0]) + "/admin/v1/messages"}
	})
	return nil
}

func admin(m *process.Server) string { return fmt.Sprintf("http://127.0.0.1:%d", m.Ports[1]) }

// meet waits until every member sees all.
func (c *cluster) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, meetLimit)
	defer cancel()
	for _, m := range c.members {
		for {
			n, err := countMembers(ctx, m)
			if err == nil && n == len(c.members) {
				break
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("a member sees %d of %d members after %s: %w", n, len(c.members), meetLimit, errors.Join(err, ctx.Err()))
			}
		}
	}
	return nil
}

func countMembers(ctx context.Context, m *process.Server) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin(m)+"/admin/v1/members", nil)
	if err != nil {
		return 0, err
	}
	if err := sluice.Authorize(req); err != nil {
		return 0, err
	}
	r, err := m.HTTP.Do(req)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	var list struct{ Members []json.RawMessage }
	err = json.NewDecoder(r.Body).Decode(&list)
	return len(list.Members), err
}

func (r *rig) startNode(ctx context.Context, c *cluster, p plan, adapter string) error {
	for i := range p.members {
		m, err := process.Launch(ctx, false, []string{"node", filepath.Join(r.folder, "socketio", "server.js"), adapter, "PORT0", strconv.Itoa(c.redis.Port)}, nil, 1)
		if err != nil {
			return err
		}
		in, err := m.Cmd.StdinPipe()
		if err != nil {
			return err
		}
		m.Cmd.Stdout = nil // was the log
		out, err := m.Cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := m.Up(ctx, fmt.Sprintf("http://127.0.0.1:%d/socket.io/", m.Ports[0])); err != nil {
			return err
		}
		c.members = append(c.members, m)
		if i == 0 {
			c.send = newNode(ctx, in, out)
		}
	}
	c.target = func(member, user, _ int) (int, []byte) {
		port := c.members[member].Ports[0]
		return port, sockets.Upgrade(port, "/socket.io/?EIO=4&transport=websocket&user="+strconv.Itoa(user), "")
	}
	return nil
}
