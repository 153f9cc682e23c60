package websockets

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits gets the next turn in the order of coming, and nobody waits beyond
// the limit, its own end, or that of the server.
func TestTurnstile(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(s *turnstile, cancel, stop func())
		want bool
		took time.Duration
	}{
		{"a turn is free in time", func(s *turnstile, _, _ func()) { time.Sleep(time.Second); s.leave() }, true, time.Second},
		{"no turn is free in time", func(*turnstile, func(), func()) {}, false, 5 * time.Second},
		{"the client goes", func(_ *turnstile, cancel, _ func()) { time.Sleep(2 * time.Second); cancel() }, false, 2 * time.Second},
		{"the server stops", func(_ *turnstile, _, stop func()) { time.Sleep(3 * time.Second); stop() }, false, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTurnstile(1, 1, 5*time.Second)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stopped, stop := context.WithCancel(t.Context())
				defer stop()
				if !s.enter(ctx, stopped.Done()) {
					t.Fatal("no first turn")
				}
				began := time.Now()
				entered := make(chan bool)
				go func() { entered <- s.enter(ctx, stopped.Done()) }()
				synctest.Wait()
				if s.enter(ctx, stopped.Done()) {
					t.Error("a third is let in or waits")
				}
				go c.act(s, cancel, stop)
				if got := <-entered; got != c.want || time.Since(began) != c.took {
					t.Errorf("%t after %v, want %t after %v", got, time.Since(began), c.want, c.took)
				}
				if len(s.waiting) != 0 {
					t.Error("a place stays taken")
				}
			})
		})
	}
}

func TestTurnstileOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurnstile(1, 10, time.Minute)
		s.enter(t.Context(), nil)
		order := make(chan int, 10)
		for i := range 10 {
			go func() {
				s.enter(t.Context(), nil)
				order <- i
				s.leave()
			}()
			synctest.Wait()
		}
		s.leave()
		for i := range 10 {
			if got := <-order; got != i {
				t.Errorf("%d has turn %d", got, i)
			}
		}
	})
}
