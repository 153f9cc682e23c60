package cli_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

// A member that is killed while hundreds of callers wait for its answers takes
// no message along of which it has said that Redis has it.
func TestLedgerKillSync(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t), 3)
	l := newLedger(f, ledgerRate)
	l.more = `,"sync":true`
	var numbers [ledgerUsers + 1]atomic.Int64
	for i := range inFlight + ledgerUsers {
		user := 1 + i%ledgerUsers
		l.work.Go(func() {
			for l.ctx.Err() == nil && !l.paused[1].Load() {
				l.post(1, user, fmt.Sprintf("1/%d/%d", user, numbers[user].Add(1)))
			}
		})
	}
	l.strike(func() {
		hold(500 * time.Millisecond)
		l.members[1].signal(syscall.SIGKILL)
	})
	killed := time.Now()
	l.paused[1].Store(true)
	l.members[1].wait()
	f.launch(l.members[1])
	sum := l.close(allowance{killed: map[int]time.Time{1: killed}, leave: map[int]bool{1: true}, unordered: true})
	if sum.unflushed > 0 {
		t.Errorf("%d messages are lost", sum.unflushed)
	}
}
