package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/etc"
	"github.com/seed47708276/sluice/node"
)

// commented is a setting that the shipped tree shows and does not make: prose
// has one blank behind its #.
var commented = regexp.MustCompile(`(?m)^#(\S|  )`)

// shippedTree writes the shipped tree with every commented setting made.
func shippedTree(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "etc")
	files, _, err := etc.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, commented.ReplaceAll(b, []byte("$1")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, files
}

// TestShippedSettings takes the shipped tree at its word: whoever uncomments a
// line gets a property that is declared, in the file of its declaration, with
// the default that the comment promises.
func TestShippedSettings(t *testing.T) {
	schema := node.Schema()
	dir, _ := shippedTree(t)
	e, err := cascade.Open(cascade.Options{Roots: []string{dir}, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	sn := e.Snapshot()
	for _, f := range append(append([]finding.Finding{}, sn.Findings()...), sn.Lint()...) {
		t.Errorf("with every line uncommented: %s", f)
	}
	seen := 0
	for _, name := range sn.AllNames() {
		x := sn.Explain(cascade.Subject{}, name, cascade.ExplainOptions{ShowSecrets: true})
		if x.Origin == nil || strings.Contains(x.Origin.File, "/") {
			continue // the examples of context sets and settings belong to the platform
		}
		seen++
		d := schema.Lookup(name)
		if d == nil {
			t.Errorf("%s: no declaration knows %s", x.Origin, name)
			continue
		}
		if x.Origin.File != d.File {
			t.Errorf("%s: `sluice set` puts %s into %s", x.Origin, name, d.File)
		}
		if !d.NoDefault && *x.Value != d.Default {
			t.Errorf("%s: %s=%s is shown, and its default is %q", x.Origin, name, *x.Value, d.Default)
		}
	}
	if seen < 20 {
		t.Errorf("only %d settings seen", seen)
	}
}
