package remote

import (
	"errors"
	"sync"
	"time"
)

// ErrFull is returned when the buffer holds as many messages as it may.
var ErrFull = errors.New("the buffer of messages for other members is full: try again")

// ErrClosed is returned by a buffer that is closed.
var ErrClosed = errors.New("the buffer of messages for other members is closed: this member stops")

// Sink takes messages in the order in which they are to reach their receivers.
// It returns when it has them for good, however long that takes: until then
// they count as buffered. It is called by one goroutine at a time.
type Sink func([]Message)

// Buffer keeps messages for other members until they are due, merges equal
// ones, and hands them on in the order of first arrival
// (docs/reference/cluster.md#buffer). While it is empty, nothing of it runs.
type Buffer struct {
	sink  Sink
	limit func() int

	mu       sync.Mutex
	queue    *queue
	reserved int // places of messages that are not offered yet
	sinking  int // messages that the sink has not returned from
	running  bool
	closed   bool
	wake     chan struct{} // something changed for the goroutine
	idle     *sync.Cond    // it ended
	counts   Counts
}

// Counts are those of a buffer since its start; Buffered is of now.
type Counts struct {
	Buffered  int   // waiting, or with the sink
	Coalesced int64 // offers that met an equal message
	Flushed   Flushed
	Refused   int64 // reservations that found the buffer full
}

// Flushed counts messages handed to the sink by why they left the buffer.
type Flushed struct {
	Due    int64 // the wait was over
	Order  int64 // they must not come after one whose wait was over
	Sync   int64 // their senders wait
	Closed int64 // the buffer was closed
}

// NewBuffer makes an empty buffer. t is valid; limit is asked at each
// reservation for how many messages it may hold.
func NewBuffer(t Timings, limit func() int, sink Sink) *Buffer {
	b := &Buffer{sink: sink, limit: limit, queue: newQueue(t), wake: make(chan struct{}, 1)}
	b.idle = sync.NewCond(&b.mu)
	return b
}

// Reserve takes a place, so that a message can be delivered here and must not
// be lost elsewhere. The caller gives it back with Offer or Release. It returns
// ErrFull or ErrClosed.
func (b *Buffer) Reserve() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return ErrClosed
	case b.queue.len()+b.sinking+b.reserved >= b.limit():
		b.counts.Refused++
		return ErrFull
	}
	b.reserved++
	return nil
}

// Release gives back a place that is not needed.
func (b *Buffer) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved--
}

// Offer puts a message into the place that was reserved for it. It reports
// whether an equal message was waiting, which then carries this one too.
func (b *Buffer) Offer(m Message) (coalesced bool) {
	return b.offer(m, b.queue.offer, false)
}

// OfferNow is Offer for a message that is due at once, and with it what must
// not come after it.
func (b *Buffer) OfferNow(m Message) (coalesced bool) {
	return b.offer(m, b.queue.offerNow, true)
}

func (b *Buffer) offer(m Message, put func(Message, time.Time) bool, now bool) (coalesced bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved--
	coalesced = put(m, time.Now())
	if coalesced {
		b.counts.Coalesced++
	}
	if !b.running {
		b.running = true
		go b.run() // Close waits for it
	}
	if now || b.queue.timings.Delay == 0 {
		b.nudgeLocked()
	}
	return coalesced
}

// SetTimings changes the timings, which must be valid, for the messages that
// wait as well. The looking for due ones starts anew at once.
func (b *Buffer) SetTimings(t Timings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue.setTimings(t)
	b.nudgeLocked()
}

func (b *Buffer) nudgeLocked() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run hands on what is due until nothing waits. It looks first when Frequency
// has passed since the first message came.
func (b *Buffer) run() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.queue.len() > 0 {
		if b.queue.timings.Delay > 0 && !b.closed {
			timer := time.NewTimer(b.queue.timings.Frequency)
			b.mu.Unlock()
			select {
			case <-timer.C:
			case <-b.wake:
			}
			timer.Stop()
			b.mu.Lock()
		}
		var due []Message
		if b.closed {
			due = b.queue.all()
			b.counts.Flushed.Closed += int64(len(due))
		} else {
			due = b.queue.take(time.Now(), &b.counts.Flushed)
		}
		if len(due) == 0 {
			continue
		}
		b.sinking = len(due)
		b.mu.Unlock()
		b.sink(due)
		b.mu.Lock()
		b.sinking = 0
	}
	b.running = false
	b.idle.Broadcast()
}

// Counts returns the counters.
func (b *Buffer) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.counts
	c.Buffered = b.queue.len() + b.sinking
	return c
}

// Close refuses reservations from now on, hands everything that waits to the
// sink, in order, and returns when the sink has it.
func (b *Buffer) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.nudgeLocked()
	for b.running {
		b.idle.Wait()
	}
}
