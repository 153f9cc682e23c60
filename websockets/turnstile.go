package websockets

import (
	"context"
	"time"
)

const (
	// maxAdmitting bounds the handshakes whose session is being looked up and
	// whose socket is being made known to the cluster. At 2 ms for both, 256 are
	// more than 100,000 handshakes a second.
	maxAdmitting = 256
	// maxWaiting bounds the handshakes that wait for their turn: all clients of a
	// member that was killed come in the same moment, because they count from the
	// same one. Each costs a connection and about 20 KiB until its turn.
	maxWaiting = 16_384
	// maxAdmissionWait bounds the wait for a turn. The existing clients take a
	// refusal for a reason to wait twice as long, so that seconds here cost them less
	// than a 503; they give up on a handshake after 20 s. 10,000 that come at once to
	// two members on two cores are back after 10 to 12 s.
	maxAdmissionWait = 12 * time.Second
)

// turnstile lets handshakes through, a bounded number at a time, in the order
// in which they came.
type turnstile struct {
	turns   chan struct{} // has a place for each handshake that has its turn
	waiting chan struct{} // has a place for each that waits
	wait    time.Duration // at most, for a turn
}

func newTurnstile(turns, waiting int, wait time.Duration) *turnstile {
	return &turnstile{make(chan struct{}, turns), make(chan struct{}, waiting), wait}
}

// enter waits for a turn, which the caller ends with leave. It returns false
// when too many wait, when the turn does not come in time, and
// when ctx or stopped ends first.
func (t *turnstile) enter(ctx context.Context, stopped <-chan struct{}) bool {
	select {
	case t.turns <- struct{}{}:
		return true
	default:
	}
	select {
	case t.waiting <- struct{}{}:
		defer func() { <-t.waiting }()
	default:
		return false
	}
	limit := time.NewTimer(t.wait)
	defer limit.Stop()
	select {
	case t.turns <- struct{}{}:
		return true
	case <-limit.C:
	case <-ctx.Done():
	case <-stopped:
	}
	return false
}

func (t *turnstile) leave() { <-t.turns }
