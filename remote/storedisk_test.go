package remote

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// smallDisk is a folder on a disk of its own, and fill leaves no room on it until the
// ballast is removed. Mounting it needs root.
func smallDisk(t *testing.T) (dir string, fill func() (ballast string)) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatalf("%v: run the tests as root", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, func() string {
		t.Helper()
		name := filepath.Join(dir, "ballast")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for block := make([]byte, 4096); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		return name
	}
}

// The disk of the keeper is full: writes are refused with the reason, look-ups go on.
// That of a follower is: writes go on, it answers from what it has in memory, and its
// file has all of it when there is room again.
func TestStoreDiskFull(t *testing.T) {
	k := newKeepers(t, way(redistest.Start(t)))
	keeperDir, fillKeeper := smallDisk(t)
	followerDir, fillFollower := smallDisk(t)
	a := k.member("k", "k", filepath.Join(keeperDir, store.FileName))
	a.Ready(t)
	path := filepath.Join(followerDir, store.FileName)
	f := k.follower(path)
	f.Ready(t)
	value := strings.Repeat("v", 64<<10) // the file has to grow for it
	put := func(m *storeNode, user uint32) error {
		_, err := m.Put(context.Background(), cascade.Subject{Context: 1, User: user}, "p", value)
		return err
	}
	if err := put(f, 1); err != nil {
		t.Fatal(err)
	}
	ballast := fillFollower()
	user := uint32(1)
	testkit.Poll(t, "the follower says that its disk is full", func() bool {
		user++
		if user < 12 { // the keeper's disk has room for so many
			if err := put(f, user); err != nil {
				t.Fatalf("a write while only the copy has no room: %v", err)
			}
		}
		var failed *store.FailedError
		return errors.As(f.Standing(), &failed) && errors.Is(failed, unix.ENOSPC)
	})
	last := cascade.Subject{Context: 1, User: min(user, 11)}
	if v, _ := f.Value(last, "p"); v != value {
		t.Error("a follower without room does not answer what is in force")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testkit.Poll(t, "the copy goes on", func() bool { return f.Standing() == nil })
	if list, _, err := f.List(store.KindOverride, cascade.Subject{Context: 1}, false, nil, 100, nil); err != nil || len(list) != int(last.User) {
		t.Errorf("%d records instead of %d, %v", len(list), last.User, err)
	}

	ballast = fillKeeper()
	var failed *store.FailedError
	testkit.Poll(t, "the keeper refuses", func() bool {
		user++
		err := put(f, user)
		return errors.As(err, &failed) && strings.Contains(err.Error(), "no space left")
	})
	for _, m := range []*storeNode{a, f} {
		if v, _ := m.Value(last, "p"); v != value {
			t.Error("look-ups do not go on")
		}
		if v, _ := m.Value(cascade.Subject{Context: 1, User: user}, "p"); v != "" {
			t.Error("a refused write is in force")
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testkit.Poll(t, "writes go on", func() bool { return put(f, user) == nil })
	testkit.Poll(t, "both have the same", func() bool { return a.Head() == f.Head() })
}
