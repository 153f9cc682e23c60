package cascade

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPlanSet changes the line that wins, adds a key where its declaration
// says, and refuses only what the edit itself makes worse.
func TestPlanSet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prop, value, file string
		path, want        string // the file and a line that it has then
		err               string
	}{
		"the line that wins":     {prop: "a", value: "2", path: "two/a.properties", want: "a=2\n"},
		"of the last root":       {prop: "b", value: "2", path: "two/b.properties", want: "b=2\n"},
		"only in the first root": {prop: "only", value: "2", path: "one/a.properties", want: "only=2\n"},
		"where declared":         {prop: PropStrict, value: "true", path: "two/sluice.properties", want: PropStrict + "=true\n"},
		"a new file":             {prop: "new", value: "1", file: "sub/new.properties", path: "two/sub/new.properties", want: "new=1\n"},
		"an existing file":       {prop: "new", value: "1", file: "only.properties", path: "one/only.properties", want: "new=1\n"},
		"no file":                {prop: "new", value: "1", err: "choose a file with --file"},
		"outside the root":       {prop: "new", value: "1", file: "../x.properties", err: "below the root"},
		"absolute":               {prop: "new", value: "1", file: "/tmp/x.properties", err: "below the root"},
		"hidden":                 {prop: "new", value: "1", file: "sub/.x.properties", err: "below the root"},
		"below a hidden folder":  {prop: "new", value: "1", file: ".git/x.properties", err: "below the root"},
		"not a properties file":  {prop: "new", value: "1", file: "x.yml", err: "below the root"},
		"another file":           {prop: "a", value: "2", file: "only.properties", err: "is set in a.properties, whose line wins"},
		"wrong type":             {prop: "com.openexchange.websockets.count", value: "x", err: "not a whole number"},
		"an empty name":          {prop: " ", value: "x", err: "not a property name"},
		"from meta":              {prop: "frommeta", value: "x", err: "no .properties file"},
		"in a bad file":          {prop: "inbad", value: "x", err: "correct it first"},
		"into a bad file":        {prop: "new", value: "x", file: "bad.properties", err: "correct it first"},
		"beside an old error":    {prop: "com.openexchange.websockets.mode", value: "remember", file: "only.properties", path: "one/only.properties", want: "mode=remember\n"},
		"an added error":         {prop: PropScopes, value: "contxt", file: "only.properties", err: "names the scope \"contxt\""},
		"a linked file":          {prop: "linked", value: "2", path: "out.properties", want: "linked=2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "one/a.properties", "a=1\nonly=1\n")
			write(t, dir, "one/only.properties", "# nothing\n")
			write(t, dir, "one/bad.properties", "inbad=1\n")
			write(t, dir, "two/a.properties", "# comment\na=0\na=1\n")
			write(t, dir, "two/b.properties", "b=1\n")
			write(t, dir, "two/c.properties", "com.openexchange.websockets.count=3\n")
			write(t, dir, "two/meta/m.yml", "frommeta: {value: x}\n")
			write(t, dir, "out.properties", "linked=1\n")
			must(t, os.Symlink("../out.properties", dir+"/two/l.properties"))
			e := openEngine(t, Options{Roots: []string{in(dir, "one"), in(dir, "two")}})
			write(t, dir, "one/bad.properties", "inbad=\\u1\n")
			write(t, dir, "two/c.properties", "com.openexchange.websockets.count=many\n")
			// Younger than a file has to be: it shifts nothing.
			write(t, dir, "one/aaa.properties", "x=1\n")
			reload(t, e)
			must(t, os.Remove(in(dir, "one/aaa.properties")))
			write(t, dir, "one/aab.properties", "x=1\n")
			e.reload(false, false)
			ed, err := e.PlanSet(c.prop, c.value, c.file)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			must(t, err)
			must(t, ed.Write())
			data, err := os.ReadFile(in(dir, c.path))
			must(t, err)
			if !strings.Contains(string(data), c.want) {
				t.Errorf("%s is now\n%s", c.path, data)
			}
			reload(t, e)
			if got := text(e.Snapshot(), c.prop); got != c.value {
				t.Errorf("%s is %s", c.prop, got)
			}
			if fi, err := os.Lstat(in(dir, "two/l.properties")); err != nil || fi.Mode()&os.ModeSymlink == 0 {
				t.Error("the link was replaced")
			}
		})
	}
}

// TestPlanUnset removes every line of the file that wins, and says when there
// is none.
func TestPlanUnset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "# keep\na=1\nb=1\na=2\n")
	must(t, os.Chmod(in(dir, "a.properties"), 0o640))
	e := openEngine(t, Options{Roots: []string{dir}})
	ed, err := e.PlanUnset("a")
	must(t, err)
	if ed.Removed != 2 || string(ed.After) != "# keep\nb=1\n" {
		t.Errorf("%d removed, left %q", ed.Removed, ed.After)
	}
	must(t, ed.Write())
	if fi, err := os.Stat(in(dir, "a.properties")); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", fi.Mode())
	}
	if err := ed.Write(); err == nil || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("written twice: %v", err)
	}
	reload(t, e)
	if _, err := e.PlanUnset("a"); !errors.As(err, new(*NotHereError)) {
		t.Errorf("unset of what is not set: %v", err)
	}
}

// TestEditMeetsEdit plans two edits of one file: the second to be written is
// refused, and a new file is not written over one that came meanwhile.
func TestEditMeetsEdit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "a=1\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	var edits []*Edit
	for i := range 2 {
		ed, err := e.PlanSet("a", fmt.Sprint(i+5), "")
		must(t, err)
		edits = append(edits, ed)
	}
	must(t, edits[0].Write())
	if err := edits[1].Write(); err == nil {
		t.Error("an edit was lost")
	}
	ed, err := e.PlanSet("n", "1", "new.properties")
	must(t, err)
	write(t, dir, "new.properties", "n=0\n")
	if err := ed.Write(); err == nil {
		t.Error("a new file was overwritten")
	}
}
