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
)

// documented is a configuration of docs/proxy.md, by the language of its
// block, with names of the page replaced: old, new, old, new.
func documented(t *testing.T, language string, replace ...string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/proxy.md has %d blocks of %s, want 1", len(blocks), language)
	}
	text := string(blocks[0][1])
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("docs/proxy.md has no %q in its block of %s", replace[i], language)
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
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

// installed is the path of a program, which Debian may keep where PATH does not
// look.
func installed(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		t.Fatalf("%s is missing: install the package %s, or run `just setup`", program, pkg)
	}
	return path
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
	put(t, dir, "nginx.conf", user+"worker_processes 1;\npid "+filepath.Join(dir, "pid")+";\nerror_log stderr notice;\n"+
		"events { worker_connections 64; }\nhttp {\naccess_log off;\n"+temps+conf+"}\n")
	daemon(t, port, installed(t, "nginx", "nginx"), "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-g", "daemon off;")
}

// apacheModules are those that Debian switches on and that the page asks for.
var apacheModules = []string{"mpm_event", "authz_core", "reqtimeout", "headers", "proxy", "proxy_http", "ssl", "socache_shmcb"}

// runApache runs Apache with a configuration of a site.
func runApache(t *testing.T, port, conf string) {
	t.Helper()
	dir := t.TempDir()
	program := installed(t, "apache2", "apache2")
	head := "ServerRoot " + dir + "\nServerName localhost\nPidFile " + filepath.Join(dir, "pid") + "\nErrorLog /dev/stderr\nDefine APACHE_LOG_DIR " + dir + "\n"
	for _, m := range apacheModules {
		head += fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	// The tunnel waits for the longer of Timeout and the worker's own.
	head += "Timeout 1\nMutex file:" + dir + " default\nRequestReadTimeout header=20-40,minrate=500\nRequestReadTimeout body=10,minrate=500\n"
	if os.Geteuid() == 0 {
		head += "User www-data\nGroup www-data\n" // it refuses to serve as root
	}
	put(t, dir, "apache.conf", head+"Listen 127.0.0.1:"+port+"\n"+conf)
	daemon(t, port, program, "-d", dir, "-f", filepath.Join(dir, "apache.conf"), "-D", "FOREGROUND")
}
