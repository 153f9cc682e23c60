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
func (s *Node) freeze(servers []*http.Server, running *requests, stop func()) (*Frozen, error) {
	f := &Frozen{began: time.Now(), version: s.version, last: s.upgrades.Last()}
	var err error
	for _, l := range []struct {
		from net.Listener
		to   *frozenListener
		addr string
	}{{s.publicTCP, &f.public, s.publicAddress}, {s.adminTCP, &f.admin, s.adminAddress}, {s.socket.UnixListener, &f.socket, s.socket.Path()}} {
		l.to.address = l.addr
		if l.to.file, err = l.from.(interface{ File() (*os.File, error) }).File(); err != nil {
			return nil, errors.Join(fmt.Errorf("a listener cannot be kept: %w", err), f.closeFiles())
		}
	}
	s.socket.SetUnlinkOnClose(false)
	s.endRequests(servers, running)
	s.api.HaltDeliveries()
	s.api.ClosePushes()
	stop()
	if s.own != nil {
		s.own.Close()
		s.own = nil
	}
	if s.link != nil {
		s.link.Halt()
	}
	f.sockets = s.sockets.Freeze()
	if s.link != nil {
		f.link = s.link.State(f.sockets.Since)
	}
	f.remembered = s.api.Remembered()
	f.lock, s.lock = s.lock, nil
	s.Close()
	s.log.Info("the store is closed, and nothing is under way: whoever goes on has all of it", "sockets", len(f.sockets.Sockets), "ms", f.gap().Milliseconds())
	return f, nil
}

// endRequests closes the listeners of a node, but not those that its successor has,
// and waits a moment for what runs.
func (s *Node) endRequests(servers []*http.Server, running *requests) {
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
		s.log.Warn("requests are cut off: their callers get no answer, and ask again", slog.Duration("after", 2*requestPatience))
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
func (s *Node) thaw(f *Frozen) (start func(), err error) {
	s.api.Remember(&f.remembered)
	s.upgrades.last = f.last
	return s.sockets.Thaw(f.sockets)
}
