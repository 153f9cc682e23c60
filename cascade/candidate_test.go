package cascade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// listing is every file below a folder, with its contents.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(&s, path)
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&s, "%s %q\n", path, b)
		return err
	}))
	return s.String()
}

// says is everything that a snapshot says: its files, its findings and each value of
// each subject.
func says(sn *Snapshot) []string {
	out := []string{sn.Digest(), sn.SharedDigest()}
	for _, f := range sn.Files() {
		out = append(out, fmt.Sprintf("%+v", f))
	}
	for _, f := range sn.Findings() {
		out = append(out, f.String())
	}
	for _, su := range []Subject{{}, {Context: 7}, {Context: 7, User: 3}} {
		for _, name := range sn.AllNames() {
			v, ok := sn.Get(su, name)
			out = append(out, fmt.Sprint(su, name, v.Text, v.Scope, ok))
		}
	}
	return out
}

// TestCandidateIsWhatAReloadGives makes random changes of two roots, files that do not parse
// among them: a candidate says what the server says once the same files are saved
// and read, and leaves no trace before.
func TestCandidateIsWhatAReloadGives(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	roots := []string{t.TempDir(), t.TempDir()}
	write(t, roots[0], "a.properties", "p=one\nq=one\n")
	write(t, roots[0], "contextSets/s.yml", "s:\n  withTags: gold\n  p: set\n")
	write(t, roots[1], "b.properties", "q=two\n")
	e := openEngine(t, Options{Roots: roots})
	must(t, e.Apply(Batch{Contexts: []Context{{ID: 7, Tags: []string{"gold"}}}, Users: []User{{Context: 7, ID: 3}}}))
	names := []string{"a.properties", "b.properties", "new/c.properties", "contextSets/s.yml", "contextSets/t.yml", "meta/m.yml", "settings/x.yml"}
	contents := []string{
		"p=%d\nq=x\n", "q=%d\n", "", "r=\\u00zz%d\n", "s:\n  withTags: gold\n  p: %d\n", "t:\n  withTags: gold & ucWebmail\n  q: %d\n",
		"p:\n  final: context\n  description: d%d\n", "s: [%d\n",
	}
	random := rand.New(rand.NewPCG(16, 0))
	for round := range rounds(60, 2000) {
		texts := map[string]*string{}
		for range 1 + random.IntN(3) {
			name := names[random.IntN(len(names))]
			text := contents[random.IntN(len(contents))]
			if strings.Contains(text, "%d") {
				text = fmt.Sprintf(text, round)
			}
			if texts[name] = &text; random.IntN(4) == 0 && slices.ContainsFunc(roots, func(root string) bool { _, err := os.Stat(in(root, name)); return err == nil }) {
				texts[name] = nil
			}
		}
		before := listing(t, roots[0]) + listing(t, roots[1])
		then, findings, err := e.Candidate(t.Context(), &CandidateFiles{Texts: texts}, Batch{})
		must(t, err)
		if after := listing(t, roots[0]) + listing(t, roots[1]); after != before {
			t.Fatalf("round %d: a candidate changed the roots:\n%s\nbefore:\n%s", round, after, before)
		}
		for name, text := range texts {
			root := roots[1]
			if _, err := os.Stat(in(roots[0], name)); err == nil {
				if _, err := os.Stat(in(root, name)); err != nil {
					root = roots[0]
				}
			}
			if text == nil {
				must(t, os.Remove(in(root, name)))
				continue
			}
			must(t, os.MkdirAll(filepath.Dir(in(root, name)), 0o755))
			write(t, root, name, *text)
		}
		_, err = e.Reload(t.Context())
		must(t, err)
		if got, want := says(then), says(e.Snapshot()); !slices.Equal(got, want) {
			t.Fatalf("round %d: the candidate says\n%s\nand the reload\n%s", round, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if !reflect.DeepEqual(findings, e.Snapshot().Findings()) {
			t.Fatalf("round %d: findings %v, want %v", round, findings, e.Snapshot().Findings())
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the folder for temporary files has %v, %v", left, err)
	}
}

// TestWholeCandidate has its files and nothing of the roots.
func TestWholeCandidate(t *testing.T) {
	t.Parallel()
	dir, saved := t.TempDir(), t.TempDir()
	write(t, dir, "a.properties", "p=one\nq=one\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	text, bad := "p=two\n", "r=\\u00zz\n"
	then, findings, err := e.Candidate(t.Context(), &CandidateFiles{Texts: map[string]*string{"b.properties": &text, "a.properties": &bad}, Whole: true}, Batch{})
	must(t, err)
	write(t, saved, "b.properties", text)
	write(t, saved, "a.properties", bad)
	want := openEngine(t, Options{Roots: []string{saved}, TolerateBadFiles: true}).Snapshot()
	if !slices.Equal(says(then), says(want)) || !reflect.DeepEqual(findings, want.Findings()) {
		t.Errorf("%q\nwant\n%q", says(then), says(want))
	}
	if v, _ := e.Snapshot().Get(Subject{}, "p"); v.Text != "one" {
		t.Errorf("p of the engine is %s", v.Text)
	}
}

func TestCandidateRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "p=one\n")
	must(t, os.Symlink(".", in(dir, "back")))
	e := openEngine(t, Options{Roots: []string{dir}})
	text := ""
	for _, name := range []string{"../a.properties", "/a.properties", "a.properties/b.properties", "back/a.properties"} {
		_, _, err := e.Candidate(t.Context(), &CandidateFiles{Texts: map[string]*string{name: &text}}, Batch{})
		if wrong, ok := errors.AsType[*NameError](err); !ok || wrong.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := e.Candidate(ended, &CandidateFiles{Texts: map[string]*string{"a.properties": &text}}, Batch{}); !errors.Is(err, context.Canceled) {
		t.Errorf("of a request that has ended: %v", err)
	}
}

// TestCandidateWithResellers: beside the platform's database a candidate has the scope of
// resellers, as the files in force have.
func TestCandidateWithResellers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.properties", "p=one\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	e.ConnectPlatform(func(Subject) time.Time { return time.Now() })
	resellers := []Reseller{{ID: 5, Name: "acme", Config: map[string]string{"p": "reseller"}}}
	must(t, e.ApplyPlatform([]PlatformContext{{Context: Context{ID: 7}, Reseller: 5}}, nil, resellers, false))
	text := "q=1\n"
	then, _, err := e.Candidate(t.Context(), &CandidateFiles{Texts: map[string]*string{"b.properties": &text}}, Batch{})
	must(t, err)
	for _, sn := range []*Snapshot{e.Snapshot(), then} {
		if v, _ := sn.Get(Subject{Context: 7}, "p"); v.Text != "reseller" || v.Scope != ScopeReseller {
			t.Errorf("p of the context is %s, in %s", v.Text, v.Scope)
		}
	}
}
