package httpapi

import "sync"

// taking counts messages from the moment at which their ids count as used until the
// sockets and the link have them: between the two their sender, told of neither, would
// send them again, and be told that they were sent before.
type taking struct {
	mu      sync.Mutex // guards halted and the first Add of running
	halted  bool
	running sync.WaitGroup
}

// enter is false where no message is taken any more.
func (t *taking) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.halted {
		t.running.Add(1)
	}
	return !t.halted
}

func (t *taking) leave() { t.running.Done() }

// HaltDeliveries has no further message of a caller be taken, and returns when those
// under way are with the sockets and the link, within what a claim of an id may take.
// It is called before ClosePushes, by who hands over.
func (s *Server) HaltDeliveries() {
	s.taking.mu.Lock()
	s.taking.halted = true
	s.taking.mu.Unlock()
	s.taking.running.Wait()
}
