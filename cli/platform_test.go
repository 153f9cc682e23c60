package cli_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

// platformTables are those of the platform that are read, with context 1337 and
// its users 1 to 1200 in the user database oxdb_5.
const platformTables = `
SET NAMES utf8mb4;
CREATE DATABASE configdb CHARACTER SET utf8mb4; USE configdb;
CREATE TABLE context (cid INT UNSIGNED NOT NULL PRIMARY KEY, name VARCHAR(128) NOT NULL UNIQUE, enabled BOOLEAN);
CREATE TABLE login2context (cid INT UNSIGNED NOT NULL, login_info VARCHAR(128) NOT NULL PRIMARY KEY, INDEX (cid));
CREATE TABLE db_pool (db_pool_id INT UNSIGNED NOT NULL PRIMARY KEY, url VARCHAR(255), driver VARCHAR(128), login VARCHAR(128), password VARCHAR(128), name VARCHAR(128));
CREATE TABLE context_server2db_pool (server_id INT UNSIGNED NOT NULL, cid INT UNSIGNED NOT NULL, read_db_pool_id INT UNSIGNED NOT NULL, write_db_pool_id INT UNSIGNED NOT NULL, db_schema VARCHAR(128) NOT NULL, PRIMARY KEY (cid, server_id));
CREATE DATABASE oxdb_5 CHARACTER SET utf8mb4; USE oxdb_5;
CREATE TABLE contextAttribute (cid INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, value TEXT, uuid BINARY(16), PRIMARY KEY (cid, name)) COLLATE utf8mb4_unicode_ci;
CREATE TABLE user (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, mail VARCHAR(256), mailEnabled BOOLEAN NOT NULL, PRIMARY KEY (cid, id));
CREATE TABLE user_configuration (cid INT UNSIGNED NOT NULL, user INT UNSIGNED NOT NULL, permissions INT UNSIGNED NOT NULL, PRIMARY KEY (cid, user));
CREATE TABLE user_attribute (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, value TEXT, uuid BINARY(16) NOT NULL DEFAULT '', PRIMARY KEY (cid, id, name), INDEX (cid, name, value(20)));
CREATE TABLE login2user (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, uid VARCHAR(128) NOT NULL, PRIMARY KEY (cid, uid), INDEX (cid, id));
INSERT INTO configdb.context VALUES (1337, 'acme', 1);
INSERT INTO configdb.context_server2db_pool VALUES (2, 1337, 3, 3, 'oxdb_5');
INSERT INTO oxdb_5.user SELECT 1337, seq, CONCAT('u', seq, '@acme.example'), 1 FROM seq_1_to_1200;
INSERT INTO oxdb_5.login2user SELECT 1337, seq, CONCAT('u', seq) FROM seq_1_to_1200;
CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT SELECT ON configdb.* TO reader@'127.0.0.1';
GRANT SELECT ON ` + "`oxdb\\_%`" + `.* TO reader@'127.0.0.1';
`

// startPlatform starts the database of a platform, and returns the tree of a
// server that reads it as the platform's own configdb.properties says.
func startPlatform(t *testing.T) (*sqltest.Server, string) {
	t.Helper()
	db := sqltest.Start(t)
	url := "jdbc:mysql://" + db.Host + "/"
	db.SQL(platformTables + fmt.Sprintf("INSERT INTO configdb.db_pool VALUES (3, '%s?useUnicode=true', 'com.mysql.jdbc.Driver', 'reader', 'secret', 'one');", url))
	tree := newTree(t)
	put(t, tree, "configdb.properties", "readUrl="+url+"configdb\nreadProperty.1=user=reader\nreadProperty.2=password=secret\n")
	put(t, tree, "zz.properties", "sluice.platform.enabled=true\nsluice.platform.refresh=2s\n")
	return db, tree
}

// A context attribute that SQL changes closes a thousand sockets within the
// refresh; a database that is away closes none, and lets nobody in.
func TestPlatform(t *testing.T) {
	db, tree := startPlatform(t)
	p := launch(t, tree, t.TempDir())
	const users = 1000
	conns := make([]*websocket.Conn, users)
	turns, wg := make(chan struct{}, 8), sync.WaitGroup{}
	for i := range conns {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			conns[i] = p.dial(p.login(i+1), "c")
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	const enabled = "com.openexchange.websockets.enabled"

	db.Stop()
	stopped := time.Now()
	p.poll("the database is missed", func() bool { return strings.Contains(p.log(), "the platform's database does not answer") })
	known, unknown := p.login(1), p.login(users+1)
	look := func() {
		t.Helper()
		if got := p.status(unknown, "d"); got != http.StatusServiceUnavailable {
			t.Errorf("a user who was never read is answered with %d\n%s", got, p.log())
		}
		if got := p.status(known, "d"); got != http.StatusSwitchingProtocols {
			t.Errorf("a known user is answered with %d", got)
		}
		if n := p.metric(`sluice_sockets{path="/socket.io/appsuite/*",protocol="engine.io-v3"}`); n != "1000" && n != "1001" {
			t.Errorf("%s sockets are left", n)
		}
	}
	look()
	if code, out, errs := run("explain", enabled, "-c", "1337", "-u", "1150", "--server", p.admin); code == 0 || !strings.Contains(out+errs, "the platform's database does not answer") {
		t.Errorf("explain of a user who was never read: %d %s%s", code, out, errs)
	}
	if *torture { // 20 s in all, of which ten rounds of reading fail
		for tick := time.NewTicker(time.Second); time.Since(stopped) < 20*time.Second; <-tick.C {
			look()
		}
	}
	db.Run()
	p.poll("the database answers again", func() bool { return strings.Contains(p.log(), "the platform's database answers again") })
	p.poll("who was never read comes in", func() bool { return p.status(unknown, "d") == http.StatusSwitchingProtocols })

	db.SQL("INSERT INTO oxdb_5.contextAttribute (cid, name, value) VALUES (1337, 'config/" + enabled + "', 'false')")
	for _, c := range conns {
		if code := closeCode(t, c); code != 4403 {
			t.Fatalf("closed with %d", code)
		}
	}
	code, out, errs := run("explain", enabled, "-c", "1337", "-u", "u17", "--server", p.admin)
	if want := "is false for user 17 in context 1337: context attribute config/" + enabled + " (platform database, read "; code != 0 || !strings.Contains(out, want) {
		t.Errorf("%d %s%s", code, out, errs)
	}

	// What Sluice decides counts before it; a reload reads at once.
	if code, out, errs := run("enable", "-c", "1337", "--reason", "here", "--server", p.admin); code != 0 {
		t.Fatalf("enable: %d %s%s", code, out, errs)
	}
	if got := p.status(known, "e"); got != http.StatusSwitchingProtocols {
		t.Errorf("after enable: %d", got)
	}
	db.SQL("UPDATE configdb.context SET enabled = 0")
	if code, out, errs := run("reload", "--server", p.admin); code != 0 {
		t.Fatalf("reload: %d %s%s", code, out, errs)
	}
	p.poll("a disabled context is refused", func() bool { return p.status(known, "f") == http.StatusForbidden })
}

// status is that of a handshake; its socket is closed again.
func (p *process) status(l login, connection string) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, p.public+"/socket.io/appsuite/?EIO=3&transport=websocket&connection="+connection+"&session="+l.Session,
		&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}}})
	if err == nil {
		_ = conn.CloseNow()
	}
	if res == nil {
		p.t.Fatal(err)
	}
	return res.StatusCode
}

// enablePlatformWrites has the server of startPlatform write, with the grants that
// docs/platform.md names.
func enablePlatformWrites(t *testing.T, db *sqltest.Server, tree string) {
	t.Helper()
	db.SQL("GRANT INSERT, UPDATE, DELETE ON oxdb_5.contextAttribute TO reader@'127.0.0.1'; GRANT INSERT, UPDATE, DELETE ON oxdb_5.user_attribute TO reader@'127.0.0.1'")
	put(t, tree, "zz.properties", "sluice.platform.enabled=true\nsluice.platform.refresh=1h\nsluice.platform.write=true\n")
}

// enable and disable with --platform write the platform's own attribute; explain,
// doctor and the audit log say who decides where, and whether both agree.
func TestPlatformWrite(t *testing.T) {
	t.Parallel()
	db, tree := startPlatform(t)
	p := launch(t, tree, t.TempDir())
	sluice := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := run(append(args, "--server", p.admin)...)
		if code != want {
			t.Fatalf("%q: %d, want %d: %s%s", args, code, want, out, errs)
		}
		return out + errs
	}
	has := func(out string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
	}
	const enabled = "com.openexchange.websockets.enabled"
	row := func() string {
		return db.SQL("SELECT value FROM oxdb_5.user_attribute WHERE cid = 1337 AND id = 17 AND name = 'config/" + enabled + "'")
	}
	has(sluice(1, "disable", "--platform", "-c", "1337", "-u", "17"), "sluice.platform.write is false")
	put(t, tree, "zz.properties", "sluice.platform.enabled=true\nsluice.platform.refresh=1h\nsluice.platform.write=true\n")
	sluice(0, "reload")
	has(sluice(1, "disable", "--platform", "-c", "1337", "-u", "17"), "the grant INSERT on `oxdb_5`.`user_attribute` is missing")
	enablePlatformWrites(t, db, tree)

	// On in both.
	has(sluice(1, "doctor", "-c", "1337", "-u", "17"), "ok       platform", "Both have it on for user 17 in context 1337: in the platform websockets.properties:6 sets it in the server scope, in Sluice")
	has(sluice(0, "explain", enabled, "-c", "1337", "-u", "17"), "The platform agrees.")

	// Off in Sluice alone.
	sluice(0, "disable", "-c", "1337", "-u", "17", "--reason", "here")
	has(sluice(1, "doctor", "-c", "1337", "-u", "17"), "problem  platform", "The platform has it on for user 17 in context 1337 (websockets.properties:6 sets it in the server scope) and Sluice off (an override of the user by ")
	has(sluice(0, "explain", enabled, "-c", "1337", "-u", "17"), "The platform has true: websockets.properties:6 sets it in the server scope.")
	sluice(0, "reset", "-c", "1337", "-u", "17")

	// Off in both, by the platform's attribute.
	has(sluice(0, "disable", "--platform", "-c", "1337", "-u", "u17", "--dry-run"), "not set -> false")
	if got := row(); got != "" {
		t.Errorf("a dry run has written %q", got)
	}
	has(sluice(0, "disable", "--platform", "-c", "1337", "-u", "u17", "--reason", "ticket 4711"),
		"In the platform's table oxdb_5.user_attribute: config/"+enabled+", not set -> false.", "for up to 300 s",
		"Both have it off for user 17 in context 1337: in the platform user attribute config/"+enabled+" (platform database, read 0s ago)")
	if got := row(); got != "false" {
		t.Errorf("the row is %q", got)
	}
	if got := p.status(p.login(17), "a"); got != http.StatusBadRequest {
		t.Errorf("the handshake is answered with %d", got)
	}
	has(sluice(1, "doctor", "-c", "1337", "-u", "17"), "problem  platform", "Both have it off for user 17")

	// Off in the platform alone.
	sluice(0, "enable", "-c", "1337", "-u", "17", "--reason", "here")
	has(sluice(1, "doctor", "-c", "1337", "-u", "17"), "problem  platform", "The platform has it off for user 17 in context 1337 (user attribute config/"+enabled, "and Sluice on (an override of the user by ")
	sluice(0, "reset", "-c", "1337", "-u", "17")

	has(sluice(0, "enable", "--platform", "-c", "1337", "-u", "17"), "false -> true.", "Both have it on")
	has(sluice(0, "reset", "--platform", "-c", "1337", "-u", "17"), "true -> not set.")
	if got := db.SQL("SELECT COUNT(*) FROM oxdb_5.user_attribute"); got != "0" {
		t.Errorf("%s rows are left", got)
	}
	sluice(1, "reset", "--platform", "-c", "1337", "-u", "17")
	sluice(2, "enable", "--platform", "-c", "1337", "-u", "17", "--for", "2h")
	has(sluice(0, "disable", "--platform", "-c", "1337"), "oxdb_5.contextAttribute", "not set -> false; protected=false.")
	if got := p.status(p.login(18), "b"); got != http.StatusBadRequest {
		t.Errorf("a user of the context is answered with %d", got)
	}

	has(sluice(0, "audit", "-c", "1337", "-u", "17", "--limit", "0"), "websockets.disable.platform", "ticket 4711", "websockets.reset.platform")
	out := sluice(0, "audit", "-c", "1337", "-o", "json", "--action", "websockets.disable.platform")
	has(out, `"kind": "platform"`, `"name": "config/`+enabled+`"`, `"table": "oxdb_5.user_attribute"`)
	has(sluice(1, "revert", strings.TrimSpace(revisionOf(out)), "--reason", "r"), "`sluice enable`, `disable` or `reset` with --platform")
}

// revisionOf is the first revision in an answer.
func revisionOf(out string) string {
	_, rest, _ := strings.Cut(out, `"revision": `)
	n, _, _ := strings.Cut(rest, ",")
	return n
}
