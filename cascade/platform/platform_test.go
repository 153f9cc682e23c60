package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

const enabled = "com.openexchange.websockets.enabled"

// The tables of the platform, with the columns that are read and a few others.
const (
	configTables = `
CREATE DATABASE configdb CHARACTER SET utf8mb4; USE configdb;
CREATE TABLE context (cid INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, enabled BOOLEAN, reason_id INT UNSIGNED, quota_max BIGINT, PRIMARY KEY (cid), UNIQUE (name)) COLLATE utf8mb4_unicode_ci;
CREATE TABLE login2context (cid INT UNSIGNED NOT NULL, login_info VARCHAR(128) NOT NULL, PRIMARY KEY (login_info), INDEX (cid));
CREATE TABLE db_pool (db_pool_id INT UNSIGNED NOT NULL PRIMARY KEY, url VARCHAR(255), driver VARCHAR(128), login VARCHAR(128), password VARCHAR(128), name VARCHAR(128));
CREATE TABLE context_server2db_pool (server_id INT UNSIGNED NOT NULL, cid INT UNSIGNED NOT NULL, read_db_pool_id INT UNSIGNED NOT NULL, write_db_pool_id INT UNSIGNED NOT NULL, db_schema VARCHAR(128) NOT NULL, PRIMARY KEY (cid, server_id));
CREATE TABLE subadmin (sid INT UNSIGNED NOT NULL PRIMARY KEY, pid INT UNSIGNED NOT NULL, name VARCHAR(128));
CREATE TABLE context2subadmin (cid INT UNSIGNED NOT NULL PRIMARY KEY, sid INT UNSIGNED NOT NULL);
CREATE TABLE subadmin_config_properties (sid INT UNSIGNED NOT NULL, propertyKey VARCHAR(64) CHARACTER SET latin1 NOT NULL, propertyValue TEXT CHARACTER SET latin1, PRIMARY KEY (sid, propertyKey));
CREATE TABLE subadmin_taxonomies (sid INT UNSIGNED NOT NULL, taxonomy VARCHAR(128) NOT NULL, PRIMARY KEY (sid, taxonomy));
`
	userTables = `
CREATE TABLE contextAttribute (cid INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, value TEXT, uuid BINARY(16), PRIMARY KEY (cid, name)) COLLATE utf8mb4_unicode_ci;
CREATE TABLE user (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, mail VARCHAR(256), mailEnabled BOOLEAN NOT NULL, userPassword VARCHAR(128), PRIMARY KEY (cid, id));
CREATE TABLE user_configuration (cid INT UNSIGNED NOT NULL, user INT UNSIGNED NOT NULL, permissions INT UNSIGNED NOT NULL, PRIMARY KEY (cid, user));
CREATE TABLE user_attribute (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, value TEXT, uuid BINARY(16) NOT NULL DEFAULT '', PRIMARY KEY (cid, id, name), INDEX (cid, name, value(20))) CHARACTER SET utf8mb4;
CREATE TABLE login2user (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, uid VARCHAR(128) NOT NULL, PRIMARY KEY (cid, uid), INDEX (cid, id));
CREATE TABLE user_alias (cid INT UNSIGNED NOT NULL, user INT UNSIGNED NOT NULL, alias VARCHAR(255) NOT NULL, PRIMARY KEY (cid, user, alias));
CREATE TABLE prg_contacts (cid INT UNSIGNED NOT NULL, intfield01 INT UNSIGNED NOT NULL, fid INT UNSIGNED NOT NULL, userid INT UNSIGNED, field01 VARCHAR(320), PRIMARY KEY (cid, intfield01, fid), INDEX (cid, userid));
`
	rows = `
USE configdb;
INSERT INTO context (cid, name, enabled) VALUES (12, 'acme', 1), (13, 'Bäcker', 1), (14, 'off', 0), (15, 'null', NULL), (16, 'other', 1);
INSERT INTO login2context VALUES (12, '12'), (12, 'acme.example'), (16, 'other.example');
INSERT INTO subadmin VALUES (1, 0, 'top'), (2, 1, 'middle'), (3, 3, 'own parent'), (4, 99, 'orphan');
INSERT INTO context2subadmin VALUES (12, 2), (13, 3), (16, 4);
INSERT INTO subadmin_config_properties VALUES (1, 'r.both', 'top'), (1, 'r.top', 'top'), (2, 'r.both', 'middle'), (2, 'com.openexchange.capability.x', 'true'), (3, 'r.both', 'loop'), (2, 'a.plain', 'reseller');
INSERT INTO subadmin_taxonomies VALUES (1, 'gold'), (2, 'silver');
USE oxdb_5;
INSERT INTO contextAttribute (cid, name, value) VALUES
 (12, 'taxonomy/types', 'webmail, de ,,a b'), (12, 'config/com.Example.Mixed', 'Case'), (12, 'config/a.plain', 'x'), (12, 'config/a.locked', ' x ; final=context; protected=true'),
 (12, 'config/a.semicolon', 'jdbc:mysql://db%3Buser=x;protected=false'), (12, 'config/a.cut', 'text/html; charset=utf-8'),
 (12, 'config/a.percent', '%253B 100%25'), (12, 'config/a.escapes', 'a\\nb\\u00e4\\\\c'), (12, 'config/a.null', NULL), (12, 'config/a.empty', ''),
 (12, CONCAT('config/', REPEAT('n', 121)), 'long'), (12, 'config/a.final', 'x;final=nowhere'),
 (13, 'Config/a.other', 'x'), (13, 'config/a.emoji', '😀 ü'), (14, 'Taxonomy/Types', 'lost');
INSERT INTO user (cid, id, mail, mailEnabled) VALUES (12, 2, 'anna@acme.example', 1), (12, 3, NULL, 0), (13, 2, NULL, 1), (14, 2, NULL, 1), (12, 9, NULL, 1);
INSERT INTO login2user VALUES (12, 2, 'anna'), (12, 3, 'bert'), (13, 2, 'anna');
INSERT INTO user_alias VALUES (12, 2, 'a@acme.example'), (12, 2, 'anna@acme.example');
INSERT INTO prg_contacts VALUES (12, 1, 6, 2, 'Anna Älster');
INSERT INTO user_configuration VALUES (12, 2, 33554449), (12, 3, 4294967295), (14, 2, 0);
INSERT INTO user_attribute (cid, id, name, value) VALUES
 (12, 2, 'config/b.tab', 'a\tb'), (12, 2, 'config/b.lines', 'a\r\nb\n'), (12, 2, 'config/b.backslash', 'C:\\\\temp\\\\new\\t'),
 (12, 2, 'config/b.null', NULL), (12, 2, 'config/b.empty', ''), (12, 2, 'config/a.locked', 'user'), (12, 2, 'config/a.plain', 'user'),
 (12, 2, 'config/b.semicolon', ' a;b%3B '), (12, 2, 'config/b.surrogates', '\\uD83D\\uDE00'), (12, 2, 'client/x', 'y'),
 (13, 2, 'config/b.broken', 'C:\\users'), (13, 2, 'config/b.good', 'good');
USE oxdb_6;
INSERT INTO contextAttribute (cid, name, value) VALUES (16, 'taxonomy/types', 'es');
INSERT INTO user (cid, id, mailEnabled) VALUES (16, 2, 1);
`
)

// stand is a MariaDB with the platform's tables, and an engine that reads it.
type stand struct {
	db     *sqltest.Server
	engine *cascade.Engine
	p      *Platform
	log    *syncLog

	mu        sync.Mutex
	connected []cascade.Subject
}

type syncLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *syncLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newStand(t *testing.T, tree map[string]string, refresh time.Duration) *stand {
	t.Helper()
	s := &stand{db: sqltest.Start(t), log: &syncLog{}}
	s.db.SQL("SET NAMES utf8mb4;" + configTables + "CREATE DATABASE oxdb_5 CHARACTER SET utf8mb4; USE oxdb_5;" + userTables + "CREATE DATABASE oxdb_6 CHARACTER SET utf8mb4; USE oxdb_6;" + userTables + rows +
		fmt.Sprintf("USE configdb; INSERT INTO db_pool VALUES (3, 'jdbc:mysql://%s/?useUnicode=true', 'com.mysql.jdbc.Driver', 'reader', 'secret', 'one');", s.db.Host) +
		"INSERT INTO context_server2db_pool VALUES (2, 12, 3, 3, 'oxdb_5'), (2, 13, 3, 3, 'oxdb_5'), (2, 14, 3, 3, 'oxdb_5'), (2, 15, 3, 3, 'oxdb_5'), (2, 16, 3, 3, 'oxdb_6');")
	s.db.SQL("CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT SELECT ON *.* TO reader@'127.0.0.1';")
	dir := t.TempDir()
	for name, text := range tree {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := cascade.NewSchema(nil, []cascade.Declaration{{Name: enabled, Kind: cascade.Bool, Default: "true"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.engine, err = cascade.Open(cascade.Options{Roots: []string{dir}, Schema: schema}); err != nil {
		t.Fatal(err)
	}
	s.p, err = New(Options{
		Config: sqlpool.Options{Hosts: []string{s.db.Host}, User: "reader", Password: "secret", Database: "configdb"},
		Engine: s.engine, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Refresh: func() time.Duration { return refresh }, Queries: func() int { return 1000 },
		Connected: func(yield func(cascade.Subject) bool) {
			s.mu.Lock()
			list := slices.Clone(s.connected)
			s.mu.Unlock()
			for _, su := range list {
				if !yield(su) {
					return
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.p.Run(ctx) })
	t.Cleanup(func() {
		stop()
		wg.Wait()
		if err := s.p.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stand) load(t *testing.T, context, user uint32) *cascade.Snapshot {
	t.Helper()
	if err := s.p.Load(t.Context(), cascade.Subject{Context: context, User: user}); err != nil {
		t.Fatal(err)
	}
	return s.engine.Snapshot()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

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
	s.db.SQL("INSERT INTO oxdb_5.contextAttribute (cid, name, value) VALUES (12, 'config/" + enabled + "', 'false')")
	eventually(t, "the attribute counts", func() bool { _, off := told.Load(false); return off && !on.For(su) })
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
	s.db.SQL("DELETE FROM oxdb_5.contextAttribute WHERE cid = 12 AND name = 'config/" + enabled + "'")
	if err := s.p.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !on.For(su) {
		t.Error("an attribute that is gone counts")
	}
	s.db.SQL("UPDATE configdb.context SET enabled = 0 WHERE cid = 12; UPDATE configdb.subadmin_config_properties SET propertyValue = 'new' WHERE sid = 1 AND propertyKey = 'r.top'")
	eventually(t, "the context is closed", func() bool { return s.engine.Snapshot().Account(su) == cascade.ContextDisabled })
	eventually(t, "the reseller's value counts", func() bool { v, _ := s.engine.Snapshot().Get(su, "r.top"); return v.Text == "new" })
}

// TestDatabaseAway stops the server: who is known goes on, who is not stays out.
func TestDatabaseAway(t *testing.T) {
	s := newStand(t, nil, time.Second)
	known, unknown := cascade.Subject{Context: 12, User: 2}, cascade.Subject{Context: 12, User: 9}
	// Rows that do not count make the status degraded as well: here only the server does.
	s.db.SQL("DELETE FROM oxdb_5.contextAttribute WHERE cid = 12 AND name IN ('config/a.cut', 'config/a.final'); UPDATE oxdb_5.contextAttribute SET value = 'webmail, de' WHERE cid = 12 AND name = 'taxonomy/types'")
	s.load(t, 12, 2)
	if st := s.p.Status(); st.Status != "ok" {
		t.Fatalf("at the start: %+v", st)
	}
	s.db.Stop()
	eventually(t, "degraded", func() bool { _ = s.p.Load(t.Context(), known); return s.p.Status().Status == "degraded" })
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
	eventually(t, "it answers again", func() bool { return s.p.Load(t.Context(), unknown) == nil })
	eventually(t, "no longer degraded", func() bool { return s.p.Status().Status == "ok" })
	if a := s.engine.Snapshot().Account(unknown); a != cascade.AccountOpen {
		t.Errorf("after: %v", a)
	}
}

// TestOneUserDatabaseAway: the users of the others are read as ever.
func TestOneUserDatabaseAway(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.db.SQL("RENAME TABLE oxdb_6.user TO oxdb_6.gone")
	if err := s.p.Load(t.Context(), cascade.Subject{Context: 16, User: 2}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "oxdb_6") {
		t.Errorf("%v", err)
	}
	if a := s.load(t, 12, 2).Account(cascade.Subject{Context: 12, User: 2}); a != cascade.AccountOpen {
		t.Errorf("%v", a)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.db.SQL("CREATE USER other@'127.0.0.1' IDENTIFIED BY 'x'; GRANT SELECT ON configdb.context TO other@'127.0.0.1'")
	for _, c := range []struct{ user, password, want string }{
		{"other", "x", "the grant SELECT on `configdb`.`db_pool` is missing"},
		{"other", "wrong", "correct the user or the password"},
	} {
		o := s.p.opt
		o.Config.User, o.Config.Password = c.user, c.password
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.read(t.Context(), []cascade.Subject{{Context: 12, User: 2}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.user, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
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
