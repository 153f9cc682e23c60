// Package deploy_test builds what is released and tries it as its users do.
package deploy_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

var torture = flag.Bool("torture", false, "full counts instead of short rounds")

const (
	// patience bounds every wait: what takes that long never comes.
	patience = 60 * time.Second
	// What an administrator downloads and a node's disk holds, in bytes.
	maxPackage = 9_000_000
	// 8 MB of the image come with the console: html/template calls methods by
	// name, and so the linker keeps all of them. Without it 24 MB would do.
	maxImage = 33_000_000
)

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// distDir is what built has made, or empty where no test wanted it.
var distDir string

// built is what the scripts of this folder made, once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-dist-")
	if err != nil {
		return "", err
	}
	distDir = dir
	for _, script := range []string{"./deb.sh", "./image.sh"} {
		cmd := exec.Command(script, version)
		cmd.Env = append(cmd.Environ(), "DIST="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%s: %w\n%s", script, err, out)
		}
	}
	return dir, nil
})

// version is that of the packages which the tests make: none that is released.
const version = "0.0.1"

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if distDir != "" {
		_ = os.RemoveAll(distDir)
	}
	os.Exit(code)
}

func dist(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func deb(t *testing.T) string { return filepath.Join(dist(t), "sluice_"+version+"_amd64.deb") }

// unpacked is the package's files.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, "dpkg-deb", "-x", deb(t), dir)
	return dir
}

func TestPackage(t *testing.T) {
	fi, err := os.Stat(deb(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("package %d bytes", fi.Size())
	if fi.Size() > maxPackage {
		t.Errorf("the package has %d bytes, want at most %d", fi.Size(), maxPackage)
	}
	command(t, testkit.Tool(t, "lintian", "lintian"), "--allow-root", "--fail-on", "error,warning", deb(t))

	root := unpacked(t)
	if out := command(t, filepath.Join(root, "usr/bin/sluice"), "version"); !strings.HasPrefix(out, "sluice "+version) {
		t.Errorf("version: %s", out)
	}
	if _, err := os.Stat(filepath.Join(root, "opt")); err == nil {
		t.Error("the package has files below /opt, which belongs to the platform")
	}
	for _, page := range []string{
		"man/man1/sluice.1.gz", "man/man1/sluice-explain.1.gz", "man/man5/sluice-properties.5.gz",
		"bash-completion/completions/sluice", "zsh/vendor-completions/_sluice", "fish/vendor_completions.d/sluice.fish",
	} {
		if _, err := os.Stat(filepath.Join(root, "usr/share", page)); err != nil {
			t.Error(err)
		}
	}
}

// TestConffilesSayNothing holds that the package's own tree, which wins over the
// platform's, decides nothing before an administrator writes to it.
func TestConffilesSayNothing(t *testing.T) {
	root := unpacked(t)
	files, err := filepath.Glob(filepath.Join(root, "etc/sluice/*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(b), "\n") {
			if line != "" && line[0] != '#' {
				t.Errorf("%s:%d: %s", filepath.Base(f), i+1, line)
			}
		}
	}
	conffiles := strings.Fields(command(t, "dpkg-deb", "-I", deb(t), "conffiles"))
	if len(conffiles) != len(files)+1 { // and /etc/default/sluice
		t.Errorf("conffiles %v, files %v", conffiles, files)
	}
}

// TestReproducible builds the package again, in another folder.
func TestReproducible(t *testing.T) {
	first, err := os.ReadFile(deb(t))
	if err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	cmd := exec.Command("./deb.sh", version)
	cmd.Env = append(cmd.Environ(), "DIST="+again, "TZ=Asia/Kathmandu", "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	second, err := os.ReadFile(filepath.Join(again, filepath.Base(deb(t))))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("two builds differ: %x and %x", sha256.Sum256(first), sha256.Sum256(second))
	}
}

var exposure = regexp.MustCompile(`Overall exposure level for sluice.service: ([0-9.]+)`)

func TestUnitIsConfined(t *testing.T) {
	out := command(t, testkit.Tool(t, "systemd-analyze", "systemd"), "security", "--offline=true", "debian/sluice.service")
	m := exposure.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level\n%s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 2 {
		t.Errorf("exposure %s, want 2.0 at most", m[1])
	}
	unit := filepath.Join(t.TempDir(), "sluice.service")
	b, err := os.ReadFile("debian/sluice.service")
	if err != nil {
		t.Fatal(err)
	}
	// The command is not installed here.
	text := strings.ReplaceAll(string(b), "/usr/bin/sluice", "/bin/true")
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", unit)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// size is that of the files below dir, in bytes.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
