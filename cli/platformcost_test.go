package cli_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cpu is what the server has used so far, from the fields utime and stime of
// proc(5), in ticks of 10 ms.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])) // from the third on
	var ticks int64
	for _, at := range []int{14, 15} {
		n, err := strconv.ParseInt(fields[at-3], 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
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
