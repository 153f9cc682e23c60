package platform

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

func TestReadsAsThePlatformDoes(t *testing.T) {
	s := newStand(t, map[string]string{
		"contextSets/a.yml":   "gold:\n  withTags: gold & silver & webmail & ucWebMail & acme & 12\n  set: gold\n",
		"a/server.properties": "a.plain=server\n",
	}, time.Hour)
	for _, c := range []struct {
		context, user uint32
		name          string
		value, scope  string
	}{
		{12, 2, "a.cut", "text/html", "context"},
		{12, 2, "a.empty", "", "context"},
		{12, 2, "a.escapes", "a\nbä\\c", "context"},
		{12, 2, "a.percent", "%3B 100%", "context"},
		{12, 2, "a.semicolon", "jdbc:mysql://db;user=x", "context"},
		{12, 2, "a.locked", "x", "context"}, // final=context
		{12, 2, "a.plain", "user", "user"},
		{12, 9, "a.plain", "x", "context"},
		{12, 2, "a.null", "", ""},
		{12, 2, "a.final", "x", "context"},
		{12, 2, "com.Example.Mixed", "Case", "context"},
		{12, 2, "com.example.mixed", "", ""},
		{12, 2, strings.Repeat("n", 121), "long", "context"},
		{12, 2, "b.tab", "a\tb", "user"},
		{12, 2, "b.lines", "a\r\nb\n", "user"},
		{12, 2, "b.backslash", "C:\\temp\\new\t", "user"},
		{12, 2, "b.empty", "", "user"},
		{12, 2, "b.semicolon", " a;b%3B ", "user"},
		{12, 2, "b.surrogates", "😀", "user"},
		{12, 2, "r.both", "middle", "reseller"},
		{12, 2, "r.top", "top", "reseller"},
		{12, 2, "com.openexchange.capability.x", "", ""},
		{12, 2, "set", "gold", "contextSets"},
		{12, 9, "set", "", ""}, // without the permission
		{13, 2, "r.both", "loop", "reseller"},
		{13, 2, "r.top", "", ""}, // its own parent ends the chain
		{13, 2, "a.other", "", ""},
		{13, 2, "a.emoji", "😀 ü", "context"},
		{13, 2, "b.broken", "", ""},
		{13, 2, "b.good", "good", "user"},
		{16, 2, "r.both", "", ""},
		{16, 2, "a.plain", "server", "server"},
	} {
		sn := s.load(t, c.context, c.user)
		v, _ := sn.Get(cascade.Subject{Context: c.context, User: c.user}, c.name)
		if v.Text != c.value || v.Scope != c.scope {
			t.Errorf("%d/%d %s: %q in %q, want %q in %q", c.context, c.user, c.name, v.Text, v.Scope, c.value, c.scope)
		}
	}
	for su, want := range map[cascade.Subject]cascade.Account{
		{Context: 12, User: 2}: cascade.AccountOpen, {Context: 12, User: 3}: cascade.UserDisabled, {Context: 12, User: 77}: cascade.UserDeleted,
		{Context: 14, User: 2}: cascade.ContextDisabled, {Context: 15, User: 2}: cascade.ContextDisabled, {Context: 99, User: 2}: cascade.ContextDeleted,
		{Context: 16, User: 2}: cascade.AccountOpen,
	} {
		if got := s.load(t, su.Context, su.User).Account(su); got != want {
			t.Errorf("%v: %v, want %v", su, got, want)
		}
	}
	if got := s.engine.Snapshot().Account(cascade.Subject{Context: 12, User: 1234}); got != cascade.AccountUnread {
		t.Errorf("a user who was not read: %v", got)
	}
	x := s.engine.Snapshot().Explain(cascade.Subject{Context: 12, User: 2}, "a.plain", cascade.ExplainOptions{})
	if want := "a.plain is user for user 2 in context 12: user attribute config/a.plain (platform database, read "; !strings.HasPrefix(x.Summary, want) {
		t.Errorf("%s", x.Summary)
	}
	x = s.engine.Snapshot().Explain(cascade.Subject{Context: 12, User: 2}, "r.top", cascade.ExplainOptions{})
	if want := "property r.top of reseller top (platform database, read "; !strings.Contains(x.Summary, want) {
		t.Errorf("%s", x.Summary)
	}
	for _, want := range []string{`user 2 in context 13, "config/b.broken": `, `context 12, "taxonomy/types": "a b" is no tag`, `context 12, "config/a.final": `} {
		if list := s.p.Status().Problems; !slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("no problem %q: %q", want, list)
		}
	}
}

func TestChangesComeIntoForce(t *testing.T) {
	s := newStand(t, nil, time.Second)
	su := cascade.Subject{Context: 12, User: 2}
	s.mu.Lock()
	s.connected = []cascade.Subject{su}
	s.mu.Unlock()
	s.load(t, 12, 2)
	on := s.engine.Bool(enabled)
	if !on.For(su) {
		t.Fatal("off at the start")
	}
	var told sync.Map
	cancel := s.engine.OnSwap(func(_, now *cascade.Snapshot) { told.Store(on.In(now, su), true) })
	defer cancel()
	s.sql("INSERT INTO oxdb_5.contextAttribute (cid, name, value) VALUES (12, 'config/" + enabled + "', 'false')")
	s.eventually(t, "the attribute counts", func() bool { _, off := told.Load(false); return off && !on.For(su) })
	// A row that changes is seen as one that comes or goes.
	s.sql("UPDATE oxdb_5.contextAttribute SET value = 'true' WHERE cid = 12 AND name = 'config/" + enabled + "'")
	s.eventually(t, "the other value counts", func() bool { return on.For(su) })
	s.sql("UPDATE oxdb_5.contextAttribute SET value = 'false; final=context' WHERE cid = 12 AND name = 'config/" + enabled + "'")
	s.eventually(t, "and the first again", func() bool { return !on.For(su) })
	// What Sluice decides itself goes before the attribute of the same scope.
	if err := s.engine.Apply(cascade.Batch{Overrides: []cascade.Override{{Key: cascade.Key{Subject: cascade.Subject{Context: 12}, Property: enabled}, Value: "true"}}}); err != nil {
		t.Fatal(err)
	}
	if !on.For(su) {
		t.Error("the override of the context does not count")
	}
	if err := s.engine.Apply(cascade.Batch{DeleteOverrides: []cascade.Key{{Subject: cascade.Subject{Context: 12}, Property: enabled}}}); err != nil {
		t.Fatal(err)
	}
	if on.For(su) {
		t.Error("the attribute does not count again")
	}
	s.sql("DELETE FROM oxdb_5.contextAttribute WHERE cid = 12 AND name = 'config/" + enabled + "'")
	if err := s.p.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !on.For(su) {
		t.Error("an attribute that is gone counts")
	}
	s.sql("UPDATE configdb.context SET enabled = 0 WHERE cid = 12; UPDATE configdb.subadmin_config_properties SET propertyValue = 'new' WHERE sid = 1 AND propertyKey = 'r.top'")
	s.eventually(t, "the context is closed", func() bool { return s.engine.Snapshot().Account(su) == cascade.ContextDisabled })
	s.eventually(t, "the reseller's value counts", func() bool { v, _ := s.engine.Snapshot().Get(su, "r.top"); return v.Text == "new" })
}

// TestDatabaseAway stops the server: who is known goes on, who is not stays out.
func TestDatabaseAway(t *testing.T) {
	s := standOn(t, sqltest.Start(t), nil, time.Second)
	known, unknown := cascade.Subject{Context: 12, User: 2}, cascade.Subject{Context: 12, User: 9}
	s.load(t, 12, 2)
	if st := s.p.Status(); st.Status != "ok" || len(st.Problems) == 0 { // rows that do not count degrade nobody
		t.Fatalf("at the start: %+v", st)
	}
	// A server that stalls answers nothing, and refuses nothing: who asks is answered
	// all the same, and the known go on.
	s.db.Signal(syscall.SIGSTOP)
	// It reads that one when it goes on.
	if err := s.p.Load(t.Context(), cascade.Subject{Context: 13, User: 2}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown user of a server that stalls: %v", err)
	}
	if err := s.p.Load(t.Context(), known); err != nil {
		t.Errorf("a known user of a server that stalls: %v", err)
	}
	if a := s.engine.Snapshot().Account(known); a != cascade.AccountOpen {
		t.Errorf("a known user of a server that stalls: %v", a)
	}
	s.db.Signal(syscall.SIGCONT)
	s.eventually(t, "it answers again", func() bool { return s.p.Load(t.Context(), known) == nil && s.p.Status().Status == "ok" })
	s.db.Stop()
	s.eventually(t, "degraded", func() bool { _ = s.p.Load(t.Context(), known); return s.p.Status().Status == "degraded" })
	if err := s.p.Load(t.Context(), known); err != nil {
		t.Errorf("a known user: %v", err)
	}
	if a := s.engine.Snapshot().Account(known); a != cascade.AccountOpen {
		t.Errorf("a known user: %v", a)
	}
	if err := s.p.Load(t.Context(), unknown); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown user: %v", err)
	}
	if a := s.engine.Snapshot().Account(unknown); a != cascade.AccountUnread {
		t.Errorf("an unknown user: %v", a)
	}
	s.db.Run()
	s.eventually(t, "it answers again", func() bool { return s.p.Load(t.Context(), unknown) == nil })
	s.eventually(t, "no longer degraded", func() bool { return s.p.Status().Status == "ok" })
	if a := s.engine.Snapshot().Account(unknown); a != cascade.AccountOpen {
		t.Errorf("after: %v", a)
	}
}

// TestOneUserDatabaseAway: the users of the others are read as ever.
func TestOneUserDatabaseAway(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.sql("RENAME TABLE oxdb_6.user TO oxdb_6.gone")
	if err := s.p.Load(t.Context(), cascade.Subject{Context: 16, User: 2}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "oxdb_6") {
		t.Errorf("%v", err)
	}
	if a := s.load(t, 12, 2).Account(cascade.Subject{Context: 12, User: 2}); a != cascade.AccountOpen {
		t.Errorf("%v", a)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.sql("CREATE OR REPLACE USER other@'127.0.0.1' IDENTIFIED BY 'x'; GRANT SELECT ON configdb.context TO other@'127.0.0.1'")
	for _, c := range []struct{ user, password, want string }{
		{"other", "x", "the grant SELECT on `" + s.prefix + "configdb`.`db_pool` is missing"},
		{"other", "wrong", "correct the user or the password"},
	} {
		o := s.p.opt
		o.Config.User, o.Config.Password = c.user, c.password
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.read(t.Context(), []cascade.Subject{{Context: 12, User: 2}}, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.user, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTablesThatMayBeMissing: each is done without, and all others are read.
func TestTablesThatMayBeMissing(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.sql("DROP TABLE configdb.login2context, configdb.context2subadmin, configdb.subadmin, configdb.subadmin_config_properties, configdb.subadmin_taxonomies, oxdb_5.login2user, oxdb_5.prg_contacts; ALTER TABLE oxdb_5.user DROP COLUMN mail")
	su := cascade.Subject{Context: 12, User: 2}
	sn := s.load(t, 12, 2)
	for name, want := range map[string]string{"a.plain": "user", "b.tab": "a\tb", "r.top": ""} {
		if v, _ := sn.Get(su, name); v.Text != want {
			t.Errorf("%s is %q, want %q", name, v.Text, want)
		}
	}
	before := s.p.Status().Queries
	s.load(t, 13, 2) // they are not asked for again
	if n := s.p.Status().Queries - before; n != 2 {
		t.Errorf("%d queries for one more user, want 2", n)
	}
	for _, table := range []string{"login2context", "context2subadmin", "subadmin", "login2user", "prg_contacts", "column mail of user"} {
		if !strings.Contains(s.log.String(), table) {
			t.Errorf("the log has nothing of %s: %s", table, s.log)
		}
	}
}

// TestOddRowsCountAlone: what cannot be taken as it is, is told with its context, user
// and name; everything else of the user, and of all others, counts; and nobody is
// degraded by it.
func TestOddRowsCountAlone(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.sql("UPDATE configdb.context SET name = 'a\tb' WHERE cid = 16; UPDATE oxdb_5.user SET mailEnabled = 2 WHERE cid = 12 AND id = 9;" +
		"INSERT INTO oxdb_5.user_attribute (cid, id, name, value) VALUES (12, 9, 'config/o.bell', CHAR(7)), (12, 9, 'config/o.nul', CONCAT('a', CHAR(0))), (12, 9, 'config/o.escape', 'a\\\\u001b'), (12, 9, 'config/o.good', 'x')," +
		"(12, 9, 'config/O.good', 'y'), (12, 9, 'config/', 'x'), (12, 9, 'config/ o.blank', 'x'), (12, 9, 'Config/o.case', 'x'), (12, 9, CONCAT('config/o.line', CHAR(10)), 'x'), (12, 9, 'config/o.long', REPEAT('x', 65535));" +
		"INSERT INTO configdb.login2context VALUES (12, CONCAT('odd', CHAR(9), 'login')); INSERT INTO oxdb_5.user_alias VALUES (12, 9, ' '), (12, 9, 'good@acme.example')")
	for _, id := range []uint32{13, 14, 16} {
		s.load(t, id, 2)
	}
	sn := s.load(t, 12, 9)
	su := cascade.Subject{Context: 12, User: 9}
	for name, want := range map[string]string{"o.good": "x", "O.good": "y", "o.long": strings.Repeat("x", 65535), "a.plain": "x", "o.bell": "", "o.nul": "", "o.escape": "", "o.case": ""} {
		if v, _ := sn.Get(su, name); v.Text != want {
			t.Errorf("%s is %.40q, want %.40q", name, v.Text, want)
		}
	}
	for _, su := range []cascade.Subject{su, {Context: 16, User: 2}} {
		if a := sn.Account(su); a != cascade.AccountOpen {
			t.Errorf("%v: %v", su, a)
		}
	}
	st := s.p.Status()
	if st.Status != OK || !strings.Contains(st.Text(), "rows of the platform's database") {
		t.Errorf("%s: %s", st.Status, st.Text())
	}
	for _, want := range []string{
		`user 9 in context 12, "config/o.bell": the value holds the control character U+0007`, `user 9 in context 12, "config/o.nul": the value holds`,
		`user 9 in context 12, "config/o.escape": the value holds the control character U+001B`, `user 9 in context 12, "config/": the name of the property is empty`,
		`user 9 in context 12, "config/ o.blank": `, `user 9 in context 12, "config/o.line\n": `, `context 13, "Config/a.other": the platform does not read a name in this case`,
		`context 14, "Taxonomy/Types": the platform does not read a name in this case`, `by the case of its letters only`, `context 12, "odd\tlogin": `,
	} {
		if !slices.ContainsFunc(st.Problems, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("no problem %q: %q", want, st.Problems)
		}
	}
}

// TestRestoredToYesterday: what was written since is gone, here as there.
func TestRestoredToYesterday(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	su := cascade.Subject{Context: 12, User: 2}
	s.connect(su)
	s.load(t, 12, 2)
	s.sql("UPDATE configdb.context SET name = 'renamed' WHERE cid = 12; INSERT INTO oxdb_5.user_attribute (cid, id, name, value) VALUES (12, 2, 'config/today', 'x'); UPDATE oxdb_5.user_configuration SET permissions = 0 WHERE cid = 12 AND user = 2; DELETE FROM oxdb_5.login2user")
	if err := s.p.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, _ := s.engine.Snapshot().Get(su, "today"); v.Text != "x" {
		t.Fatal("the change of today does not count")
	}
	s.sql("UPDATE configdb.context SET name = 'acme' WHERE cid = 12; DELETE FROM oxdb_5.user_attribute WHERE name = 'config/today'; UPDATE oxdb_5.user_configuration SET permissions = 1 WHERE cid = 12 AND user = 2; DELETE FROM oxdb_5.user WHERE cid = 12 AND id = 9")
	s.connect(cascade.Subject{Context: 12, User: 9})
	if err := s.p.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	sn := s.engine.Snapshot()
	if v, ok := sn.Get(su, "today"); ok {
		t.Errorf("what is gone counts: %q", v.Text)
	}
	tags := sn.Tags(su)
	for _, tag := range []string{"acme", "ucWebMail"} {
		if !slices.ContainsFunc(tags, func(x cascade.Tag) bool { return x.Tag == tag }) {
			t.Errorf("no tag %s in %v", tag, tags)
		}
	}
	if a := sn.Account(cascade.Subject{Context: 12, User: 9}); a != cascade.UserDeleted {
		t.Errorf("a user who is not there: %v", a)
	}
}

func TestParseJDBC(t *testing.T) {
	for text, want := range map[string]string{
		"jdbc:mysql://localhost/configdb":           "[localhost] configdb",
		"jdbc:mysql://db:3307/?useUnicode=true&a=b": "[db:3307] ",
		"jdbc:mariadb://a,b:1/c":                    "[a b:1] c",
		"jdbc:mysql:loadbalance://a/c":              "[a] c",
		" jdbc:mysql://h ":                          "[h] ",
		"jdbc:postgresql://h/c":                     "error",
		"mysql://h/c":                               "error",
		"jdbc:mysql:///c":                           "error",
		"":                                          "error",
		"jdbc:mysql://h/%zz":                        "error",
	} {
		got := "error"
		if j, err := parseJDBC(text); err == nil {
			got = fmt.Sprintf("%v %s", j.hosts, j.database)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// A context that was just read is not read again with each of its users, but where
// a user is not there: it may have moved to another database.
func TestContextIsReadOnce(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.load(t, 12, 2)
	before := s.p.Status().Queries
	s.load(t, 12, 9)
	if n := s.p.Status().Queries - before; n != 1 {
		t.Errorf("%d queries for another user of the context, want 1", n)
	}
	s.sql("INSERT INTO oxdb_6.user (cid, id, mailEnabled) VALUES (12, 50, 1); UPDATE configdb.context_server2db_pool SET db_schema = 'oxdb_6' WHERE cid = 12")
	if got := s.load(t, 12, 50).Account(cascade.Subject{Context: 12, User: 50}); got != cascade.AccountOpen {
		t.Errorf("a user of a context that has moved: %v", got)
	}
	if got := s.load(t, 12, 77).Account(cascade.Subject{Context: 12, User: 77}); got != cascade.UserDeleted {
		t.Errorf("a user who is nowhere: %v", got)
	}
}
