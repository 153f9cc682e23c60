package remote

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is done rarely never waits, a burst neither, and what is done all the
// time keeps the pace as an average.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		for range 10 * paceBurst {
			if rest := p.rest(postPace); rest > 0 {
				t.Fatalf("what keeps the pace waits for %v", rest)
			}
			p.spent(postPace, 1)
			time.Sleep(postPace)
		}
		time.Sleep(time.Minute)
		start, done := time.Now(), 0
		for ; p.rest(postPace) <= 0; done++ {
			p.spent(postPace, 1)
		}
		if done != paceBurst+1 {
			t.Errorf("a burst of %d, want %d", done, paceBurst+1)
		}
		for ; time.Since(start) < time.Second; done++ {
			time.Sleep(max(p.rest(postPace), 0))
			p.spent(postPace, 1)
		}
		if most := int(time.Second/postPace) + paceBurst + 2; done > most {
			t.Errorf("%d in a second, want at most %d", done, most)
		}
		p = pacer{}
		p.spent(readPace, ownReads)
		if want := time.Now().Add(ownReads * readPace); !p.paid.Equal(want) {
			t.Errorf("paid at %v, want %v", p.paid, want)
		}
	})
}
