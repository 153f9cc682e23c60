package cli_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

// move runs the blocks of docs/moving.md, one after the other, as an
// administrator does; a restart of the service is one of the server of the test.
type move struct {
	t                *testing.T
	p                *process
	dir, tree, state string
	own              string // in the place of /etc/sluice
	middleware       *middleware
	blocks           []string
	next             int
}

const restart = "sudo systemctl restart sluice\n"

func (m *move) serve() { m.p = launch(m.t, m.tree, m.state, "--etc", m.own) }

// run runs the next block, which has this in it.
func (m *move) run(has string) string {
	m.t.Helper()
	if m.next == len(m.blocks) || !strings.Contains(m.blocks[m.next], has) {
		m.t.Fatalf("block %d of docs/moving.md has no %q: %q", m.next, has, m.blocks[min(m.next, len(m.blocks)-1)])
	}
	block := strings.NewReplacer("/etc/sluice", m.own, "/opt/open-xchange/etc", m.tree, "http://mw1.example:8009", m.middleware.URL).Replace(m.blocks[m.next])
	m.next++
	var out strings.Builder
	for i, part := range strings.Split(block, restart) {
		if i > 0 {
			m.p.signal(syscall.SIGTERM)
			m.p.wait()
			m.serve()
		}
		cmd := exec.Command("sh", "-ec", part)
		cmd.Dir = m.dir
		cmd.Env = append(os.Environ(), "HOME="+m.dir, "SLUICE_SERVER="+m.p.admin)
		b, err := cmd.CombinedOutput()
		out.Write(b)
		if err != nil {
			m.t.Fatalf("%s\n%v: %s", part, err, b)
		}
	}
	return out.String()
}

// on are the users 1 to 40 that Sluice has on.
func (m *move) on() (n int) {
	for u := 1; u <= 40; u++ {
		var e struct{ Enabled bool }
		m.p.request("GET", fmt.Sprintf("/admin/v1/contexts/1337/users/%d/websockets", u), "", &e)
		if e.Enabled {
			n++
		}
	}
	return n
}

// TestMoving walks through docs/moving.md: every step, and every undo.
func TestMoving(t *testing.T) {
	t.Parallel()
	const enabled = "com.openexchange.websockets.enabled"
	db := sqltest.Start(t)
	url := "jdbc:mysql://" + db.Host + "/"
	db.SQL(platformTables + fmt.Sprintf("INSERT INTO configdb.db_pool VALUES (3, '%s', 'com.mysql.jdbc.Driver', 'reader', 'secret', 'one');", url))
	db.SQL("GRANT INSERT, UPDATE, DELETE ON oxdb_5.contextAttribute TO reader@'127.0.0.1'; GRANT INSERT, UPDATE, DELETE ON oxdb_5.user_attribute TO reader@'127.0.0.1'")
	db.SQL("USE oxdb_5; INSERT INTO oxdb_5.user_attribute (cid, id, name, value) VALUES (1337, 7, 'config/" + enabled + "', 'false'); INSERT INTO oxdb_5.user_configuration SELECT 1337, seq, 1 FROM seq_1_to_1200")

	page, err := os.ReadFile("../docs/moving.md")
	if err != nil {
		t.Fatal(err)
	}
	m := &move{t: t, dir: t.TempDir(), tree: newTree(t), own: t.TempDir(), state: t.TempDir(), middleware: newMiddleware(t)}
	for _, b := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		m.blocks = append(m.blocks, b[1])
	}
	for i, b := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), 2) {
		put(t, m.dir, []string{"contexts.sql", "users.sql"}[i], b[1])
	}
	// The middleware has the files of the tree, and the platform's attribute.
	m.middleware.view[enabled] = "true"
	for u := 1; u <= 1200; u++ {
		m.middleware.users[fmt.Sprintf("1337/%d", u)] = map[string]string{}
	}
	m.middleware.users["1337/7"][enabled] = "false"
	put(t, m.tree, "configdb.properties", "readUrl="+url+"configdb\nreadProperty.1=user=reader\nreadProperty.2=password=secret\n")
	put(t, m.own, "sluice.properties", "# as the package has it\n")
	put(t, m.dir, "ox.password", "secret\n")
	put(t, m.dir, ".my.cnf", "[client]\nsocket="+db.Socket+"\nuser="+sqltest.Root+"\n")
	if err := os.Symlink(binary(t), filepath.Join(m.dir, "sluice")); err != nil {
		t.Fatal(err)
	}
	m.serve()
	is := func(what string, want int) {
		t.Helper()
		if got := m.on(); got != want {
			t.Fatalf("%s: %d of 40 users are on, want %d", what, got, want)
		}
	}
	row := func() string {
		return db.SQL("SELECT value FROM oxdb_5.user_attribute WHERE cid = 1337 AND id = 17 AND name = 'config/" + enabled + "'")
	}

	// 1. Shadow, undone, and again.
	is("before", 40)
	first := m.next
	if out := m.run("sluice shadow"); !strings.Contains(out, ": 0 differences") {
		t.Error(out)
	}
	is("the platform decides", 39)
	m.run("rm /etc/sluice/platform.properties")
	is("1 undone", 40)
	m.next = first
	m.run("sluice shadow")
	m.next++ // the undo

	// 2. A pilot, undone, and again.
	first = m.next
	m.run("rollout.move.10")
	pilot := m.on()
	if pilot == 0 || pilot > 12 {
		t.Errorf("%d of 40 users are in the first 10 %%", pilot)
	}
	m.run("contextSets/move.yml")
	is("2 undone", 39)
	m.next = first
	m.run("rollout.move.10")
	m.next++

	// 3. More, undone, again, and everybody, undone, and again.
	first = m.next
	m.run("rollout.move.50")
	half := m.on()
	if half <= pilot || half > 30 {
		t.Errorf("%d of 40 users are in the first 50 %%", half)
	}
	m.run("rollout.move.50/rollout.move.10")
	is("3 undone", pilot)
	m.next = first
	m.run("rollout.move.50")
	m.next++
	first = m.next
	m.run("move.properties.orig")
	is("everybody", 39)
	m.run("move.properties.orig")
	is("everybody undone", half)
	m.next = first
	m.run("move.properties.orig")
	m.next++

	// 4. Write back, undone, and again.
	first = m.next
	if out := m.run("--platform"); row() != "false" || !strings.Contains(out, "The platform agrees.") {
		t.Errorf("the row is %q\n%s", row(), out)
	}
	is("one more is off", 38)
	m.run("sluice reset")
	if got := row(); got != "" {
		t.Errorf("4 undone: the row is %q", got)
	}
	is("4 undone", 39)
	m.next = first
	m.run("--platform")
	m.middleware.users["1337/17"][enabled] = "false" // once its cache has run out
	m.next++

	// 5. Alone, and undone.
	if out := m.run("mariadb --batch"); !strings.Contains(out, "complete") {
		t.Error(out)
	}
	m.run("sluice import")
	is("imported", 38)
	if out := m.run("sluice.platform.enabled=true/sluice.platform.enabled=false"); !strings.Contains(out, ": 0 differences") {
		t.Error(out)
	}
	is("alone", 38)
	db.SQL("UPDATE oxdb_5.user_attribute SET value = 'true' WHERE cid = 1337")
	is("the database has no say", 38)
	m.run("sluice revert")
	is("the database decides again", 40)
	if code := m.p.request("GET", "/admin/v1/contexts/1337", "", nil); code != http.StatusNotFound {
		t.Errorf("what was imported is left: %d", code)
	}
}
