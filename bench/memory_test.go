package bench

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

func itoa(i int) string { return strconv.Itoa(i) }

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory reports the bytes that each of a million overrides costs
// beyond its strings, and the median time of a forced collection with them live.
func BenchmarkMemory(b *testing.B) {
	for _, distinct := range []bool{false, true} {
		b.Run(fmt.Sprintf("distinct=%v", distinct), func(b *testing.B) {
			e := open(b, tree(b, 1, 10, 1))
			before := heap()
			raw := uint64(0)
			const step = 100_000
			for from := 0; from < million; from += step {
				bt := cascade.Batch{}
				for i := from; i < from+step; i++ {
					v := "false"
					if distinct {
						v = "value " + itoa(i)
						raw += uint64(len(v))
					}
					bt.Overrides = append(bt.Overrides, cascade.Override{
						Key: cascade.Key{Subject: subject(i), Property: enabled}, Value: v, Actor: "bench", Reason: "bench", Time: time.UnixMilli(int64(i)),
					})
				}
				if err := e.Apply(bt); err != nil {
					b.Fatal(err)
				}
			}
			after := heap()
			var took []time.Duration
			for range max(b.N, 9) {
				t := time.Now()
				runtime.GC()
				took = append(took, time.Since(t))
			}
			b.ReportMetric(float64(after-before-raw)/million, "B/override")
			b.ReportMetric(float64(p(took, 50).Microseconds())/1000, "gc-ms")
			b.ReportMetric(60, "limit-B")
			b.ReportMetric(10, "limit-ms")
			runtime.KeepAlive(e)
		})
	}
}
