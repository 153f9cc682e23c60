package gate

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestRecheckCountsChangesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, asked, hold := NewRecheck(), 0, make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			r.Run(ctx, func() {
				asked++
				<-hold
			})
		})
		r.Changed()
		synctest.Wait() // it asks, and works on it
		for range 5 {
			r.Changed()
		}
		close(hold)
		synctest.Wait()
		stop()
		wg.Wait()
		if asked != 2 {
			t.Errorf("asked %d times, want once for the first change and once for those that came meanwhile", asked)
		}
	})
}
