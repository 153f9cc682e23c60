package remote

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/shared"
)

// worldFault is a kind of fault; it returns when it is over.
type worldFault struct {
	name string
	run  func(*world, *dice)
	// stops: Redis or a line does not work, so that messages wait.
	stops bool
}

// worldFaultKinds are all.
var worldFaultKinds = []worldFault{
	{"answers", (*world).dropAnswers, true},
	{"kill", (*world).killOne, false},
	{"restart", (*world).restartOne, false},
	{"evict", (*world).evictSome, false},
	{"user", (*world).loseUser, false},
	{"shard", (*world).loseShard, false},
	{"failover", (*world).failOver, true},
	{"inbox", (*world).loseInbox, false},
	{"cut", (*world).cutLong, true},
	{"blink", (*world).cutShort, true},
	{"flush-away", (*world).flushAway, true},
	{"flush", (*world).flush, false},
	{"flush-dead", (*world).flushDead, false},
	{"clock", (*world).failOverBehind, true},
	{"stop", (*world).stopRedis, true},
	{"freeze", (*world).freezeRedis, true},
	{"hole", (*world).blackHole, true},
	{"login", (*world).refuseLogin, true},
	{"noperm", (*world).refuseCommand, true},
	{"refuse", (*world).refuseAll, true},
	{"short", (*world).shortAnswers, true},
}

// run is a whole schedule.
func (w *world) run() {
	for i := range 2 + w.dice.n(2) {
		w.join(fmt.Sprint("m", i))
	}
	w.sleep(worldStart)
	for i := range worldUsers {
		for _, p := range slices.Clone(w.peers) {
			if err := w.open(p, 1+uint32(i)); err != nil {
				w.breach("not whole at the start: %v", err)
			}
		}
	}
	w.calm = true
	traffic, clients := w.newDice(), w.newDice()
	w.work.Go(func() { w.traffic(traffic) })
	w.work.Go(func() { w.clients(clients) })
	w.sleep(worldLease / 2)
	w.setCalm(false)
	var faults sync.WaitGroup
	var chosen []string
	if *scheduleFault != "" {
		chosen = strings.Split(*scheduleFault, ",")
	}
	for i := range max(1+w.dice.n(2), len(chosen)) {
		kind := worldFaultKinds[w.dice.n(len(worldFaultKinds))]
		if len(chosen) > 0 {
			kind = faultOf(w.t, chosen[i%len(chosen)])
		}
		after := w.dice.between(0, worldFaults)
		d := w.newDice()
		faults.Go(func() {
			w.sleep(after)
			w.say("begins: %s", kind.name)
			if kind.stops {
				w.mu.Lock()
				if w.stopping.IsZero() {
					w.stopping = time.Now()
				}
				w.mu.Unlock()
			}
			kind.run(w, d)
			w.say("ends: %s", kind.name)
			if kind.stops {
				w.mu.Lock()
				w.stopped = later(w.stopped, time.Now())
				w.mu.Unlock()
			}
		})
	}
	faults.Wait()
	w.setCalm(true)
	w.sleep(worldWhole)
	w.whole()
	w.sleep(time.Second + 2*w.timings.Delay)
	w.stop()
	time.Sleep(3 * time.Second) // what is under way
	w.check()
	w.end()
	w.leftBehind()
	w.redis.Close()
}

// faultOf is the kind of that name.
func faultOf(t *testing.T, name string) worldFault {
	i := slices.IndexFunc(worldFaultKinds, func(k worldFault) bool { return k.name == name })
	if i < 0 {
		t.Fatalf("there is no fault %q", name)
	}
	return worldFaultKinds[i]
}

func (w *world) setCalm(calm bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm = calm
}

// whole is what must hold worldWhole after the last fault.
func (w *world) whole() {
	w.mu.Lock()
	peers := slices.Clone(w.peers)
	w.mu.Unlock()
	for _, p := range peers {
		list, status := p.Members()
		alive := 0
		for _, m := range list {
			if m.Alive {
				alive++
			}
		}
		if status != "ok" || alive != len(peers) {
			w.breach("not whole: %s is %s and sees %d of %d members", p.name, status, alive, len(peers))
		}
		if err := w.open(p, 1); err != nil {
			w.breach("not whole: %s admits no socket: %v", p.name, err)
		}
	}
	w.registered()
	for i, p := range peers {
		w.send(p, fmt.Sprint("whole", i), addressee{}, false, false, nil)
	}
}

// registered holds the registry against the sockets of the members that live.
func (w *world) registered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	holders := make(map[string]bool)
	for _, p := range w.peers {
		holders[p.Incarnation()] = true
	}
	there := make(map[string]bool)
	for user := range worldUsers {
		field := fieldOf(&shared.Registration{Context: 1, User: uint32(user + 1)})
		list, ok := parseField(w.redis.Field(keys{worldCluster}.bucket(bucketOf(field)), field))
		if !ok {
			w.note("not whole: the registrations of %s do not parse", field)
		}
		for _, e := range list {
			there[e.ID] = holders[e.holder]
		}
	}
	for _, s := range w.sockets {
		switch live := s.live && s.closed.IsZero(); {
		case live && !there[s.ID]:
			w.note("not whole: %s is not registered", s)
		case there[s.ID] && !s.closed.IsZero() && time.Since(s.closed) > worldPrompt:
			w.note("not whole: %s is registered, and was closed %v ago", s, time.Since(s.closed))
		}
	}
}

// leftBehind holds that members that have left leave nothing but the log and
// what has its own end. What a dead one leaves, and one that could not leave, the
// others remove, unless they leave before its lease is over, and its time to come
// back.
func (w *world) leftBehind() {
	for _, p := range w.all {
		stays := p.stays
		if !p.dead.IsZero() && !p.closing {
			stays = p.dead
		}
		if !stays.IsZero() && time.Since(stays) < worldLease+worldKeep+clockStep+worldWhole {
			return
		}
	}
	for key, ends := range w.redis.Left() {
		if !ends && key != (keys{worldCluster}).log() {
			w.breach("left behind: %s", key)
		}
	}
	if w.loud {
		for key, ends := range w.redis.Left() {
			w.say("left: %s %v", key, ends)
		}
	}
}

// end stops everybody; the bubble holds that no goroutine is left.
func (w *world) end() {
	w.mu.Lock()
	peers := slices.Clone(w.peers)
	w.mu.Unlock()
	for _, p := range peers {
		p.leave()
	}
	w.work.Wait()
}

// victim is a member that lives, where another does too.
func (w *world) victim(d *dice) *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.peers) < 2 {
		return nil
	}
	return w.peers[d.n(len(w.peers))]
}

func (w *world) dropAnswers(d *dice) {
	w.redis.Drops(0.1, 0.1)
	w.sleep(d.between(time.Second, 4*time.Second))
	w.redis.Drops(0, 0)
}

func (w *world) killOne(d *dice) {
	p := w.victim(d)
	if p == nil {
		return
	}
	p.kill()
	w.sleep(d.between(0, 100*time.Millisecond))
	w.resend(d, p)
	w.sleep(d.between(0, 2*worldLease))
	w.join(p.name)
}

func (w *world) restartOne(d *dice) {
	p := w.victim(d)
	if p == nil {
		return
	}
	p.leave()
	w.sleep(d.between(0, worldLease))
	w.join(p.name)
}

// lose notes that Redis has lost data.
func (w *world) lose(keys []string) {
	w.mu.Lock()
	w.lossy = true
	w.mu.Unlock()
	w.say("lost: %s", strings.Join(keys, " "))
}

func (w *world) evictSome(d *dice) { w.lose(w.redis.Evict(1 + d.n(12))) }

func (w *world) loseUser(d *dice) {
	tag := fmt.Sprintf(":1:%d}", 1+d.n(worldUsers))
	w.lose(w.redis.Lose(func(key string) bool { return strings.Contains(key, tag) }))
}

func (w *world) loseShard(d *dice) {
	shard := uint32(d.n(3))
	w.redis.LoseShard(shard, 3)
	w.lose([]string{fmt.Sprint("shard ", shard)})
}

func (w *world) loseInbox(d *dice) {
	p := w.victim(d)
	if p == nil {
		return
	}
	w.lose(w.redis.Lose(func(key string) bool { return strings.HasSuffix(key, "}:log") }))
}

func (w *world) flush(d *dice) {
	w.redis.Flush()
	w.lose([]string{"all"})
}

func (w *world) failOver(d *dice) {
	w.redis.FailOver()
	w.lose([]string{"the last writes"})
	w.sleep(d.between(0, time.Second))
	w.redis.Start()
}

func (w *world) failOverBehind(d *dice) {
	w.redis.FailOver()
	w.redis.StepClock(-clockStep)
	w.lose([]string{"the last writes, and the time"})
	w.sleep(d.between(0, time.Second))
	w.redis.Start()
}

func (w *world) stopRedis(d *dice) {
	kept := d.n(2) == 0
	if kept {
		w.redis.StopKept()
	} else {
		w.redis.Stop()
		w.lose([]string{"all"})
	}
	w.sleep(d.between(0, 3*time.Second))
	w.redis.Start()
}

func (w *world) freezeRedis(d *dice) {
	w.redis.Freeze()
	w.sleep(d.between(100*time.Millisecond, 4*time.Second))
	w.redis.Thaw()
}

func (w *world) cutFor(d *dice, length time.Duration, between func()) {
	p := w.victim(d)
	if p == nil {
		return
	}
	if length > worldLease/2 {
		w.mu.Lock()
		w.away = true
		w.mu.Unlock()
	}
	w.say("%s is cut for %v", p.name, length)
	p.line.Cut()
	w.sleep(length / 2)
	between()
	w.sleep(length / 2)
	p.heal()
}

func (w *world) cutLong(d *dice) {
	w.cutFor(d, d.between(worldLease, 2*(worldLease+worldKeep)), func() {})
}

func (w *world) cutShort(d *dice) {
	w.cutFor(d, d.between(0, worldLease), func() {})
}

// flushAway is an empty Redis while a member is away.
func (w *world) flushAway(d *dice) {
	w.cutFor(d, d.between(worldLease, 2*(worldLease+worldKeep)), func() { w.flush(d) })
}

// flushDead is an empty Redis after a member has died.
func (w *world) flushDead(d *dice) {
	p := w.victim(d)
	if p == nil {
		return
	}
	p.kill()
	w.sleep(d.between(0, 500*time.Millisecond))
	w.flush(d)
}

func (w *world) blackHole(d *dice) {
	p := w.victim(d)
	if p == nil {
		return
	}
	kind := d.n(3)
	p.line.BlackHole(kind != 0, kind != 1)
	w.sleep(d.between(100*time.Millisecond, worldLease+2*time.Second))
	p.heal()
}

// refuseLogin has new connections be refused while those that are there break.
func (w *world) refuseLogin(d *dice) {
	heal := func() {}
	switch kind := d.n(4); kind {
	case 0:
		w.say("password rotated")
		w.redis.Require("default", "another")
		heal = func() { w.redis.Require("default", worldPassword) }
	case 1:
		w.say("user not known")
		w.redis.Forget("default")
		heal = func() { w.redis.Require("default", worldPassword) }
	case 2:
		w.say("database out of range")
		w.redis.Databases(1)
		heal = func() { w.redis.Databases(16) }
	case 3:
		w.say("maxclients")
		w.redis.MaxClients(true)
		heal = func() { w.redis.MaxClients(false) }
	}
	w.redis.BreakAll()
	w.sleep(d.between(100*time.Millisecond, 4*time.Second))
	heal()
}

// refuseCommand is an ACL without one of the commands.
func (w *world) refuseCommand(d *dice) {
	names := []string{"xadd", "xread", "set", "get", "hset", "evalsha", "sadd", "smembers", "mget", "xtrim", "hvals", "xlen"}
	name := names[d.n(len(names))]
	w.say("NOPERM for %s", name)
	w.redis.Refuse(func(cmd string, _ bool) string {
		if cmd != name {
			return ""
		}
		return "NOPERM this user has no permissions to run the '" + name + "' command"
	})
	w.sleep(d.between(100*time.Millisecond, 4*time.Second))
	w.redis.Refuse(nil)
}

// refuseAll is a Redis that is not what it was.
func (w *world) refuseAll(d *dice) {
	text, writes := "LOADING Redis is loading the dataset in memory", false
	switch d.n(3) {
	case 0:
		text, writes = "READONLY You can't write against a read only replica.", true
	case 1:
		text, writes = "OOM command not allowed when used memory > 'maxmemory'.", true
	}
	w.say("%s", text)
	w.redis.Refuse(func(_ string, write bool) string {
		if writes && !write {
			return ""
		}
		return text
	})
	w.sleep(d.between(100*time.Millisecond, 4*time.Second))
	w.redis.Refuse(nil)
}

// shortAnswers has arrays lack their last part.
func (w *world) shortAnswers(d *dice) {
	w.redis.Shorten(0.2)
	w.sleep(d.between(100*time.Millisecond, 2*time.Second))
	w.redis.Shorten(0)
}
