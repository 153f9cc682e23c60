package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

// storePage are the lines of commands of docs/store.md.
func storePage(t *testing.T) (lines []string) {
	t.Helper()
	b, err := os.ReadFile("../docs/store.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	return lines
}

// runStorePage runs the command of docs/store.md that begins so.
func runStorePage(t *testing.T, dir, begins string, env ...string) {
	t.Helper()
	for _, line := range storePage(t) {
		if !strings.HasPrefix(line, begins) {
			continue
		}
		cmd := exec.Command("sh", "-ec", line)
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), "PATH="+filepath.Dir(binary(t))+":"+os.Getenv("PATH"), "HOME="+dir), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return
	}
	t.Fatalf("docs/store.md has no command %q", begins)
}

// The backup of a database, its restore, and the way as text to another kind of
// store, with the commands of docs/store.md.
func TestStoreBackup(t *testing.T) {
	db := sqltest.Start(t)
	initDatabase(t, db)
	dir := t.TempDir()
	// What an administrator's own file says of the server and the user.
	client := "[client]\nsocket=" + db.Socket + "\nuser=" + sqltest.Root + "\n"
	tree, state := newTree(t), t.TempDir()
	lines := strings.Join(databaseLines(db), "\n") + "\n"
	for path, text := range map[string]string{filepath.Join(dir, ".my.cnf"): client, filepath.Join(tree, "zz.properties"): lines} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &member{process: launch(t, tree, state)}
	decided := func(user int) {
		t.Helper()
		m.poll("the store takes writes", func() bool { code, _ := m.disable(user); return code == 200 || code == 201 })
	}
	decided(1)
	runStorePage(t, dir, "mariadb-dump ")
	decided(2)
	runStorePage(t, dir, "mariadb sluice ")
	m.poll("the database counts", func() bool { return !m.enabled(1) && m.enabled(2) })
	decided(3)
	runStorePage(t, dir, "sluice export ", "SLUICE_SERVER="+m.admin)

	// To a member alone, and what it has back again.
	alone := &member{process: launch(t, newTree(t), t.TempDir())}
	runStorePage(t, dir, "sluice import ", "SLUICE_SERVER="+alone.admin)
	if alone.enabled(1) || !alone.enabled(2) || alone.enabled(3) {
		t.Error("the import has other decisions")
	}
	if code, problem := alone.disable(4); code != 201 {
		t.Fatal(code, problem)
	}
	runStorePage(t, dir, "sluice export ", "SLUICE_SERVER="+alone.admin)
	runStorePage(t, dir, "sluice import ", "SLUICE_SERVER="+m.admin)
	for user := 1; user <= 4; user++ {
		if m.enabled(user) != (user == 2) {
			t.Errorf("user %d is enabled: %t", user, m.enabled(user))
		}
	}
}

// The backup of a member alone: its file, copied while the server is stopped.
func TestStoreBackupFile(t *testing.T) {
	tree, state, kept := newTree(t), t.TempDir(), filepath.Join(t.TempDir(), "store.db")
	m := &member{process: launch(t, tree, state)}
	copyFile := func(line, from, to string) {
		t.Helper()
		if want := "cp /var/lib/sluice/store.db /backup/store.db"; line != want {
			t.Fatalf("docs/store.md does not have %q", want)
		}
		if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	line := ""
	for _, l := range storePage(t) {
		if strings.HasPrefix(l, "cp ") {
			line = l
		}
	}
	stop := func() {
		m.signal(syscall.SIGTERM)
		<-m.exited
	}
	if code, problem := m.disable(1); code != 201 {
		t.Fatal(code, problem)
	}
	stop()
	copyFile(line, filepath.Join(state, "store.db"), kept)
	m.process = launch(t, tree, state)
	if code, problem := m.disable(2); code != 201 {
		t.Fatal(code, problem)
	}
	stop()
	copyFile(line, kept, filepath.Join(state, "store.db"))
	m.process = launch(t, tree, state)
	if m.enabled(1) || !m.enabled(2) {
		t.Error("the backup is not in force")
	}
	if code, problem := m.disable(3); code != 201 {
		t.Fatal(code, problem)
	}
}
