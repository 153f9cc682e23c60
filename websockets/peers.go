package websockets

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/shared"
)

// Peers are the other members of a cluster, for clients that come back to another
// member than they were connected to. Those without
// a context must not block.
type Peers interface {
	// Tell tells them all something, once and in order; each hears it through Told.
	Tell(op string, body []byte)
	// Taken are the entries of each other member that were delivered here.
	Taken() map[string]uint64
	// CatchUp returns when all has been delivered and heard that they had sent and
	// told when it was called, or false where that cannot be known.
	CatchUp(ctx context.Context) bool
	// AskAll asks them all; the answers are of those that have any before ctx ends.
	AskAll(ctx context.Context, op string, body []byte) [][]byte
	// Former is the other member that had a socket of the same client, where the
	// registry could not tell at once; "": none, or ctx has ended.
	Former(ctx context.Context, r shared.Registration) string
	// LastTaken is Taken of another member as it was at a time, so long before the last
	// that is known of it that its clients have got what came of it since.
	LastTaken(member string) (taken map[string]uint64, at time.Time, alive, ok bool)
}

// What members tell each other.
const (
	opDeparted = "sockets.departed"
	opPresent  = "sockets.present"
)

const (
	// departureWait is how long a client that comes back from a member that lives
	// waits until that tells how far it had got. Messages wait meanwhile.
	departureWait = 3 * time.Second
	departureStep = 5 * time.Millisecond
	// presentEvery is how often a member repeats which users have sockets on it, and
	// presentSoon how long a new one waits for others.
	presentEvery = time.Minute
	presentSoon  = 20 * time.Millisecond
	// unknownFor is how long after its start a member keeps the messages of every
	// user, because the others may not have told yet who has sockets.
	unknownFor = 30 * time.Second
	// presentAtOnce bounds what is told at once: some 60 KiB.
	presentAtOnce = 4000
)

// toldDeparture is the body of opDeparted.
type toldDeparture struct {
	Context    uint32               `json:"c"`
	User       uint32               `json:"u"`
	Session    string               `json:"s"`
	Connection string               `json:"n"`
	PID        string               `json:"p,omitempty"`
	SID        string               `json:"i,omitempty"`
	Member     string               `json:"m,omitempty"` // in the history of another one
	Ago        int64                `json:"b,omitempty"` // ms since it left, in the history of another one
	Age        int64                `json:"a"`           // ms by which it is older up to where everything has arrived
	Positions  map[string][2]uint64 `json:"v"`           // place and number
	Tail       []string             `json:"t,omitempty"`
	Had        []string             `json:"h,omitempty"`
	Doubt      int                  `json:"d,omitempty"`
	Gap        bool                 `json:"g,omitempty"`
}

// departureText is what the other members are told of how far a client has got;
// nil where there are none.
func (s *Server) departureText(k subject, d *departure) []byte {
	if s.opts.Peers == nil {
		return nil
	}
	t := told(k, d, d.at)
	body, err := json.Marshal(t)
	if err != nil {
		panic(err) // numbers and texts always encode
	}
	return body
}

// Told takes what another member tells. An error says what is wrong with it.
func (s *Server) Told(member, op string, body []byte) error {
	switch op {
	case opDeparted:
		return s.toldDeparted(member, body)
	case opPresent:
		return s.toldPresent(body)
	}
	return errors.New("unknown op")
}

func (s *Server) toldDeparted(member string, body []byte) error {
	var t toldDeparture
	if err := json.Unmarshal(body, &t); err != nil {
		return err
	}
	window := s.window(t.Context, t.User)
	if window == 0 {
		return nil
	}
	now := s.clock()
	t.Member = member
	d, err := t.departure(now)
	if err != nil {
		return err
	}
	h := s.foreignHistory(subject{t.Context, t.User}, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.departLocked(d, window)
	return nil
}

// window is how long what a user's clients miss is kept.
func (s *Server) window(context, user uint32) time.Duration {
	cfg := s.opts.Config()
	if cfg.Recovery == nil {
		return 0
	}
	return max(0, min(cfg.Recovery(context, user), MaxRecovery))
}

// foreignHistory is the history of a user who has, or had, a socket elsewhere.
func (s *Server) foreignHistory(k subject, now int64) *history {
	sh := s.hub.shard(k)
	if h := sh.historyOf(k, false, now, nil); h != nil {
		return h
	}
	h := sh.historyOf(k, true, now, s)
	s.serveHistory(k, s.opts.Gate.Allowed(k.context, k.user))
	return h
}

// keepUnknown has what is accepted for a user be kept although nobody has told of
// a socket, while that says nothing.
func (s *Server) keepUnknown(k subject) {
	now := s.clock()
	if s.opts.Peers == nil || now > int64(unknownFor) {
		return
	}
	window := s.window(k.context, k.user)
	if window == 0 {
		return
	}
	h := s.foreignHistory(k, now)
	h.mu.Lock()
	h.window = window
	h.until = max(h.until, int64(unknownFor))
	h.mu.Unlock()
}

func (s *Server) toldPresent(body []byte) error {
	var list [][2]uint32
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	now := s.clock()
	for _, p := range list {
		k, window := subject{p[0], p[1]}, s.window(p[0], p[1])
		if !k.valid() || window == 0 {
			continue
		}
		h := s.foreignHistory(k, now)
		h.mu.Lock()
		h.window = window
		h.until = max(h.until, now+2*int64(presentEvery)+int64(window))
		h.mu.Unlock()
	}
	return nil
}

// presence tells the other members which users have sockets here.
type presence struct {
	mu   sync.Mutex
	list []subject // to be told, no more than there are sockets
	wake chan struct{}
}

func (p *presence) add(k subject) {
	p.mu.Lock()
	p.list = append(p.list, k)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// TellPresent has all users be told again: a member has joined.
func (s *Server) TellPresent() {
	for i := range s.hub.shards {
		sh := &s.hub.shards[i]
		var list []subject
		sh.mu.RLock()
		for k, h := range sh.histories.of {
			h.mu.Lock()
			if h.sockets > 0 {
				list = append(list, k)
			}
			h.mu.Unlock()
		}
		sh.mu.RUnlock()
		for _, k := range list {
			s.presence.add(k)
		}
	}
}

// tellPresence works until the server stops.
func (s *Server) tellPresence() {
	all := time.NewTicker(presentEvery)
	defer all.Stop()
	for {
		select {
		case <-s.presence.wake:
		case <-all.C:
			s.TellPresent()
			continue
		case <-s.stopped.Done():
			return
		}
		wait := time.NewTimer(presentSoon)
		select {
		case <-wait.C:
		case <-s.stopped.Done():
			wait.Stop()
			return
		}
		s.presence.mu.Lock()
		list := s.presence.list
		s.presence.list = nil
		s.presence.mu.Unlock()
		for len(list) > 0 {
			n := min(len(list), presentAtOnce)
			told := make([][2]uint32, n)
			for i, k := range list[:n] {
				told[i] = [2]uint32{k.context, k.user}
			}
			list = list[n:]
			body, err := json.Marshal(told)
			if err != nil {
				panic(err) // numbers always encode
			}
			s.opts.Peers.Tell(opPresent, body)
		}
	}
}

// raiseTaken has positions include what was delivered here of other members.
func (s *Server) raiseTaken(p Positions) {
	if s.opts.Peers == nil {
		return
	}
	for origin, entry := range s.opts.Peers.Taken() {
		at := p[origin]
		at.Place = max(at.Place, endOf(entry))
		p[origin] = at
	}
}

// welcome has a client that can come back get what it has missed: at once where
// this member knows, else when the others have told.
func (s *socket) welcome() {
	r := s.rec
	switch {
	case r == nil:
	case s.server.opts.Peers == nil && r.before == nil:
		if !r.offsets {
			s.resumeNow()
		}
	default:
		s.talk.Lock()
		r.asking = true
		s.talk.Unlock()
		if s.server.opts.Peers != nil {
			s.server.presence.add(s.subject)
		}
		s.server.work.Go(s.askPeers)
	}
}

// askPeers waits until it is known how far the client had got, as far as that can
// be known.
func (s *socket) askPeers() {
	r, peers := s.rec, s.server.opts.Peers
	ctx, cancel := context.WithTimeout(s.server.stopped, departureWait)
	defer cancel()
	if r.before != nil {
		select {
		case <-r.before.rec.departed:
		case <-ctx.Done():
			r.before.depart(CauseTakeover, false)
		}
		r.before = nil
	}
	if peers != nil && r.former == shared.FormerUnknown {
		former := peers.Former(ctx, s.registration())
		s.mu.Lock()
		r.former = former
		s.mu.Unlock()
	}
	switch {
	case peers == nil:
	case r.former == "" || r.former == s.server.opts.Origin:
		peers.CatchUp(ctx)
	case !s.awaitDeparture(ctx):
		s.assumeDeparture()
	}
	if peers != nil {
		s.fetch(ctx)
	}
	if s.server.freezing.Load() {
		return // who thaws the socket asks again
	}
	s.talk.Lock()
	r.asking = false
	first := r.first
	r.first = nil
	s.talk.Unlock()
	if !r.offsets {
		s.resumeNow()
		return
	}
	if first != nil {
		if cause := s.receive(websocket.MessageText, first, time.Now()); cause != CauseNone {
			s.close(cause)
		}
	}
}

// delayed keeps the CONNECT of a client of Socket.IO's own recovery until it can
// be answered. The caller holds talk.
func (s *socket) delayed(kind websocket.MessageType, data []byte) bool {
	r := s.rec
	if r == nil || !r.offsets || !r.asking || r.first != nil || kind != websocket.MessageText || len(data) < 2 || data[0] != '4' || data[1] != '0' {
		return false
	}
	r.first = append([]byte(nil), data...)
	return true
}

// awaitDeparture waits for what the member tells that the client comes from, while
// that lives.
func (s *socket) awaitDeparture(ctx context.Context) bool {
	r, caught := s.rec, false
	for {
		r.history.mu.Lock()
		found := false
		for _, d := range r.history.departures {
			found = found || d.member == r.former && d.session == r.session && d.connection == s.connection
		}
		r.history.mu.Unlock()
		if found {
			return true
		}
		if _, _, alive, _ := s.server.opts.Peers.LastTaken(r.former); !alive {
			if caught {
				return false
			}
			caught = true // it may have told before it ended
			s.server.opts.Peers.CatchUp(ctx)
			continue
		}
		t := time.NewTimer(departureStep)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// assumeDeparture stands for what a member that is dead, or says nothing, cannot
// tell: the client had what that member had taken for some time, and all that came of
// it, which its own clients get first. What it had just taken may never have left it.
func (s *socket) assumeDeparture() {
	r, server := s.rec, s.server
	taken, at, _, ok := server.opts.Peers.LastTaken(r.former)
	if !ok {
		return
	}
	h := r.history
	h.mu.Lock()
	defer h.mu.Unlock()
	now := server.clock()
	d := &departure{
		member: r.former, session: r.session, connection: s.connection, at: now, from: now - int64(time.Since(at)),
		pos: Positions{r.former: {Place: math.MaxUint64, Number: math.MaxUint64}},
	}
	for origin, entry := range taken {
		p := d.pos[origin]
		p.Place = max(p.Place, endOf(entry))
		d.pos[origin] = p
	}
	h.departLocked(d, r.window)
}
