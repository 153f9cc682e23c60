package cascade

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/propfile"
	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// Edit is a change of one .properties file that has been checked.
type Edit struct {
	File    string // as findings name it
	Path    string // on disk; links are followed
	Before  []byte // nil: the file is new
	After   []byte
	Removed int // occurrences that an unset removed
	mode    fs.FileMode
	owner   func(path string) error
}

// secretMode is the mode of a new file for a secret: not for everybody.
const secretMode = 0o640

// NotHereError is returned by an unset of a property that no file sets.
type NotHereError struct{ Property string }

func (e *NotHereError) Error() string { return e.Property + " is set in no .properties file" }

// RefusedError tells which errors an edit would add.
type RefusedError struct{ Findings []finding.Finding }

func (e *RefusedError) Error() string {
	s := "the edit would add errors, nothing was written:"
	for _, f := range e.Findings {
		s += "\n  " + f.String()
	}
	return s
}

// PlanSet works out how to set a property in the server scope: in the line
// that wins now, or as a new line of file (a path below a root; "" is where
// the declaration says). It refuses only errors that the edit itself adds.
func (e *Engine) PlanSet(name, value, file string) (*Edit, error) {
	if err := checkKey(name); err != nil {
		return nil, err
	}
	if err := e.opt.Schema.CheckValue(name, value); err != nil {
		return nil, err
	}
	e.load.Lock()
	defer e.load.Unlock()
	tf, err := e.winner(name)
	var missing *NotHereError
	switch {
	case errors.As(err, &missing):
		if tf, err = e.fileFor(name, file); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case file != "" && filepath.ToSlash(filepath.Clean(file)) != tf.Rel:
		return nil, fmt.Errorf("%s is set in %s, whose line wins: change it there, or unset it first", name, tf.Rel)
	}
	ed, err := e.plan(tf, func(data []byte) ([]byte, int, error) {
		out, err := propfile.Set(data, name, value)
		return out, 0, err
	})
	if err == nil && ed.Before == nil && e.opt.Schema.Masks(name, value) {
		ed.mode = secretMode
	}
	return ed, err
}

// PlanUnset works out how to remove a property from the file whose line wins.
func (e *Engine) PlanUnset(name string) (*Edit, error) {
	e.load.Lock()
	defer e.load.Unlock()
	tf, err := e.winner(name)
	if err != nil {
		return nil, err
	}
	return e.plan(tf, func(data []byte) ([]byte, int, error) { return propfile.Unset(data, name) })
}

func checkKey(name string) error {
	if tables.Trim(name) != name || name == "" {
		return fmt.Errorf("%q is not a property name: it is empty, or begins or ends with a blank", name)
	}
	if len(name) > MaxNameLen {
		return fmt.Errorf("the property name is longer than %d bytes", MaxNameLen)
	}
	return nil
}

// winner is the .properties file whose line gives the server scope its value.
func (e *Engine) winner(name string) (*tree.File, error) {
	sn := e.Snapshot()
	p, known := sn.names.ID(name)
	v := sn.tree.server.at(p)
	if !known || v == nil {
		return nil, &NotHereError{name}
	}
	tf := e.set.Files[sn.tree.keys[v.file-1]]
	if tf == nil {
		return nil, fmt.Errorf("%s was removed a moment ago: run the command again", sn.tree.files[v.file-1])
	}
	if tf.Kind != tree.KindProperties {
		return nil, fmt.Errorf("%s gets its value from %s:%d, which is no .properties file: change it there", name, sn.tree.files[v.file-1], v.line)
	}
	if tf.Status != FileOK {
		return nil, fmt.Errorf("%s has errors and is served from its last good contents: correct it first", tf.Rel)
	}
	return tf, nil
}

// fileFor is where a key that no file has is added.
func (e *Engine) fileFor(name, file string) (*tree.File, error) {
	if d := e.opt.Schema.Lookup(name); file == "" && d != nil {
		file = d.File
	}
	if file == "" {
		return nil, fmt.Errorf("no file sets %s and no declaration names one: choose a file with --file", name)
	}
	rel := filepath.ToSlash(filepath.Clean(file))
	switch {
	case !filepath.IsLocal(rel) || tree.KindOf(rel) != tree.KindProperties || slices.ContainsFunc(splitPath(rel), tree.Ignored):
		return nil, fmt.Errorf("--file %s: name a .properties file below the root, by its relative path", file)
	}
	// The last root wins, so a new key goes where nothing can hide it.
	for i := len(e.opt.Roots) - 1; i >= 0; i-- {
		if tf := e.set.Files[tree.FileKey(i, rel)]; tf != nil {
			if tf.Status != FileOK {
				return nil, fmt.Errorf("%s has errors: correct it first", rel)
			}
			return tf, nil
		}
	}
	last := len(e.opt.Roots) - 1
	return &tree.File{Root: last, Rel: rel, Abs: filepath.Join(e.opt.Roots[last], filepath.FromSlash(rel)), Kind: tree.KindProperties}, nil
}

func splitPath(rel string) []string {
	var parts []string
	for rel != "." && rel != "" && rel != "/" {
		parts = append(parts, filepath.Base(rel))
		rel = filepath.Dir(rel)
	}
	return parts
}

// plan makes the new contents and checks the tree that they would give.
func (e *Engine) plan(tf *tree.File, change func([]byte) ([]byte, int, error)) (*Edit, error) {
	ed := &Edit{File: tf.Rel, Path: tf.Abs, mode: 0o644, owner: func(string) error { return nil }}
	if target, err := filepath.EvalSymlinks(tf.Abs); err == nil {
		ed.Path = target
	}
	if tf.Have != nil {
		fi, err := os.Stat(ed.Path)
		if err != nil {
			return nil, err
		}
		ed.mode, ed.owner = fi.Mode().Perm(), tree.OwnerOf(fi)
		if ed.Before, _, err = tree.ReadFile(ed.Path, tree.LimitOf(tf.Kind)); err != nil {
			return nil, fmt.Errorf("%s: %w", tf.Rel, err)
		}
	}
	var err error
	if ed.After, ed.Removed, err = change(ed.Before); err != nil {
		return nil, fmt.Errorf("%s: %w", tf.Rel, err)
	}
	c, fs, ok := tree.Parse(tf.Kind, tf.Rel, ed.After)
	if !ok {
		return nil, &RefusedError{fs}
	}
	set := tree.NewSet(e.opt.Roots)
	for k, f := range e.set.Files {
		set.Files[k] = f
	}
	next := *tf
	next.Have, next.Digest, next.Status, next.Findings = c, sha256.Sum256(ed.After), FileOK, c.Findings
	set.Files[tree.FileKey(tf.Root, tf.Rel)] = &next
	sn := e.Snapshot()
	// With the same last good entries: an old error is to read as before.
	after := build(set, e.opt.Schema, sn.names.Fork(), sn.tree.carry, e.opt.Getenv)
	if added := addedErrors(sn.tree.findings, after.findings); len(added) > 0 {
		return nil, &RefusedError{added}
	}
	return ed, nil
}

// addedErrors are the errors that only the second list has. Lines move with an
// edit, so they do not tell two errors apart.
func addedErrors(before, after []finding.Finding) []finding.Finding {
	count := map[finding.Finding]int{}
	key := func(f finding.Finding) finding.Finding {
		f.Line, f.Col = 0, 0
		return f
	}
	for _, f := range before {
		count[key(f)]++
	}
	var added []finding.Finding
	for _, f := range after {
		if f.Severity != finding.Error {
			continue
		}
		if k := key(f); count[k] > 0 {
			count[k]--
			continue
		}
		added = append(added, f)
	}
	return added
}

// Write replaces the file, unless it changed since it was planned.
func (ed *Edit) Write() error {
	now, err := os.ReadFile(ed.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && ed.Before == nil:
		if err := os.MkdirAll(filepath.Dir(ed.Path), 0o755); err != nil {
			return err
		}
	case err != nil:
		return err
	case ed.Before == nil || string(now) != string(ed.Before):
		return fmt.Errorf("%s was changed by somebody else meanwhile: run the command again", ed.Path)
	}
	if err := WriteFile(ed.Path, ed.After, ed.mode); err != nil {
		return err
	}
	return ed.owner(ed.Path)
}
