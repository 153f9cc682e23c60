package tree

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestHops holds the list of what decides where a path leads.
func TestHops(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	shell(t, dir, `mkdir -p a/b; echo > a/b/f; ln -s a l1; ln -s l1/b l2; ln -s ../../l2/f a/b/l3; ln -s "$PWD/gone/x" l4; ln -s l5 l5`)
	for path, want := range map[string][]string{
		"a/b/f":   {"a/b/f"},
		"l2/f":    {"l2", "l1", "a/b/f"},
		"a/b/l3":  {"a/b/l3", "l2", "l1", "a/b/f"},
		"l4":      {"l4", "gone"},
		"no/such": {"no"},
		"a/../l1": {"l1", "a"},
	} {
		got := Hops(dir + "/" + path)
		for i := range want {
			want[i] = in(dir, want[i])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := Hops(in(dir, "l5")); len(got) != maxHops+1 {
		t.Errorf("a loop has %d hops", len(got))
	}
}
