package websockets

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// What was written to a connection that breaks may have arrived or not. So a Web
// Socket ping follows messages: when the browser has answered it, it has all that
// came before. Only what is behind the last answer is sent again.

const (
	// askEvery is the time between two questions to one socket, and askRound between
	// two looks at those that wait for their next. A message that comes alone is asked
	// for at once. Of those that follow sooner a client may get a second copy, if its
	// connection breaks before the next question, askEvery and askRound later at most.
	// An answer costs the server up to 100 us, a seventh of what its message has cost.
	askEvery = 3 * time.Second
	askRound = time.Second
	// reachedPerSecond and reachedAtOnce bound the questions to all sockets: above it the
	// unconfirmed tails of busy sockets get longer.
	reachedPerSecond = 1_000
	reachedAtOnce    = 5_000
	// emptyFor is how long nobody tries when no question is left.
	emptyFor = 10 * time.Millisecond
	// pingBytes is a question: a frame with a payload of 8 bytes.
	pingBytes = 10
	// reachedMark begins the payload of the pings that ask, so that a pong tells
	// which ping it answers.
	reachedMark = 0x53
)

// noteWriting notes that a frame is being written, of a message of this index.
func (s *socket) noteWriting(index uint64) {
	if s.rec != nil && index > s.rec.writing {
		s.rec.writing = index
	}
}

// wroteKeptLocked notes that what was being written is out.
func (s *socket) wroteKeptLocked() {
	r := s.rec
	if r.writing == 0 {
		return
	}
	r.written, r.writing = max(r.written, r.writing), 0
	if s.waiting.frames == 0 {
		r.grace = load{}
	}
	if r.asked == 0 && r.written > r.confirmed && !r.later {
		r.later = true
		s.server.reached.later(s)
	}
}

// askLocked appends the question whether the messages that are written now have
// arrived, unless one is out or was lately.
func (s *socket) askLocked(buf []byte) []byte {
	r, now := s.rec, s.server.clock()
	if r.asked != 0 || r.askedAt != 0 && now-r.askedAt < int64(askEvery) || !s.server.reached.take(now) {
		return buf
	}
	r.asked, r.askedAt = r.writing, now
	return appendFrame(buf, opPing, reachedPayload(r.asked))
}

func reachedPayload(index uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, index&(1<<56-1)|reachedMark<<56)
}

// pongReached takes the payload of a pong.
func (s *socket) pongReached(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rec
	if r == nil || r.asked == 0 || string(payload) != string(reachedPayload(r.asked)) {
		return
	}
	r.confirmed, r.asked = max(r.confirmed, r.asked), 0
	if r.written > r.confirmed && !r.later {
		r.later = true
		s.server.reached.later(s)
	}
}

// askAgain asks for what was written since the last question. It reports whether
// the socket has to wait for its turn.
func (s *socket) askAgain(now int64) (wait bool) {
	s.mu.Lock()
	r := s.rec
	due := s.cause == CauseNone && r.asked == 0 && r.written > r.confirmed
	if due && (now-r.askedAt < int64(askEvery) || !s.server.reached.take(now)) {
		s.mu.Unlock()
		return true
	}
	r.later = false
	if !due {
		s.mu.Unlock()
		return false
	}
	r.asked, r.askedAt = r.written, now
	s.queueLocked([][]byte{appendFrame(nil, opPing, reachedPayload(r.asked))})
	mine := s.claimLocked()
	s.mu.Unlock()
	s.see(mine, false)
	return false
}

// reached has the sockets asked whose messages no question has followed yet.
type reached struct {
	empty atomic.Int64 // no question is left until then, by Server.clock
	wake  chan struct{}

	mu   sync.Mutex
	list []*socket // each once, so that the hub bounds it
	used float64   // of reachedAtOnce, at the time last
	last int64
}

// take reports whether one more socket may be asked now.
func (q *reached) take(now int64) bool {
	if now < q.empty.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used = max(0, q.used-reachedPerSecond*time.Duration(max(0, now-q.last)).Seconds())
	q.last = max(q.last, now)
	if q.used+1 > reachedAtOnce {
		q.empty.Store(now + int64(emptyFor))
		return false
	}
	q.used++
	return true
}

// later puts a socket on the list. The caller holds its mu, so that the list is
// locked last.
func (q *reached) later(s *socket) {
	q.mu.Lock()
	q.list = append(q.list, s)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// askReached works the list off until the server stops.
func (s *Server) askReached() {
	q := &s.reached
	for {
		select {
		case <-q.wake:
		case <-s.stopped.Done():
			return
		}
		wait := time.NewTimer(askRound)
		select {
		case <-wait.C:
		case <-s.stopped.Done():
			wait.Stop()
			return
		}
		q.mu.Lock()
		list := q.list
		q.list = nil
		q.mu.Unlock()
		now, again := s.clock(), list[:0]
		for _, sock := range list {
			if now < q.empty.Load() || sock.askAgain(now) {
				again = append(again, sock)
			}
		}
		if len(again) == 0 {
			continue
		}
		q.mu.Lock()
		q.list = append(q.list, again...)
		q.mu.Unlock()
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// answeredClose reports whether the client has answered the server's close frame,
// and so has everything that came before. Its own close says nothing.
func (s *socket) answeredClose(cause Cause) bool {
	last := s.wire.last
	if cause == CauseClient || len(last) < 4 || closings[cause].code == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.farewell == nil && len(s.queue) == 0 &&
		binary.BigEndian.Uint16(last[2:]) == closings[cause].code
}
