// Package tagexpr reads and evaluates the tag expressions that choose context
// sets: tags joined by `!`, `&`, `|` and brackets.
//
// The system whose files are read here has no precedence of & over |. An
// expression that the two readings understand differently keeps its old
// meaning and says so (Ambiguity); no expression changes its meaning silently.
package tagexpr

import (
	"slices"
	"strings"
)

type op uint8

const (
	opTag op = iota
	opNot
	opAnd
	opOr
)

// node is one node of a reading. Chains of the same operator are one node, so
// that two trees that differ in association only are equal.
type node struct {
	op   op
	tag  string
	kids []*node // one for opNot; two or more for opAnd and opOr, none of the same op
}

// Expr is a parsed expression, immutable. Match, Because, String and Compile
// all follow the reading that counts: the standard one, or the existing
// system's where Ambiguity is not nil.
type Expr struct {
	tree      *node // the reading that counts
	ambiguity *Ambiguity
}

func newExpr(both operand) *Expr {
	if a := compare(both.standard, both.existing); a != nil {
		return &Expr{tree: both.existing, ambiguity: a}
	}
	return &Expr{tree: both.standard}
}

// Effective is the reading that counts, without the ambiguity.
func (e *Expr) Effective() *Expr {
	if e.ambiguity == nil {
		return e
	}
	return &Expr{tree: e.tree}
}

// Tags lists the distinct tags, sorted bytewise.
func (e *Expr) Tags() []string {
	tags := e.tree.tags(nil)
	slices.Sort(tags)
	return slices.Compact(tags)
}

// Match evaluates the reading that counts. has must give the same answer for
// the same tag for the whole call.
func (e *Expr) Match(has func(tag string) bool) bool { return e.tree.match(has) }

// String is the canonical form of the reading that counts: one blank around
// operators, brackets wherever & and | meet. Parsing it gives the same reading.
func (e *Expr) String() string {
	var b strings.Builder
	e.tree.write(&b)
	return b.String()
}

func (n *node) tags(to []string) []string {
	if n.op == opTag {
		return append(to, n.tag)
	}
	for _, k := range n.kids {
		to = k.tags(to)
	}
	return to
}

func (n *node) match(has func(string) bool) bool {
	switch n.op {
	case opTag:
		return has(n.tag)
	case opNot:
		return !n.kids[0].match(has)
	case opAnd:
		for _, k := range n.kids {
			if !k.match(has) {
				return false
			}
		}
		return true
	default:
		for _, k := range n.kids {
			if k.match(has) {
				return true
			}
		}
		return false
	}
}

func (n *node) write(b *strings.Builder) {
	switch n.op {
	case opTag:
		b.WriteString(n.tag)
	case opNot:
		b.WriteByte('!')
		n.kids[0].writeInner(b)
	default:
		sep := " & "
		if n.op == opOr {
			sep = " | "
		}
		for i, k := range n.kids {
			if i > 0 {
				b.WriteString(sep)
			}
			if k.op == opNot {
				k.write(b)
			} else {
				k.writeInner(b)
			}
		}
	}
}

func (n *node) writeInner(b *strings.Builder) {
	if n.op == opTag {
		b.WriteString(n.tag)
		return
	}
	b.WriteByte('(')
	n.write(b)
	b.WriteByte(')')
}

// Negated lists the distinct tags that stand under an odd number of `!`,
// sorted: setting one of them may make the expression false.
func (e *Expr) Negated() []string {
	tags := e.tree.negated(false, nil)
	slices.Sort(tags)
	return slices.Compact(tags)
}

func (n *node) negated(under bool, to []string) []string {
	if n.op == opTag && under {
		return append(to, n.tag)
	}
	for _, k := range n.kids {
		to = k.negated(under != (n.op == opNot), to)
	}
	return to
}
