package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/platform"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/mariadb"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
	"github.com/seed47708276/sluice/websockets/appsuite"
)

// serverOptions are the flags of serve.
type serverOptions struct {
	etc       []string
	directory string
	state     string
	newState  bool // the state folder may be new, whatever is known of an older one
	tolerate  bool
	public    string // HOST:PORT instead of the properties
	admin     string
	socket    string // path of the admin socket instead of the property
	ownState  bool   // the command line names the state folder
	stderr    io.Writer
}

// server is one running Sluice: what serve and demo start.
type server struct {
	engine  *cascade.Engine
	sockets *websockets.Server
	api     *httpapi.Server
	log     *slog.Logger
	level   *slog.LevelVar
	lock    *os.File

	store         *store.Store
	setup         httpapi.StoreSetup
	storeLink     *remote.StoreLink  // nil: no other member is asked for the store
	database      *mariadb.Database  // nil: it is not in one
	platform      *platform.Platform // nil: its database is not read
	fixed         bool               // the directory comes from a file
	settings      *httpapi.Settings
	certificate   *httpapi.Certificate       // of the public listener; nil: no TLS
	adminCert     *httpapi.Certificate       // of the admin listener; nil: no TLS
	tokenFile     *httpapi.TokenFile         // nil: none is configured
	own           *websockets.MemorySessions // nil: they are in Redis
	appSuite      *appsuite.Store            // nil: they are our own
	redis         redis.UniversalClient      // nil: it is not used
	link          *remote.Link               // nil: this member is alone
	member        string                     // name of this member
	salt          ownSalt
	redisWarning  string // what is not safe about the way to Redis; "": nothing
	public, admin net.Listener
	socket        *httpapi.AdminSocket
	recheck       chan struct{} // a swap happened: ask the gate for everybody
	roots         []string
	state         string
	fresh         bool            // the state folder is new or empty
	manager       *serviceManager // nil: no service manager asked for word
}

// drainGrace bounds the time from the end of sluice.drain.spread to that of the
// process: the last sockets have 2 s, and requests that run the rest.
const drainGrace = 20 * time.Second

func openServer(opt serverOptions) (_ *server, err error) {
	s := &server{roots: opt.etc, state: opt.state, level: &slog.LevelVar{}, recheck: make(chan struct{}, 1)}
	s.log = slog.New(slog.NewTextHandler(opt.stderr, &slog.HandlerOptions{Level: s.level}))
	if s.manager, err = newServiceManager(os.Getenv, s.log); err != nil {
		return nil, err
	}
	if s.lock, err = lockState(opt.state); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	state, err := filepath.Abs(opt.state)
	if err != nil {
		return nil, err
	}
	if err := httpapi.RemovePlans(state); err != nil {
		s.log.Warn("temporary files of plans, left by a killed server, cannot be removed", "err", err)
	}
	copt := cascade.Options{
		Roots: opt.etc, Schema: Schema(), State: opt.state, TolerateBadFiles: opt.tolerate, Logger: s.log,
		Gate: websockets.PropEnabled, Flags: addressFlags(opt),
	}
	s.fresh = freshState(opt.state)
	if s.fresh && !opt.newState {
		copt.Ready = s.mustExist
	}
	if opt.directory != "" {
		copt.Source = cascade.NewDirectoryFile(opt.directory)
	}
	s.salt.path = filepath.Join(opt.state, saltFile)
	salt, err := s.salt.read()
	if err != nil {
		return nil, err
	}
	// A change that was held is known by its digest.
	copt.Schema.SetDigestKey(digestKey(salt))
	if s.engine, err = cascade.Open(copt); err != nil {
		return nil, err
	}
	s.setLevel()
	files, err := httpapi.FileLimit()
	if err != nil {
		return nil, err
	}
	s.settings = httpapi.NewSettings(s.engine, s.log, salt, files)
	if s.certificate, err = s.loadCertificate(httpapi.PropPublicCert, httpapi.PropPublicKey); err != nil {
		return nil, err
	}
	if s.adminCert, err = s.loadCertificate(httpapi.PropAdminCert, httpapi.PropAdminKey); err != nil {
		return nil, err
	}
	if s.tokenFile, err = s.loadTokens(); err != nil {
		return nil, err
	}
	if s.member, err = s.memberName(); err != nil {
		return nil, err
	}
	if err := s.openLink(); err != nil {
		return nil, err
	}
	if err := s.knownState(opt.newState); err != nil {
		return nil, err
	}
	if err := s.openStore(opt); err != nil {
		return nil, err
	}
	if err := s.openPlatform(); err != nil {
		return nil, err
	}
	sessions, err := s.openSessions()
	if err != nil {
		return nil, err
	}
	closings := httpapi.NewClosings()
	sopt := websockets.Options{Gate: httpapi.NewGate(s.engine, closings), Sessions: sessions, Config: s.settings.Config, Logger: s.log, Watcher: watcher{s}}
	if s.platform != nil {
		sopt.Load = s.loadUser
	}
	if s.link != nil {
		sopt.Registry = registry{s.link}
		sopt.Others = s.otherSockets
		sopt.Peers, sopt.Origin = peers{s.link}, s.link.Incarnation()
	}
	s.sockets = websockets.New(sopt)
	s.endOwnersOfLog()
	if s.public, err = s.listen(opt.public, httpapi.PropPublicHost, httpapi.PropPublicPort); err != nil {
		return nil, err
	}
	if s.admin, err = s.listen(opt.admin, httpapi.PropAdminHost, httpapi.PropAdminPort); err != nil {
		return nil, err
	}
	s.warnOfPlainTokens()
	if s.socket, err = httpapi.ListenAdminSocket(s.socketPath(opt), s.engine.Text(httpapi.PropSocketGroup).Server()); err != nil {
		return nil, err
	}
	aopt := httpapi.Options{
		Engine: s.engine, Sockets: s.sockets, Sessions: sessions, Config: s.settings.Config, Logger: s.log,
		Member: s.member, Version: thisBuild().Version, Files: files,
		Certificate: s.certificate, AdminCertificate: s.adminCert, Tokens: httpapi.NewStoreTokens(s.store), TokenFile: s.tokenFile,
		Store: s.store, StoreSetup: s.setup, Fixed: s.fixed, Roots: opt.etc, State: state, Closings: closings,
	}
	aopt.RedisWarning, aopt.Doctor = s.redisWarning, examineFor
	if s.platform != nil {
		aopt.Platform = s.platform
	}
	if s.link != nil {
		aopt.Cluster, aopt.DigestsAgreed = s.link, s.salt.agreed.Load
	}
	s.api = httpapi.New(aopt)
	return s, nil
}

func (s *server) listen(flag, host, port string) (net.Listener, error) {
	addr := flag
	if addr == "" {
		addr = net.JoinHostPort(s.engine.Text(host).Server(), strconv.FormatInt(s.engine.Int(port).Server(), 10))
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: is another server running? %s and %s choose another address", err, host, port)
	}
	return l, nil
}

func (s *server) setLevel() {
	// The property's values are slog's own names.
	if err := s.level.UnmarshalText([]byte(s.engine.Text(propLogLevel).Server())); err != nil {
		s.log.Error("log level", "err", err)
	}
}

// run serves until ctx ends, then drains.
func (s *server) run(ctx context.Context) error {
	defer s.close()
	cancelLevel := s.engine.Subscribe([]string{propLogLevel}, func([]cascade.EffectiveChange) { s.setLevel() })
	defer cancelLevel()
	s.engine.SetBrake(s.api.CountClosing)
	cancelGate := s.engine.OnSwap(func(old, now *cascade.Snapshot) {
		s.api.Swapped(old, now)
		if s.link != nil {
			s.link.Announce()
		}
		select {
		case s.recheck <- struct{}{}:
		default:
		}
	})
	defer cancelGate()

	s.store.Start(s.stored)
	background, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	failed := make(chan error, 1+3) // the engine and each listener
	wg.Go(func() {
		if err := s.engine.Run(background); err != nil {
			failed <- err
		}
	})
	wg.Go(func() { s.gate(background) })
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
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.api.SetReady(false)
	within := s.settings.Config().DrainSpread + drainGrace
	s.manager.stopping(within)
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

// gate asks again for every connected user after each change of files,
// directory or overrides. Swaps that come while it works count as one.
func (s *server) gate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.recheck:
			s.api.CloseRefused()
		}
	}
}

// close releases what openServer took; what run has closed already stays so.
func (s *server) close() {
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
