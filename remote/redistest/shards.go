package redistest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
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
	return startShards(t, 1)
}

// StartMasters runs three masters without replicas. Those that are there serve
// their slots while another is away.
func StartMasters(t testing.TB) *Shards {
	t.Helper()
	return startShards(t, 0, "--cluster-require-full-coverage", "no")
}

const masters = 3

func startShards(t testing.TB, replicas int, more ...string) *Shards {
	t.Helper()
	s := &Shards{t: t}
	args := []string{"--cluster", "create"}
	for range masters * (1 + replicas) {
		n := Start(t, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"}, more...)...)
		s.Servers = append(s.Servers, n)
		args = append(args, n.Addr)
	}
	args = append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")
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

// Master is the server that has a key.
func (s *Shards) Master(key string) *Server {
	s.t.Helper()
	client := s.Servers[0].Client()
	shards, err := client.ClusterShards(s.t.Context()).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	slot := int(client.ClusterKeySlot(s.t.Context(), key).Val())
	for _, shard := range shards {
		for _, n := range s.Servers {
			if holds(shard, slot) && n.Addr == addr(master(shard)) {
				return n
			}
		}
	}
	s.t.Fatalf("nobody has %s", key)
	return nil
}

// Slots are those that have a key of this type.
func (s *Shards) Slots(kind string) (slots []int) {
	s.t.Helper()
	ctx := s.t.Context()
	for _, n := range s.Servers {
		c := n.Client()
		if role, err := c.Info(ctx, "replication").Result(); err != nil || !strings.Contains(role, "role:master") {
			continue
		}
		for keys := c.ScanType(ctx, 0, "*", 1000, kind).Iterator(); keys.Next(ctx); {
			slots = append(slots, int(c.ClusterKeySlot(ctx, keys.Val()).Val()))
		}
	}
	slices.Sort(slots)
	return slices.Compact(slots)
}

// Migrate moves a slot, with its keys, to another master.
func (s *Shards) Migrate(slot int) {
	s.t.Helper()
	ctx := s.t.Context()
	client := s.Servers[0].Client()
	var from, to redis.Node
	shards, err := client.ClusterShards(ctx).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, shard := range shards {
		if holds(shard, slot) {
			from = master(shard)
		} else {
			to = master(shard)
		}
	}
	source, target := redis.NewClient(&redis.Options{Addr: addr(from)}), redis.NewClient(&redis.Options{Addr: addr(to)})
	defer source.Close()
	defer target.Close()
	must := func(c *redis.Client, args ...any) {
		s.t.Helper()
		if err := c.Do(ctx, args...).Err(); err != nil {
			s.t.Fatal(args, err)
		}
	}
	must(target, "cluster", "setslot", slot, "importing", from.ID)
	must(source, "cluster", "setslot", slot, "migrating", to.ID)
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 100).Result()
		if err != nil {
			s.t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			must(source, "migrate", to.IP, to.Port, key, 0, 5000)
		}
	}
	must(target, "cluster", "setslot", slot, "node", to.ID)
	must(source, "cluster", "setslot", slot, "node", to.ID)
}

// Failover kills the master of a slot, and returns when its replica serves it.
func (s *Shards) Failover(slot int) {
	s.t.Helper()
	shards, err := s.Servers[0].Client().ClusterShards(s.t.Context()).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	var dead string
	for _, shard := range shards {
		if holds(shard, slot) {
			dead = addr(master(shard))
		}
	}
	var others []*Server
	for _, n := range s.Servers {
		if n.Addr == dead {
			n.Kill()
		} else {
			others = append(others, n)
		}
	}
	until(s.t, "a replica serves the slot", func() bool {
		shards, err := others[0].Client().ClusterShards(s.t.Context()).Result()
		if err != nil {
			return false
		}
		for _, shard := range shards {
			if holds(shard, slot) {
				m := master(shard)
				return m.ID != "" && addr(m) != dead
			}
		}
		return false
	})
}

func holds(shard redis.ClusterShard, slot int) bool {
	return slices.ContainsFunc(shard.Slots, func(r redis.SlotRange) bool {
		return r.Start <= int64(slot) && int64(slot) <= r.End
	})
}

// master is the zero Node where a shard has none that lives.
func master(shard redis.ClusterShard) redis.Node {
	for _, n := range shard.Nodes {
		if n.Role == "master" && n.Health != "fail" {
			return n
		}
	}
	return redis.Node{}
}

func addr(n redis.Node) string { return net.JoinHostPort(n.IP, strconv.FormatInt(n.Port, 10)) }

// StartReplica runs a replica of a server, and returns when it follows.
func StartReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	return StartReplicaOf(t, master.Addr)
}

// StartReplicaOf is StartReplica for a server at an address, such as behind a
// proxy that has the replica lag.
func StartReplicaOf(t testing.TB, addr string) *Server {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
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
