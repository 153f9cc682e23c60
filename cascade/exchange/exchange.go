// Package exchange reads and writes a directory in the forms in which it
// travels: the directory file (YAML), and the tab-separated output of the
// SELECTs of docs/moving.md on the databases of the existing system.
//
// Both readers hand over entry by entry and report what is wrong with a place.
// Whoever writes the entries anywhere must look at the findings first: whom a
// directory does not name is not restricted, so an entry that is missing may
// switch somebody on who was switched off.
package exchange

import (
	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// Sink takes a directory entry by entry. An error ends the reading, and is what
// the reader returns. An Override does not make its context or user known.
type Sink = cascade.DirectorySink

// ReadYAML hands a directory file over: a context, its overrides, then each of
// its users with the user's, in the order of the file. The file is read as a
// whole, as it is by `--directory`.
func ReadYAML(name string, data []byte, schema *cascade.Schema, sink Sink) ([]finding.Finding, error) {
	contexts, fs, ok := yamlfile.ParseDirectory(name, data)
	if !ok {
		return fs, nil
	}
	more, err := cascade.WalkDirectory(name, contexts, schema, sink)
	fs = append(fs, more...)
	finding.Sort(fs)
	return fs, err
}

// bounds checks entries against the limits of the engine, one at a time.
type bounds struct{ one cascade.Batch }

func (b *bounds) context(c cascade.Context) error {
	b.one = cascade.Batch{Contexts: append(b.one.Contexts[:0], c)}
	return b.one.Check()
}

func (b *bounds) user(u cascade.User) error {
	b.one = cascade.Batch{Users: append(b.one.Users[:0], u)}
	return b.one.Check()
}

func (b *bounds) override(o cascade.Override) error {
	b.one = cascade.Batch{Overrides: append(b.one.Overrides[:0], o)}
	return b.one.Check()
}
