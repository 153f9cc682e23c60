package websockets

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/websockets/trace"
)

// The keys of the log lines, constant so that an operator can search for them.
const (
	keyContext    = "context"
	keyUser       = "user"
	keyConnection = "connection"
	keyPath       = "path"
	keyCause      = "cause"
	keyReason     = "reason"
	keyCode       = "code"
	keyDuration   = "duration"
	keyCount      = "count"
	keyError      = "err"
)

// sessionCheckInterval is how often every open session is looked at again and
// its life extended (docs/reference/sessions.md); the work is spread over it
// evenly, one shard of the hub after the other.
const sessionCheckInterval = 60 * time.Second

// sessionCheckTimeout bounds one look at a session, so that a store that hangs
// delays the checks but never stops them.
const sessionCheckTimeout = 5 * time.Second

// Options are what a Server needs. Gate and Sessions are required.
type Options struct {
	Gate     Gate
	Sessions Sessions
	// Config returns the current settings; it is called at each use and must
	// be cheap. Nil: the defaults.
	Config func() *Config
	// Load makes the Gate know a user before it is asked at a handshake. It may
	// block until ctx ends; its error is answered with 503. Nil: it always does.
	Load func(ctx context.Context, contextID, user uint32) error
	// IPCheck reports whether a session may be used from a client address
	// (docs/reference/handshake.md#ip-check). It must not block. Nil: mode
	// none, every address may.
	IPCheck func(session *Session, client netip.Addr) bool
	// Registry makes the sockets known to other members. Nil: there are none.
	Registry Registry
	// Others returns how many sockets each other member has that takes sockets,
	// or nothing where that is not known for sure. It must not block. Nil: there
	// are none.
	Others func() []int64
	// OnEvent is called for every event of a client, on the goroutine that
	// reads its socket, and must not block. What it returns answers the client's
	// ack request if there is one: args is a JSON array, or nil for an empty one,
	// with {"_placeholder":true,"num":N} in place of attachment N. Nil: events are
	// ignored, and acks answered with an empty array.
	OnEvent func(Event) (args json.RawMessage, attachments [][]byte)
	// Watcher is told of sockets that come and go. Nil: nobody is.
	Watcher Watcher
	// Since is what the times of what is thawed count from; zero: nothing is.
	Since time.Time
	// Origin is the incarnation of this member, by which others know what it has
	// accepted; empty: a random one.
	Origin string
	// Peers are the other members. Nil: there are none.
	Peers Peers
	// Logger gets the log lines. Nil: none.
	Logger *slog.Logger
}

// Watcher is told of sockets that come and go. Its methods must not block.
type Watcher interface {
	// Watched reports whether anybody wants to know: where not, nothing else is
	// called.
	Watched() bool
	Opened(info SocketInfo)
	Closed(info SocketInfo, cause Cause)
}

func (s *Server) watched() bool { return s.opts.Watcher != nil && s.opts.Watcher.Watched() }

// Event is an event of a client. Args is a JSON array in UTF-8, in which
// placeholders stand for the attachments (socketio.Incoming).
type Event struct {
	Context     uint32
	User        uint32
	Connection  string
	Path        string
	Name        string
	Args        json.RawMessage
	Attachments [][]byte
}

// Server accepts and keeps sockets. It is an http.Handler for /socket.io/* and
// /ws/*; no middleware that sets deadlines or wraps the response without
// Unwrap may stand before it.
type Server struct {
	opts   Options
	log    *slog.Logger
	hub    *hub
	totals totals
	ends   ends
	memory *trace.Memory // of what became of messages
	sample sampler
	asks   askBudget

	refusals refusals
	records  records

	poller    poller
	wires     wires
	flushes   flusher
	reading   chan struct{} // see readingSlots
	turnstile *turnstile
	// toldNoAddress is when noAddress told last, in nanoseconds since 1970.
	toldNoAddress atomic.Int64
	endedOwners   endedOwners
	histories     atomic.Int64 // how many there are in all shards
	kept          keptMessages
	strays        strays
	numbers       numbers
	reached       reached
	presence      presence
	started       time.Time
	muted         atomic.Int64 // sockets that are muted, see hold.go
	freezing      atomic.Bool

	mu      sync.Mutex // guards closed and the first Add of work
	closed  bool
	work    sync.WaitGroup // handshakes, sockets, their writers, the session check
	stopped context.Context
	stop    context.CancelFunc
}

// New starts a server; without Gate or Sessions it returns an error. The caller
// ends it with Shutdown or Close.
func New(opts Options) (*Server, error) {
	if opts.Gate == nil || opts.Sessions == nil {
		return nil, errors.New("websockets: Options need a Gate and Sessions")
	}
	if opts.Config == nil {
		defaults := DefaultConfig()
		opts.Config = func() *Config { return defaults }
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, log: opts.Logger, hub: newHub(), memory: trace.New(trace.MaxBytes), reading: make(chan struct{}, readingSlots), turnstile: newTurnstile(maxAdmitting, maxWaiting, maxAdmissionWait)}
	if s.opts.Origin == "" {
		s.opts.Origin = randomHex()[:secretBytes]
	}
	s.strays.counted = &s.kept
	s.started, s.reached.wake = time.Now(), make(chan struct{}, 1)
	if !opts.Since.IsZero() {
		// Another process has measured it, by the system's clock. From here on that may
		// step, and what is kept gets neither older nor younger by it.
		s.started = s.started.Add(opts.Since.Sub(s.started))
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.work.Go(s.askReached)
	if opts.Peers != nil {
		s.presence.wake = make(chan struct{}, 1)
		s.work.Go(s.tellPresence)
	}
	s.work.Go(s.checkSessions)
	if opts.Others != nil {
		s.work.Go(s.rebalance)
	}
	return s, nil
}

// enter counts a handshake in. It reports false when the server is closing;
// else the caller calls work.Done when the handshake, or the socket that came
// of it, is over.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// Recheck asks the Gate for every connected user and closes, or mutes, the
// sockets of those it refuses. The owner calls it after any change of files, directory,
// tags or overrides. It returns the numbers of users asked and of sockets
// closed.
func (s *Server) Recheck() (users, closed int) {
	return s.RecheckEach(func(uint32, uint32, int) {})
}

// RecheckEach is Recheck that calls f for each user whose sockets it closes, and
// how many they were.
func (s *Server) RecheckEach(f func(context, user uint32, sockets int)) (users, closed int) {
	defer func() {
		s.totals.rechecks.Add(1)
		s.totals.recheckUsers.Add(int64(users))
		s.totals.recheckClosed.Add(int64(closed))
	}()
	s.hub.subjects(func(k subject) bool {
		users++
		if n := s.enforce(k); n > 0 {
			closed += n
			f(k.context, k.user, n)
		}
		return true
	})
	s.recheckHistories()
	return users, closed
}

// Memory is what became of the last messages of each user here.
func (s *Server) Memory() *trace.Memory { return s.memory }

// Count is the number of sockets in the hub now.
func (s *Server) Count() int64 { return s.hub.count.Load() }

// Users calls f for every user with a socket on this member, until it returns
// false. No lock is held meanwhile; a user that comes or goes during the walk
// may or may not be in it.
func (s *Server) Users(f func(context, user uint32) bool) {
	s.hub.subjects(func(k subject) bool { return f(k.context, k.user) })
}

// UserSockets is Users with the number of each user's sockets.
func (s *Server) UserSockets(f func(context, user uint32, sockets int) bool) {
	s.hub.counted(func(k subject, n int) bool { return f(k.context, k.user, n) })
}
