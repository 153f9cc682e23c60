package cascade

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/testkit"
)

// TestReplacedByWorse replaces a good file by what is none: its last good
// contents stay, the finding says why, and a neighbour still changes.
func TestReplacedByWorse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"a FIFO":               {`rm p.properties; mkfifo p.properties`, "it is a named pipe, not a regular file"},
		"a link to a FIFO":     {`mkfifo ../pipe; ln -sf ../pipe p.properties`, "it is a named pipe, not a regular file"},
		"a device":             {`ln -sf /dev/zero p.properties`, "it is a device, not a regular file"},
		"a folder":             {`rm p.properties; mkdir p.properties`, "it is a folder, not a regular file: rename it"},
		"a dangling link":      {`ln -sf nowhere p.properties`, "this link leads to nothing"},
		"a looping link":       {`rm p.properties; ln -s p.properties p.properties`, "this link leads to itself"},
		"two looping links":    {`ln -sf q.properties p.properties; ln -s p.properties q.properties`, "this link leads to itself"},
		"5 GB of nothing":      {`truncate -s 5G p.properties`, "it has 5368709120 bytes: at most"},
		"a link to a link":     {`ln -sf a p.properties; ln -s b a; ln -s nowhere b`, "this link leads to nothing"},
		"binary garbage":       {`head -c 4000 /proc/self/exe > p.properties`, ""},
		"a gzip file":          {`gzip -c /etc/passwd > p.properties`, ""},
		"UTF-16":               {`printf '\377\376p\000r\000' > p.properties`, ""},
		"an HTML page":         {`echo '<!DOCTYPE html><html><body>502 Bad Gateway</body></html>' > p.properties`, ""},
		"git conflict markers": {`printf '<<<<<<< HEAD\nprobe=1\n=======\nprobe=2\n>>>>>>> b\n' > p.properties`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := mkdir(t, in(t.TempDir(), "etc"))
			write(t, dir, probe, "probe=old\n")
			write(t, dir, "n.properties", "neighbour=1\n")
			e := running(t, Options{Roots: []string{dir}})
			command(t, dir, "sh", "-ec", c.script)
			within(t, saveLimit, "failed", func() bool { return status(e, probe) == FileFailed })
			r := report(e, probe)
			if len(r.Errors) == 0 || !strings.Contains(r.Errors[0].Text, c.want) || r.Errors[0].Path != probe {
				t.Errorf("findings %v, want %q", r.Errors, c.want)
			}
			if got := text(e.Snapshot(), "probe"); got != "old" {
				t.Errorf("probe is %s", got)
			}
			if s := e.Status(); s.Status != "degraded" {
				t.Errorf("status %s", s.Status)
			}
			write(t, dir, "n.properties", "neighbour=2\n")
			within(t, saveLimit, "the neighbour", func() bool { return text(e.Snapshot(), "neighbour") == "2" })
			command(t, dir, "rm", "-rf", probe)
			write(t, dir, probe, "probe=new\n")
			within(t, saveLimit, "the good file", func() bool { return text(e.Snapshot(), "probe") == "new" })
			command(t, dir, "rm", "-f", "q.properties", "a", "b") // a and b might lead to folders
			within(t, saveLimit+tree.RemoveHold, "ok", func() bool { return e.Status().Status == "ok" })
		})
	}
}

// TestSocketFile meets a socket with the name of a file.
func TestSocketFile(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "s") // the path of a socket is short
	must(t, err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", in(dir, "s.properties"))
	must(t, err)
	defer l.Close()
	write(t, dir, "a.properties", "a=1\n")
	_, err = Open(Options{Roots: []string{dir}, Schema: testSchema(t)})
	if bad := (*BadFilesError)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "never were good: 1") ||
		!strings.Contains(err.Error(), "s.properties:1:1: the file cannot be read: it is a socket, not a regular file; without it") {
		t.Errorf("open: %v", err)
	}
	e := openEngine(t, Options{Roots: []string{dir}, TolerateBadFiles: true})
	if got := text(e.Snapshot(), "a"); got != "1" || e.Status().Status != "degraded" {
		t.Errorf("a is %s, status %s", got, e.Status().Status)
	}
}

// TestFolderLoops meets links that lead in circles, and a fan of links that
// would be billions of folders.
func TestFolderLoops(t *testing.T) {
	t.Parallel()
	dir := mkdir(t, in(t.TempDir(), "etc"))
	command(t, dir, "sh", "-ec", `echo a=1 > a.properties; mkdir -p d/e; ln -s .. d/up; ln -s ../.. d/e/top; ln -s ../../d d/e/again; ln -s loop loop`)
	e := openEngine(t, Options{Roots: []string{dir}})
	if got := text(e.Snapshot(), "a"); got != "1" || len(e.Snapshot().Files()) != 1 {
		t.Errorf("a is %s, files %v", got, e.Snapshot().Files())
	}
	for _, f := range e.Snapshot().Findings() {
		if f.Code != "link-loop" {
			t.Errorf("finding %v", f)
		}
	}
	if n := len(e.Snapshot().Findings()); n != 4 {
		t.Errorf("%d findings: %v", n, e.Snapshot().Findings())
	}
	command(t, dir, "sh", "-ec", `rm -r d loop; for i in $(seq 1 30); do mkdir -p fan/$i; ln -s ../$((i+1)) fan/$i/x; ln -s ../$((i+1)) fan/$i/y; done`)
	reload(t, e)
	if fs := e.Snapshot().Findings(); len(fs) != 1 || fs[0].Code != "root" || text(e.Snapshot(), "a") != "1" {
		t.Errorf("findings %v, a is %s", fs, text(e.Snapshot(), "a"))
	}
}

// TestStrangeNames reads files of any name, and shows each on one line.
func TestStrangeNames(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()
	names := map[string]string{
		"with\nnewline.properties": `"with\nnewline.properties"`, "\xff\xfe.properties": `"\xff\xfe.properties"`,
		"\u202e.properties": `"\u202e.properties"`, "with blank.properties": "with blank.properties",
		"ünï.PROPERTIES": "ünï.PROPERTIES", "-rf.properties": "-rf.properties", `a\b.properties`: `a\b.properties`,
		"my.rpm.settings.properties": "my.rpm.settings.properties", "x.dpkg-like.properties": "x.dpkg-like.properties",
		strings.Repeat("n", 244) + ".properties": strings.Repeat("n", 244) + ".properties",
	}
	for name := range names {
		write(t, dir, name, fmt.Sprintf("key%.99x=1\n", name))
	}
	for _, name := range []string{
		".a.properties.swp", ".a.properties", "4913", "a.properties~", "#a.properties#", ".nfs0001.properties", "a.properties.dpkg-new",
		"a.properties.rpmsave", "a.properties.orig", "a.properties.bak", "mpasswd", "backup~/a.properties", ".git/a.properties",
		"a.properties.tmp", "a.yml", "a.xml", "other/a.yml",
	} {
		write(t, dir, name, "leftover=1\n")
	}
	for range 2 { // the second time with what was kept
		e := openEngine(t, Options{Roots: []string{dir}, State: state})
		if got := text(e.Snapshot(), "leftover"); got != "(undefined)" {
			t.Error("a leftover was read")
		}
		if n := len(e.Snapshot().Files()); n != len(names) {
			t.Errorf("%d files: %v", n, e.Snapshot().Files())
		}
		for name, shown := range names {
			if got := text(e.Snapshot(), fmt.Sprintf("key%.99x", name)); got != "1" {
				t.Errorf("the key of %q is %s", name, got)
			}
			if report(e, shown).Path == "" {
				t.Errorf("%q is not shown as %s", name, shown)
			}
		}
	}
	for name, shown := range names {
		write(t, dir, name, "a=\\u12\n")
		e := openEngine(t, Options{Roots: []string{dir}, State: state})
		if got := text(e.Snapshot(), fmt.Sprintf("key%.99x", name)); got != "1" {
			t.Errorf("the last good key of %q is %s", name, got)
		}
		if f := report(e, shown).Errors; len(f) != 1 || strings.Contains(f[0].String(), "\n") {
			t.Errorf("findings %q", f)
		}
	}
}

// TestUnreadable takes the permissions away from a process that is not root:
// the files keep their last good contents, folders too.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "setpriv", "util-linux")
	dir, err := os.MkdirTemp("", "sluice")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o755))
	write(t, dir, "a.properties", "a=1\n")
	write(t, dir, "sub/b.properties", "b=1\n")
	write(t, dir, "c.properties", "c=1\n"+PropRescan+"=1s\n")
	c := startChild(t, dir, "", asNobody(t)...)
	if c.get("a") != "1" || c.get("b") != "1" {
		t.Fatalf("a is %s, b is %s", c.get("a"), c.get("b"))
	}
	for _, mode := range []string{"000", "444"} { // 444: listed, but nothing in it can be told
		command(t, dir, "sh", "-ec", "chmod 000 a.properties; chmod "+mode+" sub; echo c="+mode+" > c.properties")
		within(t, saveLimit, "the neighbour", func() bool { return c.get("c") == mode })
		within(t, saveLimit, "degraded", func() bool { return c.status().Status == "degraded" })
		throughout(t, tree.RemoveHold+300*time.Millisecond, "served", func() bool { return c.get("a") == "1" && c.get("b") == "1" })
		command(t, dir, "sh", "-ec", "chmod 755 sub; chmod 644 a.properties; echo b="+mode+" > sub/b.properties")
		within(t, saveLimit, "the change", func() bool { return c.get("b") == mode })
		within(t, saveLimit, "ok", func() bool { return c.status().Status == "ok" })
		command(t, dir, "sh", "-ec", "echo b=1 > sub/b.properties")
		within(t, saveLimit, "the change", func() bool { return c.get("b") == "1" })
	}
	command(t, dir, "chmod", "000", ".")
	within(t, saveLimit+tree.FallbackScan, "degraded", func() bool { return c.status().Status == "degraded" })
	throughout(t, tree.RemoveHold+300*time.Millisecond, "served", func() bool { return c.get("a") == "1" && c.get("b") == "1" })
	command(t, dir, "chmod", "755", ".")
	within(t, saveLimit+tree.FallbackScan, "ok", func() bool { return c.status().Status == "ok" })
}

// asNobody runs the copy of this binary that everybody may run.
func asNobody(t *testing.T) []string {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for dir := filepath.Dir(os.Args[0]); dir != "/"; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err == nil && fi.Mode().Perm()&0o5 != 0o5 {
			must(t, os.Chmod(dir, fi.Mode().Perm()|0o5))
		}
	}
	return []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"}
}
