package cascade

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tree"
)

// TestCorpus reads the trees of testdata/corpus: good ones, which have no error
// and the values that they list, and bad ones, each file of which is hurt alone.
//
// A case holds the files of a tree, and `findings` with all that is found.
// What text cannot hold is in NAME.quoted: string literals, one a line, each
// with an optional `* COUNT`.
func TestCorpus(t *testing.T) {
	for _, sort := range []string{"good", "bad"} {
		cases, err := filepath.Glob("testdata/corpus/" + sort + "/*.txtar")
		if err != nil || len(cases) == 0 {
			t.Fatalf("no cases: %v", err)
		}
		for _, path := range cases {
			t.Run(sort+"/"+strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
				t.Parallel()
				corpusCase(t, path, sort == "good")
			})
		}
	}
}

func corpusCase(t *testing.T, path string, good bool) {
	ar, err := txtar.ParseFile(path)
	must(t, err)
	dir, opened := t.TempDir(), t.TempDir()
	files, expected := map[string][]byte{}, map[string]*txtar.File{}
	for i := range ar.Files {
		f := &ar.Files[i]
		switch name, quoted := strings.CutSuffix(f.Name, ".quoted"); {
		case f.Name == "findings" || f.Name == "values":
			expected[f.Name] = f
		case quoted:
			files[name] = unquote(t, f.Data)
		default:
			files[name] = f.Data
		}
	}
	// Good contents come first, so that there is something to lose.
	for name := range files {
		write(t, dir, name, goodContents(name))
	}
	write(t, dir, "zz/neighbour.properties", "neighbour=1\n")
	write(t, dir, "contextSets/zz.yml", "zz:\n  withTags: \"7\"\n  neighbour: 2\n")
	e := openEngine(t, Options{Roots: []string{dir}, Getenv: testEnv})
	for name, data := range files {
		write(t, dir, name, string(data))
	}
	write(t, dir, "zz/neighbour.properties", "neighbour=3\n")
	reload(t, e)
	sn := e.Snapshot()
	if server, _ := sn.Get(Subject{}, "neighbour"); server.Text != "3" {
		t.Errorf("the neighbour is %q", server.Text)
	}
	if set, _ := sn.Get(Subject{Context: 7}, "neighbour"); set.Text != "2" {
		t.Errorf("the neighbour's set says %q", set.Text)
	}
	for _, r := range sn.Files() {
		if v, _ := sn.Get(Subject{Context: 7}, "probe:"+r.Path); r.Status == FileFailed && tree.KindOf(r.Path) != tree.KindMeta && v.Text != "good" {
			t.Errorf("%s lost its last good contents: %q", r.Path, v.Text)
		}
	}
	if finding.HasErrors(sn.Findings()) == good {
		t.Errorf("a %s tree has the findings %v", filepath.Base(filepath.Dir(path)), sn.Findings())
	}
	got := map[string]string{}
	for _, f := range sn.Findings() {
		if len(f.Text) > 1000 || strings.ContainsFunc(f.String(), func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("finding %q", f.String())
		}
		got["findings"] += f.String() + "\n"
	}
	for _, name := range sn.Names(Subject{}) {
		if name != "neighbour" {
			got["values"] += fmt.Sprintf("%s=%q\n", name, text(sn, name))
		}
	}
	// A start finds the same as a reload does.
	for name, data := range files {
		write(t, opened, name, string(data))
	}
	fresh := openEngine(t, Options{Roots: []string{opened}, Getenv: testEnv, TolerateBadFiles: true})
	if len(fresh.Snapshot().Findings()) != len(sn.Findings()) {
		t.Errorf("at a start: %v", fresh.Snapshot().Findings())
	}
	for name, f := range expected {
		if *update {
			f.Data = []byte(got[name])
		} else if got[name] != string(f.Data) {
			t.Errorf("%s:\n--- got\n%s--- want\n%s", name, got[name], f.Data)
		}
	}
	if *update {
		must(t, os.WriteFile(path, txtar.Format(ar), 0o644))
	}
}

func goodContents(name string) string {
	switch tree.KindOf(name) {
	case tree.KindSets:
		return fmt.Sprintf("good:\n  withTags: \"7\"\n  %q: good\n", "probe:"+name)
	case tree.KindMeta:
		return fmt.Sprintf("%q: {protected: true}\n", "probe:"+name)
	case tree.KindSettings:
		return fmt.Sprintf("%q: good\n", "probe:"+name)
	}
	return strings.ReplaceAll("probe:"+name, ":", `\:`) + "=good\n"
}

func unquote(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		literal, count, many := strings.Cut(strings.TrimSpace(line), " * ")
		s, err := strconv.Unquote(literal)
		must(t, err)
		n := 1
		if many {
			n, err = strconv.Atoi(count)
			must(t, err)
		}
		out.WriteString(strings.Repeat(s, n))
	}
	return out.Bytes()
}
