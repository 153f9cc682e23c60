package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
)

func openOnly(path string) error {
	s, err := Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(s.Load(func(cascade.Batch) error { return nil }), s.Close())
}

// A store that another process holds says so at once, and can be opened when
// that one is gone, however it went.
func TestHeldByAnother(t *testing.T) {
	const limit = 10 * time.Second // it waits for nobody
	path := filepath.Join(t.TempDir(), FileName)
	c := startChild(t, path)
	c.ready()
	start := time.Now()
	err := openOnly(path)
	if took := time.Since(start); !errors.As(err, new(*LockedError)) || !strings.Contains(err.Error(), path) || took > limit {
		t.Errorf("after %v: %v", took, err)
	}
	c.kill()
	if err := openOnly(path); err != nil {
		t.Error(err)
	}
}

// A file that misses any of its pages is refused, and not touched.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, FileName)
	s, _ := openAt(t, good, nil)
	for i := range 100 {
		do(t, s, put1(OverrideKey(cascade.Subject{Context: uint32(i + 1)}, "p"), &Override{Value: string(make([]byte, 500))}))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	metas, err := readMetas(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	pages, size := int(metas[0].pages), int(metas[0].pageSize)
	path := filepath.Join(dir, "cut.db")
	for n := 1; n < pages; n += max(1, pages/rounds(8, pages)) {
		for _, length := range []int{n * size, n*size + size/2, n*size - 1} {
			if err := os.WriteFile(path, whole[:length], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := openOnly(path); !errors.As(err, new(*DamagedError)) || !strings.Contains(err.Error(), path) {
				t.Errorf("%d of %d bytes: %v", length, pages*size, err)
			}
			if now, _ := os.ReadFile(path); string(now) != string(whole[:length]) {
				t.Errorf("%d bytes: the file was changed", length)
			}
		}
	}
	if err := os.WriteFile(path, whole[:pages*size], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openOnly(path); err != nil {
		t.Errorf("all pages: %v", err)
	}
}

// The file of a newer version is refused, and not touched.
func TestNewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if err := openOnly(path); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(metaFormat, binary.BigEndian.AppendUint64(nil, format+1))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := openOnly(path); !errors.As(err, new(*NewerError)) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed")
	}
}

// Files and folders that may not be written, or are none, are named, together
// with what to do.
func TestNotAllowed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test takes rights away from a user of its own: run it as root")
	}
	nobody := tool(t, "util-linux", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--").Args
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	for _, from := range []string{exe, base} { // that user has to reach both
		for dir := filepath.Dir(from); dir != "/"; dir = filepath.Dir(dir) {
			if fi, err := os.Stat(dir); err == nil && fi.Mode().Perm()&0o5 != 0o5 {
				if err := os.Chmod(dir, fi.Mode().Perm()|0o5); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	says := func(path string) string {
		t.Helper()
		c := startChild(t, path, nobody...)
		l, _ := c.line()
		c.kill()
		return l
	}
	dir := filepath.Join(base, "state")
	path := filepath.Join(dir, FileName)
	for _, err := range []error{os.Chmod(base, 0o755), os.Mkdir(dir, 0o700), os.Chown(dir, 65534, 65534)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if l := says(path); l != "ready" {
		t.Fatalf("with all rights: %q", l)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path  string
		file, where os.FileMode
	}{
		{"a file that may only be read", path, 0o400, 0o700},
		{"a file that may not even be read", path, 0, 0o700},
		{"a folder that may not be entered", path, 0o600, 0},
		{"a folder where nothing may be made", filepath.Join(dir, "fresh.db"), 0o600, 0o500},
	} {
		if err := errors.Join(os.Chmod(path, c.file), os.Chmod(dir, c.where)); err != nil {
			t.Fatal(err)
		}
		if l := says(c.path); !strings.Contains(l, "permission denied") || !strings.Contains(l, c.path) || !strings.Contains(l, "--state") {
			t.Errorf("%s: %q", c.name, l)
		}
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chmod(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed")
	}
	if l := says(path); l != "ready" {
		t.Errorf("with all rights again: %q", l)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the folder has %v %v", list, err)
	}
	for name, path := range map[string]string{"a folder": dir, "no folder": filepath.Join(base, "none", FileName), "a device": "/dev/null"} {
		if err := openOnly(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is left of a file that was not finished is no hindrance.
func TestUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	for _, left := range []string{"", "x", string(make([]byte, 16<<10))} {
		if err := errors.Join(os.WriteFile(path+unfinished, []byte(left), 0o600), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := openOnly(path); err != nil {
			t.Errorf("%d bytes: %v", len(left), err)
		}
		if _, err := os.Stat(path + unfinished); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%d bytes are still there: %v", len(left), err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzEntry(f *testing.F) {
	at := time.UnixMilli(1).UTC()
	for _, e := range []Entry{
		{Revision: 1, Time: at, Actor: "a", Changes: []Changed{{acme, nil, &State{Revision: 1, Body: &Context{Name: "n", Tags: []string{"a"}}}}}},
		{Revision: 2, Changes: []Changed{{user, &State{Revision: 1, Body: &User{}}, &State{Revision: 2, Deleted: true}}, {over, &State{Revision: 1, Body: &Override{Expires: &at}}, nil}}},
		{Revision: 3, Changes: []Changed{{TokenKey("t"), nil, &State{Revision: 3, Body: &Token{Hash: make([]byte, 32)}}}}},
	} {
		text, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(make([]byte, len(Chain{})), text...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := unseal(b)
		if err != nil {
			return
		}
		for i := range x.Changes {
			if after := x.Changes[i].After; after != nil {
				_ = (&Record{x.Changes[i].Key, *after}).check()
			}
		}
		text, err := json.Marshal(x.Entry)
		if err != nil {
			return // a time beyond the year 9999
		}
		again, err := unseal(append(x.Chain[:], text...))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		second, err := json.Marshal(again.Entry)
		if err != nil || string(second) != string(text) {
			t.Errorf("%s\nbecame\n%s: %v", text, second, err)
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, k := range []Key{acme, user, over, whole, TokenKey("t")} {
		f.Add(string(k.Kind), k.bytes())
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		k, err := parseKey(Kind(kind), b)
		if err != nil {
			return
		}
		if string(k.bytes()) != string(b) {
			t.Errorf("%q became %q", b, k.bytes())
		}
		text, err := json.Marshal(k)
		var again Key
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if _, serr := parseKey(again.Kind, again.bytes()); err != nil || serr != nil {
			t.Errorf("%s: %v %v", text, err, serr)
		}
		if strings.ToValidUTF8(k.Name, "") == k.Name && !reflect.DeepEqual(k, again) {
			t.Errorf("%+v became %+v", k, again)
		}
	})
}
