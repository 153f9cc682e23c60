package cascade

import (
	"maps"
	"slices"
)

// nameTable gives property names small numbers, which overrides, files and
// handles share. It is immutable: with returns another table. Declared
// properties come first and keep their numbers for the life of the engine.
type nameTable struct {
	base  map[string]uint32 // shared by many tables
	extra map[string]uint32 // what came since base was made; small
	list  []string
}

// mergeAt is the size of extra above which it is merged into a new base: a
// copy of extra costs less than a write notices, one of base does not.
const mergeAt = 4096

// newNameTable numbers the declared properties in their order.
func newNameTable(declared []string) *nameTable {
	t := &nameTable{base: make(map[string]uint32, len(declared)), list: slices.Clone(declared)}
	for i, name := range declared {
		t.base[name] = uint32(i)
	}
	return t
}

func (t *nameTable) id(name string) (uint32, bool) {
	if id, ok := t.base[name]; ok {
		return id, true
	}
	id, ok := t.extra[name]
	return id, ok
}

// nameEditor adds names to a table; the caller holds the engine's write lock.
type nameEditor struct {
	from  *nameTable
	fresh map[string]uint32
	list  []string
}

func (t *nameTable) edit() *nameEditor {
	return &nameEditor{from: t, fresh: map[string]uint32{}, list: t.list}
}

// fork is an edit that leads nowhere: its names are its own, so it needs no
// lock.
func (t *nameTable) fork() *nameEditor {
	return &nameEditor{from: t, fresh: map[string]uint32{}, list: slices.Clip(t.list)}
}

func (e *nameEditor) add(name string) uint32 {
	if id, ok := e.from.id(name); ok {
		return id
	}
	if id, ok := e.fresh[name]; ok {
		return id
	}
	id := uint32(len(e.list))
	e.fresh[name] = id
	// Appending past the length that older tables see leaves them as they are.
	e.list = append(e.list, name)
	return id
}

func (e *nameEditor) table() *nameTable {
	if len(e.fresh) == 0 {
		return e.from
	}
	t := &nameTable{base: e.from.base, list: e.list}
	if len(e.from.extra)+len(e.fresh) > mergeAt {
		t.base = make(map[string]uint32, len(e.list))
		maps.Copy(t.base, e.from.base)
		maps.Copy(t.base, e.from.extra)
		maps.Copy(t.base, e.fresh)
		return t
	}
	t.extra = make(map[string]uint32, len(e.from.extra)+len(e.fresh))
	maps.Copy(t.extra, e.from.extra)
	maps.Copy(t.extra, e.fresh)
	return t
}
