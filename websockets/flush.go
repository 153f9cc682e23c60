package websockets

import (
	"net"
	"sync"
	"time"
)

const (
	// writeWait bounds one write to a client that does not read. A client that
	// is that far behind would also miss its heartbeat.
	writeWait = 20 * time.Second
	// flushBytes is what leaves a socket in one write when that does not wait.
	// Frames above it are written from where they are.
	flushBytes = 32 << 10
	// slowBytes is the same for a writer that may wait: it is kept for as long
	// as the client does not read.
	slowBytes = 4 << 10
)

var (
	flushBuffers = sync.Pool{New: func() any { b := make([]byte, 0, flushBytes); return &b }}
	sealBuffers  = sync.Pool{New: func() any { b := make([]byte, 0, flushBytes+sealRoom); return &b }}
)

// claimLocked makes the caller the socket's writer when there is something to
// write and nobody writes. The caller must then unlock and call flush.
func (s *socket) claimLocked() bool {
	if s.writer || !s.attached || s.dead || s.haltedLocked() || len(s.queue) == 0 && s.farewell == nil && !s.carrier.owes() {
		return false
	}
	s.writer = true
	return true
}

// flush writes what waits, as few writes as possible and without waiting for
// the client; what the connection does not take is left to a goroutine. All
// that comes while it works is written as well.
func (s *socket) flush() {
	if s.raw == nil {
		s.server.work.Go(s.writeWaiting)
		return
	}
	scratch := flushBuffers.Get().(*[]byte)
	defer flushBuffers.Put(scratch)
	var sealed []byte
	if s.carrier != nil {
		records := sealBuffers.Get().(*[]byte)
		defer sealBuffers.Put(records)
		sealed = (*records)[:0]
	}
	s.mu.Lock()
	for {
		data, born := s.takeLocked((*scratch)[:0], flushBytes)
		if len(data) == 0 && !s.carrier.owes() {
			break
		}
		s.mu.Unlock()
		rest, err := s.sendNow(data, sealed)
		s.mu.Lock()
		if err == errWouldBlock {
			s.countSentLocked(len(data), len(rest))
			s.rest = rest
			if len(data) <= flushBytes {
				s.rest = append([]byte(nil), rest...) // the buffers are the next flush's
			}
			s.mu.Unlock()
			s.server.work.Go(s.writeWaiting)
			return
		}
		if err != nil {
			s.writeFailedLocked(err)
			break
		}
		s.wroteLocked(len(data), born)
	}
	s.unclaim()
}

// writeWaiting is flush for a connection that does not take everything at
// once: each write has a deadline.
func (s *socket) writeWaiting() {
	scratch := make([]byte, 0, slowBytes)
	var sealed []byte
	if s.carrier != nil {
		sealed = make([]byte, 0, slowBytes+sealRoom)
	}
	s.mu.Lock()
	s.waitsToWrite = true
	for !s.haltedLocked() {
		data, born, begun := s.rest, int64(0), s.rest != nil
		if !begun {
			data, born = s.takeLocked(scratch[:0], slowBytes)
		}
		if len(data) == 0 && !s.carrier.owes() || s.dead {
			break
		}
		if s.cause == CauseNone {
			_ = s.conn.SetWriteDeadline(time.Now().Add(writeWait)) // see boundLocked
		}
		s.mu.Unlock()
		rest, err := s.sendWaiting(data, begun, sealed)
		s.mu.Lock()
		sent := len(data)
		if begun && s.carrier != nil {
			sent = 0 // flush has counted what is in the records
		}
		if err != nil && s.haltedLocked() && timedOut(err) {
			s.countSentLocked(sent, len(rest))
			s.rest = append([]byte(nil), rest...)
			break
		}
		s.rest = nil
		if err != nil {
			s.writeFailedLocked(err)
			break
		}
		s.wroteLocked(sent, born)
	}
	if s.cause == CauseNone {
		_ = s.conn.SetWriteDeadline(time.Time{}) // see boundLocked
	}
	s.waitsToWrite = false
	s.unclaim()
}

// takeLocked moves what waits into buf, up to limit bytes, and returns it with
// the time of the oldest service message in it, or 0. A frame above the limit
// comes alone and is not copied.
func (s *socket) takeLocked(buf []byte, limit int) (data []byte, born int64) {
	if s.dead || s.haltedLocked() {
		return nil, 0
	}
	taken := 0
	for _, f := range s.queue {
		if len(buf)+len(f.data) > limit {
			if taken == 0 {
				buf, taken = f.data, 1
				s.writing.add(f.outgoing)
				s.noteWriting(f.index)
				born = f.born
			}
			break
		}
		buf = append(buf, f.data...)
		if born == 0 {
			born = f.born
		}
		s.writing.add(f.outgoing)
		s.noteWriting(f.index)
		taken++
	}
	switch rest := copy(s.queue, s.queue[taken:]); {
	case rest > 0 || cap(s.queue) <= keptQueue:
		clear(s.queue[rest:])
		s.queue = s.queue[:rest]
	default:
		s.queue = nil
	}
	s.shard.counters.framesOut.Add(int64(taken))
	if len(s.queue) == 0 && len(buf)+len(s.farewell) <= limit {
		buf = append(buf, s.farewell...)
		s.farewell = nil
	}
	if s.rec != nil && s.rec.writing != 0 && len(buf)+pingBytes <= limit {
		buf = s.askLocked(buf)
	}
	return buf, born
}

// keptQueue is the length of a queue that a socket keeps when it is empty, so
// that one message after the other costs no allocation.
const keptQueue = 8

// countSentLocked counts n bytes of frames of which rest bytes are left; what is
// left of records counts as sent.
func (s *socket) countSentLocked(n, rest int) {
	if s.carrier == nil {
		n -= rest
	}
	s.shard.counters.bytesOut.Add(int64(n))
}

func (s *socket) wroteLocked(n int, born int64) {
	s.waiting.sub(s.writing)
	s.writing = load{}
	if s.rec != nil {
		s.wroteKeptLocked()
	}
	s.shard.counters.bytesOut.Add(int64(n))
	if born != 0 {
		s.sent = time.Now().UnixNano()
		s.shard.counters.latency.observe(s.sent - born)
	}
}

// unclaim ends a turn as writer; it unlocks.
func (s *socket) unclaim() {
	s.writer = false
	if s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	s.mu.Unlock()
}

// writeFailedLocked has the socket ended by whoever serves it.
func (s *socket) writeFailedLocked(err error) {
	s.waiting.sub(s.writing)
	s.writing = load{}
	s.dead = true
	if s.cause == CauseNone {
		s.cause = CauseConnection
		if timedOut(err) {
			s.cause = CauseSlow
		}
	}
	s.stopReadingLocked()
}

func timedOut(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
