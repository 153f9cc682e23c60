package websockets

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/websockets/trace"
)

// A message's arrival is proved by clients as they are: a Web Socket ping that
// follows it is answered when the browser has it, even while the page is busy,
// and an Engine.IO 4 ping when the page has it. A client of Engine.IO 3, or of
// text, is asked the first only.

const (
	// askWait is how long an answer may take. It is above the time after which a
	// client that answers no ping of Engine.IO is closed.
	askWait = 30 * time.Second
	// maxWaitingAsks is how many messages wait for a socket's next question while one
	// is out.
	maxWaitingAsks = 16
	// maxAsking is how many sockets may have a question out, at some 300 bytes.
	maxAsking = 20_000
	// asksPerSecond and asksAtOnce bound the questions of all sockets: each costs
	// two small frames in both directions.
	asksPerSecond = 10_000
	asksAtOnce    = 20_000
)

// question is one message whose arrival at a socket is asked for.
type question struct {
	proof *trace.Proof
	born  int64 // of the message, Unix nanoseconds
}

// asking is what one socket is asked. At most one question is out; messages that
// come meanwhile share the next one.
type asking struct {
	out, waiting []question
	token        [8]byte // payload of the Web Socket ping that is out
	since        time.Time
	browser      bool // it has answered
	page         bool // has answered
	pageAnswers  bool // the client's page answers pings
	pagePinged   bool // and was sent the one of this question
}

// ask asks sockets, as many as the server's bounds allow, whether a message has
// come.
func (s *Server) ask(rec *trace.Record, list []*socket) {
	proof, now := rec.Ask(), time.Now()
	n := s.asks.take(len(list), now)
	q := question{proof, rec.At.UnixNano()}
	for _, sock := range list[:n] {
		sock.ask(q, now)
	}
	proof.Unasked.Add(trace.Count(len(list) - n))
}

// Probe asks the sockets of a user whether they are there, without a message.
// What they answer is counted in the record, which is not remembered.
func (s *Server) Probe(context, user uint32) *trace.Record {
	rec := &trace.Record{Key: trace.Key{Context: context, User: user}, At: time.Now()}
	var list []*socket
	s.hub.user(subject{context, user}, func(sock *socket) { list = append(list, sock) })
	rec.Sockets = trace.Count(len(list))
	s.ask(rec, list)
	return rec
}

// ask puts one question, now or behind the one that is out.
func (s *socket) ask(q question, now time.Time) {
	s.talk.Lock()
	s.expireLocked(now)
	if s.asking == nil && s.server.asks.enter() {
		s.asking = &asking{}
	}
	if a := s.asking; a == nil || len(a.waiting) == maxWaitingAsks {
		q.proof.Unasked.Add(1)
	} else {
		q.proof.Asked.Add(1)
		a.waiting = append(a.waiting, q)
	}
	s.putQuestion(now)
}

// askMore puts the next question.
func (s *socket) askMore(now time.Time) {
	s.talk.Lock()
	s.putQuestion(now)
}

// putQuestion sends what waits to be asked, unless a question is out or the
// client has not joined yet. The caller holds talk, which it gives back.
func (s *socket) putQuestion(now time.Time) {
	a := s.asking
	if a == nil || len(a.out) > 0 || len(a.waiting) == 0 {
		s.talk.Unlock()
		return
	}
	s.mu.Lock()
	ended := s.cause != CauseNone || s.admit == admitRefuse
	full := !ended && s.waiting.frames+2 > s.server.opts.Config().QueueMessages
	// What a client that came back has missed comes before the question.
	resuming := s.rec != nil && s.rec.waits
	if ended || full || resuming || s.admit == admitHold {
		s.mu.Unlock()
		for _, q := range a.waiting {
			switch {
			case ended:
				q.proof.Gone.Add(1)
			case full:
				q.proof.Asked.Add(-1)
				q.proof.Unasked.Add(1)
			}
		}
		if ended || full {
			s.asking = nil
			s.server.asks.leave()
		}
		s.talk.Unlock()
		return
	}
	*a = asking{out: a.waiting, since: now, pageAnswers: s.kind.protocol == EngineIO4}
	binary.BigEndian.PutUint64(a.token[:], rand.Uint64())
	frames := [][]byte{appendFrame(nil, opPing, a.token[:])}
	if ping := s.proto.ping(now); ping != nil {
		a.pagePinged = true
		frames = append(frames, ping)
	}
	overflow := s.queueLocked(frames)
	mine := s.claimLocked()
	if !s.deaf {
		s.timer.Reset(untilBeat(s.proto.deadline()))
	}
	s.mu.Unlock()
	s.talk.Unlock()
	s.see(mine, overflow)
}

// browserPong takes the payload of a Web Socket pong. The caller holds talk, as
// for all that follows.
func (s *socket) browserPong(payload []byte, now time.Time) {
	if a := s.asking; len(a.out) > 0 && !a.browser && string(payload) == string(a.token[:]) {
		s.atBrowser(now)
	}
}

func (s *socket) atBrowser(now time.Time) {
	s.asking.browser = true
	for _, q := range s.asking.out {
		after := now.Sub(time.Unix(0, q.born))
		q.proof.ArrivedBrowser(after)
		s.server.totals.browser.observe(int64(after))
	}
}

// pagePong takes a pong of Engine.IO, and returns a frame to send: where the one
// that was out is of the time before the message, another follows it.
func (s *socket) pagePong(now time.Time) (ping []byte) {
	a := s.asking
	switch {
	case len(a.out) == 0 || a.page:
		return nil
	case !a.pagePinged:
		a.pagePinged = true
		return s.proto.ping(now)
	}
	if !a.browser { // what the page has, the browser has
		s.atBrowser(now)
	}
	a.page = true
	for _, q := range a.out {
		after := now.Sub(time.Unix(0, q.born))
		q.proof.ArrivedPage(after)
		s.server.totals.page.observe(int64(after))
	}
	return nil
}

// settle ends a question that is answered, and reports whether another one
// waits that may be put now.
func (s *socket) settle() (more bool) {
	a := s.asking
	if a.page || a.browser && !a.pageAnswers {
		for _, q := range a.out {
			q.proof.Done.Add(1)
		}
		a.out = nil
	}
	if len(a.out) > 0 {
		return false
	}
	if len(a.waiting) > 0 {
		return true
	}
	s.asking = nil
	s.server.asks.leave()
	return false
}

// expireLocked gives up a question that was not answered in time.
func (s *socket) expireLocked(now time.Time) {
	a := s.asking
	if a == nil || len(a.out) == 0 || now.Sub(a.since) <= askWait {
		return
	}
	a.giveUp()
	s.settle()
}

// giveUp counts the sockets of a question that nothing more is known of.
func (a *asking) giveUp() {
	for _, q := range a.out {
		q.proof.Gone.Add(1)
	}
	a.out = nil
}

// forgetAsking ends the questions of a socket that ends.
func (s *socket) forgetAsking() {
	s.talk.Lock()
	defer s.talk.Unlock()
	if a := s.asking; a != nil {
		a.giveUp()
		a.out = a.waiting
		a.giveUp()
		s.asking = nil
		s.server.asks.leave()
	}
}

// expireAsking gives up what a shard's sockets were asked in vain, so that their
// places are free for others.
func (s *Server) expireAsking(sh *shard) {
	if s.asks.out.Load() == 0 {
		return
	}
	var list []*socket
	sh.mu.RLock()
	for _, l := range sh.users {
		list = append(list, l...)
	}
	sh.mu.RUnlock()
	now := time.Now()
	for _, sock := range list {
		sock.talk.Lock()
		sock.expireLocked(now)
		sock.putQuestion(now)
	}
}

// askBudget bounds the questions of all sockets.
type askBudget struct {
	out atomic.Int64 // sockets that have a question out

	mu     sync.Mutex
	bucket bucket
}

// take returns how many of n sockets may be asked now.
func (b *askBudget) take(n int, now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bucket.take(0, asksPerSecond, asksAtOnce, now)
	n = min(n, asksAtOnce-int(b.bucket.used))
	b.bucket.used += float64(n)
	return n
}

// enter takes a place for a socket that is asked, which leave gives back.
func (b *askBudget) enter() bool {
	if b.out.Add(1) > maxAsking {
		b.out.Add(-1)
		return false
	}
	return true
}

func (b *askBudget) leave() { b.out.Add(-1) }

// sampler chooses messages that nobody has asked proof of: evenly, and up to a
// second's worth at once.
type sampler struct{ next atomic.Int64 }

// due reports whether a message that was born now is one of perSecond.
func (s *sampler) due(now int64, perSecond int) bool {
	next := s.next.Load()
	if now < next {
		return false
	}
	from := max(next, now-int64(time.Second))
	return s.next.CompareAndSwap(next, from+int64(time.Second)/int64(perSecond))
}
