package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

func (r *rig) startBare(ctx context.Context, c *cluster, p plan) error {
	c.dialect = sockets.Dialect{}
	for range p.members {
		m, err := process.Launch(ctx, false, []string{r.bare, "127.0.0.1:PORT0", "127.0.0.1:PORT1", fmt.Sprintf("127.0.0.1:%d", c.redis.Port)}, nil, 2)
		if err != nil {
			return err
		}
		if err := m.Up(ctx, admin(m)); err != nil {
			return err
		}
		c.members = append(c.members, m)
	}
	c.target = func(member, user, _ int) (int, []byte) {
		port := c.members[member].Ports[0]
		return port, sockets.Upgrade(port, "/?user="+strconv.Itoa(user), "")
	}
	client := &http.Client{Transport: &http.Transport{}}
	c.send = newStreams(ctx, r.lanes, func(s *streams) outlet {
		return &lane{s: s, http: client, url: admin(c.members[0])}
	})
	return nil
}
