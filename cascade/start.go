package cascade

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tree"
)

// BadFile is a file, or a folder, that cannot be used and has no last good
// contents.
type BadFile struct {
	Findings []finding.Finding // why; at least one
	Without  string            // what is in force without it
}

// BadFilesError is returned by Open when files cannot be used and have no last
// good contents: a server must not start with values that nobody chose.
type BadFilesError struct{ Files []BadFile }

// goOn is how to start although files are bad.
const goOn = "`sluice serve --tolerate-bad-files` starts without it"

// Error has a line for each file: what is wrong where, what is in force without
// it, and how to go on.
func (e *BadFilesError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "not started: files that never were good: %d", len(e.Files))
	for i, f := range e.Files {
		if i == maxLogged {
			fmt.Fprintf(&s, "\n  and %d more: `sluice check` lists them", len(e.Files)-i)
			break
		}
		first := f.Findings[0]
		for _, x := range f.Findings {
			if x.Severity == finding.Error {
				first = x
				break
			}
		}
		fmt.Fprintf(&s, "\n  %s:%d:%d: %s", first.Path, max(first.Line, 1), max(first.Col, 1), first.Text)
		if n := len(f.Findings) - 1; n > 0 {
			fmt.Fprintf(&s, " (and %d more)", n)
		}
		fmt.Fprintf(&s, "; without it %s; correct it, or %s", f.Without, goOn)
	}
	return s.String()
}

// checkRoots refuses roots that are no folders, and missing ones of which
// nothing is kept.
func (e *Engine) checkRoots() error {
	for i, root := range e.set.Roots {
		fi, err := os.Stat(root)
		switch {
		case err == nil && !fi.IsDir():
			return fmt.Errorf("root %s is not a folder: correct --etc", e.named[i])
		case err != nil && !e.lastGood.Has(root):
			return fmt.Errorf("root %s: %w: mount it, or correct --etc", e.named[i], tree.Cause(err))
		}
	}
	return nil
}

// badFiles lists what cannot be used and has no last good contents.
func (e *Engine) badFiles(sn *Snapshot) []BadFile {
	var bad []BadFile
	for i, f := range e.set.Sorted() {
		if f.Have != nil || len(f.Findings) == 0 {
			continue
		}
		fs := make([]finding.Finding, 0, len(f.Findings))
		for _, x := range f.Findings {
			x.Path = sn.tree.files[i]
			fs = append(fs, x)
		}
		bad = append(bad, BadFile{fs, without(sn, f)})
	}
	for _, f := range e.set.Unreadable {
		if e.set.HasLastGood(f) {
			continue
		}
		name := tree.Display(f.Dir)
		if f.Dir == "" {
			name = filepath.ToSlash(e.set.Roots[f.Root])
		}
		for _, x := range e.set.Findings {
			if x.Path == name && x.Severity == finding.Error {
				x.Text = strings.Replace(x.Text, tree.KeepsLastGood, "", 1) // there are none
				bad = append(bad, BadFile{[]finding.Finding{x}, "nothing of what it holds counts, whoever it switches off"})
				break
			}
		}
	}
	return bad
}

// without tells what is in force without a file, as far as its text shows which
// properties it is about.
func without(sn *Snapshot, f *tree.File) string {
	what := map[tree.Kind]string{
		tree.KindProperties: "none of its values counts", tree.KindSets: "its context sets apply to nobody",
		tree.KindMeta: "its locks and values do not count", tree.KindSettings: "none of its settings counts",
	}[f.Kind]
	data, _, err := tree.ReadFile(f.Abs, tree.LimitOf(f.Kind))
	if err != nil {
		return what
	}
	const most = 3 // so that the line stays one
	var named []string
	more := 0
	for _, d := range sn.schema.All() {
		if !mentions(data, d.Name) {
			continue
		}
		if len(named) == most {
			more++
			continue
		}
		x := sn.Explain(Subject{}, d.Name, ExplainOptions{})
		value, from := "not defined", ""
		switch {
		case x.Value != nil && x.Origin != nil:
			value, from = finding.Quote(*x.Value), fmt.Sprintf(" (%s:%d)", x.Origin.File, x.Origin.Line)
		case x.Default != nil:
			value, from = finding.Quote(*x.Default), " (the default)"
		}
		named = append(named, d.Name+" is "+value+from)
	}
	if more > 0 {
		named = append(named, fmt.Sprintf("and %d more properties are what they are elsewhere", more))
	}
	if len(named) == 0 {
		return what
	}
	return what + ": " + strings.Join(named, ", ")
}

// mentions finds a name that is not part of a longer one.
func mentions(data []byte, name string) bool {
	for rest := data; ; {
		i := bytes.Index(rest, []byte(name))
		if i < 0 {
			return false
		}
		end := i + len(name)
		if (i == 0 || !isNameByte(rest[i-1])) && (end == len(rest) || !isNameByte(rest[end])) {
			return true
		}
		rest = rest[end:]
	}
}

func isNameByte(c byte) bool {
	return c == '.' || c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
