package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// track follows the messages of a sender to each socket: every one, once, in
// order. It belongs to the thread that serves the sockets.
type track struct {
	users  int
	filler string
	userOf func(i int) int // of a socket, from 1 on
	next   []int           // number that a socket is to get next; 0: any
	total  int             // deliveries
	delay  []time.Duration
	began  time.Time
	offset int64 // of the monotonic clock when the track began
}

// errLost is of a message that did not come, or not in its order.
type errLost struct{ socket, got, want int }

func (e *errLost) Error() string {
	return fmt.Sprintf("socket %d got message %d instead of %d", e.socket, e.got, e.want)
}

func newTrack(n, users, size int, userOf func(i int) int) *track {
	return &track{
		users: users, filler: strings.Repeat("x", size-head), userOf: userOf, next: make([]int, n),
		began: time.Now(), offset: monotonic(),
	}
}

// delivered takes what socket i got.
func (t *track) delivered(i int, text []byte, at time.Time) error {
	if len(text) != head+len(t.filler) || string(text[head:]) != t.filler {
		return fmt.Errorf("a message of %d bytes, not the %d that were sent: %.60q", len(text), head+len(t.filler), text)
	}
	number, err := strconv.Atoi(string(text[:numberDigits]))
	if err != nil {
		return fmt.Errorf("a message without a number: %.60q", text)
	}
	stamp, err := strconv.ParseInt(string(text[numberDigits:head]), 10, 64)
	if err != nil {
		return fmt.Errorf("a message without a time: %.60q", text)
	}
	if user := 1 + (number-1)%t.users; user != t.userOf(i) {
		return fmt.Errorf("message %d to user %d came to user %d", number, user, t.userOf(i))
	}
	if t.next[i] != 0 && t.next[i] != number {
		return &errLost{i, number, t.next[i]}
	}
	t.next[i] = number + t.users
	t.total++
	t.delay = append(t.delay, at.Sub(t.began)-time.Duration(stamp-t.offset))
	return nil
}

// settled reports whether every socket has the last of what was sent.
func (t *track) settled(sent int) bool {
	for i, next := range t.next {
		user := t.userOf(i)
		if sent < user {
			continue
		}
		if last := sent - (sent-user)%t.users; next <= last {
			return false
		}
	}
	return true
}

// start forgets the delays so far.
func (t *track) start() { t.delay = t.delay[:0] }

// delays are those since start, in order.
func (t *track) delays() []time.Duration {
	d := slices.Clone(t.delay)
	slices.Sort(d)
	return d
}
