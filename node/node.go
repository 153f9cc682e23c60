// Package node is one Sluice: it joins the cascade, the sockets, the link to the
// cluster and the API. `sluice serve` runs one, and so does a program that embeds
// Sluice.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/platform"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/mariadb"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/httpapi/console"
	"github.com/seed47708276/sluice/node/gate"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
	"github.com/seed47708276/sluice/websockets/appsuite"
)

// Options are what a node is opened with. State is required; everything else
// has a zero value that works.
type Options struct {
	Roots     []string // folders with trees of files; what a later one says wins
	Directory string   // YAML file with contexts and users instead of the store's; "": the store's
	// State is the folder of what must outlive a restart; it is made where it is
	// missing. One process at a time has it.
	State            string
	NewState         bool // it may be new, whatever is known of an older one
	TolerateBadFiles bool // open although a file has errors and no last good contents

	// Public and Admin are HOST:PORT of the listeners, instead of the properties.
	Public, Admin string
	// Socket is the path of the Unix socket for administrators, instead of the
	// property. Without either it is in the state folder, or at SystemSocket where
	// MachineSocket is set and that can be written.
	Socket        string
	MachineSocket bool

	// OnEvent answers events that clients send, see websockets.Options; nil: they are
	// ignored.
	OnEvent func(websockets.Event) (args json.RawMessage, attachments [][]byte)

	Log     io.Writer // lines of slog; nil: they are discarded
	Version string    // of the build, for administrators
	// Env is the environment in which a service manager says how it wants to be
	// told of the state, see sd_notify(3): os.Getenv. nil: nobody is told.
	Env func(string) string
	// Executable is the binary that an upgrade starts, with Args, the command line
	// behind its name; "": there are no upgrades. See Unfinished.
	Executable string
	Args       []string
	// Frozen is what a node of this process had, and Predecessor the way to that of
	// another one, with which this one goes on.
	Frozen      *Frozen
	Predecessor *Predecessor
	// Doctor examines users for the console; nil: it does not.
	Doctor func(ctx context.Context, api http.RoundTripper, context, user uint32) ([]console.Step, error)
}

// Node is one running Sluice: the cascade, the sockets, the link to the cluster
// and the API, joined.
type Node struct {
	engine  *cascade.Engine
	sockets *websockets.Server
	api     *httpapi.Server
	log     *slog.Logger
	lines   *httpapi.LogLines // of log, the last
	level   *slog.LevelVar
	lock    *os.File

	store         *store.Store
	setup         httpapi.StoreSetup
	storeLink     *remote.StoreLink  // nil: no other member is asked for the store
	database      *mariadb.Database  // nil: it is not in one
	platform      *platform.Platform // nil: its database is not read
	fixed         bool               // the directory comes from a file
	settings      *gate.Settings
	certificate   *httpapi.Certificate       // of the public listener; nil: no TLS
	adminCert     *httpapi.Certificate       // of the admin listener; nil: no TLS
	tokenFile     *auth.TokenFile            // nil: none is configured
	own           *websockets.MemorySessions // nil: they are in Redis
	appSuite      *appsuite.Store            // nil: they are our own
	redis         redis.UniversalClient      // nil: it is not used
	link          *remote.Link               // nil: this member is alone
	member        string                     // name of this member
	salt          ownSalt
	redisWarning  string // what is not safe about the way to Redis; "": nothing
	public, admin net.Listener
	socket        *httpapi.AdminSocket
	recheck       gate.Recheck
	roots         []string
	state         string
	fresh         bool            // the state folder is new or empty
	manager       *serviceManager // nil: no service manager asked for word
	version       string

	publicTCP, adminTCP         net.Listener // without their TLS
	publicAddress, adminAddress string       // as they were asked for
	upgrades                    *upgrades
	frozen                      *Frozen      // what it goes on with; nil: it begins
	predecessor                 *Predecessor // nil: no other process has its place
	start                       func()       // has thawed sockets read and write; nil: there are none
}

// drainGrace bounds the time from the end of sluice.drain.spread to that of the
// process: the last sockets have 2 s, and requests that run the rest.
const drainGrace = 20 * time.Second

// Open reads the trees, opens the store and the way to Redis, and takes the
// listeners. Who opens a node runs it, or closes it. Errors say what to change.
func Open(opt Options) (_ *Node, err error) {
	if opt.State == "" {
		return nil, errors.New("a node needs a state folder: set Options.State")
	}
	if opt.Log == nil {
		opt.Log = io.Discard
	}
	s := &Node{roots: opt.Roots, state: opt.State, version: opt.Version, level: &slog.LevelVar{}, recheck: gate.NewRecheck()}
	s.lines = httpapi.NewLogLines(opt.Log)
	s.log = slog.New(slog.NewTextHandler(s.lines, &slog.HandlerOptions{Level: s.level}))
	if opt.Env != nil {
		if s.manager, err = newServiceManager(opt.Env, s.log); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err == nil {
			return
		}
		if s.predecessor != nil {
			s.predecessor.refuse(err)
		}
		s.Close()
	}()
	if s.frozen, s.predecessor = opt.Frozen, opt.Predecessor; s.frozen != nil {
		s.lock = s.frozen.lock
	} else if s.predecessor == nil {
		if s.lock, err = LockState(opt.State); err != nil {
			return nil, err
		}
	}
	state, err := filepath.Abs(opt.State)
	if err != nil {
		return nil, err
	}
	copt := cascade.Options{
		Roots: opt.Roots, Schema: Schema(), State: opt.State, TolerateBadFiles: opt.TolerateBadFiles, Logger: s.log,
		Gate: websockets.PropEnabled, Flags: addressFlags(opt), Standby: s.predecessor != nil,
	}
	s.fresh = freshState(opt.State)
	if s.fresh && !opt.NewState {
		copt.Ready = s.mustExist
	}
	if opt.Directory != "" {
		copt.Source = cascade.NewDirectoryFile(opt.Directory)
	}
	s.salt.path = filepath.Join(opt.State, SaltFile)
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
	s.settings = gate.NewSettings(s.engine, s.log, salt, httpapi.MaxSockets(files))
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
	if s.predecessor != nil {
		if s.frozen, err = s.predecessor.receive(); err != nil {
			return nil, err
		}
		s.log.Info("everything of the other process is here: it is not needed any more", "sockets", len(s.frozen.sockets.Sockets), "ms", s.frozen.gap().Milliseconds())
		s.lock = s.frozen.lock
	}
	if err := s.openLink(); err != nil {
		return nil, err
	}
	if err := s.knownState(opt.NewState); err != nil {
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
	sopt := websockets.Options{Gate: gate.New(s.engine, closings), Sessions: sessions, Config: s.settings.Config, Logger: s.log, Watcher: watcher{s}, OnEvent: opt.OnEvent}
	if s.frozen != nil {
		sopt.Since = s.frozen.sockets.Since
	}
	if s.platform != nil {
		sopt.Load = s.loadUser
	}
	if s.link != nil {
		sopt.Registry = s.link
		sopt.Others = s.otherSockets
		sopt.Peers, sopt.Origin = peers{s.link}, s.link.Incarnation()
	}
	if s.sockets, err = websockets.New(sopt); err != nil {
		return nil, err
	}
	s.endOwnersOfLog()
	was := s.frozen
	if was == nil {
		was = &Frozen{}
	}
	if s.public, s.publicAddress, err = s.listen(&was.public, opt.Public, httpapi.PropPublicHost, httpapi.PropPublicPort); err != nil {
		return nil, err
	}
	if s.admin, s.adminAddress, err = s.listen(&was.admin, opt.Admin, httpapi.PropAdminHost, httpapi.PropAdminPort); err != nil {
		return nil, err
	}
	s.publicTCP, s.adminTCP = s.public, s.admin
	s.warnOfPlainTokens()
	if s.socket, err = s.listenSocket(&was.socket, s.socketPath(opt)); err != nil {
		return nil, err
	}
	s.upgrades = newUpgrades(s, &opt)
	aopt := httpapi.Options{
		Engine: s.engine, Sockets: s.sockets, Sessions: sessions, Config: s.settings.Config, Logger: s.log,
		Member: s.member, Version: opt.Version, Files: files,
		Certificate: s.certificate, AdminCertificate: s.adminCert, Tokens: auth.NewStoreTokens(s.store), TokenFile: s.tokenFile,
		Store: s.store, StoreSetup: s.setup, Fixed: s.fixed, Roots: opt.Roots, State: state, Closings: closings,
	}
	aopt.RedisWarning, aopt.Doctor, aopt.Log, aopt.Upgrader = s.redisWarning, opt.Doctor, s.lines, s.upgrades
	if s.platform != nil {
		aopt.Platform = s.platform
	}
	if s.link != nil {
		aopt.Cluster, aopt.DigestsAgreed = s.link, s.salt.agreed.Load
	}
	if s.api, err = httpapi.New(aopt); err != nil {
		return nil, err
	}
	if s.frozen != nil {
		if s.start, err = s.thaw(s.frozen); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// listen returns the listener of an address that was open, or opens it.
func (n *Node) listen(was *frozenListener, flag, host, port string) (l net.Listener, addr string, err error) {
	addr = flag
	if addr == "" {
		addr = net.JoinHostPort(cascade.ServerValue[string](n.engine.Snapshot(), host), strconv.FormatInt(cascade.ServerValue[int64](n.engine.Snapshot(), port), 10))
	}
	if l, err = was.take(addr); l != nil || err != nil {
		return l, addr, err
	}
	if l, err = net.Listen("tcp", addr); err != nil {
		return nil, addr, fmt.Errorf("%w: is another server running? %s and %s choose another address", err, host, port)
	}
	return l, addr, nil
}

// listenSocket is listen for the admin socket.
func (n *Node) listenSocket(was *frozenListener, path string) (*httpapi.AdminSocket, error) {
	group := cascade.ServerValue[string](n.engine.Snapshot(), httpapi.PropSocketGroup)
	l, err := was.take(path)
	if err != nil {
		return nil, err
	}
	if open, ok := l.(*net.UnixListener); ok {
		return httpapi.ReopenAdminSocket(open, path, group)
	}
	return httpapi.ListenAdminSocket(path, group)
}

func (n *Node) setLevel() {
	// The property's values are slog's own names.
	if err := n.level.UnmarshalText([]byte(cascade.ServerValue[string](n.engine.Snapshot(), propLogLevel))); err != nil {
		n.log.Error("log level", "err", err)
	}
}

// Engine is the cascade of the node.
func (n *Node) Engine() *cascade.Engine { return n.engine }

// Sockets is the server of the Web Sockets of the node.
func (n *Node) Sockets() *websockets.Server { return n.sockets }

// Logger is what the node logs with.
func (n *Node) Logger() *slog.Logger { return n.log }

// PublicAddr is HOST:PORT of the listener for clients.
func (n *Node) PublicAddr() string { return n.public.Addr().String() }

// AdminAddr is HOST:PORT of the listener for administrators.
func (n *Node) AdminAddr() string { return n.admin.Addr().String() }

// SocketPath is the path of the Unix socket for administrators.
func (n *Node) SocketPath() string { return n.socket.Path() }
