package cli_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote/redistest"
)

// databaseLines are those of a tree whose store is in a server's database.
func databaseLines(s *sqltest.Server) []string {
	return []string{store.PropKeeper + "=", store.PropDatabaseHosts + "=" + s.Host, store.PropDatabaseUser + "=sluice", store.PropDatabasePassword + "=secret"}
}

// initDatabase sets a database up as the documentation says.
func initDatabase(t *testing.T, s *sqltest.Server) {
	t.Helper()
	tree := newTree(t)
	if err := os.WriteFile(filepath.Join(tree, "zz.properties"), []byte(strings.Join(databaseLines(s), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLUICE_DATABASE_PASSWORD", "")
	code, out, errs := run("database", "init", "--as", sqltest.Root, "--etc", tree)
	if code != 0 || !strings.Contains(out, "GRANT SELECT, INSERT, UPDATE, DELETE ON `sluice`.* TO 'sluice'@'%'") {
		t.Fatalf("database init: %d %s%s", code, out, errs)
	}
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, "  ") {
			s.SQL(strings.ReplaceAll(line, "'...'", "'secret'"))
		}
	}
	if code, out, errs := run("database", "status", "--etc", tree); code != 0 || !strings.Contains(out, "head      revision 0") {
		t.Fatalf("database status: %d %s%s", code, out, errs)
	}
}

// Three members over a database: what one is told all do, a database that is
// away refuses writes, and what members held before is adopted by one of them.
func TestStoreDatabase(t *testing.T) {
	db := sqltest.Start(t)
	initDatabase(t, db)
	// One that was alone has decided something.
	tree, state := newTree(t), t.TempDir()
	p := launch(t, tree, state)
	if code, problem := (&member{process: p}).disable(99); code != 201 {
		t.Fatal(code, problem)
	}
	p.signal(syscall.SIGTERM)
	<-p.exited

	redis := redistest.Start(t)
	f := &fleet{t: t, redis: redis, lines: databaseLines(db)}
	for i := range 3 {
		m := &member{name: "m" + strconv.Itoa(i), proxy: redistest.NewProxy(t, redis.Addr)}
		if i == 0 {
			m.process = &process{}
			m.tree, m.state = tree, state
		}
		f.members = append(f.members, m)
		f.launch(m)
	}
	f.meet()
	a, b, c := f.members[0], f.members[1], f.members[2]
	a.poll("the database has not what it decided", a.refuses(1, 409, "no_store"))
	if a.enabled(99) {
		t.Error("it does not count any more")
	}
	code, out, errs := run("store", "adopt", "--server", a.admin)
	if code != 1 || !strings.Contains(out, "m1: the override of com.openexchange.websockets.enabled for user 99 in context 1337 is not there") {
		t.Errorf("store adopt: %d %s%s\n%s", code, out, errs, a.log())
	}
	if code, out, errs = run("store", "adopt", "--yes", "--server", a.admin); code != 0 {
		t.Fatalf("store adopt --yes: %d %s%s", code, out, errs)
	}
	f.one()
	for _, m := range f.members {
		m.poll("all have it", func() bool { return !m.enabled(99) })
	}
	for user := 51; user <= 70; user++ {
		m := f.members[user%3]
		if code, problem := m.disable(user); code != 201 {
			t.Fatalf("disable: %d %s\n%s", code, problem, m.log())
		}
		if m.enabled(user) {
			t.Error("the member does not see its own write")
		}
	}
	f.one()

	// Without Redis the members look by themselves.
	b.proxy.Cut()
	if code, problem := a.disable(30); code != 201 {
		t.Fatal(code, problem)
	}
	b.poll("a member that is not told looks", func() bool { return !b.enabled(30) })
	if code, problem := b.disable(31); code != 201 {
		t.Errorf("a write without Redis: %d %s", code, problem)
	}
	b.proxy.Heal()

	closesHere(t, c, false, "stolen", func() {
		db.Stop()
		c.poll("without the database nothing is written", func() bool { code, _ := c.disable(40); return code == 503 })
		c.poll("the member says so", func() bool { return c.metric("sluice_store_ok") == "0" })
		if c.enabled(30) {
			t.Error("look-ups do not go on")
		}
	}, func() { db.Run() })
	db.Kill()
	c.poll("without the database nothing is written", func() bool { code, _ := c.disable(42); return code == 503 })
	db.Run()
	c.poll("writes go on", func() bool { code, _ := c.disable(41); return code == 201 || code == 200 })
	f.one()
	acknowledged := 1
	for _, m := range f.members {
		acknowledged += m.acknowledged
	}
	for _, m := range f.members {
		if n := m.audited(); n < acknowledged {
			t.Errorf("%s has %d entries in the audit log, and %d writes were acknowledged", m.name, n, acknowledged)
		}
	}
}
