package cli_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
)

// ledgerRate is how many messages a second are sent: 20,000 in the minute of the
// full round.
const ledgerRate = 333

func length[T any](short, full T) T {
	if *torture {
		return full
	}
	return short
}

// hold lets the fault last for a while, in which the senders go on.
func hold(d time.Duration) { <-time.After(d) }

// fault is something that fails while messages are on their way.
type fault struct {
	name   string
	strike func(l *ledger, allow *allowance)
	full   bool // only in the full round
	volume bool // Redis keeps nothing on its disk
	enough int  // messages in flight when it strikes; 0: inFlight
	lines  []string
}

// link is a fault of the links of some members.
func link(name string, d time.Duration, full bool, begin func(p *redistest.Proxy), members ...int) fault {
	return fault{name: name + " for " + d.String(), full: full, strike: func(l *ledger, _ *allowance) {
		for _, i := range members {
			begin(l.members[i].proxy)
		}
		hold(d)
		for _, i := range members {
			l.members[i].proxy.Heal()
		}
	}}
}

// Every member sends and receives: a fault of one link is that of a sender and
// of a receiver.
func faults() []fault {
	cut := (*redistest.Proxy).Cut
	hole := func(up, down bool) func(*redistest.Proxy) {
		return func(p *redistest.Proxy) { p.BlackHole(up, down) }
	}
	slow := func(p *redistest.Proxy) { p.Delay(200 * time.Millisecond) }
	list := []fault{
		link("a link is cut", time.Second, false, cut, 1),
		link("all links are cut, beyond the lease,", 3*time.Second, false, cut, 0, 1, 2),
		link("a link swallows everything, beyond the lease,", 3*time.Second, false, hole(true, true), 1),
		link("a link swallows what is sent", time.Second, false, hole(true, false), 1),
		link("a link swallows what comes", 3*time.Second, false, hole(false, true), 1),
		link("all links are slow", length(2*time.Second, 20*time.Second), false, slow, 0, 1, 2),
		{name: "Redis stops for 3s", strike: func(l *ledger, _ *allowance) {
			l.redis.Pause()
			hold(3 * time.Second)
			l.redis.Resume()
		}},
		{name: "Redis is killed and comes back with its file", strike: func(l *ledger, _ *allowance) {
			l.redis.Kill()
			hold(time.Second)
			l.redis.Restart()
		}},
		{name: "Redis is killed and comes back empty", volume: true, strike: func(l *ledger, allow *allowance) {
			l.redis.Kill()
			allow.forget()
			hold(time.Second)
			l.redis.Restart()
		}},
		{name: "Redis is emptied", volume: true, strike: func(l *ledger, allow *allowance) {
			if err := l.redis.Client().FlushAll(l.t.Context()).Err(); err != nil {
				l.t.Error(err)
			}
			allow.forget()
			hold(time.Second)
		}},
		{name: "a member stops for a while", strike: func(l *ledger, _ *allowance) {
			l.pause(1) // its callers would wait
			l.members[1].signal(syscall.SIGSTOP)
			hold(length(3*time.Second, 20*time.Second))
			l.members[1].signal(syscall.SIGCONT)
			l.resume(1)
		}},
		{
			name: "the timings change while 1,000 wait", enough: 1000,
			lines: []string{delayProperty + "=600000", "com.openexchange.websockets.grizzly.remote.maxDelayDuration=600000"},
			strike: func(l *ledger, _ *allowance) {
				for _, m := range l.members {
					m.save("zz-fleet.properties", delayProperty, "0", true)
				}
				for _, m := range l.members {
					m.poll("its buffer empties", func() bool { return m.buffered() < inFlight/4 })
				}
			},
		},
	}
	for _, d := range []time.Duration{10 * time.Second, time.Minute} {
		list = append(
			list,
			link("a link is cut", d, true, cut, 1),
			link("all links are cut", d, true, cut, 0, 1, 2),
			link("a link swallows everything", d, true, hole(true, true), 1),
			link("a link swallows what is sent", d, true, hole(true, false), 1),
			link("a link swallows what comes", d, true, hole(false, true), 1),
		)
	}
	return list
}

const delayProperty = "com.openexchange.websockets.grizzly.remote.delayDuration"

// forget says that Redis lost data until now. Its sessions are gone with it: a
// socket whose session is looked for before the test is over ends.
func (a *allowance) forget() { a.forgot, a.closes = time.Now(), ledgerUsers }

// What was accepted reaches every socket once and in order, whatever fails.
func TestLedger(t *testing.T) {
	for _, c := range faults() {
		if c.full && !*torture {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// On disk before it is acknowledged, so that a kill loses nothing.
			disk := []string{"--appendonly", "yes", "--appendfsync", "always"}
			if c.volume {
				disk = nil
			}
			l := newLedger(newFleet(t, redistest.Start(t, disk...), 3, c.lines...), ledgerRate)
			l.run(max(c.enough, inFlight), c.strike)
		})
	}
}

// run sends, has the fault strike, sends on for a while, and balances.
func (l *ledger) run(enough int, strike func(*ledger, *allowance)) totals {
	l.t.Helper()
	var allow allowance
	l.send()
	l.usual = l.whole()
	l.strikeAt(enough, func() { strike(l, &allow) })
	whole := l.whole()
	if most := l.most(l.usual); whole > most {
		l.t.Errorf("the cluster was whole %v after the end of the fault, want at most %v", whole, most)
	}
	hold(length(time.Second, 10*time.Second))
	sum := l.close(allow)
	l.note(sum, whole)
	return sum
}

// The master dies, and the sentinels make its replica the master. What it had
// acknowledged and not replicated is lost.
func TestLedgerFailover(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	redistest.StartReplica(t, master)
	var sentinels []*redistest.Server
	var hosts []string
	for range 3 {
		s := redistest.StartSentinel(t, master)
		s.Tune("500")
		sentinels, hosts = append(sentinels, s), append(hosts, s.Addr)
	}
	f := newFleet(t, nil, 3, "com.openexchange.redis.mode=sentinel", "com.openexchange.redis.hosts="+strings.Join(hosts, ","))
	f.members[0].poll("the sentinels know each other and the replica", func() bool {
		for _, s := range sentinels {
			c := redis.NewSentinelClient(&redis.Options{Addr: s.Addr})
			defer c.Close()
			info, err := c.Master(t.Context(), "mymaster").Result()
			if err != nil || info["num-slaves"] != "1" || info["num-other-sentinels"] != "2" {
				return false
			}
		}
		return true
	})
	newLedger(f, ledgerRate).run(inFlight, func(l *ledger, allow *allowance) {
		master.Kill()
		allow.forgot = time.Now()
		hold(length(3*time.Second, 10*time.Second))
	})
}

// The slots of the log and of the registry move to other masters.
func TestLedgerSlots(t *testing.T) {
	t.Parallel()
	s := redistest.StartShards(t)
	f := newFleet(t, nil, 3, "com.openexchange.redis.mode=cluster", "com.openexchange.redis.hosts="+strings.Join(s.Addrs(), ","))
	newLedger(f, ledgerRate).run(inFlight, func(l *ledger, _ *allowance) {
		slots := append(s.Slots("stream"), s.Slots("hash")...)
		if len(slots) < 2 {
			t.Errorf("%d slots have the log and the registry", len(slots))
		}
		for _, slot := range slots {
			s.Migrate(slot)
		}
	})
}

// What a killed member had accepted and not yet flushed is lost, and not more
// than its gauge said; without a delay that is nothing.
func TestLedgerKill(t *testing.T) {
	for _, delay := range []string{"1000", "0"} {
		t.Run("delay "+delay, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t), 3, delayProperty+"="+delay)
			l := newLedger(f, ledgerRate)
			l.send()
			bound := 0
			kill := func() {
				l.pause(1)
				bound = l.members[1].buffered()
				if delay == "0" {
					l.members[1].poll("its buffer is empty", func() bool { return l.members[1].buffered() == 0 })
					bound = 0
				}
				l.kill(1)
			}
			if delay == "0" {
				hold(time.Second)
				kill()
			} else {
				l.strike(kill)
			}
			killed := time.Now()
			f.launch(l.members[1])
			l.resume(1)
			hold(length(2*time.Second, 10*time.Second))
			sum := l.close(allowance{killed: map[int]time.Time{1: killed}, leave: map[int]bool{1: true}})
			if sum.unflushed > bound {
				t.Errorf("%d messages are lost, the gauge said %d", sum.unflushed, bound)
			}
		})
	}
}

func (l *ledger) kill(member int) {
	l.t.Helper()
	if err := l.members[member].cmd.Process.Kill(); err != nil {
		l.t.Fatal(err)
	}
	l.members[member].wait()
}

// Members are stopped and started one after the other, behind a balancer. Who
// stays connected misses nothing, nothing that was accepted dies with its member,
// and the clients come back by themselves.
func TestLedgerRollingRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t), 3)
	l := newLedger(f, ledgerRate)
	b := newBalancer(t, f)
	l.clients(b.addr, "")
	l.send()
	allow := allowance{leave: map[int]bool{clientMember: true}}
	for i, m := range l.members {
		allow.leave[i] = true
		l.strike(func() {
			m.signal(syscall.SIGTERM)
			if code := m.wait(); code != 0 {
				t.Errorf("%s ends with %d\n%s", m.name, code, m.log())
			}
			l.pause(i)
			f.launch(m)
			b.follow(f)
			l.resume(i)
		})
		m.poll("the clients are back", func() bool { return l.connected() == ledgerUsers })
	}
	hold(time.Second)
	l.recovered(allow)
}

// twicePerMille is how many of a client's messages may come twice where it cannot
// say itself what it has.
const twicePerMille = 5

// recovered closes the ledger and reports what clients missed or got twice.
func (l *ledger) recovered(allow allowance) (sum totals) {
	l.t.Helper()
	sum = l.close(allow)
	returned := len(l.clientSockets()) - ledgerUsers
	if returned == 0 {
		l.t.Error("no connection was made anew: nothing was put to the test")
	}
	l.t.Logf("%d clients made %d connections anew", ledgerUsers, returned)
	l.note(sum, 0)
	// How much is on its way, and may come twice, is a matter of how busy the machine
	// is: the short round runs beside all other tests.
	twice := sum.againOwn > 0 || sum.again*1000 > twicePerMille*len(l.accepted)
	if sum.away > 0 || *torture && !allow.again && twice {
		l.t.Errorf("clients missed %d messages and got %d twice, of which %d with Socket.IO's own recovery: want none, at most %d per mille, and none", sum.away, sum.again+sum.againOwn, sum.againOwn, twicePerMille)
	}
	return sum
}
