package cli_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/websockets"
)

// restarts are members that restart in turn behind a proxy.
type restarts struct {
	drain, rebalance time.Duration // over which sockets are closed
	pauses           []time.Duration
	exact            bool // the limits of time are checked, too: nothing else runs on this machine
}

// What is promised of a rolling restart.
const (
	rollingClients = 50
	// halfGone is how long fewer than half of the clients may be connected.
	halfGone = 5 * time.Second
	// allBack is when all are connected again, after the last member serves.
	allBack = 10 * time.Second
	// inBalance is when no member has more than mostShare of all sockets.
	inBalance = 2 * time.Minute
	mostShare = 0.65
)

// TestRestarts restarts the members behind each proxy of docs/proxy.md in turn.
// The clients have the options of App Suite's front end: they retry in step, and
// each refusal doubles their wait.
func TestRestarts(t *testing.T) {
	how := restarts{drain: time.Second, rebalance: 2 * time.Second, pauses: []time.Duration{0}}
	if *torture {
		how = restarts{drain: websockets.DefaultDrainSpread, rebalance: websockets.DefaultRebalance, pauses: []time.Duration{0, 35 * time.Second}, exact: true}
	}
	for name, start := range map[string]startEdge{"nginx": nginxEdge, "apache": apacheEdge, "haproxy": haproxyEdge, "ingress": ingressEdge} {
		for _, pause := range how.pauses {
			t.Run(fmt.Sprint(name, " with ", pause, " between"), func(t *testing.T) {
				t.Parallel()
				how.roll(t, start, pause)
			})
		}
	}
}

// newPair is a cluster of two members with fixed addresses, behind a proxy.
func newPair(t *testing.T, lines ...string) (f *fleet, addrs []string) {
	t.Helper()
	redis := redistest.Start(t)
	f = &fleet{t: t, lines: append([]string{"com.openexchange.redis.hosts=" + redis.Addr}, lines...)}
	for i := range 2 {
		addr := keptAddr(t)
		m := &member{name: "m" + strconv.Itoa(i), args: []string{"--public", addr}}
		f.members, addrs = append(f.members, m), append(addrs, addr)
		f.launch(m)
	}
	f.meet()
	return f, addrs
}

// firstKeptPort and those after it are below the ports that Linux gives away by
// itself (32768 and above).
const firstKeptPort = 21000

var keptPorts atomic.Int32

// keptAddr is a free address that nothing on this machine is given by chance, so
// that a member finds it free again when it restarts.
func keptAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.1.1:%d", firstKeptPort+keptPorts.Add(1)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	t.Fatal("no address is free")
	return ""
}

func (how restarts) roll(t *testing.T, start startEdge, pause time.Duration) {
	f, addrs := newPair(t, "sluice.drain.spread="+how.drain.String(), websockets.PropRebalance+"=true", websockets.PropRebalanceSpread+"="+how.rebalance.String())
	e := start(t, documentedIdle, addrs...)
	c := newCrowd(t, f.members[0], e, rollingClients, "sio1", "sio2", "sio3", "sio4")
	for i, m := range f.members {
		if i > 0 {
			time.Sleep(pause) // what is tested is this time
		}
		m.signal(syscall.SIGTERM)
		if code := m.wait(); code != 0 {
			t.Errorf("%s exits with %d\n%s", m.name, code, m.log())
		}
		f.launch(m)
	}
	served := time.Now()
	c.await(f.members[0], "all clients are back", func() bool { return c.connected() == rollingClients })
	back := time.Since(served)
	below := c.longestBelow(rollingClients / 2)
	t.Logf("all back after %v, fewer than half connected for %v, %d refusals seen by clients", back.Round(10*time.Millisecond), below.Round(10*time.Millisecond), c.count("connect_error"))
	if how.exact && (back > allBack || below > halfGone) {
		t.Errorf("want all back within %v, and fewer than half for at most %v", allBack, halfGone)
	}
	for status, n := range e.statuses(t) {
		if status == "502" {
			t.Errorf("the proxy has answered %s %d times", status, n)
		}
	}
	shares := f.shares(served.Add(inBalance))
	t.Logf("in balance after %v: %v", time.Since(served).Round(time.Second), shares)
	if f.uneven(shares) {
		t.Errorf("%v sockets after %v: want at most %.0f %% on a member", shares, inBalance, 100*mostShare)
	}
	c.await(f.members[0], "all clients are back again", func() bool { return c.connected() == rollingClients })
}

// shares are the sockets of each member, once they are even, or at the limit.
func (f *fleet) shares(limit time.Time) (counts []int) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		counts = nil
		for _, m := range f.members {
			var list struct {
				Members []struct {
					Self    bool
					Sockets int
				}
			}
			m.request("GET", "/admin/v1/members", "", &list)
			for _, x := range list.Members {
				if x.Self {
					counts = append(counts, x.Sockets)
				}
			}
		}
		if !f.uneven(counts) || time.Now().After(limit) {
			return counts
		}
		<-tick.C
	}
}

// uneven reports whether a member has more than its share, or some sockets are
// nowhere.
func (f *fleet) uneven(counts []int) bool {
	sum, most := 0, 0
	for _, n := range counts {
		sum, most = sum+n, max(most, n)
	}
	return len(counts) != len(f.members) || float64(most) > mostShare*rollingClients || sum < rollingClients*9/10
}

var loggedStatus = regexp.MustCompile(`/socket\.io/appsuite/"? (\d{3}) `)

// statuses counts what the proxy has answered, by its log.
func (e *edge) statuses(t *testing.T) map[string]int {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(e.logs))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, m := range loggedStatus.FindAllSubmatch(b, -1) {
		counts[string(m[1])]++
	}
	if len(counts) == 0 {
		t.Errorf("no requests in the log of the proxy:\n%.2000s", b)
	}
	t.Logf("answers of the proxy so far: %v", counts)
	return counts
}
