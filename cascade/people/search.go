package people

import (
	"slices"
	"strings"
)

// Hit is a subject that a search found.
type Hit struct {
	Subject
	Names
}

// Position is where a page ended: the key that its last hit was found by.
type Position struct {
	Text string // folded
	Subject
}

// Search returns up to limit subjects of which a login, an address, or a name
// from any of its words on begins with text, by the text that matched. users
// says whether users or contexts are wanted. after is the end of the page
// before, nil for the first; next is that of this one, nil where nothing
// follows. It does not wait for many names to be sorted, as Ready does: sorting
// says that there are such, and that this page may lack some.
func (x *Index) Search(text string, users bool, after *Position, limit int) (hits []Hit, next *Position, sorting bool) {
	text = Fold(strings.TrimSpace(text))
	var last Position
	x.read(func() {
		sorting = len(x.pending)+len(x.sorting) > 0
		x.walk(text, after, func(k key, matched string) bool {
			s := &x.slots[k.slot()]
			if (s.who.User != 0) != users || !x.first(k, text) {
				return true
			}
			if len(hits) == limit {
				next = &last
				return false
			}
			hits, last = append(hits, Hit{s.who, unpack(s.text)}), Position{matched, s.who}
			return true
		})
	})
	return hits, next, sorting
}

// Exact returns up to limit subjects that have text as a login, a login mapping,
// an address, or as the name of a context. It finds those, too, whose names are
// not sorted yet, one by one, which is slow where those are many.
func (x *Index) Exact(text string, users bool, limit int) (hits []Hit) {
	text = Fold(strings.TrimSpace(text))
	add := func(k key) {
		s := &x.slots[k.slot()]
		if (s.who.User != 0) == users && x.names(k, users) && !slices.ContainsFunc(hits, func(h Hit) bool { return h.Subject == s.who }) {
			hits = append(hits, Hit{s.who, unpack(s.text)})
		}
	}
	x.read(func() {
		x.walk(text, nil, func(k key, matched string) bool {
			if matched != text {
				return false // what follows is longer
			}
			add(k)
			return len(hits) < limit
		})
		sorted := len(hits)
		for _, list := range [][]key{x.sorting, x.pending} {
			for _, k := range list {
				if x.live(k.slot()) && x.slots.text(k) == text {
					add(k)
				}
			}
		}
		if len(hits) > sorted {
			slices.SortFunc(hits, func(a, b Hit) int { return compareSubjects(a.Subject, b.Subject) })
			hits = hits[:min(len(hits), limit)]
		}
	})
	return hits
}

// Of returns the names of a subject.
func (x *Index) Of(su Subject) (n Names) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if i, ok := x.at[su]; ok {
		n = unpack(x.slots[i].text)
	}
	return n
}

// read runs f over an index of which all keys are sorted but those of many writes.
func (x *Index) read(f func()) {
	x.mu.RLock()
	if !x.few() {
		defer x.mu.RUnlock()
		f()
		return
	}
	x.mu.RUnlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.few() {
		x.fresh, x.pending = x.slots.merge(x.fresh, x.slots.sort(x.pending)), nil
	}
	f()
}

// walk calls f in order with the keys whose text begins with text, from behind
// a position on, until it returns false. Subjects that were replaced are left
// out.
func (x *Index) walk(text string, after *Position, f func(k key, matched string) bool) {
	from := func(list []key) []key {
		n, _ := slices.BinarySearchFunc(list, 0, func(k key, _ int) int {
			if after == nil {
				return x.slots.against(k, text, Subject{})
			}
			if x.slots.against(k, after.Text, after.Subject) <= 0 {
				return -1
			}
			return 1
		})
		return list[n:]
	}
	for a, b := from(x.base), from(x.fresh); len(a) > 0 || len(b) > 0; {
		var k key
		if len(b) == 0 || len(a) > 0 && x.slots.compare(a[0], b[0]) <= 0 {
			k, a = a[0], a[1:]
		} else {
			k, b = b[0], b[1:]
		}
		matched := x.slots.text(k)
		if !strings.HasPrefix(matched, text) {
			return
		}
		if x.live(k.slot()) && !f(k, matched) {
			return
		}
	}
}

// first reports whether no key of the same subject that comes earlier begins
// with text: a subject is found once.
func (x *Index) first(k key, text string) bool {
	mine, first := x.slots.text(k), true
	s := x.slots[k.slot()].text
	each(s, func(p packed) bool {
		p.starts(func(off int) {
			other := s[off : p.off+len(p.folded)]
			if strings.HasPrefix(other, text) && (other < mine || other == mine && off < int(k.off())) {
				first = false
			}
		})
		return first
	})
	return first
}

// names reports whether a key is the whole of a field that names its subject:
// the display name of a user is none.
func (x *Index) names(k key, users bool) (yes bool) {
	each(x.slots[k.slot()].text, func(p packed) bool {
		if p.off == int(k.off()) {
			yes = p.kind != kindName || !users
			return false
		}
		return true
	})
	return yes
}
