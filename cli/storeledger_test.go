package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/storetest"
	"github.com/seed47708276/sluice/remote/redistest"
)

const (
	// decisionPatience bounds how long the fate of one write is asked for.
	decisionPatience = 2 * time.Minute
	// decisionTry bounds one request: the member may stand still.
	decisionTry = 25 * time.Second
	// decisionUsers are those of each writer's context.
	decisionUsers = 4
)

// decisions are what writers decide on the members of a cluster, and what became
// of each write.
type decisions struct {
	f      *fleet
	admins []string
	stop   chan struct{}
	work   sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]storetest.Acknowledged
	refused      map[string]bool
	asked        int // writes that were asked again
	restores     storetest.Restores
}

// newDecisions starts writers, who write until end.
func newDecisions(f *fleet, writers int) *decisions {
	d := &decisions{f: f, stop: make(chan struct{}), acknowledged: map[string]storetest.Acknowledged{}, refused: map[string]bool{}}
	for _, m := range f.members {
		d.admins = append(d.admins, m.admin) // the same after a restart
	}
	for w := range writers {
		d.work.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-d.stop:
					return
				default:
					d.decide(w, i)
				}
			}
		})
	}
	return d
}

// decide makes one write, and asks again, another member each time, while it is
// not known whether it is done.
func (d *decisions) decide(w, i int) {
	id := fmt.Sprintf("w%d-%d", w, i)
	doubt := false
	asked := d.restores.Asked()
	for start, try := time.Now(), w; ; try++ {
		code, problem, revision := d.put(d.admins[try%len(d.admins)], w, i, id)
		d.mu.Lock()
		switch {
		case code == http.StatusOK || code == http.StatusCreated:
			d.acknowledged[id] = d.restores.Done(asked, revision)
			d.mu.Unlock()
			return
		case problem == "given_up", !doubt && (problem == "store_unavailable" || problem == "keeper_conflict" || problem == "no_store"):
			d.refused[id] = true
			d.mu.Unlock()
			d.pause()
			return
		case problem == "" && code != 0:
			d.f.t.Errorf("%s: %d", id, code)
		case time.Since(start) > decisionPatience:
			d.f.t.Errorf("%s is not settled after %v: %d %s", id, decisionPatience, code, problem)
			d.mu.Unlock()
			return
		case problem == "unconfirmed" || code == 0:
			if !doubt {
				d.asked++
			}
			doubt = true
		}
		d.mu.Unlock()
		time.Sleep(20 * time.Millisecond) // not at once against one that is away
	}
}

// pause keeps a writer from asking at once one that has refused.
func (d *decisions) pause() {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.stop:
	}
}

// put is one request; code 0 says that there was no answer, revision 0 that it does
// not tell it.
func (d *decisions) put(admin string, w, i int, id string) (code int, problem string, revision uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), decisionTry)
	defer cancel()
	url := adminURL(admin, fmt.Sprintf("/admin/v1/contexts/%d/users/%d/websockets", w+1, i%decisionUsers+1))
	req, err := http.NewRequestWithContext(ctx, "PUT", url, strings.NewReader(fmt.Sprintf(`{"enabled":%t,"reason":%q}`, i%3 == 0, id)))
	if err != nil {
		d.f.t.Error(err)
		return 0, "", 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", id)
	res, err := adminClient.Do(req)
	if err != nil {
		return 0, "", 0
	}
	defer res.Body.Close()
	var p struct{ Code string }
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, "", 0
	}
	if res.StatusCode >= 300 && json.Unmarshal(b, &p) != nil {
		d.f.t.Errorf("%s: %d %s", id, res.StatusCode, b)
	}
	if tag, err := strconv.Unquote(res.Header.Get("ETag")); err == nil {
		revision, _ = strconv.ParseUint(tag, 10, 64) // 0 where it is none
	}
	return res.StatusCode, p.Code, revision
}

func (d *decisions) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.acknowledged)
}

// more waits until so many more writes are acknowledged.
func (d *decisions) more(n int) {
	d.f.t.Helper()
	want := d.count() + n
	for start := time.Now(); d.count() < want; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > decisionPatience {
			d.f.t.Fatalf("%d writes are acknowledged instead of %d\n%s", d.count(), want, d.f.members[0].log())
		}
	}
}

// decided is an entry of the audit log.
type decided struct {
	Revision int
	Action   string
	Reason   string
}

// wholeLog is the audit log of a member, the newest first.
func (m *member) wholeLog() (log []decided) {
	for cursor := ""; ; {
		var page struct {
			Entries []decided
			Next    string
		}
		m.request("GET", "/admin/v1/audit?limit=1000"+cursor, "", &page)
		log = append(log, page.Entries...)
		if page.Next == "" {
			return log
		}
		cursor = "&cursor=" + page.Next
	}
}

// end stops the writers and holds every member to what it has acknowledged.
func (d *decisions) end() {
	t := d.f.t
	t.Helper()
	close(d.stop)
	d.work.Wait()
	d.f.one()
	back := 0
	for _, m := range d.f.members {
		seen, last := map[string]int{}, map[string]bool{}
		before := 0
		for _, e := range m.wholeLog() {
			if before != 0 && e.Revision != before-1 {
				t.Errorf("%s: revision %d comes before %d", m.name, e.Revision, before)
			}
			before = e.Revision
			if e.Action == store.ActionGivenUp {
				continue
			}
			seen[e.Reason]++
			var w, i int
			if _, err := fmt.Sscanf(e.Reason, "w%d-%d", &w, &i); err != nil {
				t.Fatalf("%s: an entry of no writer: %+v", m.name, e)
			}
			key := fmt.Sprintf("/admin/v1/contexts/%d/users/%d/websockets", w+1, i%decisionUsers+1)
			if _, there := last[key]; !there {
				last[key] = i%3 == 0
			}
		}
		back = 0
		for id, a := range d.acknowledged {
			there, gone := d.restores.Fate(a)
			if n := seen[id]; there && n != 1 || gone && n != 0 || n > 1 {
				t.Errorf("%s has the acknowledged write %s %d times (%+v; to be there %t, taken back by a backup %t)", m.name, id, n, a, there, gone)
			}
			back += 1 - seen[id]
		}
		for id := range d.refused {
			if seen[id] != 0 {
				t.Errorf("%s has the write %s, which was refused", m.name, id)
			}
		}
		for path, want := range last {
			var e struct{ Enabled bool }
			if code := m.request("GET", path, "", &e); code != http.StatusOK || e.Enabled != want {
				t.Errorf("%s: %s is %t (%d), and the log says %t", m.name, path, e.Enabled, code, want)
			}
		}
	}
	t.Logf("%d acknowledged (%d of them taken back by %d backups), %d refused, %d asked again", len(d.acknowledged), back, d.restores.Number(), len(d.refused), d.asked)
}

// restore loads a backup of an earlier state of the database while members write,
// and waits until all of them have said so.
func (d *decisions) restore(db *sqltest.Server) {
	t := d.f.t
	t.Helper()
	const said = "the truth has gone back to an earlier state, such as a backup: this member takes it"
	yesterday := db.Dump("sluice")
	d.more(200)
	var before []int
	for _, m := range d.f.members {
		before = append(before, strings.Count(m.log(), said))
	}
	d.restores.Load(t, yesterday, func() { db.SQL(yesterday, "sluice") })
	for i, m := range d.f.members {
		m.poll("the member takes the backup, and says so", func() bool { return strings.Count(m.log(), said) > before[i] })
	}
}

// restart ends the process of a member at once, and starts it again.
func (f *fleet) restart(m *member) {
	f.t.Helper()
	m.signal(syscall.SIGKILL)
	<-m.exited
	f.launch(m)
}

// follows waits until what a member lacks of the store is in Redis. One that was
// emptied has only what was decided since, and what was before the keeper alone
// can tell: while it stands still, a member without that is not to be adopted.
func (f *fleet) follows(m *member) {
	f.t.Helper()
	c := f.redis.Client()
	m.poll("it has what Redis has lost", func() bool {
		first, err := c.XRangeN(f.t.Context(), "sluice:{sluice:store}:entries", "-", "+", 1).Result()
		if err != nil || len(first) == 0 {
			return false
		}
		number, _, _ := strings.Cut(first[0].ID, "-")
		since, err := strconv.ParseFloat(number, 64)
		if err != nil {
			f.t.Fatal(err)
		}
		has, err := strconv.ParseFloat(m.metric("sluice_store_revision"), 64)
		return err == nil && has >= since-1
	})
}

// moveKeeper makes another member the keeper while the old one stands still, and
// lets that one go on when writes go on.
func (f *fleet) moveKeeper(d *decisions, from, to int) {
	f.t.Helper()
	m, old := f.members[to], f.members[from]
	f.follows(m)
	old.signal(syscall.SIGSTOP)
	for i, other := range f.members {
		if i != from {
			f.nameKeeper(other, m.name)
		}
	}
	said := ""
	f.t.Cleanup(func() {
		if f.t.Failed() {
			f.t.Logf("store adopt of %s: %s", m.name, said)
		}
	})
	m.poll("the new keeper is adopted", func() bool {
		code, out, errs := run("store", "adopt", "--yes", "--server", m.admin)
		said = out + errs
		return code == 0
	})
	old.signal(syscall.SIGCONT)
	f.nameKeeper(old, m.name)
	f.lines = append(f.lines, "sluice.store.keeper="+m.name)
	d.more(30)
}

// Thirty writers on three members, while the keeper is killed, stands still, and
// is moved, the others are killed and stand still, and Redis is cut and killed:
// each write that was acknowledged is there once, and nobody is asked.
func TestStoreLedger(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 3)
	f.one()
	d := newDecisions(f, 30)
	keeper, rounds, still := 0, 1, 500*time.Millisecond
	if *torture {
		rounds, still = 5, 5*time.Second // longer than the lease
	}
	stands := func(m *member) {
		m.signal(syscall.SIGSTOP)
		time.Sleep(still) // it stands still for that long
		m.signal(syscall.SIGCONT)
	}
	for range rounds {
		next := (keeper + 1) % 3
		for _, fail := range []func(){
			func() { f.restart(f.members[keeper]) },
			func() { stands(f.members[keeper]) },
			func() { f.restart(f.members[next]) },
			func() { stands(f.members[next]) },
			func() {
				f.members[next].proxy.Cut()
				time.Sleep(still) // cut off for that long
				f.members[next].proxy.Heal()
			},
			func() {
				f.members[keeper].proxy.BlackHole(true, true)
				time.Sleep(still) // cut off for that long
				f.members[keeper].proxy.Heal()
			},
			func() { f.redis.Kill(); f.redis.Restart() },
			func() { f.moveKeeper(d, keeper, next); keeper = next },
		} {
			d.more(30)
			fail()
		}
	}
	d.more(30)
	d.end()
}

// The same over a database that is killed, stands still, is away as a whole, and
// gets yesterday's backup.
func TestStoreLedgerDatabase(t *testing.T) {
	if !*torture {
		return // the short round is that of cascade/store/mariadb
	}
	db := sqltest.Start(t)
	initDatabase(t, db)
	redis := redistest.Start(t)
	f := &fleet{t: t, redis: redis, lines: databaseLines(db)}
	for i := range 3 {
		f.members = append(f.members, &member{name: "m" + strconv.Itoa(i), proxy: redistest.NewProxy(t, redis.Addr)})
		f.launch(f.members[i])
	}
	f.meet()
	f.one()
	d := newDecisions(f, 30)
	for i := range 5 {
		for _, fail := range []func(){
			func() { db.Kill(); db.Run() },
			func() {
				db.Signal(syscall.SIGSTOP)
				time.Sleep(20 * time.Second) // the whole database is away
				db.Signal(syscall.SIGCONT)
			},
			func() { f.restart(f.members[i%3]) },
			func() { f.redis.Kill(); f.redis.Restart() },
			func() { db.Stop(); time.Sleep(20 * time.Second); db.Run() },
			func() { d.restore(db) },
		} {
			d.more(100)
			fail()
		}
	}
	d.more(100)
	d.end()
}
