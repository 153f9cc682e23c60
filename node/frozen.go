package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

// Frozen is a node of which nothing is under way any more: its sockets and
// listeners are open, its store is closed. Another node, of this process or of the
// next one, goes on with it.
type Frozen struct {
	began         time.Time // no message is delivered since then
	version       string
	sockets       *websockets.Frozen
	link          *remote.State // nil: the member is alone
	remembered    httpapi.Remembered
	lock          *os.File // of the state folder
	public, admin frozenListener
	socket        frozenListener
	last          *httpapi.Upgraded
}

// frozenListener is a listener, and the address that it was asked for.
type frozenListener struct {
	address string
	file    *os.File
}

// requestPatience is how long requests that run may take when a node freezes: new
// ones wait meanwhile, and so do messages.
const requestPatience = 300 * time.Millisecond

// freeze ends what Run has started. What clients and other members send from now on
// waits for whoever goes on.
func (n *Node) freeze(servers []*http.Server, running *requests, stop func()) (*Frozen, error) {
	f := &Frozen{began: time.Now(), version: n.version, last: n.upgrades.Last()}
	var err error
	for _, l := range []struct {
		from net.Listener
		to   *frozenListener
		addr string
	}{{n.publicTCP, &f.public, n.publicAddress}, {n.adminTCP, &f.admin, n.adminAddress}, {n.socket.UnixListener, &f.socket, n.socket.Path()}} {
		l.to.address = l.addr
		if l.to.file, err = l.from.(interface{ File() (*os.File, error) }).File(); err != nil {
			return nil, errors.Join(fmt.Errorf("a listener cannot be kept: %w", err), f.closeFiles())
		}
	}
	n.socket.SetUnlinkOnClose(false)
	n.endRequests(servers, running)
	n.api.HaltDeliveries()
	n.api.ClosePushes()
	stop()
	if n.own != nil {
		n.own.Close()
		n.own = nil
	}
	if n.link != nil {
		n.link.Halt()
	}
	f.sockets = n.sockets.Freeze()
	if n.link != nil {
		f.link = n.link.State(f.sockets.Since)
	}
	f.remembered = n.api.Remembered()
	f.lock, n.lock = n.lock, nil
	n.Close()
	n.log.Info("the store is closed, and nothing is under way: whoever goes on has all of it", "sockets", len(f.sockets.Sockets), "ms", f.gap().Milliseconds())
	return f, nil
}

// endRequests closes the listeners of a node, but not those that its successor has,
// and waits a moment for what runs.
func (n *Node) endRequests(servers []*http.Server, running *requests) {
	ctx, cancel := context.WithTimeout(context.Background(), requestPatience)
	defer cancel()
	var wg sync.WaitGroup
	for _, h := range servers {
		wg.Go(func() {
			if h.Shutdown(ctx) != nil {
				_ = h.Close() // of connections whose clients are not there
			}
		})
	}
	wg.Wait()
	last, cancelLast := context.WithTimeout(context.Background(), requestPatience)
	defer cancelLast()
	if err := running.end(last); err != nil {
		n.log.Warn("requests are cut off: their callers get no answer, and ask again", slog.Duration("after", 2*requestPatience))
	}
}

func (f *Frozen) closeFiles() (err error) {
	for _, l := range []frozenListener{f.public, f.admin, f.socket} {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
	}
	return err
}

// take returns the listener where it is one for an address, or nil.
func (l *frozenListener) take(address string) (net.Listener, error) {
	if l.file == nil || l.address != address {
		return nil, nil
	}
	defer l.file.Close()
	return net.FileListener(l.file)
}

// thaw has the node go on with what another one was. What it returns has the sockets
// read and write.
func (n *Node) thaw(f *Frozen) (start func(), err error) {
	n.api.Remember(&f.remembered)
	n.upgrades.last = f.last
	return n.sockets.Thaw(f.sockets)
}
