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
)

// Run serves until ctx ends, then drains and closes the node: see
// docs/operations.md. It is called once.
func (s *Node) Run(ctx context.Context) error {
	defer s.Close()
	if s.predecessor != nil {
		if err := s.predecessor.commit(); err != nil {
			return err
		}
	}
	cancelLevel := s.engine.Subscribe([]string{propLogLevel}, func([]cascade.EffectiveChange) { s.setLevel() })
	defer cancelLevel()
	s.engine.SetBrake(s.api.CountClosing)
	cancelGate := s.engine.OnSwap(func(old, now *cascade.Snapshot) {
		s.api.Swapped(old, now)
		if s.link != nil {
			s.link.Announce()
		}
		if !gate.Unchanged(old, now) {
			s.recheck.Changed()
		}
	})
	defer cancelGate()

	s.store.Start(s.stored)
	if s.start != nil {
		s.start()
		s.recheck.Changed() // what changed at the very end may not have been looked at
		s.tookOver()
	}
	background, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	failed := make(chan error, 1+3) // the engine and each listener
	wg.Go(func() {
		if err := s.engine.Run(background); err != nil {
			failed <- err
		}
	})
	wg.Go(func() { s.recheck.Run(background, s.api.CloseRefused) })
	wg.Go(func() { s.api.FollowClosings(background) })
	wg.Go(func() { s.api.RunRegistrations(background, s.state) })
	wg.Go(func() { s.api.RunSamples(background) })
	wg.Go(func() { s.api.RunReloadLog(background) })
	if s.platform != nil {
		wg.Go(func() { s.platform.Run(background) })
	}
	if s.link != nil {
		defer s.followTimings()()
		wg.Go(func() { s.link.Run(background) })
		wg.Go(func() { s.followSalt(background) })
	}
	if s.appSuite != nil {
		wg.Go(func() { s.appSuite.Run(background) })
	}
	if s.certificate != nil {
		wg.Go(func() { s.certificate.Run(background) })
		s.public = tls.NewListener(s.public, s.certificate.Config())
	}
	if s.adminCert != nil {
		wg.Go(func() { s.adminCert.Run(background) })
		s.admin = tls.NewListener(s.admin, s.adminCert.Config())
	}
	if s.tokenFile != nil {
		wg.Go(func() { s.tokenFile.Run(background) })
	}
	admin := s.api.AdminPages()
	servers := []*http.Server{s.api.PublicListener(), s.api.Listener(admin), s.api.SocketListener(admin, s.socket)}
	var running requests
	for _, h := range servers {
		h.Handler = running.count(h.Handler)
	}
	for i, l := range []net.Listener{s.public, s.admin, s.socket} {
		wg.Go(func() {
			if err := servers[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	s.api.SetReady(true)
	s.manager.ready(s.api.StatusLine())
	wg.Go(func() { s.manager.follow(background, s.api.StatusLine) })
	s.log.Info("serving", s.startLine()...)

	var err error
	var x *upgrade
	select {
	case <-ctx.Done():
	case err = <-failed:
	case x = <-s.upgrades.begun:
	}
	if x != nil && x.next != nil {
		f, err := s.freeze(servers, &running, func() {
			stop()
			wg.Wait()
		})
		if err != nil {
			return err
		}
		return s.handOver(x, f)
	}
	s.api.SetReady(false)
	within := s.settings.Config().DrainSpread + drainGrace
	if x != nil {
		s.log.Warn("draining, to go on as another version", "to", x.to, "because", x.drain)
		s.manager.reloading()
		err = &Unfinished{}
	} else {
		s.manager.stopping(within)
	}
	limit, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	flushed := s.flush(limit)
	err = errors.Join(err, s.sockets.Shutdown(limit))
	if s.link != nil {
		s.link.Posted(limit) // how far each client has got
	}
	err = errors.Join(err, s.stopServing(limit, servers, &running))
	<-flushed
	stop()
	wg.Wait()
	if s.link != nil {
		s.leave()
	}
	s.log.Info("stopped")
	return err
}

// Reload reads the trees again and tells the service manager. It returns when
// what they say now counts, or why it does not.
func (s *Node) Reload(ctx context.Context) error {
	s.manager.reloading()
	_, err := s.engine.Reload(ctx)
	s.manager.ready(s.api.StatusLine())
	return err
}

// Close releases what Open took, for a node that is not run. What Run has closed
// already stays so.
func (s *Node) Close() {
	for _, l := range []net.Listener{s.public, s.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.socket != nil {
		_ = s.socket.Close()
	}
	if s.sockets != nil {
		s.sockets.Close()
	}
	if s.own != nil {
		s.own.Close()
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.log.Error("store", "err", err)
		}
	}
	if s.database != nil {
		if err := s.database.Close(); err != nil {
			s.log.Error("connections to the database", "err", err)
		}
	}
	if s.platform != nil {
		if err := s.platform.Close(); err != nil {
			s.log.Error("connections to the platform's database", "err", err)
		}
	}
	if s.redis != nil {
		_ = s.redis.Close()
	}
	_ = s.lock.Close()
}
