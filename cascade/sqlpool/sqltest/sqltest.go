// Package sqltest starts MariaDB servers of a test's own: one, or the nodes of a
// Galera cluster. The packages mariadb-server, mariadb-client and, for a cluster,
// galera-4 of Debian have to be there.
package sqltest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// patience bounds everything that a server of a test is waited for; the machine
// may be busy.
const patience = 2 * time.Minute

// Server is a MariaDB process. Its data stay when it is stopped.
type Server struct {
	Host   string // host:port
	Socket string

	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
	log  testkit.Log
}

// Root is the user of all rights, which has no password.
const Root = "root"

// Start runs a server that ends with the test.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	s := install(t, options...)
	s.Run()
	return s
}

// StartSmall runs a server whose files have a small disk of their own. It returns
// also what fills that disk, and what frees it again. It wants root, for the mount.
func StartSmall(t testing.TB, options ...string) (s *Server, full, free func()) {
	t.Helper()
	s = install(t, options...)
	full, free = s.onSmallDisk()
	s.Run()
	return s, full, free
}

// smallDisk has room for a fresh data folder, and some writes.
const smallDisk = "size=512m"

// onSmallDisk moves the data folder to a disk of its own.
func (s *Server) onSmallDisk() (full, free func()) {
	s.t.Helper()
	data, disk := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "disk")
	do := func(name string, args ...string) {
		s.t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			s.t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	do("mkdir", disk)
	do("mount", "-t", "tmpfs", "-o", smallDisk, "tmpfs", disk)
	s.t.Cleanup(func() { do("umount", "-l", disk) })
	do("cp", "-a", data, disk)
	do("rm", "-r", data)
	do("ln", "-s", "disk/data", data)
	ballast := filepath.Join(disk, "ballast")
	full = func() {
		s.t.Helper()
		// It ends with an error, since the disk is full.
		out, err := exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=64k").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "No space left") {
			s.t.Fatalf("the disk is not full: %v: %s", err, out)
		}
	}
	return full, func() {
		s.t.Helper()
		if err := os.Remove(ballast); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Cleanup removes what all servers of a test process were made from. A TestMain
// calls it at the end.
func Cleanup() {
	whole.end()
	if made.Load() {
		if dir, err := template(); err == nil {
			_ = os.RemoveAll(dir)
		}
	}
}

var made atomic.Bool

// template is a fresh data folder, made once for a test process.
var template = sync.OnceValues(func() (string, error) {
	made.Store(true)
	dir, err := os.MkdirTemp("", "sluice-mariadb-new")
	if err != nil {
		return "", err
	}
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	// A server that starts removes all temporary tables from its tmpdir, those of
	// another server as well: none shares it.
	tmp, err := os.MkdirTemp("", "sluice-mariadb-tmp")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	out, err := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+dir, "--user="+me.Username, "--tmpdir="+tmp,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	return dir, nil
})

func install(t testing.TB, options ...string) *Server {
	t.Helper()
	testkit.Tool(t, "mariadb-install-db", "mariadb-server")
	data, err := template()
	if err != nil {
		t.Fatal(err)
	}
	// A path of a socket has at most 107 characters.
	dir, err := os.MkdirTemp("", "sluice-db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if out, err := exec.Command("cp", "-a", data, filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	port := FreePort(t)
	s := &Server{t: t, dir: dir, Socket: filepath.Join(dir, "s"), Host: "127.0.0.1:" + strconv.Itoa(port)}
	s.args = append([]string{
		"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--tmpdir=" + tmp, "--user=" + me.Username, "--socket=" + s.Socket, "--pid-file=" + filepath.Join(dir, "pid"),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M",
		"--performance-schema=OFF", "--innodb-flush-log-at-trx-commit=1",
	}, options...)
	return s
}

// FreePort is one that nobody listened on a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Run starts the process and waits until it answers.
func (s *Server) Run(more ...string) {
	s.t.Helper()
	s.Launch(more...)
	s.Ready()
}

// Launch starts the process.
func (s *Server) Launch(more ...string) {
	s.t.Helper()
	cmd := exec.Command(testkit.Tool(s.t, "mariadbd", "mariadb-server"), append(append([]string{}, s.args...), more...)...)
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its log
	}()
	s.cmd, s.done = cmd, done
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
}

// Ready waits until the server answers.
func (s *Server) Ready() {
	s.t.Helper()
	if !s.answers() {
		s.t.Fatalf("the server does not answer: %s", s.log.String())
	}
}

// answers waits until the server does, and reports false where it ends.
func (s *Server) answers() bool {
	for start := time.Now(); time.Since(start) < patience; time.Sleep(50 * time.Millisecond) {
		select {
		case <-s.done:
			return false
		default:
		}
		if _, err := s.try("SELECT 1 FROM mysql.user LIMIT 1"); err == nil {
			return true
		}
	}
	return false
}

// Signal is sent to the process.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
}

// Kill ends the process as kill -9 does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Stop ends it in an orderly way.
func (s *Server) Stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	<-s.done
}

// client gives statements to the command-line client and returns what it prints.
func (s *Server) client(sql string, options ...string) (string, error) {
	args := append([]string{"--no-defaults", "--socket=" + s.Socket, "--user=" + Root}, options...)
	cmd := exec.Command(testkit.Tool(s.t, "mariadb", "mariadb-client"), args...)
	cmd.Stdin = strings.NewReader(sql)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, problems.String())
	}
	return out.String(), nil
}

func (s *Server) try(sql string, options ...string) (string, error) {
	out, err := s.client(sql, append([]string{"--batch", "--skip-column-names"}, options...)...)
	return strings.TrimSpace(out), err
}

// Print returns what the client prints of statements in a database, to the
// letter, with no options but these.
func (s *Server) Print(database, sql string, options ...string) string {
	s.t.Helper()
	out, err := s.client(sql, append(options[:len(options):len(options)], database)...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, sql)
	}
	return out
}

// SQL runs statements as root and returns what they answer.
func (s *Server) SQL(sql string, options ...string) string {
	s.t.Helper()
	out, err := s.try(sql, options...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, sql)
	}
	return out
}

// Dump is what mariadb-dump writes of a database.
func (s *Server) Dump(database string) string {
	s.t.Helper()
	out, err := exec.Command(testkit.Tool(s.t, "mariadb-dump", "mariadb-client"), "--no-defaults", "--socket="+s.Socket, "--user="+Root, "--single-transaction", database).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

// User makes a user with a password and the grants of a database.
func (s *Server) User(name, password, database, grants string) {
	s.t.Helper()
	s.SQL(fmt.Sprintf("CREATE OR REPLACE USER '%s'@'%%' IDENTIFIED BY '%s'; GRANT %s ON %s.* TO '%s'@'%%';", name, password, grants, database, name))
}
