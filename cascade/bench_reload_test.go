package cascade

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// treeSize says how large a generated tree is.
type treeSize struct{ files, properties, sets int }

// writeTree writes a tree of properties and context sets, in folders as an
// installation has them.
func writeTree(t testing.TB, dir string, size treeSize) {
	t.Helper()
	per := size.properties / size.files
	for i := range size.files {
		var b bytes.Buffer
		fmt.Fprintf(&b, "# file %d of a generated tree\n\n", i)
		for j := range per {
			fmt.Fprintf(&b, "# what property %d is for\ncom.openexchange.generated.module%03d.property%03d=value %d of %d\n", j, i, j, i, j)
		}
		write(t, dir, fmt.Sprintf("folder%02d/file%03d.properties", i%20, i), b.String())
	}
	const perFile = 20
	for i := 0; i < size.sets; i += perFile {
		var b bytes.Buffer
		for j := i; j < min(i+perFile, size.sets); j++ {
			fmt.Fprintf(&b, "set%d:\n  withTags: tag%d & (uc%s | !tag%d)\n", j, j%50, "WebMail", j%7)
			for k := range 5 {
				fmt.Fprintf(&b, "  com.openexchange.generated.module%03d.property%03d: from set %d\n", j%max(size.files, 1), k, j)
			}
		}
		write(t, dir, fmt.Sprintf("contextSets/sets%03d.yml", i), b.String())
	}
}

var reloadTree = treeSize{files: 500, properties: 50_000, sets: 200}

func benchReload(b *testing.B, e *Engine) {
	if _, err := e.Reload(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReloadNothing reads a tree again of which nothing changed.
func BenchmarkReloadNothing(b *testing.B) {
	dir := b.TempDir()
	writeTree(b, dir, reloadTree)
	e := openEngine(b, Options{Roots: []string{dir}})
	for b.Loop() {
		benchReload(b, e)
	}
	b.ReportMetric(50, "limit-ms")
}

// BenchmarkReloadFull reads a tree again of which one file changed, and every
// file. ready-ms is from the last read to the swap.
func BenchmarkReloadFull(b *testing.B) {
	for _, all := range []bool{false, true} {
		name := map[bool]string{false: "one", true: "all"}[all]
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			writeTree(b, dir, reloadTree)
			e := openEngine(b, Options{Roots: []string{dir}})
			round := 0
			for b.Loop() {
				b.StopTimer()
				round++
				changeTree(b, dir, round, all)
				b.StartTimer()
				benchReload(b, e)
			}
			b.ReportMetric(250, "limit-ms")
		})
	}
}

// BenchmarkOpen starts on the tree: without a state folder, with an empty one,
// and with the one of the last start.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	writeTree(b, dir, reloadTree)
	for _, state := range []string{"none", "empty", "same"} {
		b.Run(state, func(b *testing.B) {
			opt := Options{Roots: []string{dir}}
			if state != "none" {
				opt.State = b.TempDir()
				openEngine(b, opt)
			}
			for i := 0; b.Loop(); i++ {
				if state == "empty" {
					opt.State = filepath.Join(b.TempDir(), fmt.Sprint(i))
				}
				openEngine(b, opt)
			}
		})
	}
}

func changeTree(t testing.TB, dir string, round int, all bool) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "folder*", "*.properties"))
	must(t, err)
	if !all {
		paths = paths[:1]
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		must(t, err)
		must(t, os.WriteFile(p, fmt.Appendf(data, "changed.in.round=%d\n", round), 0o644))
	}
}

// TestReloadTime keeps a reload from becoming slow by an order of magnitude;
// the benchmarks hold the real limits.
func TestReloadTime(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, treeSize{files: 100, properties: 10_000, sets: 40})
	e := openEngine(t, Options{Roots: []string{dir}})
	changeTree(t, dir, 1, true)
	for _, what := range []string{"everything", "nothing"} {
		start := time.Now()
		reload(t, e)
		took := time.Since(start)
		t.Logf("%s changed: %v", what, took)
		if took > 20*time.Second {
			t.Errorf("a reload took %v", took)
		}
	}
}
