package cascade

import "slices"

// serverVal is a property's value in the server scope. file 0 is undefined,
// else 1 + the index into tree.files.
type serverVal struct {
	text string
	file uint32
	line uint32
	bits uint32
}

// pageSize is how many values a page has: 8 KiB, which a reload copies for each
// part of the tree that it changes.
const pageSize = 256

type serverPage [pageSize]serverVal

// serverTable has the values of the server scope by number of the property. Two
// loads share the pages in which nothing changed, so nobody changes one.
type serverTable struct {
	pages []*serverPage // nil: nothing in it is defined
	used  int           // values that are defined
}

// at is a value, or nil where it is not defined.
func (t *serverTable) at(p uint32) *serverVal {
	if int(p/pageSize) >= len(t.pages) || t.pages[p/pageSize] == nil {
		return nil
	}
	if v := &t.pages[p/pageSize][p%pageSize]; v.file != 0 {
		return v
	}
	return nil
}

// text is what the server scope says of a property, if it does.
func (t *serverTable) text(p uint32) (string, bool) {
	if v := t.at(p); v != nil {
		return v.text, true
	}
	return "", false
}

// each calls f for each property that is defined.
func (t *serverTable) each(f func(p uint32)) {
	for i, page := range t.pages {
		if page == nil {
			continue
		}
		for j := range page {
			if page[j].file != 0 {
				f(uint32(i*pageSize + j))
			}
		}
	}
}

// serverEdit makes a table from another one, whose pages it copies before it
// changes them.
type serverEdit struct {
	serverTable
	own []bool // of pages: they are copies
}

func (t *serverTable) edit() serverEdit {
	return serverEdit{serverTable{slices.Clone(t.pages), t.used}, make([]bool, len(t.pages))}
}

// set defines a property, or with a zero value ends that it is defined.
func (e *serverEdit) set(p uint32, v serverVal) {
	i := int(p / pageSize)
	for i >= len(e.pages) {
		e.pages, e.own = append(e.pages, nil), append(e.own, false)
	}
	if !e.own[i] {
		page := &serverPage{}
		if e.pages[i] != nil {
			*page = *e.pages[i]
		}
		e.pages[i], e.own[i] = page, true
	}
	at := &e.pages[i][p%pageSize]
	if at.file != 0 {
		e.used--
	}
	if v.file != 0 {
		e.used++
	}
	*at = v
}
