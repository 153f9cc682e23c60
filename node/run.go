package node

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/node/gate"
	"github.com/seed47708276/sluice/websockets"
)

// service is what a node does while it runs.
type service struct {
	background context.Context // ends with stop
	stop       func()
	work       sync.WaitGroup
	failed     chan error
	servers    []*http.Server
	running    requests
}

// end returns when nothing runs in the background any more.
func (s *service) end() {
	s.stop()
	s.work.Wait()
}

// Run serves until ctx ends, then drains and closes the node: see
// docs/operations.md. It is called once.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	if n.predecessor != nil {
		if err := n.predecessor.commit(); err != nil {
			return err
		}
	}
	defer n.followFiles()()
	n.store.Start(n.stored)
	if n.start != nil {
		n.start()
		n.recheck.Changed() // what changed at the very end may not have been looked at
		n.tookOver()
	}
	s := n.startBackground()
	if n.link != nil {
		defer n.followTimings()()
	}
	n.serve(s)

	var err error
	var x *upgrade
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	case x = <-n.upgrades.begun:
	}
	if x != nil && x.next != nil {
		f, err := n.freeze(s.servers, &s.running, s.end)
		if err != nil {
			return err
		}
		return n.handOver(x, f)
	}
	return n.drain(s, x, err)
}

// followFiles has the parts of the node know of every change of the files. The
// caller calls cancel.
func (n *Node) followFiles() (cancel func()) {
	cancelLevel := n.engine.Subscribe([]string{propLogLevel}, func([]cascade.EffectiveChange) { n.setLevel() })
	n.engine.SetBrake(n.api.CountClosing)
	cancelGate := n.engine.OnSwap(func(old, now *cascade.Snapshot) {
		n.api.Swapped(old, now)
		if n.link != nil {
			n.link.Announce()
		}
		if !gate.Unchanged(old, now) {
			n.recheck.Changed()
		}
	})
	return func() {
		cancelGate()
		cancelLevel()
	}
}

// startBackground starts what runs beside the listeners.
func (n *Node) startBackground() *service {
	s := &service{failed: make(chan error, 1+3)} // the engine and each listener
	s.background, s.stop = context.WithCancel(context.Background())
	s.work.Go(func() {
		if err := n.engine.Run(s.background); err != nil {
			s.failed <- err
		}
	})
	s.work.Go(func() { n.recheck.Run(s.background, n.api.CloseRefused) })
	s.work.Go(func() { n.api.FollowClosings(s.background) })
	s.work.Go(func() { n.api.RunRegistrations(s.background, n.state) })
	s.work.Go(func() { n.api.RunSamples(s.background) })
	s.work.Go(func() { n.api.RunReloadLog(s.background) })
	if n.platform != nil {
		s.work.Go(func() { n.platform.Run(s.background) })
	}
	if n.link != nil {
		s.work.Go(func() { n.link.Run(s.background) })
		s.work.Go(func() { n.followSalt(s.background) })
	}
	if n.appSuite != nil {
		s.work.Go(func() { n.appSuite.Run(s.background) })
	}
	if n.certificate != nil {
		s.work.Go(func() { n.certificate.Run(s.background) })
	}
	if n.adminCert != nil {
		s.work.Go(func() { n.adminCert.Run(s.background) })
	}
	if n.tokenFile != nil {
		s.work.Go(func() { n.tokenFile.Run(s.background) })
	}
	return s
}

// serve answers on the listeners, and says that it does.
func (n *Node) serve(s *service) {
	if n.certificate != nil {
		n.public = websockets.ListenTLS(n.public, n.certificate.Config())
	}
	if n.adminCert != nil {
		n.admin = tls.NewListener(n.admin, n.adminCert.Config())
	}
	admin := n.api.AdminPages()
	s.servers = []*http.Server{n.api.PublicListener(), n.api.Listener(admin), n.api.SocketListener(admin, n.socket)}
	for _, h := range s.servers {
		h.Handler = s.running.count(h.Handler)
	}
	for i, l := range []net.Listener{n.public, n.admin, n.socket} {
		s.work.Go(func() {
			if err := s.servers[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- err
			}
		})
	}
	n.api.SetReady(true)
	n.manager.ready(n.api.StatusLine())
	s.work.Go(func() { n.manager.follow(s.background, n.api.StatusLine) })
	n.log.Info("serving", n.startLine()...)
}

// drain ends what serve and startBackground have begun, because of err or for an
// upgrade that hands nothing over; both may be nil.
func (n *Node) drain(s *service, x *upgrade, err error) error {
	n.api.SetReady(false)
	within := n.settings.Config().DrainSpread + drainGrace
	if x != nil {
		n.log.Warn("draining, to go on as another version", "to", x.to, "because", x.drain)
		n.manager.reloading()
		err = &Unfinished{}
	} else {
		n.manager.stopping(within)
	}
	limit, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	flushed := n.flush(limit)
	err = errors.Join(err, n.sockets.Shutdown(limit))
	if n.link != nil {
		n.link.Posted(limit) // how far each client has got
	}
	err = errors.Join(err, n.stopServing(limit, s.servers, &s.running))
	<-flushed
	s.end()
	if n.link != nil {
		n.leave()
	}
	n.log.Info("stopped")
	return err
}

// Reload reads the trees again and tells the service manager. It returns when
// what they say now counts, or why it does not.
func (n *Node) Reload(ctx context.Context) error {
	n.manager.reloading()
	_, err := n.engine.Reload(ctx)
	n.manager.ready(n.api.StatusLine())
	return err
}

// Close releases what Open took, the last first, for a node that is not run. What
// Run has closed already stays so.
func (n *Node) Close() {
	for _, l := range []net.Listener{n.public, n.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
	if n.socket != nil {
		_ = n.socket.Close()
	}
	if n.sockets != nil {
		n.sockets.Close()
	}
	if n.own != nil {
		n.own.Close()
	}
	if n.platform != nil {
		if err := n.platform.Close(); err != nil {
			n.log.Error("connections to the platform's database", "err", err)
		}
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Error("store", "err", err)
		}
	}
	if n.database != nil {
		if err := n.database.Close(); err != nil {
			n.log.Error("connections to the database", "err", err)
		}
	}
	if n.redis != nil {
		_ = n.redis.Close()
	}
	_ = n.lock.Close()
}
