package tree

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func text(s string) *string { return &s }

// texts are the files of a set that are in force, and what they say.
func texts(set *Set) map[string]string {
	out := map[string]string{}
	for key, f := range set.Files {
		switch {
		case f.Have == nil:
			out[key] = f.Status
		case len(f.Have.Entries) > 0:
			out[key] = f.Have.Entries[0].Value
		default:
			out[key] = "-"
		}
	}
	return out
}

func TestOverlayIsAFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shell(t, dir, "mkdir -p deep/er .hidden; echo a=1 >a.properties; echo b=1 >deep/er/b.properties; echo c=1 >c.properties; echo x >mpasswd; echo x >.hidden/x")
	o := newOverlay(disk(dir))
	must(t, o.put("a.properties", "a=2\n"))
	must(t, o.put("deep/er/new.properties", "n=1\n"))
	must(t, o.put("new/folder/f.yml", ""))
	must(t, o.remove("c.properties"))
	must(t, fstest.TestFS(o, "a.properties", "deep/er/b.properties", "deep/er/new.properties", "new/folder/f.yml"))
	for _, name := range []string{"c.properties", "mpasswd", ".hidden/x", "nothing"} {
		if _, err := o.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{"a.properties": "a=2\n", "deep/er/b.properties": "b=1\n", "new/folder/f.yml": ""} {
		if got, err := fs.ReadFile(o, name); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	must(t, fstest.TestFS(newOverlay(nil)))
}

// TestWithFiles compares a candidate with what a scan of saved files finds.
func TestWithFiles(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	shell(t, one, "mkdir contextSets; echo a=1 >a.properties; echo b=1 >b.properties; echo 's: {withTags: x, p: 1}' >contextSets/s.yml")
	shell(t, two, "echo b=2 >b.properties; echo c=2 >c.properties; echo d=2 >d.properties; printf 'odd=1\\n' >$(printf 'odd\\377.properties')")
	set := NewSet([]string{one, two})
	now := time.Now().Add(10 * time.Second)
	set.Now = func() time.Time { return now } // so that stamps tell that a file is the same
	set.Scan(true)
	before := texts(set)
	next, err := set.WithFiles(map[string]*string{
		"a.properties": text("a=next\n"), "b.properties": text("b=next\n"), "c.properties": nil,
		"new/n.properties": text("n=next\n"), "d.properties": text("d=\\u00zz\n"), "unread.txt": text("x"),
	})
	must(t, err)
	next.Scan(true)
	must(t, next.Unreached())
	want := map[string]string{
		"0/a.properties": "next", "0/b.properties": "1", "1/b.properties": "next", "0/contextSets/s.yml": "-",
		"1/new/n.properties": "next", "1/d.properties": "2", "1/odd\xff.properties": "1",
	}
	if got := texts(next); !maps.Equal(got, want) {
		t.Errorf("the candidate has %v, want %v", got, want)
	}
	if f := next.Files["1/d.properties"]; f.Status != FileFailed || len(f.Findings) != 1 || f.Findings[0].Line != 1 {
		t.Errorf("a file that does not parse is %s, %v", f.Status, f.Findings)
	}
	for _, key := range []string{"0/b.properties", "0/contextSets/s.yml"} {
		if next.Files[key].Have != set.Files[key].Have {
			t.Errorf("%s was parsed again", key)
		}
	}
	if got := texts(set); !maps.Equal(got, before) {
		t.Errorf("the set itself has %v, before %v", got, before)
	}
	shell(t, one, "echo a=next >a.properties")
	shell(t, two, `echo b=next >b.properties; rm c.properties; mkdir new; echo n=next >new/n.properties; printf 'd=\\u00zz\n' >d.properties; echo x >unread.txt`)
	set.Scan(true)
	if got := texts(set); !maps.Equal(got, want) {
		t.Errorf("saved files give %v, want %v", got, want)
	}
}

// TestWithFilesReadsWhatIsOnDisk: a file that was saved and is not loaded yet counts as it
// is, and one that cannot be used any more keeps its last good contents.
func TestWithFilesReadsWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shell(t, dir, "echo a=1 >a.properties; echo b=1 >b.properties")
	set := NewSet([]string{dir})
	set.Scan(true)
	write(t, dir, "a.properties", "a=2\n")
	write(t, dir, "b.properties", "b=\\u00zz\n")
	next, err := set.WithFiles(map[string]*string{"c.properties": text("c=1\n")})
	must(t, err)
	next.Scan(true)
	if got, want := texts(next), map[string]string{"0/a.properties": "2", "0/b.properties": "1", "0/c.properties": "1"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestOnlyFiles(t *testing.T) {
	t.Parallel()
	set, err := OnlyFiles(map[string]*string{"deep/er/a.properties": text("a=1\n"), "contextSets/s.yml": text("s: {withTags: x}\n"), ".hidden.properties": text("h=1\n")})
	must(t, err)
	set.Scan(true)
	must(t, set.Unreached())
	if got := slices.Sorted(maps.Keys(set.Files)); !slices.Equal(got, []string{"0/contextSets/s.yml", "0/deep/er/a.properties"}) || len(set.Unreadable) > 0 {
		t.Errorf("%v, unreadable %v", got, set.Unreadable)
	}
}

// TestCandidateNames refuses what no file below a root is called.
func TestCandidateNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shell(t, dir, "mkdir folder; echo a=1 >a.properties; echo x >mpasswd; ln -s loop loop; echo a=1 >folder/f.properties")
	set := NewSet([]string{dir})
	set.Scan(true)
	for _, c := range []struct {
		name string
		text *string
		why  string
	}{
		{"../x.properties", text(""), "is no path below a root"},
		{"folder/../../x.properties", text(""), "is no path below a root"},
		{"/etc/passwd", text(""), "is no path below a root"},
		{"./a.properties", text(""), "is no path below a root"},
		{"a//b.properties", text(""), "is no path below a root"},
		{"", text(""), "is no path below a root"},
		{".", nil, "is no path below a root"},
		{"..", nil, "is no path below a root"},
		{`a\b.properties`, text(""), "is no path below a root"},
		{"a\n.properties", text(""), "is no path below a root"},
		{"a\x00.properties", text(""), "is no path below a root"},
		{"nothing.properties", nil, "is not there, so it cannot go"},
		{"mpasswd", nil, "is not there, so it cannot go"},
		{"folder", nil, "cannot be a file (is a directory)"},
		{"folder", text(""), "cannot be a file (is a directory)"},
		{"a.properties/b.properties", text(""), "cannot be a file (not a directory)"},
		{"loop/b.properties", text(""), "cannot be a file (too many levels of symbolic links)"},
		{strings.Repeat("x", 256), text(""), "cannot be a file (file name too long)"},
		{strings.Repeat("x/", 2100) + "x", text(""), "cannot be a file (file name too long)"},
	} {
		_, err := set.WithFiles(map[string]*string{c.name: c.text})
		wrong, ok := errors.AsType[*NameError](err)
		if !ok || wrong.Name != c.name || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%.50q: %v, want: %s", c.name, err, c.why)
		}
	}
	_, err := OnlyFiles(map[string]*string{"a": text(""), "a/b": text("")})
	if _, ok := errors.AsType[*NameError](err); !ok {
		t.Errorf("a file in a file: %v", err)
	}
	next, err := set.WithFiles(map[string]*string{"a.properties": nil, "a.properties/b.properties": text("b=1\n")})
	must(t, err)
	if next.Scan(true); next.Unreached() != nil || next.Files["0/a.properties/b.properties"] == nil {
		t.Errorf("a folder in the place of a file that goes: %v, %v", next.Unreached(), texts(next))
	}
}

// TestCandidateBehindLinks: as for a load a folder that a link leads to is a part of the
// root, wherever it is, and one that leads back is not. Nothing is written to either.
func TestCandidateBehindLinks(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	shell(t, outside, "echo o=1 >o.properties")
	shell(t, dir, "ln -s "+outside+" out; ln -s . back; ln -s nowhere gone; echo a=1 >a.properties")
	set := NewSet([]string{dir})
	set.Scan(true)
	next, err := set.WithFiles(map[string]*string{"out/o.properties": text("o=2\n"), "out/new.properties": text("n=1\n"), "gone/g.properties": text("g=1\n")})
	must(t, err)
	next.Scan(true)
	must(t, next.Unreached())
	want := map[string]string{"0/a.properties": "1", "0/out/o.properties": "2", "0/out/new.properties": "1", "0/gone/g.properties": "1"}
	if got := texts(next); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	entries, err := os.ReadDir(outside)
	must(t, err)
	data, err := os.ReadFile(filepath.Join(outside, "o.properties"))
	if must(t, err); len(entries) != 1 || string(data) != "o=1\n" {
		t.Errorf("the folder outside has %d files, and %q", len(entries), data)
	}
	for name, why := range map[string]string{"back/a.properties": "a link on its way leads back", strings.Repeat("d/", MaxDepth) + "a.properties": "too deep"} {
		next, err := set.WithFiles(map[string]*string{name: text("a=2\n")})
		must(t, err)
		next.Scan(true)
		if err := next.Unreached(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.50s: %v, want: %s", name, err, why)
		}
	}
}
