package redismodel

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Options are what a Server is made of.
type Options struct {
	// Seed decides latencies and every fault that has a probability.
	Seed uint64
	// Latency is the most that a batch of commands usually takes; one of 50
	// takes up to 50 times that. Above 0, so that what happens at once happens
	// in an order that the seed decides.
	Latency time.Duration
	// Lag is how far the replica is behind; 0: there is none.
	Lag time.Duration
}

// Server is the model. It is made and closed within one bubble; its methods are
// safe for concurrent use.
type Server struct {
	opts Options
	work sync.WaitGroup // connections

	mu       sync.Mutex
	db       map[string]*value
	touched  map[string]uint64 // writes, for those who watch a key
	scripts  map[string]string // source by sum
	runID    string
	offset   time.Duration // of the clock
	policy   string        // maxmemory-policy
	users    map[string]string
	database int // how many there are; all are one

	lag       time.Duration
	history   []undo
	lastWrite time.Time

	rng     *rand.Rand
	conns   map[*conn]bool
	lines   uint64 // so far
	born    uint64 // keys so far
	epoch   int    // counts the deaths of the server
	down    bool
	frozen  bool
	full    bool // maxclients
	faults  faults
	refuse  func(name string, write bool) string
	counts  Counts
	changed chan struct{} // closed when a fault begins or ends
	written chan struct{} // closed when a stream has got an entry

	interpreter *lua.LState
}

// Counts are what a server has done since its start.
type Counts struct {
	Commands int64 // those of scripts excluded
	Dropped  int64 // batches that were done, whose answers were not sent
	Cut      int64 // batches that were not done, or in part
	Lost     int64 // keys that faults have removed or set back
	Logins   int64 // that were refused
}

// New makes an empty server that everybody may use.
func New(o Options) *Server {
	s := &Server{
		opts: o, lag: o.Lag,
		db: make(map[string]*value), touched: make(map[string]uint64), scripts: make(map[string]string),
		policy: "noeviction", users: map[string]string{"default": ""}, database: 16,
		rng:   rand.New(rand.NewPCG(o.Seed, 0)),
		conns: make(map[*conn]bool), changed: make(chan struct{}), written: make(chan struct{}),
	}
	s.newRun()
	return s
}

// newRun is a restart, or another server in its place. Scripts are not
// replicated.
func (s *Server) newRun() {
	s.runID = fmt.Sprintf("%016x%016x%08x", s.rng.Uint64(), s.rng.Uint64(), s.rng.Uint32())
	clear(s.scripts)
	s.history = nil
	s.refuse = nil
}

// Close breaks all connections and waits for what serves them.
func (s *Server) Close() {
	s.fault(s.die)
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.interpreter != nil {
		s.interpreter.Close()
	}
}

// Counts returns the counters.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// now is the time by the clock of the server, which faults step.
func (s *Server) now() time.Time { return time.Now().Add(s.offset) }

func (s *Server) millis() int64 { return s.now().UnixMilli() }

// fault changes something that connections wait for.
func (s *Server) fault(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) wakeReaders() {
	close(s.written)
	s.written = make(chan struct{})
}

// refusal is why a command is not done, or "".
func (s *Server) refusal(name string, write bool) string {
	if s.refuse == nil {
		return ""
	}
	return s.refuse(name, write)
}

// die breaks everything; Start brings back what there is then. The server is
// locked.
func (s *Server) die() {
	s.down, s.frozen = true, false
	s.epoch++
	s.breakAll(nil)
}

// breakAll ends the connections of a line, or all. The server is locked.
func (s *Server) breakAll(l *Line) {
	for c := range s.conns {
		if l == nil || c.line == l {
			c.cut()
		}
	}
}
