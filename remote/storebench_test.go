package remote

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote/redistest"
)

// BenchmarkKeeper measures an acknowledged write on the keeper, and one through a
// follower, in turns.
func BenchmarkKeeper(b *testing.B) {
	k := newKeepers(b, way(redistest.Start(b)))
	a := k.member("k", "k", "")
	a.Ready(b)
	f := k.follower("")
	f.Ready(b)
	took := map[*storeNode][]time.Duration{}
	for i := range 400 {
		for _, x := range []*storeNode{a, f} {
			start := time.Now()
			if _, err := x.Put(context.Background(), cascade.Subject{Context: 1, User: uint32(i + 1)}, "p", "v"); err != nil {
				b.Fatal(err)
			}
			took[x] = append(took[x], time.Since(start))
		}
	}
	p50 := func(x *storeNode) float64 {
		slices.Sort(took[x])
		return float64(took[x][len(took[x])/2]) / float64(time.Millisecond)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(p50(a), "keeper-p50-ms")
	b.ReportMetric(p50(f), "follower-p50-ms")
	b.ReportMetric(p50(f)/p50(a), "follower/keeper")
}
