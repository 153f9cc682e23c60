package mariadb

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/storetest"
	"github.com/seed47708276/sluice/testkit"
)

// torture asks for the full counts, and for the tests that want a Galera cluster.
var torture = flag.Bool("torture", false, "full counts, and three Galera nodes")

// ledger has writers write to all members and knows what became of each write.
type ledger struct {
	t       *testing.T
	members []*storetest.Member
	stop    chan struct{}
	work    sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]storetest.Acknowledged
	refused      map[string]bool
	asked        int // writes that were asked again
	restores     storetest.Restores
}

// newLedger starts writers, who write until end.
func newLedger(t *testing.T, writers int, members ...*storetest.Member) *ledger {
	l := &ledger{t: t, members: members, stop: make(chan struct{}), acknowledged: map[string]storetest.Acknowledged{}, refused: map[string]bool{}}
	for w := range writers {
		l.work.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				l.write(members[w%len(members)], w, i)
			}
		})
	}
	return l
}

// write makes one write, and asks again while it is not known whether it is done.
func (l *ledger) write(m *storetest.Member, writer, i int) {
	request := fmt.Sprintf("w%d-%d", writer, i)
	w := store.Write{
		Actor: "ledger", Reason: request, Action: "override.set", Request: request,
		Changes: []store.Change{storetest.Set(cascade.Subject{Context: uint32(writer + 1), User: uint32(i%16 + 1)}, "p", request)},
	}
	asked := l.restores.Asked()
	for start := time.Now(); ; {
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		e, err := m.Do(ctx, w)
		cancel()
		l.mu.Lock()
		switch {
		case err == nil:
			l.acknowledged[request] = l.restores.Done(asked, e.Revision)
		case errors.Is(err, store.ErrUnconfirmed) && time.Since(start) < 3*time.Minute:
			l.asked++
			l.mu.Unlock()
			continue
		case errors.Is(err, store.ErrUnconfirmed):
			l.t.Errorf("%s is not settled after three minutes", request)
		default:
			l.refused[request] = true
		}
		l.mu.Unlock()
		if err != nil {
			select { // not at once against one that is away
			case <-time.After(20 * time.Millisecond):
			case <-l.stop:
			}
		}
		return
	}
}

// restore loads a backup of an earlier state while members write, and waits until
// they have noticed.
func (l *ledger) restore(s *sqltest.Server, database string) {
	l.t.Helper()
	yesterday := s.Dump(database)
	l.more(200)
	var before []int64
	for _, m := range l.members {
		before = append(before, m.Stats().Resyncs)
	}
	l.restores.Load(l.t, yesterday, func() { s.SQL(yesterday, database) })
	for i, m := range l.members {
		testkit.Poll(l.t, "the members take the backup", func() bool { return m.Stats().Resyncs > before[i] })
	}
}

// more waits until so many more writes are acknowledged.
func (l *ledger) more(n int) {
	l.t.Helper()
	l.mu.Lock()
	want := len(l.acknowledged) + n
	l.mu.Unlock()
	testkit.Within(l.t, 3*time.Minute, fmt.Sprintf("%d writes are acknowledged", want), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acknowledged) >= want
	})
}

// end stops the writers, and holds every member to what was acknowledged.
func (l *ledger) end() {
	l.t.Helper()
	close(l.stop)
	l.work.Wait()
	for _, m := range l.members {
		testkit.Poll(l.t, "all have the same", func() bool { return m.Standing() == nil && m.Head() == l.members[0].Head() })
	}
	for i, m := range l.members {
		if !reflect.DeepEqual(m.Values(), l.members[0].Values()) {
			l.t.Errorf("member %d has other values", i)
		}
		seen, last := map[string]uint64{}, map[cascade.Key]string{}
		var given int
		for before := uint64(0); ; {
			list, next, err := m.Log(before, 1000, nil)
			if err != nil {
				l.t.Fatal(err)
			}
			for _, e := range list {
				if before != 0 && e.Revision != before-1 {
					l.t.Fatalf("revision %d comes before %d", e.Revision, before)
				}
				before = e.Revision
				if e.Action == store.ActionGivenUp {
					given++
					if _, there := l.acknowledged[e.Request]; there {
						l.t.Errorf("%s was acknowledged, and given up", e.Request)
					}
					continue
				}
				if seen[e.Request] != 0 {
					l.t.Errorf("%s is there twice", e.Request)
				}
				seen[e.Request] = e.Revision
				key := cascade.Key{Subject: e.Changes[0].Subject(), Property: "p"}
				if _, there := last[key]; !there { // the newest comes first
					last[key] = e.Reason
				}
			}
			if next == 0 {
				break
			}
		}
		back := 0
		for request, a := range l.acknowledged {
			there, gone := l.restores.Fate(a)
			switch rev := seen[request]; {
			case gone && rev != 0:
				l.t.Errorf("member %d: %s is revision %d, and a backup without it was loaded (%+v)", i, request, rev, a)
			case there && rev != a.Revision, rev != 0 && rev != a.Revision:
				l.t.Errorf("member %d: %s was acknowledged as revision %d and is %d", i, request, a.Revision, rev)
			case rev == 0:
				back++
			}
		}
		for request := range l.refused {
			if seen[request] != 0 {
				l.t.Errorf("member %d: %s was refused, and is there", i, request)
			}
		}
		if values := m.Values(); !reflect.DeepEqual(values, last) {
			l.t.Errorf("member %d: look-ups are not what the log says: %d and %d", i, len(values), len(last))
		}
		if i == 0 {
			l.t.Logf("%d acknowledged (%d of them taken back by %d backups), %d refused, %d asked again, %d given up", len(l.acknowledged), back, l.restores.Number(), len(l.refused), l.asked, given)
		}
	}
}

// Thirty writers on three members over one server that is killed, stands still,
// stops, loses answers, and gets yesterday's backup: every acknowledged write is
// there once, but for those that the backup has taken back.
func TestLedger(t *testing.T) {
	s := sqltest.Start(t)
	w := newWorld(t, s)
	p := newLossy(t, s.Host)
	w.opt.Hosts = []string{p.addr}
	l := newLedger(t, 30, w.open("").Ready(t), w.open("").Ready(t), w.open("").Ready(t))
	rounds, away := 1, time.Second
	if *torture {
		rounds, away = 10, 20*time.Second
	}
	for range rounds {
		for _, fail := range []func(){
			func() { p.after.Add(3) },
			func() { p.before.Add(3) },
			func() { s.Kill(); s.Run() },
			func() {
				s.Signal(syscall.SIGSTOP)
				time.Sleep(time.Second) // it stands still for that long
				s.Signal(syscall.SIGCONT)
			},
			func() {
				s.Stop()
				time.Sleep(away) // the whole database is away for that long
				s.Run()
			},
			func() { l.restore(s, w.opt.Database) },
		} {
			l.more(50)
			fail()
		}
	}
	l.more(50)
	l.end()
}
