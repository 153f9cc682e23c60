package cli_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/testkit"
)

// netspace is a network namespace: a machine of its own, as far as the network goes.
type netspace struct {
	t    *testing.T
	name string
}

// lan are three of them: clients, a server, and a router between the two, which can
// do to packets what networks do. Nothing of it touches the network of this machine.
type lan struct {
	clients, router, server *netspace
}

// The addresses within a lan, which no other machine sees.
const (
	lanClient, lanClientGate = "10.91.1.2", "10.91.1.1"
	lanMoved, lanMovedGate   = "10.91.2.2", "10.91.2.1"
	lanServer, lanServerGate = "10.91.3.2", "10.91.3.1"
)

var netspaces atomic.Int32

func newNetspace(t *testing.T, role string) *netspace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces are made by root: run this test as root (testdata/needs.md)")
	}
	n := &netspace{t, fmt.Sprintf("sluice-%d-%d-%s", os.Getpid(), netspaces.Add(1), role)}
	ip(t, "netns", "add", n.name)
	t.Cleanup(func() { ip(t, "netns", "del", n.name) })
	n.ip("link", "set", "lo", "up")
	return n
}

// ip configures the network; it is of iproute2.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(testkit.Tool(t, "ip", "iproute2"), args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

func (n *netspace) ip(args ...string) {
	n.t.Helper()
	ip(n.t, append([]string{"-n", n.name}, args...)...)
}

// in are the words before a command line that have it run in the namespace.
func (n *netspace) in() []string {
	n.t.Helper()
	return []string{testkit.Tool(n.t, "nsenter", "util-linux"), "--net=" + n.file()}
}

func (n *netspace) file() string { return filepath.Join("/run/netns", n.name) }

// do calls f on a thread that is in the namespace: a socket that f makes stays there.
func (n *netspace) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		fd, err := unix.Open(n.file(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (n *netspace) listen(address string) (l net.Listener, err error) {
	err = n.do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

func (n *netspace) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = n.do(func() (err error) {
		c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// write sets a variable of the namespace's kernel.
func (n *netspace) write(path, value string) {
	n.t.Helper()
	if err := n.do(func() error { return os.WriteFile(path, []byte(value), 0o644) }); err != nil {
		n.t.Fatal(err)
	}
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{newNetspace(t, "c"), newNetspace(t, "r"), newNetspace(t, "s")}
	for _, end := range []struct {
		n             *netspace
		address, gate string
		link          string
	}{{l.clients, lanClient, lanClientGate, "toclients"}, {l.server, lanServer, lanServerGate, "toserver"}} {
		l.router.ip("link", "add", end.link, "type", "veth", "peer", "name", "eth", "netns", end.n.name)
		l.router.ip("address", "add", end.gate+"/24", "dev", end.link)
		l.router.ip("link", "set", end.link, "up")
		end.n.ip("address", "add", end.address+"/24", "dev", "eth")
		end.n.ip("link", "set", "eth", "up")
		end.n.ip("route", "add", "default", "via", end.gate)
	}
	l.router.ip("address", "add", lanMovedGate+"/24", "dev", "toclients")
	l.forward(true)
	return l
}

// forward has the router pass packets, or drop all of them without a word to anybody.
func (l *lan) forward(on bool) {
	l.router.t.Helper()
	value := "0"
	if on {
		value = "1"
	}
	l.router.write("/proc/sys/net/ipv4/ip_forward", value)
}

// move gives the clients another address, and takes theirs away.
func (l *lan) move() {
	l.router.t.Helper()
	l.clients.ip("address", "add", lanMoved+"/24", "dev", "eth")
	l.clients.ip("route", "replace", "default", "via", lanMovedGate)
	l.clients.ip("address", "del", lanClient+"/24", "dev", "eth")
}

// forget has the router drop what belongs to connections that there are now, in both
// directions: it lets new ones through.
func (l *lan) forget() (connections int) {
	l.router.t.Helper()
	for _, c := range l.connections() {
		_, port, err := net.SplitHostPort(c.peer)
		if err != nil {
			l.router.t.Fatal(err)
		}
		for _, side := range []string{"sport", "dport"} {
			l.router.ip("rule", "add", "ipproto", "tcp", side, port, "type", "blackhole")
		}
		connections++
	}
	return connections
}

// tcpConnection is a connection of the server, as its kernel sees it.
type tcpConnection struct {
	unacknowledged string // bytes that were sent and not acknowledged
	peer           string
}

// connections are those that clients have with the server.
func (l *lan) connections() (list []tcpConnection) {
	l.server.t.Helper()
	ss := testkit.Tool(l.server.t, "ss", "iproute2")
	out, err := exec.Command(l.server.in()[0], append(l.server.in()[1:], ss, "-Htn", "state", "established")...).CombinedOutput()
	if err != nil {
		l.server.t.Fatalf("ss: %v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.Fields(line); len(f) >= 4 && !strings.HasPrefix(f[3], "127.") && !strings.HasPrefix(f[3], lanServer+":") {
			list = append(list, tcpConnection{f[1], f[3]})
		}
	}
	return list
}
