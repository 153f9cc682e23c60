package websockets

import (
	"slices"
	"sync"
	"time"
)

// maxDepartures bounds what is remembered of one user's sockets that ended: twice
// as many as the user may have by default, each with a second chance.
const maxDepartures = 4 * DefaultMaxPerUser

// maxTail bounds the messages of a departure that are named: no more than a queue
// holds beside what the client has not confirmed.
const maxTail = 2 * DefaultQueueMessages

// departure is how far a client had got when its socket ended.
type departure struct {
	session    string // digest of its id
	connection string
	pid, sid   string // of Socket.IO's own recovery; "": the client has not asked for it
	at         int64  // by Server.clock
	from       int64  // everything that came before has arrived
	pos        Positions
	tail       []string // offsets of what may have arrived, in the order of sending
	had        []string // offsets beyond the positions that have arrived
	doubt      int      // how many of these were written
	gap        bool     // messages have passed the member by
	member     string   // incarnation of the member
}

// recovery is what a socket that may recover has beside the rest. It is fixed
// before the socket is registered, or guarded by the socket's mu.
type recovery struct {
	// What each delivery looks at, in one line of the cache.
	history *history
	base    Positions       // what the client had when it came; nil: nothing is known
	seen    map[string]bool // and beyond it, by offset
	offsets bool            // Socket.IO's own recovery: each event has an offset
	ids     bool            // each message of /ws/* has an id
	waits   bool            // what the client has missed is not known yet
	later   bool            // it is on the list of those to be asked
	// Indices of messages: which are being written, written, asked for, and known to
	// have arrived at the browser with all before.
	writing, written, asked, confirmed uint64
	askedAt                            int64

	session string // digest of the session's id
	window  time.Duration
	start   uint64 // index in the history when the socket was registered

	before   *socket       // of the same client, which has not ended yet; nil: there is none
	departed chan struct{} // closed when the departure is noted, or is not to be
	once     sync.Once     // of departed
	former   string        // the member whose socket it takes over, by its incarnation

	asking bool   // the other members are still asked; guarded by talk
	first  []byte // the client's CONNECT, which came meanwhile

	gone   bool // its departure is noted, or is not to be
	pid    string
	sid    string
	offset string // of the last event, where each has one
	grace  load   // messages that are sent again and wait: they do not make a client slow
}

// newRecovery is nil for a client that has no way to say that it is back, or whose
// user does not recover.
func (s *Server) newRecovery(cfg *Config, k subject, session *Session, ask *handshake) *recovery {
	if cfg.Recovery == nil || !ask.named && !ask.offsets && !ask.ids {
		return nil
	}
	if s.opts.Registry != nil && s.opts.Peers == nil {
		return nil // members that tell each other nothing would send twice what another one has sent
	}
	window := min(cfg.Recovery(k.context, k.user), MaxRecovery)
	if window <= 0 {
		return nil
	}
	return &recovery{session: sessionDigest(session.ID), window: window, waits: true, departed: make(chan struct{}), offsets: ask.offsets, ids: ask.ids, offset: s.start()}
}

// has reports whether a recovered client had a message before it came.
func (r *recovery) has(m *stamp) bool {
	return r.base != nil && (r.base.has(m) || len(r.seen) > 0 && r.seen[m.offset()])
}

// departs reports whether a client whose socket ends so may come back for what
// it misses. One that was told to stop does not.
func (c Cause) departs() bool {
	switch c {
	case CauseSession, CauseAdmin:
		return false
	}
	return true
}

// depart notes how far the client has got. all: everything that was written has
// arrived.
func (s *socket) depart(cause Cause, all bool) {
	r := s.rec
	if r == nil {
		return
	}
	defer r.once.Do(func() { close(r.departed) })
	s.mu.Lock()
	if r.gone || r.waits {
		s.mu.Unlock()
		return
	}
	r.gone = true
	if !cause.departs() || s.admit == admitRefuse {
		s.mu.Unlock()
		return
	}
	confirmed, written := r.confirmed, r.written
	if all {
		confirmed = written
	}
	d := &departure{member: s.server.opts.Origin, session: r.session, connection: s.connection, pid: r.pid, sid: r.sid, gap: cause == CauseMissed}
	s.mu.Unlock()

	server := s.server
	d.pos = r.base.clone()
	server.raiseTaken(d.pos)
	me := server.opts.Origin
	own := d.pos[me]
	own.Number = max(own.Number, server.numbers.through())
	d.pos[me] = own
	h := r.history
	h.mu.Lock()
	now := server.clock()
	d.at, d.from = now, now
	h.forgetLocked(ever)
	for k := range h.allLocked() {
		at := d.pos[k.stamp.origin]
		switch {
		case k.index <= confirmed:
			if k.stamp.origin != me {
				at.Place = max(at.Place, k.stamp.place.Load())
				d.pos[k.stamp.origin] = at
			}
		case !k.matches(s) || r.has(&k.stamp):
		default:
			if len(d.tail) == 0 {
				d.from = k.at
			}
			if len(d.tail) < maxTail {
				d.tail = append(d.tail, k.stamp.offset())
			}
			if k.index <= written {
				d.doubt++
			}
			if place := k.stamp.place.Load(); place != 0 {
				at.Place = min(at.Place, place-1)
			}
			if n := k.stamp.number; n != 0 {
				at.Number = min(at.Number, n-1)
			}
			d.pos[k.stamp.origin] = at
		}
	}
	// What has arrived while others were being delivered has a higher number than
	// those.
	for k := range h.allLocked() {
		if k.index > confirmed || len(d.had) == maxTail {
			break
		}
		if k.stamp.origin == me && k.stamp.number > d.pos[me].Number && k.matches(s) {
			d.had = append(d.had, k.stamp.offset())
		}
	}
	h.departLocked(d, r.window)
	told := server.departureText(s.subject, d)
	h.mu.Unlock()
	if told != nil {
		server.opts.Peers.Tell(opDeparted, told)
	}
}

// departLocked remembers a departure in the place of an older one of the same
// client.
func (h *history) departLocked(d *departure, window time.Duration) {
	h.window = window
	h.expireLocked(d.at)
	h.departures = slices.DeleteFunc(h.departures, func(o *departure) bool { return o.session == d.session && o.connection == d.connection })
	if len(h.departures) == maxDepartures {
		h.departures = slices.Delete(h.departures, 0, 1)
	}
	h.departures = append(h.departures, d)
	h.until = max(h.until, d.at+int64(window))
}

func (h *history) expireLocked(now int64) {
	h.departures = slices.DeleteFunc(h.departures, func(d *departure) bool { return d.at < now-int64(h.window) })
}

// How a client that wanted to recover fared.
const (
	recoveredAll     = iota // it gets all that it missed
	recoveredGap            // a part is not kept any more
	recoveryUnknown         // its offset or pid is not known
	recoveryForeign         // the connection id is that of another session
	recoveryOutcomes        // how many there are
)

var recoveryNames = [recoveryOutcomes]string{"all", "gap", "unknown", "foreign"}

// findLocked takes the departure of a client out of the history: by the pid that
// the client has sent, else by its connection id.
func (h *history) findLocked(r *recovery, connection, pid string, now int64) (d *departure, foreign bool) {
	h.expireLocked(now)
	at := -1
	for i, o := range h.departures {
		if o.session != r.session {
			foreign = foreign || o.connection == connection || pid != "" && o.pid == pid
			continue
		}
		if pid != "" && o.pid == pid {
			at = i
			break
		}
		if o.connection == connection {
			at = i
		}
	}
	if at < 0 {
		return nil, foreign
	}
	d = h.departures[at]
	h.departures = slices.Delete(h.departures, at, at+1)
	return d, false
}

// passed finds an offset among what may have arrived. Everything up to it has.
func (d *departure) passed(offset string) (seen map[string]bool, ok bool) {
	i := slices.Index(d.tail, offset)
	if i < 0 {
		return nil, false
	}
	seen = make(map[string]bool, i+1)
	for _, o := range d.tail[:i+1] {
		seen[o] = true
	}
	return seen, true
}
