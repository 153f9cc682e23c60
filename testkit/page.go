package testkit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Block is the one block of a language in a page of the documentation, with
// names of the page replaced: old, new, old, new. A page that has another number
// of such blocks, or lacks a name, fails the test.
func Block(t testing.TB, page, language string, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(b, -1)
	if len(blocks) != 1 {
		t.Fatalf("%s has %d blocks of %s, want 1", page, len(blocks), language)
	}
	text := string(blocks[0][1])
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s has no %q in its block of %s", page, replace[i], language)
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

// Root is the folder of the repository: the nearest one above the test's own
// that has the papers. It does not ask the compiler, which -trimpath makes silent.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "CONTRIBUTING.md"))
		if err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			t.Fatalf("no folder above the test's own is the repository: %v", err)
		}
		dir = up
	}
}
