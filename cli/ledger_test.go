package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

var torture = flag.Bool("torture", false, "full counts instead of short rounds")

const (
	ledgerUsers = 24
	// inFlight is how many messages at least are on their way when a fault strikes.
	inFlight = 200
)

// ledger sends numbered messages to all members and knows what became of each.
// User u has a socket on each of two members; one sender for each member and
// user group posts in order.
type ledger struct {
	*fleet
	every   time.Duration // between two messages of a sender
	sockets []*ledgerSocket

	mu       sync.Mutex
	accepted map[string]*acceptedMessage
	refused  int
	unknown  int // no answer: it may have been accepted

	stop   context.CancelFunc
	ctx    context.Context
	work   sync.WaitGroup
	paused []atomic.Bool // by member: its senders wait
	busy   []sync.RWMutex
}

type acceptedMessage struct {
	member int
	user   int
	at     time.Time
	unsure bool
}

// ledgerSocket is a socket of a user and what it got. One that is opened again
// after its member was stopped is another.
type ledgerSocket struct {
	reader
	member, user int
	opened       time.Time
}

func newLedger(f *fleet, rate int) *ledger {
	l := &ledger{
		fleet: f, accepted: make(map[string]*acceptedMessage),
		paused: make([]atomic.Bool, len(f.members)), busy: make([]sync.RWMutex, len(f.members)),
		every: time.Second * time.Duration(len(f.members)*ledgerUsers) / time.Duration(rate),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	for user := 1; user <= ledgerUsers; user++ {
		login := f.members[0].login(user)
		for k := range 2 {
			l.open(login, (user+k)%len(f.members), user)
		}
	}
	return l
}

// open dials a socket, which reads until it is closed.
func (l *ledger) open(login login, member, user int) *ledgerSocket {
	l.t.Helper()
	conn, err := l.members[member].dial(login, fmt.Sprintf("c%d", time.Now().UnixNano()))
	if err != nil {
		l.t.Fatal(err)
	}
	s := &ledgerSocket{member: member, user: user, opened: time.Now()}
	l.mu.Lock()
	l.sockets = append(l.sockets, s)
	l.mu.Unlock()
	l.t.Cleanup(func() { _ = conn.CloseNow() })
	go s.run(conn) // ends with the connection
	return s
}

// send starts the senders of all members.
func (l *ledger) send() {
	for member := range l.members {
		for user := 1; user <= ledgerUsers; user++ {
			l.work.Go(func() { l.sender(member, user) })
		}
	}
}

func (l *ledger) sender(member, user int) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		l.busy[member].RLock()
		if !l.paused[member].Load() {
			l.post(member, user, fmt.Sprintf("%d/%d/%d", member, user, n))
		}
		l.busy[member].RUnlock()
	}
}

var ledgerClient = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{MaxIdleConnsPerHost: 3 * ledgerUsers},
}

func (l *ledger) post(member, user int, text string) {
	body := fmt.Sprintf(`{"context":1337,"user":%d,"name":"n","args":[%q]}`, user, text)
	at := time.Now()
	res, err := ledgerClient.Post(l.members[member].admin+"/admin/v1/messages", "application/json", strings.NewReader(body))
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.unknown++
		l.accepted[text] = &acceptedMessage{member, user, at, true}
	case res.StatusCode == http.StatusOK:
		l.accepted[text] = &acceptedMessage{member, user, at, false}
	default:
		l.refused++
		if !bytes.Contains(answer, []byte(`"code"`)) {
			l.t.Errorf("refused without a code: %d %s", res.StatusCode, answer)
		}
	}
}

// strike waits until enough is in flight and calls the fault.
func (l *ledger) strike(fault func()) {
	l.t.Helper()
	flying := 0
	l.members[0].poll(fmt.Sprintf("%d messages are in flight", inFlight), func() bool {
		flying = 0
		for i, m := range l.members {
			if !l.paused[i].Load() {
				flying += m.buffered()
			}
		}
		return flying >= inFlight
	})
	l.t.Logf("%d messages in flight", flying)
	fault()
}

// pause stops the senders of a member, and returns when its last answer is here.
func (l *ledger) pause(member int) {
	l.paused[member].Store(true)
	l.busy[member].Lock()
	l.busy[member].Unlock() //nolint:staticcheck // only waits
}

func (l *ledger) resume(member int) { l.paused[member].Store(false) }

// settle ends the senders and waits until no member has anything left.
func (l *ledger) settle() {
	l.t.Helper()
	l.stop()
	l.work.Wait()
	for _, m := range l.members {
		limit := time.Now().Add(3 * patience)
		for m.buffered() > 0 {
			if time.Now().After(limit) {
				l.t.Fatalf("%s still has %d messages\n%s", m.name, m.buffered(), m.log())
			}
			m.poll("its buffer empties", func() bool { return m.buffered() == 0 })
		}
	}
}

// totals is what a ledger came to.
type totals struct {
	sent, refused, unknown, accepted int
	deliveries, missing, twice, late int // late: out of order
	away                             int // deliveries that a socket missed because it was not there
	unflushed                        int // messages of a killed member that reached no other
}

// close compares what was accepted with what came. killed are the members whose
// unflushed messages died with them.
func (l *ledger) close(killed map[int]bool) (sum totals) {
	l.t.Helper()
	l.settle()
	// What is flushed is still read by its members: wait until nothing more comes.
	before, same := -1, 0
	l.members[0].poll("the sockets have read all", func() bool {
		n := 0
		for _, s := range l.sockets {
			s.mu.Lock()
			n += len(s.texts)
			s.mu.Unlock()
		}
		if n == before {
			same++
		} else {
			before, same = n, 0
		}
		return same > 100
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	sum.refused, sum.unknown, sum.accepted = l.refused, l.unknown, len(l.accepted)-l.unknown
	sum.sent = sum.refused + len(l.accepted)
	lost := map[string]bool{}
	for _, s := range l.sockets {
		got := map[string]int{}
		last := map[int]int{} // number, by accepting member
		s.mu.Lock()
		stayed := s.err == nil
		for _, text := range s.texts {
			var m struct{ Args []string }
			if err := json.Unmarshal([]byte(text), &m); err != nil || len(m.Args) != 1 {
				continue // of the protocol
			}
			id := m.Args[0]
			got[id]++
			parts := strings.Split(id, "/")
			from, _ := strconv.Atoi(parts[0])
			n, _ := strconv.Atoi(parts[2])
			if prev, any := last[from]; any && n < prev {
				sum.late++
			}
			last[from] = n
			if a := l.accepted[id]; a == nil || a.user != s.user {
				l.t.Errorf("a socket of user %d got %s", s.user, id)
			}
		}
		s.mu.Unlock()
		for _, n := range got {
			sum.deliveries += n
			sum.twice += n - 1
		}
		for id, a := range l.accepted {
			switch {
			case a.user != s.user || got[id] > 0 || a.unsure:
			case a.at.Before(s.opened) || !stayed:
				sum.away++
			case killed[a.member] && a.member != s.member:
				lost[id] = true
			default:
				if sum.missing++; sum.missing <= 5 {
					l.t.Logf("missing: %s at user %d on %s, accepted %s", id, s.user, l.members[s.member].name, a.at.Format(time.StampMilli))
				}
			}
		}
	}
	sum.unflushed = len(lost)
	l.t.Logf("ledger: %d sent = %d accepted + %d refused + %d without an answer; %d deliveries, %d missing, %d twice, %d out of order; %d while a client was away; %d unflushed in a killed member",
		sum.sent, sum.accepted, sum.refused, sum.unknown, sum.deliveries, sum.missing, sum.twice, sum.late, sum.away, sum.unflushed)
	if sum.missing > 0 || sum.twice > 0 || sum.late > 0 {
		for _, m := range l.members {
			l.t.Logf("%s:\n%s", m.name, m.log())
		}
		l.t.Error("the ledger does not balance")
	}
	return sum
}

// hold lets the fault last for a while, in which the senders go on.
func hold(d time.Duration) { <-time.After(d) }

// ledgerRate is how many messages a second are sent: 20,000 in the minute of the
// full round.
const ledgerRate = 333

func length(short, full time.Duration) time.Duration {
	if *torture {
		return full
	}
	return short
}

// What was accepted reaches every socket once and in order, whatever fails.
func TestLedger(t *testing.T) {
	cut := func(member int, d time.Duration) func(*ledger) {
		return func(l *ledger) {
			p := l.members[member].proxy
			p.Cut()
			hold(d)
			p.Heal()
		}
	}
	hole := func(up, down bool, d time.Duration) func(*ledger) {
		return func(l *ledger) {
			p := l.members[1].proxy
			p.BlackHole(up, down)
			hold(d)
			p.Heal()
		}
	}
	long := length(5*time.Second, time.Minute)
	for _, c := range []struct {
		name  string
		fault func(*ledger)
		full  bool // only in the full round
	}{
		{"a link is cut for a second", cut(1, time.Second), true},
		{"a link is cut for longer than the lease", cut(1, long), false},
		{"all links are cut", func(l *ledger) {
			for _, m := range l.members {
				m.proxy.Cut()
			}
			hold(length(2*time.Second, 10*time.Second))
			for _, m := range l.members {
				m.proxy.Heal()
			}
		}, true},
		{"a link swallows everything", hole(true, true, long), false},
		{"a link swallows what is sent", hole(true, false, length(3*time.Second, 10*time.Second)), true},
		{"a link swallows what comes", hole(false, true, length(3*time.Second, 10*time.Second)), true},
		{"links are slow", func(l *ledger) {
			for _, m := range l.members {
				m.proxy.Delay(100 * time.Millisecond)
			}
			hold(length(3*time.Second, 20*time.Second))
			for _, m := range l.members {
				m.proxy.Heal()
			}
		}, true},
		{"Redis stops for a while", func(l *ledger) {
			l.redis.Pause()
			hold(3 * time.Second)
			l.redis.Resume()
		}, true},
		{"Redis is killed and comes back with its file", func(l *ledger) {
			l.redis.Kill()
			hold(time.Second)
			l.redis.Restart()
		}, false},
		{"a member stops for a while", func(l *ledger) {
			l.pause(1) // its callers would wait
			l.members[1].signal(syscall.SIGSTOP)
			hold(length(3*time.Second, 20*time.Second))
			l.members[1].signal(syscall.SIGCONT)
			l.resume(1)
		}, false},
		{"the timings change", func(l *ledger) {
			for _, m := range l.members {
				m.save("websockets.properties", "com.openexchange.websockets.grizzly.remote.delayDuration", "0", true)
			}
			for _, m := range l.members {
				m.poll("its buffer empties", func() bool { return m.buffered() < inFlight/4 })
			}
		}, false},
	} {
		if c.full && !*torture {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			// On disk before it is acknowledged, so that a kill loses nothing.
			f := newFleet(t, redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always"), 3)
			l := newLedger(f, ledgerRate)
			l.send()
			l.strike(func() { c.fault(l) })
			hold(length(time.Second, 10*time.Second))
			l.close(nil)
		})
	}
}

// What a killed member had accepted and not yet flushed is lost, and not more
// than its gauge said; without a delay that is nothing.
func TestLedgerKill(t *testing.T) {
	for _, delay := range []string{"1000", "0"} {
		t.Run("delay "+delay, func(t *testing.T) {
			f := newFleet(t, redistest.Start(t), 3, "com.openexchange.websockets.grizzly.remote.delayDuration="+delay)
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
				if err := l.members[1].cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				l.members[1].wait()
			}
			if delay == "0" {
				hold(time.Second)
				kill()
			} else {
				l.strike(kill)
			}
			f.launch(l.members[1])
			l.resume(1)
			hold(length(2*time.Second, 10*time.Second))
			if sum := l.close(map[int]bool{1: true}); sum.unflushed > bound {
				t.Errorf("%d messages are lost, the gauge said %d", sum.unflushed, bound)
			}
		})
	}
}

// Members are stopped and started one after the other; who stays connected
// misses nothing, and nothing that was accepted dies with its member.
func TestLedgerRollingRestart(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 3)
	l := newLedger(f, ledgerRate)
	l.send()
	for i, m := range l.members {
		l.strike(func() {
			m.signal(syscall.SIGTERM)
			if code := m.wait(); code != 0 {
				t.Errorf("%s ends with %d\n%s", m.name, code, m.log())
			}
			l.pause(i)
			f.launch(m)
			l.resume(i)
		})
		// The clients of the member come back, to it or to the next.
		for user := 1; user <= ledgerUsers; user++ {
			if user%len(l.members) == i || (user+1)%len(l.members) == i {
				l.open(m.login(user), i, user)
			}
		}
	}
	hold(time.Second)
	l.close(nil)
}
