package cli_test

import (
	"fmt"
	"slices"
	"strconv"
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
