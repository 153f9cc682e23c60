package cascade

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// Source is where the directory and the overrides of an engine come from. An
// engine without one starts empty and is filled through Apply.
type Source interface {
	// Load reads the source again. It is called at every reload, one call at a
	// time; with force no hold applies.
	Load(schema *Schema, force bool) SourceLoad
	// Paths are the files whose change is to lead to a reload.
	Paths() []string
}

// SourceLoad is what a source had to say.
type SourceLoad struct {
	Base     *Batch // the last contents without errors, from before the start: Batch goes on top
	Batch    *Batch // the contents; nil where they did not change
	Partial  bool   // some entries were wrong and are missing from Batch
	Revision string
	Report   FileReport
	slips    map[Key]slip  // overrides that do not fit, at most maxSlips; with Batch
	Changed  bool          // the contents or the report changed
	Again    time.Duration // when to look again at what has not settled; 0: no need
}

// DirectoryFile is the source that reads the YAML directory file of
// docs/reference/cascade.md#directory-file. It is read-only, and handled like a
// file of the tree: what does not parse leaves the last good contents in force.
type DirectoryFile struct {
	path string
	set  *tree.Set
	file *tree.File
	sent tree.Digest // contents that were handed over
	any  bool
	more []finding.Finding // about entries, from handing over
	base *tree.Contents    // the last ones without errors, until they are handed over
}

// NewDirectoryFile names the file; Load reads it.
func NewDirectoryFile(path string) *DirectoryFile {
	// What is kept for the next start is found under the whole path.
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	return &DirectoryFile{
		path: abs, set: tree.NewSet(nil),
		file: &tree.File{Rel: filepath.ToSlash(path), Abs: abs, Kind: tree.KindDirectory},
	}
}

// Paths is the file.
func (d *DirectoryFile) Paths() []string { return []string{d.path} }

// restoreFrom takes up the last good contents of the file, and returns what it is to
// keep from now on.
func (d *DirectoryFile) restoreFrom(k *tree.LastGood) *tree.File {
	k.RestoreFile(d.set, d.file)
	d.base = k.Clean(d.set, d.file)
	return d.file
}

// setHold is told the hold of the trees, which holds here too.
func (d *DirectoryFile) setHold(hold time.Duration) { d.set.ShrinkHold = hold }

// Load reads the file.
func (d *DirectoryFile) Load(schema *Schema, force bool) SourceLoad {
	l := SourceLoad{}
	d.file.Links = tree.Hops(d.path)
	l.Changed, l.Again = d.set.Look(d.file, nil, force)
	if d.file.Have != nil && (!d.any || d.sent != d.file.Digest) {
		l.Batch, d.more, l.slips = directoryBatch(d.file.Rel, d.file.Have.Directory, schema)
		bad := finding.HasErrors(d.more) || finding.HasErrors(d.file.Findings)
		if bad && d.base != nil {
			l.Base, _, _ = directoryBatch(d.file.Rel, d.base.Directory, schema)
		}
		l.Partial, d.base = bad && (d.any || l.Base != nil), nil
		d.sent, d.any, l.Changed = d.file.Digest, true, true
		d.file.Have.Directory = nil // a million users need not stay twice
	}
	l.Report = FileReport{Path: d.file.Rel, Status: d.file.Status, Errors: slices.Concat(d.file.Findings, d.more)}
	if d.any {
		l.Report.Digest, l.Revision = d.sent.String(), d.sent.String()[:12]
	}
	return l
}

// DirectorySink takes a directory entry by entry. An error ends the walk, and
// is what the walk returns.
type DirectorySink interface {
	Context(Context) error
	User(User) error
	Override(Override) error
}

// batchSink collects a directory.
type batchSink struct{ Batch }

func (b *batchSink) Context(c Context) error {
	b.Contexts = append(b.Contexts, c)
	return nil
}

func (b *batchSink) User(u User) error {
	b.Users = append(b.Users, u)
	return nil
}

func (b *batchSink) Override(o Override) error {
	b.Overrides = append(b.Overrides, o)
	return nil
}

// maxSlips bounds the overrides whose mistakes explanations tell: the findings of
// the file have them all.
const maxSlips = 10_000

// slip is an override of the directory file that does not fit its declaration.
type slip struct {
	at  finding.Finding // its place, and the finding
	why string
}

// directoryBatch turns a directory file into the engine's own terms.
func directoryBatch(path string, contexts []yamlfile.Context, schema *Schema) (*Batch, []finding.Finding, map[Key]slip) {
	b := &batchSink{}
	w := &directoryWalk{path: path, schema: schema, sink: b, slips: map[Key]slip{}}
	_ = w.contexts(contexts) // this sink never fails
	return &b.Batch, w.fs, w.slips
}

// directoryWalk is one pass over a directory file.
type directoryWalk struct {
	path   string
	schema *Schema
	sink   DirectorySink
	fs     []finding.Finding
	slips  map[Key]slip // nil: they are not wanted
}

// WalkDirectory hands a directory file over in the engine's own terms: a
// context, its overrides, then each of its users with the user's. An entry that
// is out of bounds, or does not fit its declaration, is reported.
func WalkDirectory(path string, contexts []yamlfile.Context, schema *Schema, sink DirectorySink) ([]finding.Finding, error) {
	w := &directoryWalk{path: path, schema: schema, sink: sink}
	err := w.contexts(contexts)
	return w.fs, err
}

func (w *directoryWalk) contexts(list []yamlfile.Context) error {
	for i := range list {
		if err := w.context(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *directoryWalk) bad(line, col int, code string, err error) {
	w.fs = append(w.fs, finding.Finding{Path: w.path, Line: line, Col: col, Severity: finding.Error, Code: code, Text: err.Error()})
}

func (w *directoryWalk) context(c *yamlfile.Context) error {
	id := uint32(c.ID)
	ctx := Context{ID: id, Name: c.Name, Logins: c.Logins, Enabled: c.Enabled, Tags: c.Tags}
	if err := ctx.Check(); err != nil {
		w.bad(c.Line, 0, "bad-entry", err)
		return nil
	}
	if !c.Unknown {
		if err := w.sink.Context(ctx); err != nil {
			return err
		}
	}
	if err := w.overrides(Subject{Context: id}, c.Config); err != nil {
		return err
	}
	for _, u := range c.Users {
		user := User{
			Context: id, ID: uint32(u.ID), Enabled: u.Enabled, Permissions: u.Permissions,
			Login: u.Login, Mails: u.Mails, DisplayName: u.DisplayName,
		}
		if err := user.Check(); err != nil {
			w.bad(u.Line, 0, "bad-entry", err)
			continue
		}
		if !u.Unknown {
			if err := w.sink.User(user); err != nil {
				return err
			}
		}
		if err := w.overrides(Subject{Context: id, User: user.ID}, u.Config); err != nil {
			return err
		}
	}
	return nil
}

func (w *directoryWalk) overrides(su Subject, config []yamlfile.Override) error {
	for _, y := range config {
		o := Override{
			Key: Key{Subject: su, Property: y.Property}, Value: y.Value, Final: y.Final, Protected: y.Protected,
			Reason: y.Reason, Actor: y.Actor, Time: y.Time, Expires: y.Expires,
		}
		if o.Final != "" && !slices.Contains(tables.ScopeOrder, o.Final) {
			w.bad(y.Line, y.Col, "unknown-final", fmt.Errorf("%s: %w", o.Property, CheckFinal(o.Final)))
			o.Final = ""
		}
		if err := o.Check(); err != nil {
			w.bad(y.Line, y.Col, "bad-entry", err)
			continue
		}
		if err := w.schema.CheckValue(o.Property, o.Value); err != nil {
			o.Unfit = true
			w.bad(y.Line, y.Col, "bad-value", fmt.Errorf("%w; its last good value applies where there is one", err))
			if w.slips != nil && len(w.slips) < maxSlips {
				w.slips[o.Key] = slip{w.fs[len(w.fs)-1], strings.TrimPrefix(err.Error(), o.Property+": ")}
			}
		}
		if err := w.sink.Override(o); err != nil {
			return err
		}
	}
	return nil
}

// CheckFinal refuses a lock that names no scope; such a lock is ignored.
func CheckFinal(scope string) error {
	if slices.Contains(tables.ScopeOrder, scope) {
		return nil
	}
	return fmt.Errorf("final names %s, which is no scope (%s)%s: the lock is ignored",
		finding.Quote(scope), strings.Join(tables.ScopeOrder, ", "), didYouMean(scope, tables.ScopeOrder))
}

// CheckValue refuses a value that does not fit the declaration of its
// property; a property that is not declared takes any text. The error names
// the property, and does not repeat a secret.
func (s *Schema) CheckValue(name, value string) error {
	d := s.Lookup(name)
	if d == nil {
		return nil
	}
	if _, err := d.Parse(value); err != nil {
		if s.Masks(name, value) {
			return fmt.Errorf("%s: the value is no %s", name, d.Kind)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
