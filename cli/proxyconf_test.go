package cli_test

import (
	"bytes"
	"fmt"
	"net"
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

// documented is a configuration of docs/proxy.md, by the language of its
// block, with names of the page replaced: old, new, old, new.
func documented(t *testing.T, language string, replace ...string) string {
	t.Helper()
	return testkit.Block(t, "../docs/proxy.md", language, replace...)
}

// firstMember and secondMember are the members in the blocks of the page.
const firstMember, secondMember = "10.0.0.11:8011", "10.0.0.12:8011"

// balanced is a documented configuration with one or two members behind it: with
// one, the lines of the second are left out.
func balanced(t *testing.T, language string, members []string, replace ...string) string {
	t.Helper()
	text := documented(t, language, append([]string{firstMember, members[0]}, replace...)...)
	if !strings.Contains(text, secondMember) {
		t.Fatalf("the block of %s has no second member", language)
	}
	if len(members) > 1 {
		return strings.ReplaceAll(text, secondMember, members[1])
	}
	return regexp.MustCompile(`(?m)^.*`+regexp.QuoteMeta(secondMember)+`.*\n`).ReplaceAllString(text, "")
}

// freePort is a port of 127.0.0.1 that nobody has right now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// daemon is a proxy that runs for the time of a test, in the foreground.
func daemon(t *testing.T, port string, command ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	// A group of its own: should the parent die early, its workers can be ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // ended by the cleanup, or the test says that it is not there
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(patience):
			t.Errorf("%s did not end", command[0])
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-exited
		if t.Failed() {
			t.Logf("%s said:\n%s", command[0], said.String())
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-exited:
			t.Fatalf("%s ended", command[0])
		case <-deadline:
			t.Fatalf("%s does not listen on port %s", command[0], port)
		case <-tick.C:
		}
	}
}

// runNginx runs nginx with a configuration of its http block.
func runNginx(t *testing.T, port, conf string) {
	t.Helper()
	dir := t.TempDir()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // its workers could not write below the test's folder
	}
	temps := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temps += fmt.Sprintf("%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	put(t, dir, "nginx.conf", user+"worker_processes 2;\npid "+filepath.Join(dir, "pid")+";\nerror_log stderr notice;\n"+
		"events { worker_connections 19000; }\nhttp {\naccess_log off;\n"+temps+conf+"}\n")
	daemon(t, port, testkit.Tool(t, "nginx", "nginx"), "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-g", "daemon off;")
}

// apacheModules are those that Debian switches on and that the page asks for.
var apacheModules = []string{
	"mpm_event", "authz_core", "reqtimeout", "headers", "proxy", "proxy_http", "proxy_balancer", "proxy_hcheck",
	"lbmethod_bybusyness", "slotmem_shm", "ssl", "socache_shmcb",
}

// runApache runs Apache with a configuration of a site.
func runApache(t *testing.T, port, conf string) {
	t.Helper()
	dir := t.TempDir()
	program := testkit.Tool(t, "apache2", "apache2")
	head := "ServerRoot " + dir + "\nServerName localhost\nPidFile " + filepath.Join(dir, "pid") + "\nErrorLog /dev/stderr\nDefine APACHE_LOG_DIR " + dir + "\n"
	for _, m := range apacheModules {
		head += fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	// The tunnel waits for the longer of Timeout and the worker's own.
	head += "Timeout 1\nMutex file:" + dir + " default\nDefaultRuntimeDir " + dir + "\nRequestReadTimeout header=20-40,minrate=500\nRequestReadTimeout body=10,minrate=500\n"
	if os.Geteuid() == 0 {
		head += "User www-data\nGroup www-data\n" // it refuses to serve as root
	}
	put(t, dir, "apache.conf", head+"Listen 127.0.0.1:"+port+"\n"+conf)
	daemon(t, port, program, "-d", dir, "-f", filepath.Join(dir, "apache.conf"), "-D", "FOREGROUND")
}

// runHAProxy runs HAProxy with a configuration, and writes what it logs into a
// file.
func runHAProxy(t *testing.T, port, conf, logs string) {
	t.Helper()
	dir := t.TempDir()
	program := testkit.Tool(t, "haproxy", "haproxy")
	// A folder of the test would be too long for the name of a socket.
	short, err := os.MkdirTemp("", "log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(logs)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		line := make([]byte, 64<<10)
		for {
			n, err := conn.Read(line)
			if err != nil {
				return // closed by the cleanup
			}
			_, _ = f.Write(append(line[:n:n], '\n')) // what is missing is missing from the comparison
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
		_ = f.Close()
	})
	put(t, dir, "haproxy.cfg", "global\nmaxconn 2000\n"+strings.ReplaceAll(conf, "/dev/log", socket))
	daemon(t, port, program, "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
}
