package tree

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// TestNextBurst tells events that name files of the tree from those after which
// anything may be elsewhere.
func TestNextBurst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		files  []string
		only   bool
	}{
		"written":                 {`echo a=1 > p.properties`, []string{"p.properties"}, true},
		"renamed over":            {`echo a=1 > p.new; mv p.new p.properties`, []string{"p.properties"}, true},
		"two of them":             {`echo a=1 > p.properties; echo a=1 > d/q.properties`, []string{"d/q.properties", "p.properties"}, true},
		"removed":                 {`rm p.properties`, []string{"p.properties"}, true},
		"its mode":                {`chmod 600 p.properties`, []string{"p.properties"}, true},
		"a folder made":           {`echo a=1 > p.properties; mkdir new`, nil, false},
		"a folder moved away":     {`mv d .away`, nil, false},
		"a folder moved in":       {`mkdir .new; mv .new new; echo a=1 > p.properties`, nil, false},
		"a link made":             {`ln -s d other`, nil, false},
		"what a file's link says": {`ln -s .data2 .t; mv -T .t .data`, nil, false},
		"what it leads to":        {`echo a=1 > .one/l`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			shell(t, dir, `mkdir d .one; ln -s .one .data; ln -s .data/l l.properties; for f in p.properties d/q.properties .one/l end.properties; do echo a=0 > $f; done`)
			w := watching(t, dir)
			w.NextBurst() // the folders are watched now, which begins with a look at all
			shell(t, dir, c.change+"\nmv end.properties zz.properties")
			testkit.Poll(t, "the last event", func() bool { return w.put(in(dir, "zz.properties"), nil) })
			files, only := w.NextBurst()
			files = slices.DeleteFunc(files, func(p string) bool { return p == in(dir, "end.properties") || p == in(dir, "zz.properties") })
			for i := range c.files {
				c.files[i] = in(dir, c.files[i])
			}
			if only != c.only || !slices.Equal(files, c.files) {
				t.Errorf("%q, only %t; want %q, %t", files, only, c.files, c.only)
			}
		})
	}
}

// TestScanSome looks at single files where that tells everything, and says so where it
// does not.
func TestScanSome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, change string
		files          []string
		ok             bool
	}{
		"written":                 {change: `echo a=1 > p.properties; touch -d 2020-01-02T03:04:05.6 p.properties`, files: []string{"p.properties"}, ok: true},
		"replaced":                {change: `echo a=1 > p; touch -d 2020-01-02T03:04:05.6 p; mv p p.properties`, files: []string{"p.properties"}, ok: true},
		"as it was":               {files: []string{"p.properties", "d/q.properties"}, ok: true},
		"removed":                 {change: `rm p.properties`, files: []string{"p.properties"}},
		"new":                     {change: `echo a=1 > n.properties`, files: []string{"n.properties"}},
		"a link now":              {change: `mv p.properties p; ln -s p p.properties`, files: []string{"p.properties"}},
		"a folder now":            {change: `rm p.properties; mkdir p.properties`, files: []string{"p.properties"}},
		"another name of it":      {change: `ln p.properties n.properties`, files: []string{"p.properties"}},
		"in two places":           {before: `ln -s d e`, files: []string{"d/q.properties"}},
		"none named":              {},
		"a folder was not read":   {before: `ln -s nowhere lost`, files: []string{"p.properties"}},
		"one did not settle":      {before: `echo a=9 > p.properties; touch -d 2035-01-01 p.properties`, files: []string{"d/q.properties"}},
		"one is gone for a while": {before: `mv d/r.properties .`, files: []string{"p.properties"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			shell(t, dir, `mkdir d; for f in p.properties d/q.properties d/r.properties; do echo a=0 > $f; touch -d 2020-01-02T03:04:05.6 $f; done`)
			set := NewSet([]string{dir})
			set.Scan(true)
			shell(t, dir, c.before+"\n:")
			set.Scan(false)
			shell(t, dir, c.change+"\n:")
			var files []string
			for _, f := range c.files {
				files = append(files, in(dir, f))
			}
			changed, _, ok := set.ScanSome(files)
			if ok != c.ok || changed != (ok && c.change != "") {
				t.Errorf("ok %t, changed %t", ok, changed)
			}
		})
	}
}

// TestScanSomeAgain looks again at a file that had not settled, until it has.
func TestScanSomeAgain(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	write(t, dir, "p.properties", "a=0\n")
	set := NewSet([]string{dir})
	now := time.Now()
	set.Now = func() time.Time { return now }
	set.Scan(true)
	set.Scan(false)
	write(t, dir, "p.properties", "a=1\n")
	fi, err := os.Stat(in(dir, "p.properties"))
	must(t, err)
	now = fi.ModTime().Add(time.Millisecond)
	if changed, again, ok := set.ScanSome([]string{in(dir, "p.properties")}); changed || again <= 0 || !ok {
		t.Fatalf("a young file: changed %t, again after %v, ok %t", changed, again, ok)
	}
	now = now.Add(SettleAge)
	if changed, again, ok := set.ScanSome(nil); !changed || again != 0 || !ok {
		t.Errorf("a settled one: changed %t, again after %v, ok %t", changed, again, ok)
	}
	if _, _, ok := set.ScanSome(nil); ok {
		t.Error("nothing to look at, and still everything told")
	}
}
