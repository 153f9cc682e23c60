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

// Run serves until ctx ends, then drains and closes the node: see
// docs/operations.md. It is called once.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	if n.predecessor != nil {
		if err := n.predecessor.commit(); err != nil {
			return err
		}
	}
	cancelLevel := n.engine.Subscribe([]string{propLogLevel}, func([]cascade.EffectiveChange) { n.setLevel() })
	defer cancelLevel()
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
	defer cancelGate()

	n.store.Start(n.stored)
	if n.start != nil {
		n.start()
		n.recheck.Changed() // what changed at the very end may not have been looked at
		n.tookOver()
	}
	background, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	failed := make(chan error, 1+3) // the engine and each listener
	wg.Go(func() {
		if err := n.engine.Run(background); err != nil {
			failed <- err
		}
	})
	wg.Go(func() { n.recheck.Run(background, n.api.CloseRefused) })
	wg.Go(func() { n.api.FollowClosings(background) })
	wg.Go(func() { n.api.RunRegistrations(background, n.state) })
	wg.Go(func() { n.api.RunSamples(background) })
	wg.Go(func() { n.api.RunReloadLog(background) })
	if n.platform != nil {
		wg.Go(func() { n.platform.Run(background) })
	}
	if n.link != nil {
		defer n.followTimings()()
		wg.Go(func() { n.link.Run(background) })
		wg.Go(func() { n.followSalt(background) })
	}
	if n.appSuite != nil {
		wg.Go(func() { n.appSuite.Run(background) })
	}
	if n.certificate != nil {
		wg.Go(func() { n.certificate.Run(background) })
		n.public = websockets.ListenTLS(n.public, n.certificate.Config())
	}
	if n.adminCert != nil {
		wg.Go(func() { n.adminCert.Run(background) })
		n.admin = tls.NewListener(n.admin, n.adminCert.Config())
	}
	if n.tokenFile != nil {
		wg.Go(func() { n.tokenFile.Run(background) })
	}
	admin := n.api.AdminPages()
	servers := []*http.Server{n.api.PublicListener(), n.api.Listener(admin), n.api.SocketListener(admin, n.socket)}
	var running requests
	for _, h := range servers {
		h.Handler = running.count(h.Handler)
	}
	for i, l := range []net.Listener{n.public, n.admin, n.socket} {
		wg.Go(func() {
			if err := servers[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	n.api.SetReady(true)
	n.manager.ready(n.api.StatusLine())
	wg.Go(func() { n.manager.follow(background, n.api.StatusLine) })
	n.log.Info("serving", n.startLine()...)

	var err error
	var x *upgrade
	select {
	case <-ctx.Done():
	case err = <-failed:
	case x = <-n.upgrades.begun:
	}
	if x != nil && x.next != nil {
		f, err := n.freeze(servers, &running, func() {
			stop()
			wg.Wait()
		})
		if err != nil {
			return err
		}
		return n.handOver(x, f)
	}
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
	err = errors.Join(err, n.stopServing(limit, servers, &running))
	<-flushed
	stop()
	wg.Wait()
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

// Close releases what Open took, for a node that is not run. What Run has closed
// already stays so.
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
	if n.platform != nil {
		if err := n.platform.Close(); err != nil {
			n.log.Error("connections to the platform's database", "err", err)
		}
	}
	if n.redis != nil {
		_ = n.redis.Close()
	}
	_ = n.lock.Close()
}
