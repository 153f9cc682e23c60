package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/node/gate"
	"github.com/seed47708276/sluice/websockets"
)

// opening is a node that is being opened, and what its steps hand on to later ones.
type opening struct {
	*Node
	Options
	folder   string // Options.State, absolute
	ownSalt  string
	files    int // descriptors that the process may have
	sessions websockets.Sessions
	closings *httpapi.Closings
}

// Open reads the trees, opens the store and the way to Redis, and takes the
// listeners. Who opens a node runs it, or closes it. Errors say what to change.
func Open(opt Options) (_ *Node, err error) {
	if opt.State == "" {
		return nil, errors.New("a node needs a state folder: set Options.State")
	}
	if opt.Log == nil {
		opt.Log = io.Discard
	}
	n := &Node{
		roots: opt.Roots, state: opt.State, version: opt.Version, frozen: opt.Frozen, predecessor: opt.Predecessor,
		level: &slog.LevelVar{}, recheck: gate.NewRecheck(), lines: httpapi.NewLogLines(opt.Log),
	}
	n.log = slog.New(slog.NewTextHandler(n.lines, &slog.HandlerOptions{Level: n.level}))
	if opt.Env != nil {
		if n.manager, err = newServiceManager(opt.Env, n.log); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err == nil {
			return
		}
		if n.predecessor != nil {
			n.predecessor.refuse(err)
		}
		n.Close()
	}()
	o := &opening{Node: n, Options: opt}
	// Each may use what those before it have opened; Close goes the other way.
	for _, step := range []func() error{
		o.lockState, o.openEngine, o.readSettings, o.receive, o.openLink, o.knownState, o.openStore,
		o.openPlatform, o.openSockets, o.openListeners, o.openAPI, o.thawSockets,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// lockState takes the state folder, unless another process of this node has it
// still.
func (o *opening) lockState() (err error) {
	switch {
	case o.frozen != nil:
		o.lock = o.frozen.lock
	case o.predecessor == nil:
		if o.lock, err = LockState(o.State); err != nil {
			return err
		}
	}
	o.folder, err = filepath.Abs(o.State)
	return err
}

// openEngine reads the trees.
func (o *opening) openEngine() (err error) {
	copt := cascade.Options{
		Roots: o.Roots, Schema: Schema(), State: o.State, TolerateBadFiles: o.TolerateBadFiles, Logger: o.log,
		Gate: websockets.PropEnabled, Flags: addressFlags(o.Options), Standby: o.predecessor != nil,
	}
	o.fresh = freshState(o.State)
	if o.fresh && !o.NewState {
		copt.Ready = o.mustExist
	}
	if o.Directory != "" {
		copt.Source = cascade.NewDirectoryFile(o.Directory)
	}
	o.salt.path = filepath.Join(o.State, SaltFile)
	if o.ownSalt, err = o.salt.read(); err != nil {
		return err
	}
	// A change that was held is known by its digest.
	copt.Schema.SetDigestKey(digestKey(o.ownSalt))
	if o.engine, err = cascade.Open(copt); err != nil {
		return err
	}
	o.setLevel()
	return nil
}

// readSettings reads what the trees say of this member, and the files that they
// name.
func (o *opening) readSettings() (err error) {
	if o.files, err = httpapi.FileLimit(); err != nil {
		return err
	}
	o.settings = gate.NewSettings(o.engine, o.log, o.ownSalt, httpapi.MaxSockets(o.files))
	if o.certificate, err = o.loadCertificate(httpapi.PropPublicCert, httpapi.PropPublicKey); err != nil {
		return err
	}
	if o.adminCert, err = o.loadCertificate(httpapi.PropAdminCert, httpapi.PropAdminKey); err != nil {
		return err
	}
	if o.tokenFile, err = o.loadTokens(); err != nil {
		return err
	}
	o.member, err = o.memberName()
	return err
}

// receive takes what the predecessor has, which from then on has nothing.
func (o *opening) receive() (err error) {
	if o.predecessor == nil {
		return nil
	}
	if o.frozen, err = o.predecessor.receive(); err != nil {
		return err
	}
	o.log.Info("everything of the other process is here: it is not needed any more", "sockets", len(o.frozen.sockets.Sockets), "ms", o.frozen.gap().Milliseconds())
	o.lock = o.frozen.lock
	return nil
}

// openSockets makes the server of the sockets, without any yet, and their sessions.
func (o *opening) openSockets() (err error) {
	if o.sessions, err = o.openSessions(); err != nil {
		return err
	}
	o.closings = httpapi.NewClosings()
	sopt := websockets.Options{
		Gate: gate.New(o.engine, o.closings), Sessions: o.sessions, Config: o.settings.Config, Logger: o.log,
		Watcher: watcher{o.Node}, OnEvent: o.OnEvent,
	}
	if o.frozen != nil {
		sopt.Since = o.frozen.sockets.Since
	}
	if o.platform != nil {
		sopt.Load = o.loadUser
	}
	if o.link != nil {
		sopt.Registry = o.link
		sopt.Others = o.otherSockets
		sopt.Peers, sopt.Origin = peers{o.link}, o.link.Incarnation()
	}
	if o.sockets, err = websockets.New(sopt); err != nil {
		return err
	}
	o.endOwnersOfLog()
	return nil
}

// openListeners takes the addresses, or those that were open.
func (o *opening) openListeners() (err error) {
	was := o.frozen
	if was == nil {
		was = &Frozen{}
	}
	if o.public, o.publicAddress, err = o.listen(&was.public, o.Public, httpapi.PropPublicHost, httpapi.PropPublicPort); err != nil {
		return err
	}
	if o.admin, o.adminAddress, err = o.listen(&was.admin, o.Admin, httpapi.PropAdminHost, httpapi.PropAdminPort); err != nil {
		return err
	}
	o.publicTCP, o.adminTCP = o.public, o.admin
	o.warnOfPlainTokens()
	o.socket, err = o.listenSocket(&was.socket, o.socketPath(o.Options))
	return err
}

// openAPI makes what answers on the listeners.
func (o *opening) openAPI() (err error) {
	o.upgrades = newUpgrades(o.Node, &o.Options)
	aopt := httpapi.Options{
		Engine: o.engine, Sockets: o.sockets, Sessions: o.sessions, Config: o.settings.Config, Logger: o.log,
		Member: o.member, Version: o.Version, Files: o.files,
		Certificate: o.certificate, AdminCertificate: o.adminCert, Tokens: auth.NewStoreTokens(o.store), TokenFile: o.tokenFile,
		Store: o.store, StoreSetup: o.setup, Fixed: o.fixed, Roots: o.Roots, State: o.folder, Closings: o.closings,
		RedisWarning: o.redisWarning, Doctor: o.Doctor, Log: o.lines, Upgrader: o.upgrades,
	}
	if o.platform != nil {
		aopt.Platform = o.platform
	}
	if o.link != nil {
		aopt.Cluster, aopt.DigestsAgreed = o.link, o.salt.agreed.Load
	}
	o.api, err = httpapi.New(aopt)
	return err
}

// thawSockets has the sockets of before here, which Run starts.
func (o *opening) thawSockets() (err error) {
	if o.frozen != nil {
		o.start, err = o.thaw(o.frozen)
	}
	return err
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
