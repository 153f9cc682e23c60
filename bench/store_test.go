package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

// openStore opens a store and fills the engine from it, as a start does.
func openStore(tb testing.TB, path string, e *cascade.Engine) *store.Store {
	s, err := store.Open(store.Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Load(e.Apply); err != nil {
		tb.Fatal(err)
	}
	s.Start(func(b cascade.Batch, _ []store.Entry) {
		if err := e.Apply(b); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func override(i int) store.Change {
	return store.Change{Key: store.OverrideKey(subject(i), enabled), Body: &store.Override{Value: "false", Actor: "bench", Reason: "bench"}}
}

// BenchmarkStoreWrite measures from a write until it is on the disk and in the
// look-ups: one writer, and 64 whose writes share commits.
func BenchmarkStoreWrite(b *testing.B) {
	perSecond := map[int]float64{}
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			e := open(b, tree(b, 1, 10, 1))
			s := openStore(b, filepath.Join(b.TempDir(), store.FileName), e)
			defer s.Close()
			var mu sync.Mutex
			var took []time.Duration
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			start := time.Now()
			for range writers {
				wg.Go(func() {
					var mine []time.Duration
					for {
						i := int(next.Add(1))
						if i > b.N {
							break
						}
						at := time.Now()
						if _, err := s.Do(context.Background(), store.Write{Actor: "bench", Changes: []store.Change{override(i)}}); err != nil {
							b.Error(err)
							return
						}
						mine = append(mine, time.Since(at))
					}
					mu.Lock()
					defer mu.Unlock()
					took = append(took, mine...)
				})
			}
			wg.Wait()
			perSecond[writers] = float64(b.N) / time.Since(start).Seconds()
			b.ReportMetric(perSecond[writers], "writes/s")
			b.ReportMetric(float64(p(took, 50).Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(p(took, 99).Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(b.N)/float64(s.Stats().Commits), "writes/commit")
			if perSecond[1] > 0 && writers > 1 {
				b.ReportMetric(perSecond[writers]/perSecond[1], "ratio")
				b.ReportMetric(5, "limit-ratio")
			}
		})
	}
}

// cpuTime is what the process has used, which others on the machine change less
// than what it took.
func cpuTime(tb testing.TB) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkStoreStart measures from the opening of a store with a million
// overrides until the engine serves them.
func BenchmarkStoreStart(b *testing.B) {
	path := filepath.Join(b.TempDir(), store.FileName)
	dir := tree(b, 1, 10, 1)
	s, err := store.Open(store.Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s.Start(func(cascade.Batch, []store.Entry) {}) // the writes are no part of the figure
	const step = 10_000
	for from := 0; from < million; from += step {
		var changes []store.Change
		for i := from; i < from+step; i++ { // a context after the other: fewer pages a commit
			changes = append(changes, override(i%(million/contexts)*contexts+i/(million/contexts)))
		}
		if _, err := s.Do(context.Background(), store.Write{Actor: "bench", Changes: changes}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	var before, after uint64
	var cpu time.Duration
	var e *cascade.Engine
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		e = open(b, dir)
		before = heap()
		used := cpuTime(b)
		b.StartTimer()
		s := openStore(b, path, e)
		b.StopTimer()
		cpu += cpuTime(b) - used
		after = heap()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if v, _ := e.Snapshot().Get(subject(million-1), enabled); v.Text != "false" {
			b.Fatalf("the last override is %q", v.Text)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
	b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms")
	b.ReportMetric(float64(after-before)/million, "B/override")
	b.ReportMetric(2000, "limit-ms")
	b.ReportMetric(60, "limit-B")
}
