package cascade

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expectations of the golden cases")

// TestGolden runs the cases of testdata/golden: one txtar file each, with the
// files of the tree below etc/, directory.yml, and query files whose lines are
// `explain PROPERTY CONTEXT USER`, `verbose …`, `get …` or `findings`; the
// answer stands in the file of the same name with .want.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			golden(t, path)
		})
	}
}

func golden(t *testing.T, path string) {
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	opt := Options{Roots: []string{filepath.Join(dir, "etc")}, Schema: testSchema(t), TolerateBadFiles: true, Getenv: testEnv}
	write(t, dir, "etc/.keep", "")
	queries := map[string]string{}
	for _, f := range ar.Files {
		switch {
		case strings.HasPrefix(f.Name, "etc"):
			root, _, _ := strings.Cut(f.Name, "/")
			if root != "etc" && !contains(opt.Roots, filepath.Join(dir, root)) {
				opt.Roots = append(opt.Roots, filepath.Join(dir, root))
			}
			write(t, dir, f.Name, string(f.Data))
		case f.Name == "directory.yml":
			write(t, dir, f.Name, string(f.Data))
			opt.Source = NewDirectoryFile(filepath.Join(dir, f.Name))
		case strings.HasPrefix(f.Name, "query"):
			queries[f.Name] = string(f.Data)
		}
	}
	e, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range ar.Files {
		name, isWant := strings.CutSuffix(f.Name, ".want")
		if !isWant {
			continue
		}
		got := strings.ReplaceAll(answer(t, e.Snapshot(), queries[name]), dir, "DIR")
		if *update {
			ar.Files[i].Data = []byte(got)
		} else if got != string(f.Data) {
			t.Errorf("%s:\n--- got\n%s--- want\n%s", f.Name, got, f.Data)
		}
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func answer(t *testing.T, sn *Snapshot, queries string) string {
	var out bytes.Buffer
	for line := range strings.Lines(queries) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if f[0] == "findings" {
			for _, x := range sn.Findings() {
				out.WriteString(x.String() + "\n")
			}
			continue
		}
		if f[0] == "lint" {
			for _, x := range sn.Lint() {
				out.WriteString(x.String() + "\n")
			}
			continue
		}
		var su Subject
		if len(f) > 2 {
			su.Context = id(t, f[2])
		}
		if len(f) > 3 {
			su.User = id(t, f[3])
		}
		switch f[0] {
		case "get":
			v, ok := sn.Get(su, f[1])
			if !ok {
				out.WriteString(su.String() + ": " + f[1] + " undefined\n")
				continue
			}
			out.WriteString(su.String() + ": " + f[1] + "=" + strconv.Quote(v.Text) + " [" + v.Scope + "]\n")
		case "explain", "verbose":
			b, err := json.MarshalIndent(sn.Explain(su, f[1], ExplainOptions{Verbose: f[0] == "verbose"}), "", " ")
			if err != nil {
				t.Fatal(err)
			}
			out.Write(append(b, '\n'))
		default:
			t.Fatalf("query %q", line)
		}
	}
	return out.String()
}

func id(t *testing.T, s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func write(t testing.TB, dir, name, data string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func testEnv(name string) (string, bool) {
	if name == "SLUICE_TEST" {
		return "from the environment", true
	}
	return "", false
}

// testSchema declares a property of each kind.
func testSchema(t testing.TB) *Schema {
	t.Helper()
	s, err := NewSchema([]string{"com.openexchange.websockets."}, []Declaration{
		{Name: "com.openexchange.websockets.enabled", Kind: Bool, Default: "true"},
		{Name: "com.openexchange.websockets.count", Kind: Int, Default: "8", Min: 1, Max: 64},
		{Name: "com.openexchange.websockets.delay", Kind: Duration, Unit: "ms", Default: "1000", Min: 0, Max: 60000, Server: true},
		{Name: "com.openexchange.websockets.span", Kind: TimeSpan, Default: "10s"},
		{Name: "com.openexchange.websockets.mode", Kind: Enum, Default: "calculate", Enum: []string{"calculate", "remember"}},
		{Name: "com.openexchange.websockets.hosts", Kind: List, Default: ""},
		{Name: "com.openexchange.websockets.restart", Kind: Text, Default: "", Restart: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
