package tables

import (
	"maps"
	"slices"
)

// Names gives property names small numbers, which overrides, files and
// handles share. It is immutable: with returns another table. Declared
// properties come first and keep their numbers for the life of the engine.
type Names struct {
	base  map[string]uint32 // shared by many tables
	extra map[string]uint32 // what came since base was made; small
	List  []string
}

// mergeAt is the size of extra above which it is merged into a new base: a
// copy of extra costs less than a write notices, one of base does not.
const mergeAt = 4096

// NewNames numbers the declared properties in their order.
func NewNames(declared []string) *Names {
	t := &Names{base: make(map[string]uint32, len(declared)), List: slices.Clone(declared)}
	for i, name := range declared {
		t.base[name] = uint32(i)
	}
	return t
}

// ID is the number of a name.
func (t *Names) ID(name string) (uint32, bool) {
	if id, ok := t.base[name]; ok {
		return id, true
	}
	id, ok := t.extra[name]
	return id, ok
}

// NameEdit adds names to a table; the caller holds the engine's write lock.
type NameEdit struct {
	From  *Names
	fresh map[string]uint32
	List  []string
}

// Edit begins a table with more names. One at a time: numbers follow each other.
func (t *Names) Edit() *NameEdit {
	return &NameEdit{From: t, fresh: map[string]uint32{}, List: t.List}
}

// Fork is an edit that leads nowhere: its names are its own, so it needs no
// lock.
func (t *Names) Fork() *NameEdit {
	return &NameEdit{From: t, fresh: map[string]uint32{}, List: slices.Clip(t.List)}
}

// Add returns the number of a name, a new one where it has none.
func (e *NameEdit) Add(name string) uint32 {
	if id, ok := e.From.ID(name); ok {
		return id
	}
	if id, ok := e.fresh[name]; ok {
		return id
	}
	id := uint32(len(e.List))
	e.fresh[name] = id
	// Appending past the length that older tables see leaves them as they are.
	e.List = append(e.List, name)
	return id
}

// Table is the table with the names that were added.
func (e *NameEdit) Table() *Names {
	if len(e.fresh) == 0 {
		return e.From
	}
	t := &Names{base: e.From.base, List: e.List}
	if len(e.From.extra)+len(e.fresh) > mergeAt {
		t.base = make(map[string]uint32, len(e.List))
		maps.Copy(t.base, e.From.base)
		maps.Copy(t.base, e.From.extra)
		maps.Copy(t.base, e.fresh)
		return t
	}
	t.extra = make(map[string]uint32, len(e.From.extra)+len(e.fresh))
	maps.Copy(t.extra, e.From.extra)
	maps.Copy(t.extra, e.fresh)
	return t
}
