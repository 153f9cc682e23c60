package deploy_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// machine is a clean Debian 12 of files, in which no service manager runs.
type machine struct {
	t    *testing.T
	root string
}

var debianMirror = regexp.MustCompile(`(?m)^(?:URIs:|deb(?: \[[^]]*\])?) *(\S*debian)/? *`)

// newMachine installs Debian 12 from where this machine's own packages come.
func newMachine(t *testing.T) *machine {
	t.Helper()
	var sources []byte
	for _, pattern := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		b, err := os.ReadFile(pattern)
		if err == nil {
			sources = append(sources, b...)
		}
	}
	mirror := debianMirror.FindSubmatch(sources)
	if mirror == nil {
		t.Fatal("/etc/apt names no mirror of Debian")
	}
	m := &machine{t: t, root: t.TempDir()}
	command(t, testkit.Tool(t, "debootstrap", "debootstrap"), "--variant=minbase", "--include=adduser,init-system-helpers,procps", "bookworm", m.root, string(mirror[1]))
	return m
}

// run runs a command on the machine, as root.
func (m *machine) run(args ...string) (string, error) {
	out, err := exec.Command("chroot", append([]string{m.root, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}, args...)...).CombinedOutput()
	return string(out), err
}

func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, err := m.run(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (m *machine) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	full := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

// install copies a package to the machine and installs it.
func (m *machine) install(pkg string) string {
	m.t.Helper()
	b, err := os.ReadFile(pkg)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("/tmp/sluice.deb", string(b), 0o644)
	return m.must("dpkg", "--force-confold", "-i", "/tmp/sluice.deb")
}

// serve runs the command of the unit under its user, with its folders.
func (m *machine) serve() (*exec.Cmd, func() string) {
	m.t.Helper()
	m.must("install", "-d", "-o", "sluice", "-g", "sluice", "-m", "755", "/run/sluice")
	groups := strings.TrimSpace(m.must("id", "-G", "sluice"))
	uid, gid := strings.TrimSpace(m.must("id", "-u", "sluice")), strings.TrimSpace(m.must("id", "-g", "sluice"))
	cmd := exec.Command("chroot", "--userspec="+uid+":"+gid, "--groups="+strings.ReplaceAll(groups, " ", ","), m.root,
		"/usr/bin/env", "-i", "STATE_DIRECTORY=/var/lib/sluice", "RUNTIME_DIRECTORY=/run/sluice",
		"/usr/bin/sluice", "serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	r, err := cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	served, said := make(chan bool, 1), make(chan string, 1)
	go func() {
		var b strings.Builder
		for s := bufio.NewScanner(r); s.Scan(); {
			fmt.Fprintln(&b, s.Text())
			if strings.Contains(s.Text(), "msg=serving") {
				served <- true
			}
		}
		said <- b.String()
	}()
	m.t.Cleanup(func() { _ = cmd.Process.Kill() })
	select {
	case <-served:
	case s := <-said:
		m.t.Fatalf("the server ended\n%s", s)
	case <-time.After(patience):
		m.t.Fatal("the server does not serve")
	}
	return cmd, func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		s := <-said
		if err := cmd.Wait(); err != nil {
			m.t.Errorf("the server ended with %v\n%s", err, s)
		}
		return s
	}
}

// TestInstall lives the life of the package on a machine that has the platform:
// install, serve under its user, upgrade, remove, purge.
func TestInstall(t *testing.T) {
	if !*torture {
		t.Log("the clean Debian takes minutes: it is in the full round (-torture); here the scripts are read by a shell")
		for _, script := range []string{"postinst", "prerm", "postrm"} {
			command(t, "sh", "-n", "debian/"+script)
		}
		return
	}
	m := newMachine(t)
	m.must("groupadd", "platform")
	m.write("/opt/open-xchange/etc/websockets.properties", "com.openexchange.websockets.enabled=false\n", 0o640)
	m.must("chown", "root:platform", "/opt/open-xchange/etc/websockets.properties")

	out := m.install(deb(t))
	if !strings.Contains(out, "joins the group platform") {
		t.Errorf("install says\n%s", out)
	}
	if got := m.must("sluice", "demo", "--once"); !strings.Contains(got, "4403") {
		t.Errorf("the demo does not show how the gate closes:\n%s", got)
	}
	_, stop := m.serve()
	const property = "com.openexchange.websockets.enabled"
	if got := m.must("sluice", "get", property); !strings.HasPrefix(got, property+"=false ") {
		t.Errorf("get: %s", got)
	}
	m.must("sluice", "disable", "--context", "1337", "--user", "17", "--reason", "ticket 4711")
	stop()
	const guard = "/etc/sluice/state.properties"
	if _, err := os.Stat(filepath.Join(m.root, guard)); err == nil {
		t.Errorf("%s is there before the state folder held anything", guard)
	}

	// An upgrade keeps what the administrator wrote and what was decided.
	m.write("/etc/sluice/sluice.properties", "sluice.log.level=debug\n", 0o644)
	m.install(deb(t))
	if got := m.must("cat", "/etc/sluice/sluice.properties"); got != "sluice.log.level=debug\n" {
		t.Errorf("the conffile after the upgrade: %q", got)
	}
	// There is a store by now: a start without it is refused, until it is back.
	if got := m.must("cat", guard); !strings.Contains(got, "\nsluice.state.mustExist=true\n") {
		t.Errorf("%s: %q", guard, got)
	}
	m.must("mv", "/var/lib/sluice", "/var/lib/away")
	m.must("install", "-d", "-o", "sluice", "-g", "sluice", "-m", "700", "/var/lib/sluice")
	got, err := m.run("setpriv", "--reuid", "sluice", "--regid", "sluice", "--init-groups", "timeout", "60", "sluice", "serve", "--state", "/var/lib/sluice", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if err == nil || !strings.Contains(got, "the state folder /var/lib/sluice is empty, and sluice.state.mustExist=true") || !strings.Contains(got, "--new-state") {
		t.Errorf("a start on an empty state folder: %v\n%s", err, got)
	}
	m.must("rm", "-rf", "/var/lib/sluice")
	m.must("mv", "/var/lib/away", "/var/lib/sluice")
	m.write(guard, "sluice.state.mustExist=false\n", 0o644)
	m.install(deb(t))
	if got := m.must("cat", guard); got != "sluice.state.mustExist=false\n" {
		t.Errorf("the edited %s after an upgrade: %q", guard, got)
	}
	_, stop = m.serve()
	if got := m.must("sluice", "explain", property, "--context", "1337", "--user", "17"); !strings.Contains(got, "ticket 4711") {
		t.Errorf("after the upgrade:\n%s", got)
	}
	stop()

	m.must("dpkg", "-r", "sluice")
	for _, kept := range []string{"/var/lib/sluice", "/etc/sluice/sluice.properties"} {
		if _, err := os.Stat(filepath.Join(m.root, kept)); err != nil {
			t.Errorf("after the removal: %v", err)
		}
	}
	m.must("dpkg", "-P", "sluice")
	for _, gone := range []string{"/var/lib/sluice", guard, "/etc/sluice", "/etc/default/sluice", "/usr/bin/sluice"} {
		if _, err := os.Stat(filepath.Join(m.root, gone)); err == nil {
			t.Errorf("after the purge %s is there", gone)
		}
	}
	if _, err := os.Stat(filepath.Join(m.root, "/opt/open-xchange/etc/websockets.properties")); err != nil {
		t.Errorf("the platform's file: %v", err)
	}
}
