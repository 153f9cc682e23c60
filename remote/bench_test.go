package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

// BenchmarkLink moves messages for a thousand users from one member to another,
// both in this process, over a real Redis.
func BenchmarkLink(b *testing.B) {
	s := redistest.Start(b)
	from, to := newNode(b, way(s), "a"), newNode(b, way(s), "b")
	from.SetTimings(Timings{Frequency: minFrequency})
	meet(b, from, to)
	const users = 1000
	for u := range users {
		to.mustOpen(1, int32(u+1), "x")
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for i := range b.N {
		for from.Reserve() != nil {
			time.Sleep(time.Millisecond)
		}
		from.Offer(Message{ID: fmt.Sprint(i), Context: 1, User: int32(i%users + 1), Name: "ox:mail:new", Args: `[{"folder":"default0/INBOX","id":"` + fmt.Sprint(i) + `"}]`})
	}
	for int(to.Stats().Received) < b.N {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
}
