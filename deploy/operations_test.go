package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/testkit"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestOperations runs the commands of docs/operations.md as they stand, as root
// on a machine that has the package's files, and nothing else of this machine's
// state. TMPDIR is short: paths of sockets have 107 bytes.
func TestOperations(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString(`set -eux
sluice serve --public 127.0.0.1:0 --admin 127.0.0.1:0 2>/tmp/log &
server=$!
trap 'cat /tmp/log >&2; kill $server' EXIT
until sluice get com.openexchange.websockets.enabled >/dev/null 2>&1; do kill -0 $server; done
`)
	blocks := shellBlock.FindAllSubmatch(page, -1)
	if len(blocks) < 5 {
		t.Fatalf("docs/operations.md has %d blocks of commands", len(blocks))
	}
	for _, b := range blocks {
		script.Write(b[1])
	}
	script.WriteString("trap - EXIT\nkill $server\nwait $server\n")

	root := unpacked(t)
	file := filepath.Join(t.TempDir(), "page.sh")
	if err := os.WriteFile(file, []byte(script.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	// The package's conffiles are copied, since the page writes beside them.
	conf := t.TempDir()
	command(t, "cp", "-r", filepath.Join(root, "etc/sluice")+"/.", conf)
	testkit.Tool(t, "curl", "curl")
	out, err := exec.Command(testkit.Tool(t, "bwrap", "bubblewrap"),
		"--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
		"--tmpfs", "/root", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/var/lib", "--tmpfs", "/etc", "--tmpfs", "/opt",
		"--dir", "/run/sluice", "--dir", "/var/lib/sluice", "--ro-bind", "/etc/passwd", "/etc/passwd", "--bind", conf, "/etc/sluice",
		"--ro-bind", filepath.Join(root, "usr/bin/sluice"), "/tmp/bin/sluice", "--ro-bind", file, "/tmp/page.sh",
		"--clearenv", "--setenv", "PATH", "/tmp/bin:/usr/bin:/bin", "--setenv", "HOME", "/root", "--chdir", "/root",
		"--unshare-pid", "--die-with-parent", "sh", "/tmp/page.sh").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
