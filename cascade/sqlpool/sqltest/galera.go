package sqltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// Cluster is a Galera cluster on the loopback device.
type Cluster struct {
	Nodes []*Server
	t     testing.TB
}

// provider is the library of the Debian package galera-4.
const provider = "/usr/lib/galera/libgalera_smm.so"

// StartCluster runs a cluster of nodes that ends with the test.
func StartCluster(t testing.TB, nodes int) *Cluster {
	t.Helper()
	return startCluster(t, nodes, func(*Server) {})
}

// StartClusterSmall runs one whose first node has a small disk, as StartSmall does.
func StartClusterSmall(t testing.TB, nodes int) (c *Cluster, full, free func()) {
	t.Helper()
	c = startCluster(t, nodes, func(first *Server) { full, free = first.onSmallDisk() })
	return c, full, free
}

func startCluster(t testing.TB, nodes int, first func(*Server)) *Cluster {
	t.Helper()
	if _, err := os.Stat(provider); err != nil {
		t.Fatalf("%s is missing: install the Debian package galera-4 (just setup)", provider)
	}
	c := &Cluster{t: t}
	testkit.Tool(t, "rsync", "rsync") // copies the data of a node to one that is new
	var addrs []string
	ports := make([]int, nodes)
	for i := range nodes {
		ports[i] = FreePort(t)
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", ports[i]))
	}
	for i := range nodes {
		s := install(t,
			"--wsrep-on=ON", "--wsrep-provider="+provider, "--wsrep-cluster-name=sluice", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
			"--wsrep-cluster-address=gcomm://"+strings.Join(addrs, ","), fmt.Sprintf("--wsrep-node-name=n%d", i), "--wsrep-node-address=127.0.0.1",
			fmt.Sprintf("--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:%d;ist.recv_addr=127.0.0.1:%d;gcache.size=64M", ports[i], FreePort(t)),
			fmt.Sprintf("--wsrep-sst-receive-address=127.0.0.1:%d", FreePort(t)), "--wsrep-sst-method=rsync", "--innodb-flush-log-at-trx-commit=0",
		)
		if i == 0 {
			first(s)
		}
		if os.Getuid() == 0 {
			// As root the scripts of a state transfer run a daemon of nobody's.
			if out, err := exec.Command("chown", "-R", "mysql:", s.dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for i, a := range s.args {
				if strings.HasPrefix(a, "--user=") {
					s.args[i] = "--user=mysql"
				}
			}
		}
		c.Nodes = append(c.Nodes, s)
		if i == 0 {
			s.Run("--wsrep-new-cluster")
			continue
		}
		s.Launch()
		if !s.answers() {
			t.Fatalf("node %d ended: %s\nthe first node says: %s", i, s.log.String(), c.Nodes[0].log.String())
		}
		s.Synced()
	}
	return c
}

// Hosts are those of all nodes.
func (c *Cluster) Hosts() (hosts []string) {
	for _, n := range c.Nodes {
		hosts = append(hosts, n.Host)
	}
	return hosts
}

// Isolate has a node neither send to the others nor hear them, or ends that.
func (s *Server) Isolate(yes bool) {
	s.t.Helper()
	on := 0
	if yes {
		on = 1
	}
	s.SQL(fmt.Sprintf("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=%d'", on))
}

// Synced waits until a node has all that its cluster has.
func (s *Server) Synced() {
	s.t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := s.try("SHOW STATUS LIKE 'wsrep_local_state_comment'")
		if err == nil && strings.Contains(out, "Synced") {
			return
		}
		if time.Since(start) > patience {
			s.t.Fatalf("the node is not in step: %s %v\n%s", out, err, s.log.String())
		}
	}
}

// recovered is what --wsrep-recover says of where a node was.
var recovered = regexp.MustCompile(`Recovered position: ?([0-9a-f-]+:-?[0-9]+)`)

// Rejoin starts a node that was killed, from the position that it had.
func (s *Server) Rejoin() {
	s.t.Helper()
	before := len(s.log.String())
	s.Launch("--wsrep-recover")
	<-s.done
	var position []string
	if m := recovered.FindStringSubmatch(s.log.String()[before:]); m != nil {
		position = append(position, "--wsrep-start-position="+m[1])
	}
	_ = os.Remove(filepath.Join(s.dir, "pid")) // it may be left
	s.Run(position...)
	s.Synced()
}
