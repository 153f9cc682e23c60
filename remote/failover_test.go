package remote

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

// A slot moves to another master while messages are on their way.
func TestLinkResharding(t *testing.T) {
	s := redistest.StartShards(t)
	way := Redis{Mode: Cluster, Hosts: s.Addrs(), CommandTimeout: time.Second, ConnectTimeout: time.Second}
	a, b := newNode(t, way, "a"), newNode(t, way, "b")
	meet(t, a, b)
	b.mustOpen(1, 5, "x")
	shared := a.opts.Client.ClusterKeySlot(t.Context(), a.keys.log()).Val()
	user := a.opts.Client.ClusterKeySlot(t.Context(), bucketKey(a, 1, 5)).Val()
	var want []string
	for i := range 900 {
		switch i {
		case 300:
			s.Migrate(int(shared))
		case 600:
			s.Migrate(int(user))
		}
		id := fmt.Sprint(i)
		want = append(want, id)
		a.send(1, 5, id)
	}
	b.wantIDs(want...)
	meet(t, a, b)
}

// The master of the log dies, and its replica takes over. What Redis had
// acknowledged and not replicated may be lost, what comes later may not.
func TestLinkClusterFailover(t *testing.T) {
	s := redistest.StartShards(t)
	way := Redis{Mode: Cluster, Hosts: s.Addrs(), CommandTimeout: time.Second, ConnectTimeout: time.Second}
	a, b := newNode(t, way, "a"), newNode(t, way, "b")
	meet(t, a, b)
	b.mustOpen(1, 5, "x")
	a.send(1, 5, "before")
	b.wantIDs("before")
	s.Failover(int(a.opts.Client.ClusterKeySlot(t.Context(), a.keys.log()).Val()))
	want := []string{"before"}
	for i := range 300 {
		id := fmt.Sprint(i)
		want = append(want, id)
		a.send(1, 5, id)
	}
	b.wantIDs(want...)
	meet(t, a, b)
}

func TestLinkSentinelFailover(t *testing.T) {
	master := redistest.Start(t)
	redistest.StartReplica(t, master)
	sentinel := redistest.StartSentinel(t, master)
	sentinel.Tune("500")
	way := Redis{Mode: Sentinel, Hosts: []string{sentinel.Addr}, MasterID: "mymaster", CommandTimeout: time.Second, ConnectTimeout: time.Second}
	a, b := newNode(t, way, "a"), newNode(t, way, "b")
	meet(t, a, b)
	b.mustOpen(1, 5, "x")
	if err := a.Reserve(); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Send(Message{Context: 1, User: 5, Name: "n", Args: "[]", Label: shared.Label{ID: "sync"}})(t.Context()); n != 1 || err != nil {
		t.Errorf("sync with a replica: %d, %v", n, err)
	}
	b.wantIDs("sync")
	// The sentinel knows of replicas by asking the master each 10 s.
	asked := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	defer asked.Close()
	wait(t, "the sentinel knows the replica", func() bool {
		list, err := asked.Replicas(context.Background(), "mymaster").Result()
		return err == nil && len(list) == 1
	})
	master.Kill()
	want := []string{"sync"}
	for i := range 300 {
		id := fmt.Sprint(i)
		want = append(want, id)
		a.send(1, 5, id)
	}
	b.wantIDs(want...)
	meet(t, a, b)
}
