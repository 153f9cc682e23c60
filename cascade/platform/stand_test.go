package platform

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/testkit"
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
CREATE TABLE user_attribute (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, value TEXT, uuid BINARY(16) NOT NULL DEFAULT '', PRIMARY KEY (cid, id, name), INDEX (cid, name, value(20))) COLLATE utf8mb4_bin;
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

// stand is the platform's databases on a MariaDB, and an engine that reads them.
type stand struct {
	db     *sqltest.Server
	prefix string // of the names of its databases
	engine *cascade.Engine
	p      *Platform
	log    *testkit.Log

	mu        sync.Mutex
	connected []cascade.Subject
}

// stands counts them: each has databases of its own on the server of all.
var stands atomic.Int64

// connect adds to those who have a socket.
func (s *stand) connect(su cascade.Subject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected = append(s.connected, su)
}

// sql runs statements, whose names of databases are those of the stand.
func (s *stand) sql(text string) string {
	return s.db.SQL("SET NAMES utf8mb4;" + strings.NewReplacer("configdb", s.prefix+"configdb", "oxdb_", s.prefix+"oxdb_").Replace(text))
}

// newStand makes a stand on the server that all tests share; on one of its own
// where the test stops it.
func newStand(t testing.TB, tree map[string]string, refresh time.Duration) *stand {
	t.Helper()
	return standOn(t, sqltest.Shared(t), tree, refresh)
}

func standOn(t testing.TB, db *sqltest.Server, tree map[string]string, refresh time.Duration) *stand {
	t.Helper()
	s := &stand{db: db, prefix: fmt.Sprintf("p%d_", stands.Add(1)), log: &testkit.Log{}}
	s.sql(configTables + "CREATE DATABASE oxdb_5 CHARACTER SET utf8mb4; USE oxdb_5;" + userTables + "CREATE DATABASE oxdb_6 CHARACTER SET utf8mb4; USE oxdb_6;" + userTables + rows +
		fmt.Sprintf("USE configdb; INSERT INTO db_pool VALUES (3, 'jdbc:mysql://%s/?useUnicode=true', 'com.mysql.jdbc.Driver', 'reader', 'secret', 'one');", s.db.Host) +
		"INSERT INTO context_server2db_pool VALUES (2, 12, 3, 3, 'oxdb_5'), (2, 13, 3, 3, 'oxdb_5'), (2, 14, 3, 3, 'oxdb_5'), (2, 15, 3, 3, 'oxdb_5'), (2, 16, 3, 3, 'oxdb_6');")
	s.sql("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO reader@'127.0.0.1';")
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
		Config: sqlpool.Options{Hosts: []string{s.db.Host}, User: "reader", Password: "secret", Database: s.prefix + "configdb"},
		Engine: s.engine, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Refresh: func() time.Duration { return refresh }, Queries: func() int { return 1000 }, Write: func() bool { return true },
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

// patience bounds what is waited for; the machine may be busy.
const patience = 2 * time.Minute

// eventually waits for a condition: it is looked at whenever the engine has
// another state, and each tick, as not everything makes one.
func (s *stand) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	swaps := make(chan struct{}, 1)
	cancel := s.engine.OnSwap(func(_, _ *cascade.Snapshot) {
		select {
		case swaps <- struct{}{}:
		default:
		}
	})
	defer cancel()
	tick, end := time.NewTicker(20*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer end.Stop()
	for !ok() {
		select {
		case <-swaps:
		case <-tick.C:
		case <-end.C:
			t.Fatalf("not within %v: %s\n%s", patience, what, s.log)
		}
	}
}
