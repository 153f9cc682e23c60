package main

import (
	"strings"
	"testing"
	"time"
)

// Four sockets of two users: 0 and 2 are user 1's, 1 and 3 are user 2's.
func twoUsers(window int) *ledger {
	return newLedger(4, 20, window, func(i int) int { return i%2 + 1 }, func(user int) int {
		if user == everybody {
			return 4
		}
		return 2
	})
}

func sent(t *testing.T, l *ledger, user int) message {
	t.Helper()
	m, ok := l.message(t.Context(), nil, user)
	if !ok {
		t.Fatal("no message")
	}
	return m
}

func TestLedgerSettles(t *testing.T) {
	l := twoUsers(2)
	all, one := sent(t, l, everybody), sent(t, l, 1)
	for i := range 4 {
		if err := l.delivered(i, []byte(all.text), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if l.settled() {
		t.Error("settled although user 1 waits for a message")
	}
	for _, i := range []int{0, 2} {
		if err := l.delivered(i, []byte(one.text), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if !l.settled() {
		t.Error("not settled")
	}
	if err := l.check(none); err != nil {
		t.Error(err)
	}
	if delay, total := l.end(); len(delay) != 6 || total != 6 {
		t.Errorf("%d delays, %d deliveries, want 6", len(delay), total)
	}
	if len(l.window) != 0 {
		t.Errorf("%d places of the window are still taken", len(l.window))
	}
}

func TestLedgerWindow(t *testing.T) {
	l := twoUsers(1)
	sent(t, l, everybody)
	stop := make(chan struct{})
	close(stop)
	if m, ok := l.message(t.Context(), stop, everybody); ok {
		t.Errorf("message %v although the window is full", m)
	}
}

func TestLedgerRefuses(t *testing.T) {
	for _, c := range []struct {
		name, says string
		deliver    func(l *ledger, m message) error // of a message to user 1
	}{
		{"other user", "came to user 2", func(l *ledger, m message) error { return l.delivered(1, []byte(m.text), time.Now()) }},
		{"shorter", "19 bytes", func(l *ledger, m message) error { return l.delivered(0, []byte(m.text[:19]), time.Now()) }},
		{"changed", "not the 20", func(l *ledger, m message) error {
			return l.delivered(0, []byte(m.text[:19]+"y"), time.Now())
		}},
		{"no number", "without a number", func(l *ledger, m message) error {
			return l.delivered(0, []byte("-"+m.text[1:]), time.Now())
		}},
		{"never sent", "never was", func(l *ledger, m message) error {
			return l.delivered(0, []byte("000000077"+m.text[numberDigits:]), time.Now())
		}},
		{"once more", "never was", func(l *ledger, m message) error {
			for _, i := range []int{0, 2} {
				if err := l.delivered(i, []byte(m.text), time.Now()); err != nil {
					return nil
				}
			}
			return l.delivered(0, []byte(m.text), time.Now())
		}},
		{"one socket twice, the other never", "socket 0 got 2", func(l *ledger, m message) error {
			for range 2 {
				if err := l.delivered(0, []byte(m.text), time.Now()); err != nil {
					return nil
				}
			}
			return l.check(none)
		}},
		{"one only", "did not reach", func(l *ledger, m message) error {
			if err := l.delivered(0, []byte(m.text), time.Now()); err != nil {
				return nil
			}
			return l.check(none)
		}},
		{"none", "did not reach", func(l *ledger, _ message) error { return l.check(none) }},
	} {
		l := twoUsers(0)
		if err := c.deliver(l, sent(t, l, 1)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", c.name, err, c.says)
		}
	}
	if err := twoUsers(0).check(none); err == nil {
		t.Error("a run without any delivery passes")
	}
}
