package mariadb

import (
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store/storetest"
)

// newGaleraWorld makes a database on three nodes.
func newGaleraWorld(t testing.TB, c *sqltest.Cluster) *world {
	t.Helper()
	w := newWorld(t, c.Nodes[0])
	w.opt.Hosts = c.Hosts()
	return w
}

// The contract on three Galera nodes, and the ledger while they fail.
func TestGalera(t *testing.T) {
	if !*torture {
		return // it is a part of the full round
	}
	c, full, free := sqltest.StartClusterSmall(t, 3)
	t.Run("contract", func(t *testing.T) {
		storetest.Contract(t, func(t *testing.T) func(string) *storetest.Member { return newGaleraWorld(t, c).open })
	})
	// Each member prefers another node: what no configuration should say, and
	// what happens while nodes fail.
	t.Run("apart", func(t *testing.T) {
		w := newGaleraWorld(t, c)
		var members []*storetest.Member
		for i := range 3 {
			w.opt.Hosts = append(c.Hosts()[i:], c.Hosts()[:i]...)
			members = append(members, w.open("").Ready(t))
		}
		l := newLedger(t, 30, members...)
		l.more(3000)
		l.end()
	})
	t.Run("ledger", func(t *testing.T) {
		w := newGaleraWorld(t, c)
		l := newLedger(t, 30, w.open("").Ready(t), w.open("").Ready(t), w.open("").Ready(t))
		for _, fail := range []func(){
			func() { c.Nodes[0].Kill(); l.more(100); c.Nodes[0].Rejoin() },
			func() { c.Nodes[1].Kill(); l.more(100); c.Nodes[1].Rejoin() },
			func() {
				c.Nodes[0].Signal(syscall.SIGSTOP)
				time.Sleep(20 * time.Second) // the others exclude it
				c.Nodes[0].Signal(syscall.SIGCONT)
				c.Nodes[0].Synced()
			},
			func() { c.Nodes[0].Stop(); l.more(100); c.Nodes[0].Run(); c.Nodes[0].Synced() },
			func() {
				c.Nodes[0].Isolate(true) // cut off from the others
				l.more(100)
				c.Nodes[0].Isolate(false)
				c.Nodes[0].Synced()
			},
			func() { l.restore(c.Nodes[0], w.opt.Database) },
			func() {
				full() // the node ends, or leaves the cluster
				l.more(200)
				c.Nodes[0].Kill()
				free()
				c.Nodes[0].Rejoin()
			},
		} {
			l.more(200)
			fail()
		}
		l.more(200)
		l.end()
	})
}
