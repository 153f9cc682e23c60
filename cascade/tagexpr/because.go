package tagexpr

import (
	"fmt"
	"strings"
)

// maxNamed is the number of tags that a sentence names on each side.
const maxNamed = 5

// reason is a smallest set of tags that decides the outcome, in the order in
// which the expression names them.
type reason struct{ set, unset []string }

func (r reason) size() int { return len(r.set) + len(r.unset) }

// Because says in one short sentence why the expression matches or not, by
// naming tags that decide it: `webmail is set and beta is not`, `neither de
// nor fr is set`. The same expression and tags give the same sentence. has
// must give the same answer for the same tag for the whole call.
func (e *Expr) Because(has func(tag string) bool) string {
	_, r := e.tree.reason(has)
	switch {
	case len(r.unset) == 0:
		return are(r.set) + " set"
	case len(r.set) == 0:
		return neither(r.unset) + " set"
	}
	return are(r.set) + " set and " + neither(r.unset)
}

func (n *node) reason(has func(string) bool) (bool, reason) {
	switch n.op {
	case opTag:
		if has(n.tag) {
			return true, reason{set: []string{n.tag}}
		}
		return false, reason{unset: []string{n.tag}}
	case opNot:
		v, r := n.kids[0].reason(has)
		return !v, r
	}
	// A kid of the deciding value (false for &, true for |) settles the node
	// alone; without one, all kids together do.
	decides := n.op == opOr
	var best, all reason
	found := false
	for _, k := range n.kids {
		v, r := k.reason(has)
		if v == decides && (!found || r.size() < best.size()) {
			best, found = r, true
		}
		all.add(r)
	}
	if found {
		return decides, best
	}
	return !decides, all
}

func (r *reason) add(o reason) {
	r.set = appendNew(r.set, o.set)
	r.unset = appendNew(r.unset, o.unset)
}

func appendNew(to, more []string) []string {
	for _, t := range more {
		known := false
		for _, k := range to {
			known = known || k == t
		}
		if !known {
			to = append(to, t)
		}
	}
	return to
}

func are(tags []string) string {
	if len(tags) == 1 {
		return Show(tags[0]) + " is"
	}
	return list(tags, "and") + " are"
}

func neither(tags []string) string {
	switch len(tags) {
	case 1:
		return Show(tags[0]) + " is not"
	case 2:
		return "neither " + Show(tags[0]) + " nor " + Show(tags[1]) + " is"
	}
	return "none of " + list(tags, "and") + " is"
}

func list(tags []string, word string) string {
	var b strings.Builder
	for i, t := range tags {
		switch {
		case i == maxNamed:
			fmt.Fprintf(&b, " %s %d more", word, len(tags)-maxNamed)
			return b.String()
		case i == 0:
		case i == len(tags)-1:
			b.WriteString(" " + word + " ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(Show(t))
	}
	return b.String()
}
