package exchange

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

// moving is what docs/moving.md tells an administrator to run.
type moving struct {
	both, users, contexts, attributes string // SELECTs, in the order of the page
	options                           []string
}

func readMoving(t *testing.T) moving {
	t.Helper()
	page, err := os.ReadFile("../../docs/moving.md")
	if err != nil {
		t.Fatal(err)
	}
	var sql []string
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		sql = append(sql, m[1])
	}
	commands := regexp.MustCompile(`(?m)^mariadb (.*) oxdb_5 < (\w+)\.sql > (\w+)\.tsv &&`).FindAllStringSubmatch(string(page), -1)
	if len(sql) != 4 || len(commands) != 2 || commands[0][1] != commands[1][1] || commands[0][2] != "contexts" || commands[1][2] != "users" {
		t.Fatalf("docs/moving.md has %d SELECTs and the commands %q", len(sql), commands)
	}
	return moving{sql[0], sql[1], sql[2], sql[3], strings.Fields(commands[0][1])}
}

// The tables of docs/reference/cascade.md#database, with the columns of
// context, user and user_configuration that the SELECTs name and a few that
// they do not.
const (
	configSchema = `
CREATE DATABASE configdb CHARACTER SET utf8mb4;
USE configdb;
CREATE TABLE context (cid INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, enabled BOOLEAN, reason_id INT UNSIGNED, quota_max BIGINT, PRIMARY KEY (cid), UNIQUE (name)) COLLATE utf8mb4_unicode_ci;
INSERT INTO context (cid, name, enabled) VALUES (12, 'acme', 1), (13, 'Bäcker\t"& Söhne"\\;', 1), (14, 'off', 0), (15, 'NULL', NULL), (16, 'other schema', 1);
`
	userSchema = `
CREATE TABLE contextAttribute (cid INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, value TEXT, uuid BINARY(16), PRIMARY KEY (cid, name)) COLLATE utf8mb4_unicode_ci;
CREATE TABLE user (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, imapServer VARCHAR(128), mailEnabled BOOLEAN NOT NULL, userPassword VARCHAR(128), PRIMARY KEY (cid, id));
CREATE TABLE user_configuration (cid INT UNSIGNED NOT NULL, user INT UNSIGNED NOT NULL, permissions INT UNSIGNED NOT NULL, PRIMARY KEY (cid, user));
CREATE TABLE user_attribute (cid INT UNSIGNED NOT NULL, id INT UNSIGNED NOT NULL, name VARCHAR(128) NOT NULL, value TEXT, uuid BINARY(16) NOT NULL DEFAULT '', PRIMARY KEY (cid, id, name), INDEX (cid, name, value(20))) CHARACTER SET utf8mb4;
`
	firstRows = `
INSERT INTO contextAttribute (cid, name, value) VALUES
 (12, 'taxonomy/types', 'webmail, de ,,beta'), (12, 'taxonomy/other', 'x'), (12, 'login/x', 'y'),
 (12, 'config/com.Example.Mixed', 'Case'), (12, 'config/a.plain', 'x'), (12, 'config/a.locked', ' x ; final=context; protected=true'),
 (12, 'config/a.semicolon', 'jdbc:mysql://db%3Buser=x;protected=false'), (12, 'config/a.cut', 'text/html; charset=utf-8'),
 (12, 'config/a.percent', '%253B 100%25'), (12, 'config/a.escapes', 'a\\nb\\u00e4\\\\c'), (12, 'config/a.null', NULL), (12, 'config/a.empty', ''),
 (13, 'Config/a.other', 'x'), (13, 'config/a.emoji', '😀 ü'), (14, 'Taxonomy/Types', 'lost'), (99, 'config/a.gone', 'x');
INSERT INTO user (cid, id, mailEnabled) VALUES (12, 2, 1), (12, 3, 0), (13, 2, 1), (14, 2, 1);
INSERT INTO user_configuration VALUES (12, 2, 33554449), (12, 3, 4294967295), (14, 2, 0);
INSERT INTO user_attribute (cid, id, name, value) VALUES
 (12, 2, 'config/b.tab', 'a\tb'), (12, 2, 'config/b.lines', 'a\r\nb\n'), (12, 2, 'config/b.backslash', 'C:\\\\temp\\\\new\\t'),
 (12, 2, 'config/b.zero', 'a\0b'), (12, 2, 'config/b.text-null', 'NULL'), (12, 2, 'config/b.null', NULL), (12, 2, 'config/b.empty', ''),
 (12, 2, 'config/b.semicolon', ' a;b%3B '), (12, 2, 'config/b.surrogates', '\\uD83D\\uDE00'), (12, 2, 'config/b.trailing', 'x\\'),
 (12, 2, 'client/x', 'y'), (12, 2, 'alias', 'z'), (13, 2, 'config/b.broken', 'C:\\users'), (99, 2, 'config/b.gone', 'x');
`
	secondRows = `
INSERT INTO contextAttribute (cid, name, value) VALUES (16, 'taxonomy/types', 'es');
INSERT INTO user (cid, id, mailEnabled) VALUES (16, 2, 1);
`
)

// What the rows mean.
var (
	firstOverrides = []string{
		`override 12/0 "a.cut"="text/html"`, `override 12/0 "a.empty"="" protected`, `override 12/0 "a.escapes"="a\nbä\\c" protected`,
		`override 12/0 "a.locked"="x" final=context protected`, `override 12/0 "a.percent"="%3B 100%" protected`, `override 12/0 "a.plain"="x" protected`,
		`override 12/0 "a.semicolon"="jdbc:mysql://db;user=x"`, `override 12/0 "com.Example.Mixed"="Case" protected`, `override 13/0 "a.emoji"="😀 ü" protected`,
	}
	firstUsers = []string{
		`override 12/2 "b.backslash"="C:\\temp\\new\t"`, `override 12/2 "b.empty"=""`, `override 12/2 "b.lines"="a\r\nb\n"`,
		`override 12/2 "b.semicolon"=" a;b%3B "`, `override 12/2 "b.surrogates"="😀"`, `override 12/2 "b.tab"="a\tb"`,
		`override 12/2 "b.text-null"="NULL"`, `override 12/2 "b.trailing"="x"`,
		`user 12/2 enabled=true ["WebMail" "Infostore" "ActiveSync"]`,
		`user 12/3 enabled=false ["WebMail" "Calendar" "Contacts" "Tasks" "Infostore" "WebDAVXML" "WebDAV" "ICal" "VCard" "SyncML" "FullPublicFolderAccess" "FullSharedFolderAccess" "DelegateTasks" "EditGroup" "EditResource" "EditPassword" "CollectEMailAddresses" "MultipleMailAccounts" "Subscription" "Publication" "ActiveSync" "USM" "OLOX20" "DeniedPortal" "CalDAV" "CardDAV"]`,
		`user 13/2 enabled=true []`, `user 14/2 enabled=true []`,
	}
	secondUsers   = []string{`user 16/2 enabled=true []`}
	firstContexts = []string{
		`context 12 "acme" enabled=true ["webmail" "de" "beta"]`, `context 13 "" enabled=true []`,
		`context 14 "off" enabled=false []`, `context 15 "NULL" enabled=false []`,
	}
	codes = []string{"bad-name", "bad-value", "not-taken-over", "null"} // of the first schema
)

func TestMain(m *testing.M) {
	code := m.Run()
	sqltest.Cleanup()
	os.Exit(code)
}

// TestMovingFromMariaDB runs the SELECTs of docs/moving.md, as they stand
// there, on a real server.
func TestMovingFromMariaDB(t *testing.T) {
	db, doc := sqltest.Start(t), readMoving(t)
	const utf8 = "--default-character-set=utf8mb4"
	db.Print("mysql", configSchema, utf8)
	for name, rows := range map[string]string{"oxdb_5": firstRows, "oxdb_6": secondRows} {
		db.Print("mysql", "CREATE DATABASE "+name+"; USE "+name+";"+userSchema+rows, utf8)
	}
	dump := func(schema, sql string) string { return db.Print(schema, sql, doc.options...) }

	unlisted := `context 16 "other schema" enabled=true []`
	listed := `context 16 "other schema" enabled=true ["es"]`
	both := slices.Concat(firstOverrides, firstUsers, secondUsers, firstContexts, []string{listed})
	for _, c := range []struct {
		name        string
		files       []string
		want, codes []string
	}{
		{
			"one user database",
			[]string{dump("oxdb_5", doc.both), dump("oxdb_5", doc.users)},
			slices.Concat(firstOverrides, firstUsers, firstContexts, []string{unlisted}), codes,
		},
		{"two user databases", []string{dump("oxdb_5", doc.both), dump("oxdb_5", doc.users), dump("oxdb_6", doc.both), dump("oxdb_6", doc.users)}, both, codes},
		{"joined", []string{dump("oxdb_6", doc.users) + dump("oxdb_5", doc.both) + dump("oxdb_5", doc.users) + dump("oxdb_6", doc.both)}, both, codes},
		{"configuration database apart", []string{
			dump("oxdb_5", doc.attributes), dump("oxdb_6", doc.attributes), dump("oxdb_5", doc.users), dump("oxdb_6", doc.users), dump("configdb", doc.contexts),
		}, append([]string{`override 99/0 "a.gone"="x" protected`}, both...), codes},
		{"without the contexts", []string{dump("oxdb_6", doc.users), dump("oxdb_6", doc.attributes)}, secondUsers, []string{"unknown-context"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var inputs []Input
			for _, f := range c.files {
				inputs = append(inputs, Input{"f.tsv", strings.NewReader(f)})
			}
			e := &entries{}
			fs, err := ReadTSV(emptySchema(t), e, inputs...)
			if err != nil {
				t.Fatal(err)
			}
			checkFindings(t, fs)
			var got []string
			for _, f := range fs {
				got = append(got, f.Code)
			}
			slices.Sort(got)
			equal(t, "codes", slices.Compact(got), c.codes)
			slices.Sort(e.list)
			slices.Sort(c.want)
			equal(t, "entries", e.list, c.want)
		})
	}
	t.Run("raw output is told from batch output", func(t *testing.T) {
		raw := db.Print("oxdb_5", doc.users, append([]string{"--raw"}, doc.options...)...)
		_, fs := readTSV(t, raw)
		if !slices.ContainsFunc(fs, func(s string) bool { return strings.HasSuffix(s, "error bad-row") }) {
			t.Error(fs)
		}
	})
}
