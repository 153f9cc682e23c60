package tree

import (
	"os"
	"testing"
	"time"
)

// oneFile is a root with a file that was read as soon as it was written.
func oneFile(t *testing.T) (dir string, set *Set, tf *File) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, "a.properties", "a=1\n")
	set = NewSet([]string{dir})
	set.Scan(true)
	return dir, set, set.Files[FileKey(0, "a.properties")]
}

// TestUnread tells by its stamp that a file need not be read again: only an old
// one, of a file system that notes each write, that is in force.
func TestUnread(t *testing.T) {
	t.Parallel()
	dir, set, tf := oneFile(t)
	value := func() string { return tf.Have.Entries[0].Value }
	stat := func() stamp {
		fi, err := os.Stat(in(dir, "a.properties"))
		must(t, err)
		return stampOf(fi)
	}
	if tf.unread(stat()) {
		t.Error("a file that was written a moment ago is taken for one that stays")
	}
	now := time.Now().Add(10 * time.Second)
	set.Now = func() time.Time { return now }
	set.Scan(false)
	if !stampsTell(dir) {
		t.Fatalf("%s is on a file system whose stamps are not trusted: set TMPDIR", dir)
	}
	if !tf.unread(stat()) {
		t.Error("an old file is read again")
	}
	// The same size and time of its last write.
	before := stat()
	write(t, dir, "a.properties", "a=2\n")
	must(t, os.Chtimes(in(dir, "a.properties"), before.mtime, before.mtime))
	if tf.unread(stat()) {
		t.Error("a file that was written is not read")
	}
	if set.Scan(false); value() != "2" {
		t.Errorf("a is %s", value())
	}
	// Of a file that is not used as it is, nothing is skipped.
	write(t, dir, "a.properties", "a=\\u00zz\n")
	now = now.Add(10 * time.Second)
	set.Scan(false)
	if tf.Status != FileFailed || tf.unread(stat()) {
		t.Errorf("status %s, not read: %t", tf.Status, tf.unread(stat()))
	}
}

// TestReadAll reads even what its stamp tells to be the same: a write through a
// mapping may leave it so.
func TestReadAll(t *testing.T) {
	t.Parallel()
	dir, set, tf := oneFile(t)
	value := func() string { return tf.Have.Entries[0].Value }
	now := time.Now().Add(10 * time.Second)
	set.Now = func() time.Time { return now }
	set.Scan(false)
	write(t, dir, "a.properties", "a=2\n")
	fi, err := os.Stat(in(dir, "a.properties"))
	must(t, err)
	tf.told = stampOf(fi) // as if nothing told of it
	if set.Scan(false); value() != "1" {
		t.Error("it is read although its stamp is the same")
	}
	set.ReadAll = true
	if set.Scan(false); value() != "2" {
		t.Errorf("the rescan does not find it: a is %s", value())
	}
	if set.ReadAll {
		t.Error("every load reads everything")
	}
}
