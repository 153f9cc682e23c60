package node

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/seed47708276/sluice/httpapi"
)

// spareFiles is what a process needs beside its sockets when it takes over:
// listeners, the store, Redis, the trees.
const spareFiles = 64

// upgrades starts successors, one at a time.
type upgrades struct {
	node  *Node
	path  string // of the binary; "": none is started
	args  []string
	begun chan *upgrade

	mu   sync.Mutex
	busy bool
	last *httpapi.Upgraded
}

// upgrade is one that has begun.
type upgrade struct {
	next  *successor // nil: the sockets are drained, and the binary runs in the place of this process
	to    string
	drain string // why
}

func newUpgrades(s *Node, opt *Options) *upgrades {
	return &upgrades{node: s, path: opt.Executable, args: opt.Args, begun: make(chan *upgrade, 1)}
}

// Last implements httpapi.Upgrader.
func (u *upgrades) Last() *httpapi.Upgraded {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

// Start implements httpapi.Upgrader.
func (u *upgrades) Start() (up httpapi.Upgrading, err error) {
	u.mu.Lock()
	busy := u.busy
	u.busy = true
	u.mu.Unlock()
	if busy {
		return up, &httpapi.UpgradeError{Err: errors.New("an upgrade has begun already: wait for it")}
	}
	x, err := u.begin()
	if err != nil {
		u.over(httpapi.Upgraded{Error: err.Error()})
		return up, &httpapi.UpgradeError{Err: fmt.Errorf("nothing was handed over, and this process goes on: %w", err)}
	}
	up = httpapi.Upgrading{Way: httpapi.UpgradeHandover, Version: x.to}
	if x.next == nil {
		up.Way, up.Because = httpapi.UpgradeDrain, x.drain
	}
	u.begun <- x
	return up, nil
}

// over notes what came of an upgrade after which this process goes on.
func (u *upgrades) over(x httpapi.Upgraded) {
	x.Time, x.From = time.Now().UTC(), u.node.version
	u.node.log.Error("upgrade failed: this process goes on", "to", x.To, "err", x.Error)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy, u.last = false, &x
}

// begin starts the next process and decides whether it can take over.
func (u *upgrades) begin() (*upgrade, error) {
	if u.path == "" {
		return nil, errors.New("it does not know its binary: it was not started by `sluice serve`, or /proc is not mounted; restart it")
	}
	next, err := startSuccessor(u.path, u.args)
	if err != nil {
		return nil, err
	}
	x := &upgrade{next: next, to: next.version, drain: u.mustDrain(next)}
	if x.drain != "" {
		next.kill()
		x.next = nil
		return x, nil
	}
	if err := next.prepared(); err != nil {
		next.kill()
		return nil, fmt.Errorf("version %s cannot serve what this one does: %w", next.version, err)
	}
	return x, nil
}

// mustDrain is why sockets cannot be handed over; "": they can.
func (u *upgrades) mustDrain(next *successor) string {
	if next.format != handoverFormat {
		return fmt.Sprintf("version %s takes over in format %.20s, and this one hands over in format %s", next.version, next.format, handoverFormat)
	}
	if n := u.node.sockets.Bound(); n > 0 || u.node.certificate != nil {
		return fmt.Sprintf("the listener for clients has TLS of its own, whose state is in this process (%d sockets)", n)
	}
	used, err1 := openFiles()
	limit, err2 := httpapi.FileLimit()
	if err := errors.Join(err1, err2); err != nil {
		return "the descriptors of this process cannot be counted: " + err.Error()
	}
	if used+spareFiles > limit {
		return fmt.Sprintf("%d of %d descriptors are in use, and the next process needs %d beside them", used, limit, spareFiles)
	}
	return ""
}

func openFiles() (int, error) {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return len(names), err
}

// Unfinished is returned by Run where Options.Executable is set and somebody has
// asked for an upgrade: the caller goes on, with a node that is opened with Frozen, or
// with the binary in the place of the process.
type Unfinished struct {
	Frozen *Frozen // nil: the binary
}

func (u *Unfinished) Error() string { return "the node is not over" }

// handOver has the next process go on, or whoever opens a node with what is returned.
func (n *Node) handOver(x *upgrade, f *Frozen) error {
	me := os.Getpid()
	told := false
	err := x.next.give(f, func(pid int) {
		told = true
		n.manager.successor(pid)
	})
	if err == nil {
		n.log.Info("handed over", "to", x.to, "process", x.next.cmd.Process.Pid, "sockets", len(f.sockets.Sockets), "closed", f.sockets.Closed, "ms", f.gap().Milliseconds())
		return nil
	}
	if told {
		n.manager.successor(me)
	}
	n.upgrades.over(httpapi.Upgraded{To: x.to, Closed: f.sockets.Closed, Error: err.Error()})
	f.last = n.upgrades.Last()
	return &Unfinished{f}
}

// tookOver says that the node has gone on with what another one was, and remembers it
// where that was another process.
func (n *Node) tookOver() {
	f := n.frozen
	n.frozen, n.start = nil, nil // they are as large as all that was handed over
	if n.predecessor == nil {
		n.log.Warn("going on, as nobody has taken over", "sockets", len(f.sockets.Sockets), "closed", f.sockets.Closed, "ms", f.gap().Milliseconds())
		return
	}
	x := &httpapi.Upgraded{
		Time: time.Now().UTC(), From: f.version, To: n.version, Sockets: len(f.sockets.Sockets), Closed: f.sockets.Closed, Ms: f.gap().Milliseconds(),
	}
	n.log.Info("took over", "from", x.From, "sockets", x.Sockets, "closed", x.Closed, "ms", x.Ms)
	n.upgrades.mu.Lock()
	n.upgrades.last = x
	n.upgrades.mu.Unlock()
}
