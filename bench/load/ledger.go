package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// everybody is the user of a message to all sockets.
const everybody = 0

// message is one publication.
type message struct {
	user int
	text string
}

// letter is a message on its way.
type letter struct {
	user int
	at   time.Time
	left int // sockets that do not have it yet
}

// tally is how many messages, and the sum of their numbers: two sockets with
// the same tally have, for all that chance can do, got the same messages.
type tally struct{ count, sum int }

func (t *tally) add(number int) { t.count, t.sum = t.count+1, t.sum+number }

// ledger follows each message to each socket that is to get it: the right
// text, once.
type ledger struct {
	size   int             // bytes of a text
	filler string          // all of a text but its number
	userOf func(i int) int // of a socket
	want   func(user int) int
	window chan struct{} // one for each message on its way; nil: no limit

	mu    sync.Mutex
	last  int
	sent  map[int]*letter // by number
	owed  map[int]*tally  // by user
	got   []tally         // by socket
	total int             // deliveries
	delay []time.Duration // of each delivery
}

// numberDigits is what a text starts with.
const numberDigits = 9

func newLedger(sockets, size, window int, userOf, want func(int) int) *ledger {
	l := &ledger{
		size: size, filler: strings.Repeat("x", size-numberDigits), userOf: userOf, want: want,
		sent: map[int]*letter{}, owed: map[int]*tally{}, got: make([]tally, sockets),
	}
	if window > 0 {
		l.window = make(chan struct{}, window)
	}
	return l
}

// message numbers a message to a user, or to everybody. It waits while the
// window is full, and returns false when stop or ctx end first.
func (l *ledger) message(ctx context.Context, stop <-chan struct{}, user int) (message, bool) {
	if l.window != nil {
		select {
		case l.window <- struct{}{}:
		case <-stop:
			return message{}, false
		case <-ctx.Done():
			return message{}, false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.sent[l.last] = &letter{user: user, at: time.Now(), left: l.want(user)}
	if l.owed[user] == nil {
		l.owed[user] = &tally{}
	}
	l.owed[user].add(l.last)
	return message{user, fmt.Sprintf("%0*d", numberDigits, l.last) + l.filler}, true
}

// delivered takes what socket i got.
func (l *ledger) delivered(i int, text []byte, at time.Time) error {
	if len(text) != l.size || string(text[numberDigits:]) != l.filler {
		return fmt.Errorf("a message of %d bytes, not the %d that were sent: %.60q", len(text), l.size, text)
	}
	number := 0
	for _, d := range text[:numberDigits] {
		if d < '0' || d > '9' {
			return fmt.Errorf("a message without a number: %.60q", text)
		}
		number = number*10 + int(d-'0')
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.sent[number]
	if m == nil {
		return fmt.Errorf("message %d came once more than it was sent, or never was", number)
	}
	if m.user != everybody && m.user != l.userOf(i) {
		return fmt.Errorf("message %d to user %d came to user %d", number, m.user, l.userOf(i))
	}
	l.got[i].add(number)
	l.total++
	l.delay = append(l.delay, at.Sub(m.at))
	if m.left--; m.left == 0 {
		delete(l.sent, number)
		if l.window != nil {
			<-l.window
		}
	}
	return nil
}

// start forgets the delays so far, and returns the number of deliveries.
func (l *ledger) start() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = l.delay[:0]
	return l.total
}

// end returns the delays since start in order, and the number of deliveries.
func (l *ledger) end() ([]time.Duration, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delay := slices.Clone(l.delay)
	slices.Sort(delay)
	return delay, l.total
}

// settled reports whether every socket has everything.
func (l *ledger) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sent) == 0
}

// check compares what each socket got with what its user was sent; those that
// do not read are left out.
func (l *ledger) check(stalled func(i int) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent) > 0 {
		return fmt.Errorf("%d of %d messages did not reach all their sockets", len(l.sent), l.last)
	}
	if l.total == 0 {
		return fmt.Errorf("nothing was delivered")
	}
	for i, got := range l.got {
		if stalled(i) {
			continue
		}
		var want tally
		for _, user := range []int{everybody, l.userOf(i)} {
			if t := l.owed[user]; t != nil {
				want.count, want.sum = want.count+t.count, want.sum+t.sum
			}
		}
		if got != want {
			return fmt.Errorf("socket %d got %d messages, numbers adding up to %d, instead of %d and %d", i, got.count, got.sum, want.count, want.sum)
		}
	}
	return nil
}
