package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own in a file.
type disk struct {
	t              *testing.T
	image, dir     string
	kind, mkfs, pk string
	options        string
}

// The kinds of disks. ext4 brings by itself nothing to the disk within a test;
// xfs refuses to be smaller than 300 MB.
var (
	ext4Disk = disk{kind: "ext4", mkfs: "mkfs.ext4", pk: "e2fsprogs", options: "loop,commit=1000"}
	xfsDisk  = disk{kind: "xfs", mkfs: "mkfs.xfs", pk: "xfsprogs", options: "loop"}
)

const (
	ext4Size  = 64 << 20
	xfsSize   = 320 << 20
	smallSize = 16 << 20
)

func (d disk) make(t *testing.T, size int64) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test mounts disks: run it as root")
	}
	dir := t.TempDir()
	d.t, d.image, d.dir = t, filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, d.pk, d.mkfs, "-q", d.image)
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.mount()
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return &d
}

func (d *disk) mount() {
	d.t.Helper()
	run(d.t, "mount", "mount", "-t", d.kind, "-o", d.options, d.image, d.dir)
}

func (d *disk) umount() {
	d.t.Helper()
	run(d.t, "mount", "umount", d.dir)
}

// cut is a power cut: what has not reached the disk is gone.
func (d *disk) cut() {
	d.t.Helper()
	run(d.t, "xfsprogs", "xfs_io", "-x", "-c", "shutdown", d.dir)
}

// What was acknowledged is there after a power cut, in a file that had just been
// made as well.
func TestPowerCut(t *testing.T) {
	const most = 300 // acknowledged writes before a cut
	for _, c := range []struct {
		kind disk
		size int64
	}{{ext4Disk, ext4Size}, {xfsDisk, xfsSize}} {
		for round := range rounds(1, 10) {
			t.Run(fmt.Sprintf("%s %d", c.kind.kind, round), func(t *testing.T) {
				d := c.kind.make(t, c.size)
				path := filepath.Join(d.dir, FileName)
				p := startChild(t, path)
				p.ready()
				p.tell(order{Do: "load", Text: "w", Writers: 3, Size: rand.IntN(8000)})
				a, enough := newAccount(), 1
				if round%2 == 0 {
					enough = 1 + rand.IntN(most)
				}
				for len(a.acked) < enough {
					if l, ok := p.line(); !ok || !a.take(l) || len(a.refused) > 0 {
						t.Fatalf("the child said %q %s", l, &p.errs)
					}
				}
				go func() {
					d.cut()
					_ = p.cmd.Process.Kill()
				}()
				a.drain(p)
				p.kill()
				// What failed when the power did may have reached the disk.
				clear(a.refused)
				d.umount()
				d.mount()
				a.verify(t, path)
				t.Logf("%d acknowledged writes", len(a.acked))
			})
		}
	}
}

// A power cut after syncs that failed, and one that then did not.
func TestPowerCutAfterFailures(t *testing.T) {
	for round := range rounds(1, 6) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			d := ext4Disk.make(t, ext4Size)
			path := filepath.Join(d.dir, FileName)
			f := &faultChild{child: startChild(t, path), account: newAccount()}
			f.ready()
			f.until(true, 10)
			fault := attach(t, f.child, "fdatasync", fmt.Sprintf("error=EIO:when=%d+", 1+round%3))
			f.until(false, 10)
			fault.end()
			f.until(true, 10)
			d.cut()
			f.kill()
			d.umount()
			d.mount()
			f.verify(t, path)
		})
	}
}

// A disk that is full, or has become read-only, refuses writes; a file or a
// folder that cannot be written says so at the start.
func TestFullDisk(t *testing.T) {
	for _, kind := range []string{"ext4", "tmpfs"} {
		t.Run(kind, func(t *testing.T) {
			var dir string
			if kind == "ext4" {
				dir = ext4Disk.make(t, smallSize).dir
			} else {
				dir = t.TempDir()
				run(t, "mount", "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", dir)
				t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			}
			path := filepath.Join(dir, FileName)
			f := &faultChild{child: startChild(t, path), account: newAccount()}
			f.ready()
			f.until(true, 10)
			ballast := filepath.Join(dir, "ballast")
			fill(t, ballast)
			f.until(false, 40<<10)
			for text, why := range f.refused {
				if !strings.Contains(why, "no space left on device") {
					t.Errorf("%s: %s", text, why)
				}
			}
			for range 3 {
				f.put(40 << 10)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			f.until(true, 40<<10)
			f.kill()
			f.verify(t, path)
			// A store that cannot be made says so, and can be made later.
			fresh := filepath.Join(dir, "fresh.db")
			fill(t, ballast)
			c := startChild(t, fresh)
			if l, _ := c.line(); !strings.Contains(l, "no space left on device") || !strings.Contains(l, fresh) {
				t.Errorf("a full disk: %q", l)
			}
			c.kill()
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			newAccount().verify(t, fresh)
		})
	}
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Sync()
}

// A disk that the kernel has made read-only refuses writes, and look-ups go on.
func TestReadOnlyDisk(t *testing.T) {
	d := ext4Disk.make(t, smallSize)
	path := filepath.Join(d.dir, FileName)
	f := &faultChild{child: startChild(t, path), account: newAccount()}
	f.ready()
	f.until(true, 10)
	// What ext4 does when it meets an error.
	run(t, "mount", "mount", "-o", "remount,abort", d.dir)
	f.until(false, 10)
	f.put(10)
	f.kill()
	d.umount()
	d.mount()
	f.verify(t, path)
	run(t, "mount", "mount", "-o", "remount,ro", d.dir)
	for _, path := range []string{path, filepath.Join(d.dir, "fresh.db")} {
		c := startChild(t, path)
		if l, _ := c.line(); !strings.Contains(l, "read-only file system") || !strings.Contains(l, path) || !strings.Contains(l, "--state") {
			t.Errorf("a read-only disk: %q", l)
		}
		c.kill()
	}
	run(t, "mount", "mount", "-o", "remount,rw", d.dir)
	f.verify(t, path)
}
