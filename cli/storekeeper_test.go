package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

// enabled is what a member says of a user.
func (m *member) enabled(user int) bool {
	var e struct{ Enabled bool }
	m.request("GET", "/admin/v1/contexts/1337/users/"+strconv.Itoa(user)+"/websockets", "", &e)
	return e.Enabled
}

func (m *member) disable(user int) (code int, problem string) {
	var p struct{ Code string }
	code = m.request("PUT", "/admin/v1/contexts/1337/users/"+strconv.Itoa(user)+"/websockets", `{"enabled":false,"reason":"r"}`, &p)
	if code == 200 || code == 201 {
		m.acknowledged++
	}
	return code, p.Code
}

func (m *member) refuses(user, code int, problem string) func() bool {
	return func() bool { c, p := m.disable(user); return c == code && p == problem }
}

// one waits until the stores of all members take writes and have the same.
func (f *fleet) one() {
	f.t.Helper()
	for _, m := range f.members {
		m.poll("the store takes writes", func() bool { return m.metric("sluice_store_ok") == "1" })
	}
	for _, m := range f.members[1:] {
		m.poll("all have the same revision", func() bool {
			return m.metric("sluice_store_revision") == f.members[0].metric("sluice_store_revision")
		})
	}
}

// audited are the revisions that a member's audit log has.
func (m *member) audited() int {
	var log struct{ Entries []struct{ Revision int } }
	m.request("GET", "/admin/v1/audit?limit=1000", "", &log)
	return len(log.Entries)
}

// rename says whom the files of a member name the keeper, and starts it again.
func (f *fleet) nameKeeper(m *member, keeper string) {
	f.t.Helper()
	m.signal(syscall.SIGTERM)
	<-m.exited
	before := f.lines
	f.lines = append(slices.Clone(before), "sluice.store.keeper="+keeper)
	f.launch(m)
	f.lines = before
}

// What one member is told all members do; one that is cut off refuses, and
// catches up; a Redis that is emptied loses nothing; a keeper that is away takes
// no writes, and look-ups go on.
func TestStoreKeeper(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 3)
	a, b, c := f.members[0], f.members[1], f.members[2]
	f.one()
	conn, err := b.dial(a.login(1), "c")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	go r.run(conn) // ends with the connection
	var took []time.Duration
	for user := 1; user <= 30; user++ {
		start := time.Now()
		if code, p := b.disable(user); code != 201 {
			t.Fatalf("disable: %d %s\n%s", code, p, b.log())
		}
		if b.enabled(user) {
			t.Error("the member does not see its own write")
		}
		c.poll("another member has it", func() bool { return !c.enabled(user) })
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("write on a follower to effect on another: p50 %v, worst %v", took[15], took[29])
	b.poll("the socket is closed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.err != nil
	})
	// A write that is asked again by its name is done once.
	for range 2 {
		body := `{"enabled":false,"reason":"named"}`
		if code := c.requestWith("PUT", "/admin/v1/contexts/1337/users/50/websockets", body, nil, "Idempotency-Key: one"); code != 201 && code != 200 {
			t.Errorf("a named write: %d", code)
		}
	}
	if n := a.metric("sluice_store_revision"); n != "31" {
		t.Errorf("revision %s after 31 writes", n)
	}

	c.proxy.Cut()
	c.poll("a write of a member that is cut off is refused", c.refuses(60, 503, "store_unavailable"))
	if c.enabled(1) {
		t.Error("look-ups do not go on")
	}
	for user := 61; user <= 70; user++ {
		if code, p := a.disable(user); code != 201 {
			t.Fatalf("disable: %d %s", code, p)
		}
	}
	c.proxy.Heal()
	c.poll("the member catches up", func() bool { return !c.enabled(70) })

	if err := f.redis.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	c.poll("writes are taken again", func() bool { code, _ := c.disable(80); return code == 201 || code == 200 })
	f.one()

	a.signal(syscall.SIGKILL)
	<-a.exited
	b.poll("without the keeper nothing is written", b.refuses(90, 503, "store_unavailable"))
	if b.enabled(80) {
		t.Error("look-ups do not go on")
	}
	b.poll("the member says so", func() bool { return b.metric("sluice_store_ok") == "0" })
	f.launch(a)
	b.poll("writes go on", func() bool { code, _ := b.disable(90); return code == 201 || code == 200 })
	f.one()

	// One that comes new gets it all, the audit log too.
	f.members = append(f.members, &member{name: "m3", proxy: redistest.NewProxy(t, f.redis.Addr)})
	d := f.members[3]
	f.launch(d)
	f.one()
	if d.enabled(1) || d.enabled(80) || fmt.Sprint(d.audited()) != a.metric("sluice_store_revision") {
		t.Errorf("the new member has %d entries of the log, and the keeper revision %s", d.audited(), a.metric("sluice_store_revision"))
	}
}

// The keeper is moved while the old one stands still; when that one goes on it
// writes nothing, and nothing that was acknowledged is lost.
func TestStoreMove(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 3)
	a, b, c := f.members[0], f.members[1], f.members[2]
	f.one()
	for user := 1; user <= 20; user++ {
		if code, p := a.disable(user); code != 201 {
			t.Fatalf("disable: %d %s", code, p)
		}
	}
	a.signal(syscall.SIGSTOP)
	f.nameKeeper(b, "m1")
	f.nameKeeper(c, "m1")
	b.poll("a copy that is named the keeper does not count by itself", b.refuses(30, 409, "keeper_conflict"))
	code, out, errs := run("store", "adopt", "--server", b.admin)
	if code != 1 || !strings.Contains(out, "repeat with --yes") {
		t.Errorf("sluice store adopt: %d %s%s", code, out, errs)
	}
	if code, out, errs = run("store", "adopt", "--yes", "--server", b.admin); code != 0 || !strings.Contains(out, "counts for the cluster") {
		t.Fatalf("sluice store adopt --yes: %d %s%s", code, out, errs)
	}
	c.poll("writes go on", func() bool { code, _ := c.disable(31); return code == 201 || code == 200 })
	a.signal(syscall.SIGCONT)
	a.poll("the old keeper takes no writes", a.refuses(32, 409, "keeper_conflict"))
	c.poll("and says that to others", c.refuses(33, 409, "keeper_conflict"))
	f.nameKeeper(a, "m1")
	for _, m := range f.members {
		m.poll("all have all", func() bool { return !m.enabled(20) && !m.enabled(31) && m.metric("sluice_store_ok") == "1" })
	}
	if a.enabled(32) == false {
		t.Error("a refused write is in force")
	}
	a.poll("writes of the old keeper go on", func() bool { code, _ := a.disable(34); return code == 201 || code == 200 })
	f.one()
	acknowledged := 0
	for _, m := range f.members {
		acknowledged += m.acknowledged
	}
	for _, m := range f.members {
		if n := m.audited(); n != acknowledged {
			t.Errorf("%s has %d entries in the audit log, and %d writes were acknowledged", m.name, n, acknowledged)
		}
	}
}

// A keeper's file that is lost, and a name that nobody has.
func TestStoreLostKeeper(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	a, b := f.members[0], f.members[1]
	f.one()
	if code, _ := b.disable(1); code != 201 {
		t.Fatal(code)
	}
	a.signal(syscall.SIGKILL)
	<-a.exited
	file := filepath.Join(a.state, "store.db")
	kept, err := os.ReadFile(file)
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.launch(a)
	a.poll("an empty file is not the truth", a.refuses(2, 409, "keeper_conflict"))
	if b.enabled(1) {
		t.Error("the other member has taken it")
	}
	a.signal(syscall.SIGTERM)
	<-a.exited
	if err := os.WriteFile(file, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	f.launch(a)
	b.poll("writes go on with the file", func() bool { code, _ := b.disable(3); return code == 201 || code == 200 })

	a.signal(syscall.SIGTERM)
	<-a.exited
	f.nameKeeper(b, "nobody")
	b.poll("a keeper that no member is", b.refuses(4, 503, "store_unavailable"))
	if _, out, _ := run("store", "--server", b.admin); !strings.Contains(out, "nobody") {
		t.Errorf("sluice store does not name it: %s", out)
	}
}

// TestLostStateOfKeeper starts a keeper without the state folder that its cluster
// knows: it is refused, however often, until the folder is back or a new one is
// asked for.
func TestLostStateOfKeeper(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	a, b := f.members[0], f.members[1]
	f.one()
	if code, _ := a.disable(1); code != 201 {
		t.Fatal(code)
	}
	a.signal(syscall.SIGTERM)
	<-a.exited
	away := a.state + ".away"
	if err := os.Rename(a.state, away); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p := start(t, a.tree, a.state)
		if code := p.wait(); code != 1 || !strings.Contains(p.log(), "the state folder "+a.state+" is empty, and cluster sluice knows member m0 with one") ||
			!strings.Contains(p.log(), "--new-state") {
			t.Fatalf("exit code %d\n%s", code, p.log())
		}
	}
	// A member that is not the keeper has nothing that is lost with its folder.
	b.signal(syscall.SIGTERM)
	<-b.exited
	if err := os.RemoveAll(b.state); err != nil {
		t.Fatal(err)
	}
	f.launch(b)

	if err := os.RemoveAll(a.state); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, a.state); err != nil {
		t.Fatal(err)
	}
	f.launch(a)
	b.poll("what was decided counts everywhere", func() bool { return !a.enabled(1) && !b.enabled(1) })
}
