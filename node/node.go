// Package node is one Sluice: it joins the cascade, the sockets, the link to the
// cluster and the API. `sluice serve` runs one, and so does a program that embeds
// Sluice.
package node

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
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
