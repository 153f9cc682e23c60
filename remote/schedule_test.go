package remote

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	torture       = flag.Bool("torture", false, "full counts instead of short rounds")
	seedFlag      = flag.Uint64("seed", 0, "run the schedule of this seed alone, and say what happens")
	scheduleFlag  = flag.Int("schedules", 0, "how many schedules; 0: 1,000, or 100,000 with -torture")
	fromFlag      = flag.Uint64("from", 1, "the seed of the first of them")
	scheduleFault = flag.String("fault", "", "schedules with these faults alone, by commas")
)

const (
	schedulesShort   = 1_000
	schedulesRace    = 100 // of the same seeds: just test runs both
	schedulesTorture = 100_000
	// maxFailed ends a run in which everything fails.
	maxFailed = 20
)

// TestSchedules runs members over the model of Redis in virtual time, with the
// faults that a seed decides, and holds them to the promise of docs/cluster.md.
func TestSchedules(t *testing.T) {
	SetRedisLogger(slog.New(slog.DiscardHandler))
	// A panic of a goroutine of a schedule names its seed.
	t.Setenv("GODEBUG", "tracebacklabels=1")
	if *seedFlag != 0 {
		for range repeatSeed {
			if schedule(t, *seedFlag, true); t.Failed() {
				return
			}
		}
		return
	}
	n := schedulesShort
	switch {
	case *scheduleFlag > 0:
		n = *scheduleFlag
	case *torture:
		n = schedulesTorture
	case raceDetector:
		n = schedulesRace
	}
	var next, failed atomic.Int64
	var totals totals
	start := time.Now()
	var workers sync.WaitGroup
	for range scheduleWorkers {
		workers.Go(func() {
			for failed.Load() < maxFailed {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				seed := *fromFlag + uint64(i) - 1
				// A bubble is a test of its own: its failure is told here.
				t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
					defer func() {
						if t.Failed() {
							failed.Add(1)
						}
					}()
					totals.add(schedule(t, seed, false))
				})
			}
		})
	}
	workers.Wait()
	t.Logf("%d schedules in %v: %s", min(next.Load(), int64(n)), time.Since(start).Round(time.Second), totals.String())
	if failed.Load() > 0 {
		fmt.Fprintln(os.Stderr, "repeat one with: go test ./remote -run TestSchedules -args -seed N")
	}
}

// repeatSeed is how often a seed is tried until it fails: within one instant of
// virtual time, and among random ids, the order is Go's and not the seed's.
const repeatSeed = 5

// scheduleWorkers run schedules beside each other: half of the time one waits
// for locks of the runtime.
const scheduleWorkers = 2

// schedule runs one, and says what of the promise was not held.
func schedule(t *testing.T, seed uint64, loud bool) (r result) {
	pprof.Do(context.Background(), pprof.Labels("seed", strconv.FormatUint(seed, 10)), func(context.Context) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, loud)
			w.run()
			r = w.result()
		})
	})
	return r
}

// result is what one schedule, or many, have done.
type result struct {
	schedules, messages, deliveries, refused, sentAway int
	commands                                           int64
}

type totals struct {
	mu sync.Mutex
	result
}

func (t *totals) add(r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.schedules += r.schedules
	t.messages += r.messages
	t.deliveries += r.deliveries
	t.refused += r.refused
	t.sentAway += r.sentAway
	t.commands += r.commands
}

func (t *totals) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d messages accepted, %d refused, %d deliveries, %d sockets sent away with 1012, %d commands of Redis",
		t.messages, t.refused, t.deliveries, t.sentAway, t.commands)
}
