package remote

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
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
		to.mustOpen(1, uint32(u+1), "x")
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for i := range b.N {
		for from.Reserve() != nil {
			time.Sleep(time.Millisecond)
		}
		from.Offer(Message{Context: 1, User: uint32(i%users + 1), Name: "ox:mail:new", Args: `[{"folder":"default0/INBOX","id":"` + fmt.Sprint(i) + `"}]`, Label: shared.Label{ID: fmt.Sprint(i)}})
	}
	for int(to.Stats().Received) < b.N {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
}

// BenchmarkRegister registers sockets of users with one and with eight each, and
// reports what one takes in Redis.
func BenchmarkRegister(b *testing.B) {
	for _, each := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d of a user", each), func(b *testing.B) {
			s := redistest.Start(b)
			n := newNode(b, way(s), "a")
			meet(b, n)
			used := func() float64 {
				info := s.Client().InfoMap(b.Context(), "memory").Val()["Memory"]
				bytes, err := strconv.ParseFloat(info["used_memory"], 64)
				if err != nil {
					b.Fatal(err)
				}
				return bytes
			}
			before := used()
			b.ResetTimer()
			for i := range b.N {
				n.mustOpen(uint32(i/each/100+1), uint32(i/each+1), fmt.Sprintf("%023d", i))
			}
			b.ReportMetric((used()-before)/float64(b.N), "bytes/socket")
		})
	}
}
