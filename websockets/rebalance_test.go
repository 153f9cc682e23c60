package websockets

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// course lets a member with so many sockets be rebalanced for a while, where of
// those that it closes the share back returns to it, and returns when it was in
// balance and how many it closed.
func course(own int64, others []int64, back float64, lasts time.Duration) (inBalance time.Duration, all int) {
	const spread = time.Minute
	var b balance
	start := time.Unix(1_800_000_000, 0)
	inBalance = -1
	here, away := 0.0, 0.0
	for at := time.Duration(0); at < lasts; at += spread / rebalanceLooks {
		n, _, _ := b.look(start.Add(at), own, others, spread)
		b.closed += n
		all += n
		own -= int64(n)
		here, away = here+float64(n)*back, away+float64(n)*(1-back)
		own, here = own+int64(here), here-float64(int64(here))
		others[0], away = others[0]+int64(away), away-float64(int64(away))
		sum := own
		for _, o := range others {
			sum += o
		}
		fair := 1 / float64(len(others)+1)
		if inBalance < 0 && float64(own)/float64(sum) <= 1.3*fair {
			inBalance = at
		}
	}
	return inBalance, all
}

// A member that has everything is in balance within two minutes, whether its
// clients return to the emptiest member or to any.
func TestBalance(t *testing.T) {
	for _, c := range []struct {
		own  int64
		back float64
		most int // closings
	}{
		{50, 0, 25},
		{50, 0.5, 50},
		{9_000, 0, 4_500},
		{9_000, 0.5, 9_000},
		{20, 0.5, 20},
	} {
		t.Run(fmt.Sprint(c.own, " of which return ", c.back), func(t *testing.T) {
			at, all := course(c.own, []int64{0}, c.back, 10*time.Minute)
			if at < 10*time.Second || at > 100*time.Second {
				t.Errorf("in balance after %v", at)
			}
			if all > c.most || all < int(c.own/4) {
				t.Errorf("%d closed", all)
			}
		})
	}
}

// Small differences, members alone and members that nobody knows close nothing.
func TestBalanceLeavesAlone(t *testing.T) {
	for _, c := range []struct {
		own    int64
		others []int64
	}{
		{1000, nil},
		{4, []int64{0}},
		{29, []int64{21}},
		{1190, []int64{1000, 810}},
		{0, []int64{1000}},
	} {
		var b balance
		for i := range 1000 {
			if n, begun, _ := b.look(time.Unix(int64(2*i), 0), c.own, c.others, time.Minute); n > 0 || begun {
				t.Errorf("%d beside %v: %d closed", c.own, c.others, n)
				break
			}
		}
	}
}

// Where every client comes back, the rounds get rare; another member makes it
// worth a new try.
func TestBalanceInVain(t *testing.T) {
	const own, spread = 1000, time.Minute
	var b balance
	var rounds []time.Duration
	var failures int
	start := time.Unix(1_800_000_000, 0)
	at := time.Duration(0)
	run := func(others []int64, lasts time.Duration) {
		for end := at + lasts; at < end; at += spread / rebalanceLooks {
			n, begun, failed := b.look(start.Add(at), own, others, spread)
			b.closed += n
			if begun {
				rounds = append(rounds, at)
			}
			if failed {
				failures++
			}
			if b.closed > 2*own {
				t.Fatalf("%d closed in a round", b.closed)
			}
		}
	}
	run([]int64{0}, 24*time.Hour)
	if len(rounds) < 20 || len(rounds) > 40 || failures < len(rounds)-1 {
		t.Errorf("%d rounds in a day, %d failed: %v", len(rounds), failures, rounds)
	}
	for i := 2; i < len(rounds); i++ {
		if gap := rounds[i] - rounds[i-1]; gap > time.Hour+2*time.Minute {
			t.Errorf("round %d comes after %v", i, gap)
		}
	}
	before, now := len(rounds), at
	run([]int64{0, 0}, time.Minute)
	if len(rounds) != before+1 || rounds[before]-now > 20*time.Second {
		t.Errorf("no round for a new member: %v", rounds[before:])
	}
}

// A server closes its surplus with 1012, each socket for itself, and nothing
// while that is switched off.
func TestRebalance(t *testing.T) {
	const sockets = 20
	var looks atomic.Int64
	var other atomic.Int64
	var on atomic.Bool
	w := newWorld(t, func(o *Options) {
		base := o.Config
		o.Config = func() *Config {
			looks.Add(1)
			c := base()
			c.RebalanceSpread, c.Rebalance = 300*time.Millisecond, on.Load()
			return c
		}
		o.Others = func() []int64 { return []int64{other.Load()} }
	})
	var clients []*client
	for i := range sockets {
		clients = append(clients, w.dial(w.login(1, uint32(i+1)), wsPush))
	}
	closed := func() int64 { return w.server.Stats().Closed[Closing{Cause: "rebalance", Code: 1012}] }
	before := looks.Load()
	until(t, "the members could have been compared", func() bool { return looks.Load() > before+100 })
	if n := closed(); n != 0 {
		t.Errorf("%d closed although it is off", n)
	}
	on.Store(true)
	codes := make(chan websocket.StatusCode, sockets)
	for _, c := range clients {
		go func() {
			_, _, err := c.conn.Read(t.Context())
			other.Add(1) // the client goes there
			codes <- websocket.CloseStatus(err)
		}()
	}
	for range sockets / 2 {
		if code := <-codes; code != websocket.StatusServiceRestart {
			t.Errorf("closed with %d", code)
		}
	}
	until(t, "the round is over", func() bool { return closed() >= sockets/2 && w.server.Count() <= sockets/2 })
	if n := closed(); n > sockets/2+leastSurplus {
		t.Errorf("%d closed, want about half of %d", n, sockets)
	}
}
