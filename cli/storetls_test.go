package cli_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/testkit"
)

// A database that wants TLS: it is used with its own authority, and with none other;
// a host that the certificate does not name, and a user who has to use TLS and does
// not, are refused with what to do.
func TestStoreDatabaseTLS(t *testing.T) {
	cert, key, _ := testkit.Certificate(t)
	others, _, _ := testkit.Certificate(t)
	db := sqltest.Start(t, "--ssl-cert="+cert, "--ssl-key="+key)
	initDatabase(t, db)
	db.SQL("ALTER USER 'sluice'@'%' REQUIRE SSL")
	_, port, _ := strings.Cut(db.Host, ":")
	const use, ca, hosts = store.PropDatabaseTLS + "=true", store.PropDatabaseCA + "=", store.PropDatabaseHosts + "="
	lines := databaseLines(db)
	m := &member{process: launch(t, treeWith(t, append(lines, use, ca+cert)), t.TempDir())}
	m.poll("the store takes writes", func() bool { code, _ := m.disable(1); return code == 201 })
	if out := db.SQL("SELECT COUNT(*) FROM sluice_entry", "sluice"); out != "1" {
		t.Errorf("the database has %s entries", out)
	}
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"another authority":         {[]string{use, ca + others}, "certificate signed by unknown authority: name the authority that has signed it in the file of tls.ca"},
		"authorities of the system": {[]string{use}, "certificate signed by unknown authority"},
		"another host":              {[]string{use, ca + cert, hosts + "localhost:" + port}, "localhost: name the host as its certificate does"},
		"without":                   {nil, "correct the user or the password, or use TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := treeWith(t, append(slices.Clone(lines), c.lines...))
			m := &member{process: launch(t, tree, t.TempDir())}
			m.poll("writes are refused with why", func() bool {
				var p struct{ Code, Detail string }
				code := m.request("PUT", "/admin/v1/contexts/1337/users/2/websockets", `{"enabled":false,"reason":"r"}`, &p)
				return code == 503 && p.Code == "store_unavailable" && strings.Contains(p.Detail, c.want)
			})
			if code, out, errs := run("database", "status", "--etc", tree); code == 0 || !strings.Contains(errs, c.want) {
				t.Errorf("database status: %d %s%s", code, out, errs)
			}
		})
	}
	// What cannot be used at all is said at the start.
	for file, want := range map[string]string{filepath.Join(t.TempDir(), "missing.pem"): "no such file", key: "has no certificate in PEM"} {
		p := start(t, treeWith(t, append(slices.Clone(lines), use, ca+file)), t.TempDir())
		if code := p.wait(); code != 1 || !strings.Contains(p.log(), want) || !strings.Contains(p.log(), store.PropDatabaseCA) {
			t.Errorf("%s: exit code %d, want %q\n%s", file, code, want, p.log())
		}
	}
}

// treeWith is a tree with a file of lines.
func treeWith(t *testing.T, lines []string) string {
	t.Helper()
	tree := newTree(t)
	if err := os.WriteFile(filepath.Join(tree, "zz.properties"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return tree
}
