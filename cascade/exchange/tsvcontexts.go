package exchange

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

// maxContexts bounds what is kept until the end, some 200 bytes each. It is far
// more than one platform has.
const maxContexts = 4 << 20

// shownContexts is how many ids a finding names: enough to look one up.
const shownContexts = 5

// tsvContext is what the rows so far say of a context.
type tsvContext struct {
	name    string
	types   string // as stored
	tags    []string
	path    string // of the first row with types
	line    int
	enabled bool
	listed  bool // a row of the table context was there
	tagged  bool
}

// contexts are kept until the end.
type contexts struct {
	known  map[uint32]*tsvContext
	users  map[uint32]struct{} // contexts in which users were seen
	last   uint32              // the last of them
	listed bool                // any row of the table context was there
	full   bool
}

func (c *contexts) hasUsers(id uint32) {
	if id == c.last {
		return
	}
	c.last = id
	if c.users == nil {
		c.users = map[uint32]struct{}{}
	}
	if len(c.users) < maxContexts {
		c.users[id] = struct{}{}
	}
}

// contextRow takes what a row says of a context and of one of its attributes.
func (t *tsvReader) contextRow(id uint32) error {
	c := t.contexts.known[id]
	if c == nil {
		if len(t.contexts.known) >= maxContexts {
			if !t.contexts.full {
				t.errorf(0, codeTooMany, "there are more than %d contexts; import one database at a time", maxContexts)
			}
			t.contexts.full = true
			return nil
		}
		c = &tsvContext{}
	}
	if t.header.has(colEnabled) && !t.listContext(id, c) {
		return nil
	}
	if t.contexts.known == nil {
		t.contexts.known = map[uint32]*tsvContext{}
	}
	t.contexts.known[id] = c
	name, value, found := t.attribute()
	if !found {
		return nil
	}
	if name != typesName {
		return t.config(cascade.Subject{Context: id}, name, value, contextValue)
	}
	if c.tagged {
		if c.types != value {
			t.errorf(t.at(colValue), codeContradiction, "context %d has other types in %s:%d; remove one of the two rows", id, c.path, c.line)
		}
		return nil
	}
	c.tagged, c.types, c.path, c.line = true, value, t.path, t.lines.n
	c.tags = t.tagsOf(value)
	return nil
}

// listContext takes name and enabled, which every row of the context repeats.
func (t *tsvReader) listContext(id uint32, c *tsvContext) bool {
	name, isNull, ok := t.field(colContextName)
	if !ok {
		return false
	}
	if isNull {
		t.warnf(t.at(colContextName), codeNull, "the name of context %d is read as the text NULL", id)
		name = null
	}
	if su := (cascade.Subject{Context: id}); strings.ContainsFunc(name, unicode.IsControl) {
		if !c.listed { // once for all its rows
			t.errorf(t.at(colContextName), codeBadName, "the name %s of %s has control characters, and is left out: correct it", finding.Quote(name), su)
		}
		name = ""
	} else if !c.listed {
		t.lost(colContextName, "name", su, name)
	}
	enabled, ok := t.enabled()
	if !ok {
		return false
	}
	if c.listed {
		if c.name != name || c.enabled != enabled {
			t.errorf(t.at(colContextName), codeContradiction, "context %d has another name, or another enabled, in an earlier row; make the files again, at one time", id)
			c.enabled = c.enabled && enabled // whoever was switched off stays so
		}
		return true
	}
	if err := t.context(cascade.Context{ID: id, Name: name}); err != nil {
		t.errorf(t.at(colContextName), codeBadEntry, "%s; the row is skipped", err)
		return false
	}
	c.name, c.enabled, c.listed = name, enabled, true
	t.contexts.listed = true
	return true
}

// handContexts hands over the contexts that rows list, and reports those of
// which something is known that cannot stand without it.
func (t *tsvReader) handContexts() error {
	for _, id := range slices.Sorted(maps.Keys(t.contexts.known)) {
		c := t.contexts.known[id]
		ctx := cascade.Context{ID: id, Name: c.name, Enabled: c.enabled, Tags: c.tags}
		if !c.listed {
			if c.tagged {
				t.add(finding.Finding{
					Path: c.path, Line: c.line, Severity: finding.Error, Code: codeUnknownContext,
					Text: fmt.Sprintf("context %d has types, and no row of the table context tells whether it is enabled, so the types are not taken over; import the file of the contexts along with this one", id),
				})
			}
			continue
		}
		if err := t.context(ctx); err != nil {
			t.add(finding.Finding{Path: c.path, Line: c.line, Severity: finding.Error, Code: codeBadEntry, Text: err.Error() + "; the context is left out"})
			continue
		}
		if err := t.sink.Context(ctx); err != nil {
			return fmt.Errorf("context %d: %w", id, err)
		}
	}
	t.reportUnlisted()
	return nil
}

// reportUnlisted finds a list of contexts that is not whole: the engine leaves
// a context open that it does not know.
func (t *tsvReader) reportUnlisted() {
	if !t.contexts.listed {
		return
	}
	var ids []uint32
	for id := range t.contexts.users {
		if c := t.contexts.known[id]; c == nil || !c.listed {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	var shown []string
	for _, id := range ids[:min(len(ids), shownContexts)] {
		shown = append(shown, fmt.Sprint(id))
	}
	more := ""
	if len(ids) > shownContexts {
		more = fmt.Sprintf(" and %d more", len(ids)-shownContexts)
	}
	t.add(finding.Finding{
		Path: t.path, Severity: finding.Error, Code: codeUnknownContext,
		Text: fmt.Sprintf("users are in the contexts %s%s, and no row of the table context lists these: they would be open, without tags; make the file of the contexts again, or remove the rows of users whose context is gone",
			strings.Join(shown, ", "), more),
	})
}
