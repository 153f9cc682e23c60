package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDefaultRoots(t *testing.T) {
	state, base := t.TempDir(), t.TempDir()
	preset, platform, own := filepath.Join(base, "preset"), filepath.Join(base, "platform"), filepath.Join(base, "own")
	roots := func(want ...string) {
		t.Helper()
		got, err := defaultRoots(state, []string{preset, platform, own})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("roots %v (%v), want %v", got, err, want)
		}
	}
	roots("etc")
	mkdir := func(dir string) {
		t.Helper()
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mkdir(own)
	roots(own)
	mkdir(platform)
	roots(platform, own)
	// A volume that is not mounted stays in the list: the server must miss it.
	if err := os.Remove(platform); err != nil {
		t.Fatal(err)
	}
	roots(platform, own)
	if err := os.Remove(filepath.Join(state, rootsFile)); err != nil {
		t.Fatal(err)
	}
	roots(own)
}
