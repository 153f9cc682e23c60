package cli_test

import (
	"fmt"
	"os"
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
	return code, p.Code
}

// What one member is told all members do, within a second; one that is cut off
// refuses, and catches up; a Redis that is emptied loses nothing.
func TestStoreCluster(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 3)
	a, b, c := f.members[0], f.members[1], f.members[2]
	for _, m := range f.members {
		m.poll("the stores are one", func() bool { return m.metric("sluice_store_ok") == "1" })
	}
	conn, err := b.dial(a.login(1), "c")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	go r.run(conn) // ends with the connection
	var took []time.Duration
	for user := 1; user <= 50; user++ {
		start := time.Now()
		if code, p := a.disable(user); code != 201 {
			t.Fatalf("disable: %d %s\n%s", code, p, a.log())
		}
		if a.enabled(user) {
			t.Error("the member does not see its own write")
		}
		b.poll("the other member has it", func() bool { return !b.enabled(user) })
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("write to effect on another member: p50 %v, p98 %v", took[25], took[48])
	b.poll("the socket on the other member is closed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.err != nil
	})

	c.proxy.Cut()
	c.poll("the member notices", func() bool { return c.metric("sluice_store_ok") == "0" })
	if code, p := c.disable(60); code != 503 {
		t.Errorf("a write of a member that is cut off: %d %s", code, p)
	}
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
	for _, m := range f.members {
		m.poll("all have all", func() bool { return !m.enabled(80) && !m.enabled(70) && !m.enabled(1) })
	}
	revision := func(m *member) string { return m.metric("sluice_store_revision") }
	b.poll("all have the same revision", func() bool { return revision(a) == revision(b) && revision(b) == revision(c) })

	// One that comes new gets it all.
	f.members = append(f.members, &member{name: "m3", proxy: redistest.NewProxy(t, f.redis.Addr)})
	d := f.members[3]
	f.launch(d)
	d.poll("a new member has it all", func() bool { return !d.enabled(1) && !d.enabled(80) && revision(d) == revision(a) })
	var log struct{ Entries []struct{ Revision int } }
	d.request("GET", "/admin/v1/audit?limit=1000", "", &log)
	if fmt.Sprint(len(log.Entries)) != revision(d) {
		t.Errorf("the new member has %d entries of the log, and revision %s", len(log.Entries), revision(d))
	}
}

// Two members that decided things on their own do not mix them: the second
// refuses until somebody says which counts.
func TestStoreDiverged(t *testing.T) {
	redis := redistest.Start(t)
	alone := func(user int) (tree, state string) {
		tree, state = newTree(t), t.TempDir()
		p := launch(t, tree, state)
		m := &member{process: p}
		if code, problem := m.disable(user); code != 201 {
			t.Fatal(code, problem)
		}
		p.signal(syscall.SIGKILL)
		<-p.exited
		return tree, state
	}
	for _, keep := range []string{"member", "cluster"} {
		t.Run(keep, func(t *testing.T) {
			if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			f := &fleet{t: t, redis: redis}
			for i, user := range []int{1, 2} {
				m := &member{name: "m" + strconv.Itoa(i), proxy: redistest.NewProxy(t, redis.Addr)}
				m.process = &process{}
				m.tree, m.state = alone(user)
				f.members = append(f.members, m)
				f.launch(m)
				if i == 0 {
					m.poll("the first seeds", func() bool { return m.metric("sluice_store_ok") == "1" })
				}
			}
			a, b := f.members[0], f.members[1]
			b.poll("the second refuses", func() bool { code, p := b.disable(3); return code == 409 && p == "diverged" })
			code, out, errs := run("store", "--server", b.admin)
			if code != 1 || !strings.Contains(out, "revision 1") || !strings.Contains(out, "keep member|cluster") {
				t.Errorf("sluice store: %d %s%s", code, out, errs)
			}
			if b.enabled(2) || !b.enabled(1) || !a.enabled(2) || a.enabled(1) {
				t.Error("the two have mixed")
			}
			if code, out, errs = run("store", "keep", keep, "--server", b.admin); code != 0 {
				t.Fatalf("sluice store keep: %d %s%s", code, out, errs)
			}
			off, on := 2, 1
			if keep == "cluster" {
				off, on = 1, 2
				if _, err := os.Stat(strings.TrimSpace(out[strings.LastIndex(out, " "):])); err != nil {
					t.Errorf("the backup: %v\n%s", err, out)
				}
			}
			for _, m := range f.members {
				m.poll("both have the one", func() bool { return !m.enabled(off) && m.enabled(on) && m.metric("sluice_store_ok") == "1" })
			}
			if code, p := a.disable(4); code != 201 {
				t.Errorf("a write afterwards: %d %s", code, p)
			}
			b.poll("the other has it", func() bool { return !b.enabled(4) })
		})
	}
}
