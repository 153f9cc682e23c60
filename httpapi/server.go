// Package httpapi is what Sluice answers over HTTP: the public listener with
// the Web Sockets, and the admin listener (docs/api.md).
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/httpapi/console"
	"github.com/seed47708276/sluice/httpapi/events"
	"github.com/seed47708276/sluice/websockets"
)

// Options are what a Server answers from. All are required but those that say
// what nil means.
type Options struct {
	Engine   *cascade.Engine
	Sockets  *websockets.Server
	Sessions websockets.Sessions // see sessionMaker and sessionEnder
	Config   func() *websockets.Config
	Logger   *slog.Logger
	Member   string // name of this member
	Version  string // of this build
	Files    int    // descriptors that the process may have, see FileLimit
	// Certificate of the public listener; nil: it has none.
	Certificate *Certificate
	Store       *store.Store
	StoreSetup  StoreSetup
	Fixed       bool     // the directory comes from a file: the store's is not what counts
	Roots       []string // of the trees
	State       string   // the state folder, by an absolute path
	// AdminCertificate is that of the admin listener; nil: it has none.
	AdminCertificate *Certificate
	// Tokens are those that the server keeps, see TokenWriter; nil: it keeps none.
	Tokens auth.Tokens
	// Closings are those that the gate of the sockets has; nil: none of it.
	Closings *Closings
	// TokenFile has more of them; nil: no file is configured.
	TokenFile *auth.TokenFile
	// Cluster are the other members; nil: there are none.
	Cluster Cluster
	// Platform is the platform's own database; nil: it is not read.
	Platform Platform
	// RedisWarning says what is not safe about the way to Redis; "": nothing.
	RedisWarning string
	// DigestsAgreed reports whether the key of the digests is that of the
	// cluster, so that they can be compared; nil: always.
	DigestsAgreed func() bool
	// Log has the last lines of Logger; nil: nothing keeps them.
	Log *LogLines
	// Upgrader starts the next process; nil: nobody does.
	Upgrader Upgrader
	// Doctor examines users for the console; nil: it does not.
	Doctor func(ctx context.Context, api http.RoundTripper, context, user uint32) ([]console.Step, error)
}

// Server holds the handlers of both listeners.
type Server struct {
	Options
	state atomic.Int32
	// accepted are the ids of messages that this member took from callers,
	// delivered those that its sockets have.
	accepted, delivered sentIDs
	taking              taking
	pushes              *pushes
	registrar           *registrar
	clusterStreams      atomic.Int64 // see maxClusterStreams
	confirming          atomic.Int64 // callers that are told of arrivals, see maxConfirmations
	recognised          atomic.Int64 // messages of other members that were delivered before, by their ids

	budget  *budget
	pending pending
	errors  errorLog
	metrics *metrics
	roles   map[string]auth.Role // by route
	// wrongTokens and wrongPasswords are apart, so that a script with an old
	// token does not keep the existing system's peers out.
	wrongTokens, wrongPasswords auth.Failures

	deciders    deciders
	Events      *events.Log
	drifts      drifts
	recent      recent
	reloads     *reloadLog
	oidc        *auth.Logins
	setCounts   setCounts
	incarnation string // where the link does not name one
	// streaming ends when a listener shuts down: no message of a stream is
	// awaited any more.
	streaming  context.Context
	planning   chan struct{} // see maxPlans
	supporting sync.Mutex    // one archive at a time
	bulkClosed bulkClosed
	endStreams context.CancelFunc
	started    time.Time
}

// The states of a server.
const (
	starting = iota
	ready
	draining
)

// New makes a server that is not ready yet; an option that is required and missing
// is an error.
func New(o Options) (*Server, error) {
	if o.Engine == nil || o.Sockets == nil || o.Sessions == nil || o.Config == nil || o.Logger == nil {
		return nil, errors.New("httpapi: Options need Engine, Sockets, Sessions, Config and Logger")
	}
	o.Logger = o.Logger.With("member", o.Member)
	if o.Closings == nil {
		o.Closings = NewClosings()
	}
	s := &Server{Options: o, budget: newBudget(o.Files, o.Sockets.Count), incarnation: randomID(), started: time.Now().UTC()}
	s.Events = events.New(s.incarnation)
	s.planning = make(chan struct{}, maxPlans)
	s.oidc = auth.NewLogins(o.Engine)
	s.setCounts.counting = make(chan struct{}, 1)
	var err error
	if s.reloads, err = readReloads(o.State); err != nil {
		o.Logger.Warn("nothing of the reloads before this start is shown", "err", err)
	}
	s.streaming, s.endStreams = context.WithCancel(context.Background())
	s.errors.log = o.Logger
	s.pushes, s.registrar = newPushes(s), newRegistrar(s)
	s.metrics = newMetrics(s)
	s.roles = rolesOf(s.routes())
	return s, nil
}

// SetReady tells the probes that the server takes requests, or, once it did,
// that it drains.
func (s *Server) SetReady(yes bool) {
	if yes {
		s.state.Store(ready)
	} else {
		s.state.CompareAndSwap(ready, draining)
		s.Events.End()
	}
}

// Limits of the listeners: a client that sends its headers slowly, or keeps a
// connection without using it, is dropped. Requests of the existing clients
// have below 2 KiB of headers.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 16 << 10 // of a request line and its headers
	headerSlop        = 4 << 10  // which net/http adds to its limit
)

// Listener wraps Public or Admin with the limits of a listener. Sockets leave
// it at their handshake, so no limit of a whole request may be set on it.
func (s *Server) Listener(h http.Handler) *http.Server {
	l := &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes - headerSlop,
		ConnState: s.budget.follow,
		ErrorLog:  s.errors.logger(),
	}
	l.RegisterOnShutdown(s.endStreams)
	return l
}

// Public is the handler of the public listener.
func (s *Server) Public() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.NotFound(s.handle(notFound))
	r.MethodNotAllowed(s.handle(methodNotAllowed))
	for _, p := range []string{"/socket.io", "/socket.io/*", "/ws", "/ws/*"} {
		r.Handle(p, s.Sockets)
	}
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := takesNoBody(w, r); err != nil {
			s.handle(func(http.ResponseWriter, *http.Request) error { return err })(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if s.state.Load() != ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	notify, webhook := s.handle(s.notify), s.handle(s.webhook)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch path := req.URL.Path; { // below any prefix but those that proxies publish
		case strings.HasPrefix(path, "/socket.io/"), strings.HasPrefix(path, "/ws/"):
			r.ServeHTTP(w, req)
		case strings.HasSuffix(path, notifyPath):
			notify(w, req)
		case strings.HasSuffix(path, webhookPath):
			webhook(w, req)
		default:
			r.ServeHTTP(w, req)
		}
	})
}

// AdminPages is the handler of the admin listener: Admin, and beside it the
// console and the pages about the API for people.
func (s *Server) AdminPages() http.Handler {
	api := s.Admin()
	pages := s.page(console.New(console.Options{
		API: api, Doctor: s.Doctor, OpenID: s.oidc, Peer: func(r *http.Request) bool { return peerOf(r.Context()) != nil },
	}))
	docs := s.page(http.HandlerFunc(s.docs))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/console" || strings.HasPrefix(r.URL.Path, "/console/") {
			pages.ServeHTTP(w, r)
			return
		}
		if isDocs(r) {
			docs.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// page is the handler of pages for people, which take no body but those of forms.
func (s *Server) page(h http.Handler) http.Handler {
	return s.pace(s.handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := takesNoBody(w, r); err != nil {
			return err
		}
		h.ServeHTTP(w, r)
		return nil
	}))
}
