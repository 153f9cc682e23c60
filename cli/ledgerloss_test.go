package cli_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redistest"
)

// ledgerSeeds is how often each of these faults strikes in the full round.
const ledgerSeeds = 5

// loss is a fault after which messages were once lost in silence.
type loss struct {
	name   string
	lines  []string
	start  func(t *testing.T) *fleet // nil: three members over a Redis that keeps what it has on its disk
	change func(l *ledger)           // before messages are sent
	strike func(l *ledger, allow *allowance, r *rand.Rand)
}

var onDisk = []string{"--appendonly", "yes", "--appendfsync", "always"}

func losses() []loss {
	return []loss{
		{
			name:   "1 connections break while ids are claimed",
			change: func(l *ledger) { l.ids = true },
			strike: breakConnections,
		},
		{
			name:   "2 an id is sent again after its member died",
			change: func(l *ledger) { l.ids = true },
			strike: dieAndRepeat,
		},
		{
			name:  "3 a replica that lags takes over",
			start: func(t *testing.T) *fleet { return lagging(t) },
			strike: func(l *ledger, allow *allowance, _ *rand.Rand) {
				// Sockets of which the replica does not know yet.
				for user := 1; user <= 12; user++ {
					l.open(l.logins[user], 1, user)
				}
				l.takeOver(allow)
			},
		},
		{
			name: "3 the master with the members comes back empty", start: overMasters,
			strike: func(l *ledger, allow *allowance, _ *rand.Rand) { l.emptyMaster(l.shards.Master(membersKey), allow) },
		},
		{
			name: "3 another of three masters comes back empty", start: overMasters,
			strike: func(l *ledger, allow *allowance, r *rand.Rand) {
				others := slices.DeleteFunc(slices.Clone(l.shards.Servers), func(s *redistest.Server) bool { return s == l.shards.Master(membersKey) })
				l.emptyMaster(others[r.IntN(len(others))], allow)
			},
		},
		{
			name:   "3 registrations are evicted",
			strike: func(l *ledger, _ *allowance, r *rand.Rand) { l.deleteKeys("hash", 12, r) },
		},
		{
			name: "4 what messages go through is gone",
			strike: func(l *ledger, _ *allowance, r *rand.Rand) {
				for range length(3, 20) {
					l.deleteKeys("stream", 1, r)
					hold(300 * time.Millisecond)
				}
			},
		},
		{name: "4 a member is dead and Redis is emptied", strike: dieAndEmpty},
		{
			name: "5 a member is cut off until it counts as dead", lines: []string{keepLine()},
			strike: func(l *ledger, allow *allowance, _ *rand.Rand) {
				allow.passed, allow.leave = map[int]time.Time{1: time.Now()}, map[int]bool{1: true}
				l.members[1].proxy.Cut()
				hold(length(8*time.Second, 130*time.Second))
				l.members[1].proxy.Heal()
			},
		},
		{
			name: "5 a member is stopped until it counts as dead", lines: []string{keepLine()},
			strike: func(l *ledger, allow *allowance, _ *rand.Rand) {
				allow.passed, allow.leave = map[int]time.Time{1: time.Now()}, map[int]bool{1: true}
				l.pause(1) // its callers would wait
				l.members[1].signal(syscall.SIGSTOP)
				hold(length(8*time.Second, 130*time.Second))
				l.members[1].signal(syscall.SIGCONT)
				l.resume(1)
			},
		},
		{
			name: "6 Redis is emptied while a member is away",
			strike: func(l *ledger, _ *allowance, r *rand.Rand) {
				l.members[1].proxy.Cut()
				hold(time.Second + time.Duration(r.IntN(1000))*time.Millisecond)
				l.empty()
				hold(length(5*time.Second, 15*time.Second))
				l.members[1].proxy.Heal()
			},
		},
		{
			name:  "7 a server whose clock is behind takes over",
			start: func(t *testing.T) *fleet { return lagging(t) },
			strike: func(l *ledger, allow *allowance, _ *rand.Rand) {
				l.stepAhead(10 * time.Second)
				hold(time.Second)
				l.takeOver(allow)
			},
		},
		{
			name: "8 no salt is configured",
			start: func(t *testing.T) *fleet {
				f := newFleet(t, redistest.Start(t), 3)
				f.browsers = true
				return f
			},
			strike: func(l *ledger, _ *allowance, _ *rand.Rand) {
				for user := 1; user <= ledgerUsers; user++ {
					l.open(l.login(user), user%3, user)
				}
			},
		},
		{
			name: "9 a Redis that evicts",
			start: func(t *testing.T) *fleet {
				return newFleet(t, redistest.Start(t, "--maxmemory-policy", "allkeys-random"), 3)
			},
			strike: func(l *ledger, allow *allowance, _ *rand.Rand) {
				for _, m := range l.members {
					m.poll("it is named", func() bool {
						return strings.Contains(strings.Join(m.warnings(), " "), "maxmemory-policy allkeys-random")
					})
				}
				c := l.redis.Client()
				allow.closes = 2 * ledgerUsers // their sessions are among it
				for _, limit := range []string{"1mb", "0"} {
					if err := c.ConfigSet(l.t.Context(), "maxmemory", limit).Err(); err != nil {
						l.t.Error(err)
					}
					hold(500 * time.Millisecond)
				}
			},
		},
	}
}

// keepLine shortens how long a member that is away is kept, in the short round.
func keepLine() string { return "sluice.remote.keep=" + length(3*time.Second, 2*time.Minute).String() }

// Nothing that was accepted is lost in silence, whatever is lost elsewhere.
func TestLedgerLosses(t *testing.T) {
	for _, c := range losses() {
		for seed := range uint64(length(1, ledgerSeeds)) {
			t.Run(fmt.Sprintf("%s, seed %d", c.name, seed), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, 9))
				var f *fleet
				if c.start != nil {
					f = c.start(t)
				} else {
					f = newFleet(t, redistest.Start(t, onDisk...), 3, c.lines...)
				}
				l := newLedger(f, ledgerRate)
				if c.change != nil {
					c.change(l)
				}
				l.run(inFlight, func(l *ledger, allow *allowance) {
					hold(time.Duration(r.IntN(500)) * time.Millisecond)
					c.strike(l, allow, r)
				})
			})
		}
	}
}

// breakConnections breaks all connections again and again while Redis has done
// what it was told and has not said so. Sessions are made meanwhile.
func breakConnections(l *ledger, _ *allowance, r *rand.Rand) {
	ctx, stop := context.WithCancel(l.t.Context())
	made := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			if l.members[0].request("POST", "/admin/v1/sessions", fmt.Sprintf(`{"context":1337,"user":%d,"client":"c"}`, 1000+n), nil) == http.StatusCreated {
				n++
			}
		}
		made <- n
	}()
	for range length(12, 40) {
		for _, m := range l.members {
			m.proxy.BlackHole(false, true)
		}
		hold(10*time.Millisecond + time.Duration(r.IntN(30))*time.Millisecond)
		for _, m := range l.members {
			m.proxy.Snap()
		}
		hold(200 * time.Millisecond)
	}
	stop()
	if n := <-made; n == 0 {
		l.t.Error("no session could be made")
	}
	if strings.Contains(l.members[0].log(), "a session with this id exists") {
		l.t.Error("a session met itself")
	}
}

// dieAndRepeat kills a member with messages that it had accepted, and has their
// callers send them again to another.
func dieAndRepeat(l *ledger, allow *allowance, _ *rand.Rand) {
	l.pause(1)
	l.kill(1)
	killed := time.Now()
	again := map[int][]string{} // by user
	l.mu.Lock()
	for id, a := range l.accepted {
		if a.member == 1 && a.at.After(killed.Add(-dueWithin)) {
			again[a.user] = append(again[a.user], id)
		}
	}
	l.mu.Unlock()
	if len(again) == 0 {
		l.t.Error("nothing was put to the test")
	}
	done := make(chan bool)
	for user, ids := range again {
		number := func(id string) int { n, _ := strconv.Atoi(id[strings.LastIndexByte(id, '/')+1:]); return n }
		slices.SortFunc(ids, func(a, b string) int { return number(a) - number(b) })
		go func() {
			for _, id := range ids {
				l.post(2, user, id)
			}
			done <- true
		}()
	}
	for range again {
		<-done
	}
	allow.killed, allow.leave = map[int]time.Time{1: killed}, map[int]bool{1: true}
	l.launch(l.members[1])
	l.resume(1)
}

// deadWait is less than a message once waited for a dead member (issue 9, 4).
const deadWait = 8 * time.Second

// dieAndEmpty kills a member and empties Redis: the others go on among
// themselves, and what they send each other does not wait for it.
func dieAndEmpty(l *ledger, allow *allowance, _ *rand.Rand) {
	usual := l.watchDelay(0, 2, time.Second)()
	delay := l.watchDelay(0, 2, length(3*time.Second, 15*time.Second))
	l.pause(1)
	l.kill(1)
	allow.killed, allow.leave = map[int]time.Time{1: time.Now()}, map[int]bool{1: true}
	l.empty()
	longest := delay()
	l.t.Logf("a message was on its way for %v at most, %v while nothing failed", longest, usual)
	if most := deadWait + 4*usual; longest > most {
		l.t.Errorf("a message was on its way for %v while a member was dead, want at most %v", longest, most)
	}
	l.launch(l.members[1])
	l.resume(1)
}

// membersKey is that of who is in the cluster.
const membersKey = "sluice:{sluice}:members"

func overMasters(t *testing.T) *fleet {
	s := redistest.StartMasters(t)
	f := newFleet(t, nil, 3, "com.openexchange.redis.mode=cluster", "com.openexchange.redis.hosts="+strings.Join(s.Addrs(), ","))
	f.shards = s
	return f
}

func (l *ledger) emptyMaster(s *redistest.Server, allow *allowance) {
	s.Kill()
	allow.closes = 2 * ledgerUsers // their sessions may be gone
	hold(time.Second)
	s.Restart()
}

// lag is how far the replica of lagging is behind.
const lag = 200 * time.Millisecond

// lagging is a fleet over a Redis with a replica that lags.
func lagging(t *testing.T) *fleet {
	master := redistest.Start(t)
	way := redistest.NewProxy(t, master.Addr)
	replica := redistest.StartReplicaOf(t, way.Addr)
	way.Delay(lag)
	f := newFleet(t, master, 3)
	f.replica, f.behind = replica, way
	return f
}

// takeOver kills the master and leads the members to its replica.
func (l *ledger) takeOver(_ *allowance) {
	l.redis.Kill()
	l.behind.Cut() // with what is on the way
	if err := l.replica.Client().ReplicaOf(l.t.Context(), "NO", "ONE").Err(); err != nil {
		l.t.Error(err)
	}
	for _, m := range l.members {
		m.proxy.Retarget(l.replica.Addr)
	}
	l.redis = l.replica
}

// stepAhead has the ids of what messages go through be ahead, as those of a
// server are whose clock is.
func (l *ledger) stepAhead(by time.Duration) {
	id := fmt.Sprintf("%d-0", time.Now().Add(by).UnixMilli())
	for _, key := range l.keys("stream") {
		if err := l.redis.Client().XAdd(l.t.Context(), &redis.XAddArgs{Stream: key, ID: id, Values: []string{"step", "ahead"}}).Err(); err != nil {
			l.t.Error(err)
		}
	}
}

// empty has Redis lose everything but the sessions, without which the sockets
// would end.
func (l *ledger) empty() {
	var keys []string
	c := l.redis.Client()
	for all := c.Scan(l.t.Context(), 0, "*", 1000).Iterator(); all.Next(l.t.Context()); {
		if key := all.Val(); !strings.Contains(key, ":s:") && !strings.Contains(key, ":s2:") && !strings.HasSuffix(key, "}:sessions") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		l.t.Error("Redis has nothing to lose")
		return
	}
	if err := c.Del(l.t.Context(), keys...).Err(); err != nil {
		l.t.Error(err)
	}
}

// keys are those of the link, of one type.
func (l *ledger) keys(kind string) (keys []string) {
	c := l.redis.Client()
	all := c.ScanType(l.t.Context(), 0, "sluice:*", 1000, kind).Iterator()
	for all.Next(l.t.Context()) {
		for _, name := range []string{"}:inbox", "}:log", "}:sockets"} {
			if strings.HasSuffix(all.Val(), name) {
				keys = append(keys, all.Val())
			}
		}
	}
	if err := all.Err(); err != nil {
		l.t.Error(err)
	}
	slices.Sort(keys)
	return keys
}

// deleteKeys deletes some keys of the link, as an eviction does. A log that was
// deleted before is there again when a member has noticed, which on a busy
// machine may take a while.
func (l *ledger) deleteKeys(kind string, n int, r *rand.Rand) {
	var keys []string
	l.members[0].poll("the link has a "+kind, func() bool {
		keys = l.keys(kind)
		return len(keys) > 0
	})
	r.Shuffle(len(keys), func(i, k int) { keys[i], keys[k] = keys[k], keys[i] })
	if err := l.redis.Client().Del(l.t.Context(), keys[:min(n, len(keys))]...).Err(); err != nil {
		l.t.Error(err)
	}
}
