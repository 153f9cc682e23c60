package deploy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
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

// container is an unpacked image: its files, and how it wants to be run.
type container struct {
	t     *testing.T
	root  string
	state string
	spec  struct {
		Process struct {
			User struct{ UID, GID int }
			Args []string
			Env  []string
			Cwd  string
		}
	}
}

func unpackImage(t *testing.T) *container {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	command(t, testkit.Tool(t, "umoci", "umoci"), "unpack", "--image", filepath.Join(dist(t), "image")+":"+version, dir)
	c := &container{t: t, root: filepath.Join(dir, "rootfs"), state: t.TempDir()}
	for d := dir; d != filepath.Clean(os.TempDir()) && d != "/"; d = filepath.Dir(d) { // its user must get to it
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &c.spec); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(c.state, c.spec.Process.User.UID, c.spec.Process.User.GID); err != nil {
		t.Fatal(err)
	}
	return c
}

// command runs args in the image as a container engine does: its own user, a
// root that cannot be written, and nothing else of the machine but the network.
func (c *container) command(binds []string, args ...string) *exec.Cmd {
	c.t.Helper()
	p := c.spec.Process
	argv := []string{
		"--ro-bind", c.root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run/sluice",
		"--bind", c.state, "/var/lib/sluice", "--unshare-pid", "--as-pid-1", "--die-with-parent", "--clearenv", "--chdir", p.Cwd,
	}
	for _, kv := range p.Env {
		k, v, _ := strings.Cut(kv, "=")
		argv = append(argv, "--setenv", k, v)
	}
	argv = append(argv, binds...)
	argv = append(argv, "--")
	argv = append(argv, args...)
	cmd := exec.Command(testkit.Tool(c.t, "bwrap", "bubblewrap"), argv...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.User.UID), Gid: uint32(p.User.GID)}}
	return cmd
}

func TestImage(t *testing.T) {
	c := unpackImage(t)
	t.Logf("image unpacked %d bytes", size(t, c.root))
	if n := size(t, c.root); n > maxImage {
		t.Errorf("the image has %d bytes unpacked, want at most %d", n, maxImage)
	}
	p := c.spec.Process
	if p.User.UID == 0 || p.User.GID == 0 {
		t.Errorf("the image runs as %d:%d", p.User.UID, p.User.GID)
	}
	var inspect struct {
		Config struct{ Labels map[string]string }
	}
	out := command(t, testkit.Tool(t, "skopeo", "skopeo"), "inspect", "--config", "oci:"+filepath.Join(dist(t), "image")+":"+version)
	if err := json.Unmarshal([]byte(out), &inspect); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"title", "version", "created", "revision", "source", "licenses"} {
		if inspect.Config.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("label %s is missing: %v", label, inspect.Config.Labels)
		}
	}
	if out, err := c.command(nil, "/usr/bin/sluice", "demo", "--once").CombinedOutput(); err != nil {
		t.Errorf("demo: %v\n%s", err, out)
	}
}

var serving = regexp.MustCompile(`msg=serving .*admin=(\S+)`)

// TestImageOverConfigMap runs the image on a tree as Kubernetes mounts it, swaps
// the tree as Kubernetes does, and ends it within the grace period.
func TestImageOverConfigMap(t *testing.T) {
	c := unpackImage(t)
	volume := t.TempDir()
	const key = "com.openexchange.test.value"
	revision := func(name, value string) {
		t.Helper()
		dir := filepath.Join(volume, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%s=%s\nsluice.public.port=0\nsluice.admin.port=0\nsluice.drain.spread=1s\n", key, value)
		if err := os.WriteFile(filepath.Join(dir, "own.properties"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(volume, "..data_tmp")
		if err := os.Symlink(name, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(volume, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	revision("..1", "one")
	if err := os.Symlink("..data/own.properties", filepath.Join(volume, "own.properties")); err != nil {
		t.Fatal(err)
	}

	cmd := c.command([]string{"--ro-bind", volume, "/etc/sluice"}, c.spec.Process.Args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	lines := make(chan string, 1000)
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			select {
			case lines <- s.Text():
			default: // nobody waits for more
			}
		}
		exited <- cmd.Wait()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var said []string
	for !serving.MatchString(strings.Join(said, "\n")) {
		select {
		case l := <-lines:
			said = append(said, l)
		case err := <-exited:
			t.Fatalf("it ended: %v\n%s", err, strings.Join(said, "\n"))
		case <-time.After(patience):
			t.Fatalf("it does not serve\n%s", strings.Join(said, "\n"))
		}
	}

	get := func() string {
		out, err := c.inside(cmd.Process.Pid, "get", key).CombinedOutput()
		if err != nil {
			t.Fatalf("get: %v\n%s", err, out)
		}
		return string(out)
	}
	if got := get(); !strings.HasPrefix(got, key+"=one ") {
		t.Errorf("get: %s", got)
	}
	revision("..2", "two")
	for deadline := time.Now().Add(patience); !strings.HasPrefix(get(), key+"=two "); {
		if time.Now().After(deadline) {
			t.Fatalf("the swap is not in force: %s", get())
		}
	}

	// bwrap with --as-pid-1 passes the signal to nobody: the server is its child.
	signalServer(t, cmd.Process.Pid, syscall.SIGTERM)
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it does not end after SIGTERM")
	}
}

// inside runs a command of the image beside a running server, in its place.
func (c *container) inside(bwrap int, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{
		"-t", fmt.Sprint(child(c.t, bwrap)), "-m", "-p", "--root", "-S", fmt.Sprint(c.spec.Process.User.UID), "-G", fmt.Sprint(c.spec.Process.User.GID), "/usr/bin/sluice",
	}, args...)...)
}

// child is the process that bwrap started.
func child(t *testing.T, bwrap int) int {
	t.Helper()
	var pid int
	for deadline := time.Now().Add(patience); pid == 0; {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", bwrap, bwrap))
		if err != nil {
			t.Fatal(err)
		}
		if f := bytes.Fields(b); len(f) > 0 {
			_, err = fmt.Sscan(string(f[0]), &pid)
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the child of bwrap: %v", err)
		}
	}
	return pid
}

func signalServer(t *testing.T, bwrap int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(child(t, bwrap), sig); err != nil {
		t.Fatal(err)
	}
}
