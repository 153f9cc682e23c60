package websockets

import (
	"runtime"
	"sync"
)

const (
	// fewSockets is how many sockets a sender writes to itself: those of one
	// user, and of a small context. More would make its caller wait.
	fewSockets = 16
	// flushTurn is how many sockets a flusher takes at once.
	flushTurn = 32
)

// flusher writes to the sockets of big sends, in the order in which they first
// had something to write. A socket that has been written to comes behind all
// others, so that what comes meanwhile leaves in one write: the busier it is,
// the fewer writes a message costs.
type flusher struct {
	mu    sync.Mutex
	queue []*socket // claimed, each once, so that the hub bounds it
	head  int       // of the queue
	turns int       // goroutines that work
}

// add has the sockets written to, which the caller has claimed.
func (f *flusher) add(s *Server, list []*socket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, list...)
	for f.turns < min(runtime.GOMAXPROCS(0), (len(f.queue)-f.head+flushTurn-1)/flushTurn) {
		f.turns++
		s.work.Go(f.run)
	}
}

func (f *flusher) run() {
	var turn [flushTurn]*socket
	for {
		n := f.take(turn[:])
		if n == 0 {
			return
		}
		for i, sock := range turn[:n] {
			sock.flush()
			turn[i] = nil
		}
	}
}

// take fills turn from the queue. With 0 the goroutine counts no more.
func (f *flusher) take(turn []*socket) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(turn, f.queue[f.head:])
	clear(f.queue[f.head : f.head+n])
	f.head += n
	switch {
	case n == 0:
		f.turns--
		if f.turns == 0 {
			f.queue, f.head = nil, 0
		}
	case f.head >= len(f.queue)/2 && f.head > flushTurn:
		left := copy(f.queue, f.queue[f.head:])
		clear(f.queue[left:])
		f.queue, f.head = f.queue[:left], 0
	}
	return n
}
