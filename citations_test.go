package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	citation = regexp.MustCompile(`\bdocs/[a-z0-9/-]+\.md(#[a-z0-9-]+)?`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// elsewhere matches what cites papers that are not in the repository.
	elsewhere = regexp.MustCompile(`\b(design|faults|libraries|peers)\.md\b|\bspec/[a-z]+\.md\b|\bspec,? (section )?[0-9]+\.[0-9]|\(design[,)]`)
	fenced    = regexp.MustCompile("(?ms)^```.*?^```")
	heading   = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notSlug   = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestTopLevelCitations holds what comments and pages refer to: a page of docs/ must be
// there, and so must the section behind its #.
func TestTopLevelCitations(t *testing.T) {
	sections := map[string][]string{} // by page; nil where there is no page
	resolve := func(from, page, section string) {
		known, asked := sections[page]
		if !asked {
			if b, err := os.ReadFile(filepath.FromSlash(page)); err == nil {
				known = slugs(string(b))
			}
			sections[page] = known
		}
		switch {
		case known == nil:
			t.Errorf("%s: there is no %s", from, page)
		case section != "" && !slices.Contains(known, section):
			t.Errorf("%s: %s has no section #%s", from, page, section)
		}
	}
	cited := 0
	for file, text := range texts(t) {
		for _, at := range elsewhere.FindAllString(text, -1) {
			t.Errorf("%s cites %q, which is not in the repository: write what is needed into docs/reference and cite that", file, at)
		}
		if path.Ext(file) == ".md" {
			for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
				page, section, _ := strings.Cut(m[1], "#")
				if strings.Contains(page, "://") {
					continue
				}
				target := file
				if page != "" {
					target = path.Join(path.Dir(file), page)
				}
				if path.Ext(target) == ".md" {
					resolve(file, target, section)
				} else if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
					t.Errorf("%s: there is no %s", file, target)
				}
			}
			continue
		}
		for _, at := range citation.FindAllString(text, -1) {
			page, section, _ := strings.Cut(at, "#")
			resolve(file, page, section)
			cited++
		}
	}
	if cited < 90 {
		t.Errorf("found %d citations of docs/, expected 90 or more: does the test read the sources?", cited)
	}
}

// slugs are the anchors of a page's headings, as web hosts of repositories make
// them; a page without headings has one, the empty anchor.
func slugs(text string) []string {
	out := []string{""}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		out = append(out, strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return out
}

// texts are the contents of the repository's text files by slash path, without
// what is installed, built or third parties' own.
func texts(t *testing.T) map[string]string {
	t.Helper()
	kinds := []string{".go", ".md", ".js", ".sh", ".yaml", ".yml", ".html", ".css", ".properties", ".txtar", ".txt", ""}
	out := map[string]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "dist" || d.Name() == "var" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return filepath.SkipDir
		case !d.Type().IsRegular() || !slices.Contains(kinds, filepath.Ext(name)) || name == "citations_test.go":
			return nil
		}
		if fi, err := d.Info(); err != nil || fi.Size() > 1<<20 { // the longest source has 100 kB; beyond are built files
			return err
		}
		b, err := os.ReadFile(name)
		out[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
