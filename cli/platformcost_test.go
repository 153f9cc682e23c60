package cli_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is what the server's process has used so far.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	const sched = 2                               // CPUCLOCK_SCHED: all threads, user and system time
	clock := int32(^p.cmd.Process.Pid<<3 | sched) // clock_getcpuclockid(3)
	var now unix.Timespec
	if err := unix.ClockGettime(clock, &now); err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// underWay is how many handshakes are under way at once: CPU counts while a server is
// busy, and those that come together share their queries.
const underWay = 32

// TestPlatformCost compares handshakes of users whom the platform's database is
// asked for with those of a server that does not read it, in turns. The aims are
// held with -torture; a short round holds the CPU to three times.
func TestPlatformCost(t *testing.T) {
	t.Parallel()
	turns, each := 1, 200
	if *torture {
		turns = 6
	}
	_, tree := startPlatform(t)
	put(t, tree, "zz.properties", "sluice.platform.enabled=true\n") // read again each minute, as by default
	with := launch(t, tree, t.TempDir())
	without := launch(t, newTree(t), t.TempDir())
	users := 1 // each is met once, so that the database is asked
	used, waits := map[*process]time.Duration{}, map[*process][]time.Duration{}
	for turn := range turns {
		servers := []*process{with, without}
		if turn%2 == 1 {
			slices.Reverse(servers)
		}
		for _, p := range servers {
			logins := make([]login, each)
			for i := range logins {
				logins[i] = p.login(users + i)
			}
			before := p.cpu()
			var mu sync.Mutex
			var wg sync.WaitGroup
			slots := make(chan struct{}, underWay)
			for i := range logins {
				wg.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					start := time.Now()
					p.dial(logins[i], "c")
					mu.Lock()
					defer mu.Unlock()
					waits[p] = append(waits[p], time.Since(start))
				})
			}
			wg.Wait()
			used[p] += p.cpu() - before
		}
		users += each
	}
	p99 := func(p *process) time.Duration {
		slices.Sort(waits[p])
		return waits[p][len(waits[p])*99/100]
	}
	ratio := float64(used[with]) / float64(max(used[without], 10*time.Millisecond))
	t.Logf("%d handshakes each, %d under way: CPU %v with the platform's database, %v without, ratio %.2f; p99 %v and %v", turns*each, underWay, used[with], used[without], ratio, p99(with).Round(100*time.Microsecond), p99(without).Round(100*time.Microsecond))
	if !*torture {
		if used[with] > 3*used[without]+100*time.Millisecond {
			t.Errorf("a handshake takes %.2f times the CPU", ratio)
		}
		return
	}
	if ratio > 1.25 {
		t.Errorf("a handshake takes %.2f times the CPU, at most 1.25", ratio)
	}
	if more := p99(with) - p99(without); more > 8*time.Millisecond {
		t.Errorf("the p99 is %v more, at most 8 ms", more)
	}
}
