package redistest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Shards is a Redis Cluster of masters with a replica each.
type Shards struct {
	Servers []*Server

	t testing.TB
}

// StartShards runs three masters with a replica each, and returns when all slots
// are served.
func StartShards(t testing.TB) *Shards {
	t.Helper()
	s := &Shards{t: t}
	args := []string{"--cluster", "create"}
	for range 6 {
		n := Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
		s.Servers = append(s.Servers, n)
		args = append(args, n.Addr)
	}
	args = append(args, "--cluster-replicas", "1", "--cluster-yes")
	if out, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput(); err != nil {
		t.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	until(t, "the cluster is up", func() bool {
		for _, n := range s.Servers {
			info, err := n.Client().ClusterInfo(t.Context()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
			// A replica that has not read its master yet cannot follow it.
			info, err = n.Client().Info(t.Context(), "replication").Result()
			if err != nil || strings.Contains(info, "role:slave") && !strings.Contains(info, "master_link_status:up") {
				return false
			}
		}
		return true
	})
	return s
}

// Addrs are those of all servers.
func (s *Shards) Addrs() (addrs []string) {
	for _, n := range s.Servers {
		addrs = append(addrs, n.Addr)
	}
	return addrs
}

// Migrate moves a slot, with its keys, to another master.
func (s *Shards) Migrate(slot int) {
	s.t.Helper()
	ctx := s.t.Context()
	client := s.Servers[0].Client()
	var from, to, toID, fromID string
	ranges, err := client.ClusterSlots(ctx).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range ranges {
		if r.Start <= slot && slot <= r.End {
			from, fromID = r.Nodes[0].Addr, r.Nodes[0].ID
		} else {
			to, toID = r.Nodes[0].Addr, r.Nodes[0].ID
		}
	}
	source, target := redis.NewClient(&redis.Options{Addr: from}), redis.NewClient(&redis.Options{Addr: to})
	defer source.Close()
	defer target.Close()
	must := func(c *redis.Client, args ...any) {
		s.t.Helper()
		if err := c.Do(ctx, args...).Err(); err != nil {
			s.t.Fatal(args, err)
		}
	}
	must(target, "cluster", "setslot", slot, "importing", fromID)
	must(source, "cluster", "setslot", slot, "migrating", toID)
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		s.t.Fatal(err)
	}
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 100).Result()
		if err != nil {
			s.t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			must(source, "migrate", host, port, key, 0, 5000)
		}
	}
	must(target, "cluster", "setslot", slot, "node", toID)
	must(source, "cluster", "setslot", slot, "node", toID)
}

// Failover kills the master of a slot, and returns when its replica serves it.
func (s *Shards) Failover(slot int) {
	s.t.Helper()
	var master string
	ranges, err := s.Servers[0].Client().ClusterSlots(s.t.Context()).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range ranges {
		if r.Start <= slot && slot <= r.End {
			master = r.Nodes[0].Addr
		}
	}
	var others []*Server
	for _, n := range s.Servers {
		if n.Addr == master {
			n.Kill()
		} else {
			others = append(others, n)
		}
	}
	until(s.t, "a replica serves the slot", func() bool {
		ranges, err := others[0].Client().ClusterSlots(s.t.Context()).Result()
		if err != nil {
			return false
		}
		for _, r := range ranges {
			if r.Start <= slot && slot <= r.End {
				return r.Nodes[0].Addr != master
			}
		}
		return false
	})
}

// StartReplica runs a replica of a server, and returns when it follows.
func StartReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s := Start(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	until(t, "the replica follows", func() bool {
		info, err := s.Client().Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	return s
}

// Tune has a sentinel notice the death of its master soon.
func (s *Server) Tune(after string) {
	s.t.Helper()
	for _, option := range []string{"down-after-milliseconds", "failover-timeout"} {
		if err := s.Client().Do(context.Background(), "sentinel", "set", "mymaster", option, after).Err(); err != nil {
			s.t.Fatal(fmt.Errorf("%s: %w", option, err))
		}
	}
}
