package tagexpr

import "slices"

func negate(n *node) *node { return &node{op: opNot, kids: []*node{n}} }

func opOf(operator rune) op {
	if operator == '&' {
		return opAnd
	}
	return opOr
}

// join combines two readings and keeps chains of one operator flat.
func join(o op, left, right *node) *node {
	n := &node{op: o}
	for _, side := range []*node{left, right} {
		if side.op == o {
			n.kids = append(n.kids, side.kids...)
		} else {
			n.kids = append(n.kids, side)
		}
	}
	return n
}

// standardReading gives & precedence over |.
func standardReading(operands []operand, operators []rune) *node {
	var sum *node
	product := operands[0].standard
	for i, operator := range operators {
		right := operands[i+1].standard
		if operator == '&' {
			product = join(opAnd, product, right)
			continue
		}
		sum = orJoin(sum, product)
		product = right
	}
	return orJoin(sum, product)
}

func orJoin(sum, product *node) *node {
	if sum == nil {
		return product
	}
	return join(opOr, sum, product)
}

// existingReading folds to the left without precedence, except that a plain
// tag to the right of an operator takes the rest of the chain as an expression
// of its own (docs/reference/cascade.md#tag-expressions).
func existingReading(operands []operand, operators []rune) *node {
	left := operands[0].existing
	for i, operator := range operators {
		if operands[i+1].plainTag {
			return join(opOf(operator), left, existingReading(operands[i+1:], operators[i+1:]))
		}
		left = join(opOf(operator), left, operands[i+1].existing)
	}
	return left
}

// maxTruthTags is the number of distinct tags up to which the two readings are
// compared on every assignment: 2^16 rows cost under a millisecond for an
// expression of usual size, 64 rows at a time.
const maxTruthTags = 16

// Ambiguity holds both readings of an expression that the existing system
// understands differently from standard precedence, each bracketed so that
// both systems read it alike. The one to keep is Existing.
type Ambiguity struct{ Standard, Existing string }

// Ambiguity is nil if both readings mean the same: they are the same tree, or
// agree on every assignment of their tags. With more than 16 distinct tags,
// trees that differ count as ambiguous.
func (e *Expr) Ambiguity() *Ambiguity { return e.ambiguity }

func compare(standard, existing *node) *Ambiguity {
	if equal(standard, existing) || agree(standard, existing) {
		return nil
	}
	return &Ambiguity{Standard: (&Expr{tree: standard}).String(), Existing: (&Expr{tree: existing}).String()}
}

func equal(a, b *node) bool {
	return a.op == b.op && a.tag == b.tag && slices.EqualFunc(a.kids, b.kids, equal)
}

// rowMasks holds, for each of the first six tags, its column in 64 rows of a
// truth table.
var rowMasks = [...]uint64{
	0xaaaaaaaaaaaaaaaa, 0xcccccccccccccccc, 0xf0f0f0f0f0f0f0f0,
	0xff00ff00ff00ff00, 0xffff0000ffff0000, 0xffffffff00000000,
}

func agree(a, b *node) bool {
	tags := (&Expr{tree: a}).Tags()
	if len(tags) > maxTruthTags {
		return false
	}
	columns := make(map[string]int, len(tags))
	for i, t := range tags {
		columns[t] = i
	}
	blocks := 1
	if len(tags) > len(rowMasks) {
		blocks = 1 << (len(tags) - len(rowMasks))
	}
	ra, rb := a.resolve(columns), b.resolve(columns)
	for block := range blocks {
		if ra.rows(block) != rb.rows(block) {
			return false
		}
	}
	return true
}

// column is a node with its tag's column looked up once.
type column struct {
	op    op
	index int
	kids  []column
}

func (n *node) resolve(columns map[string]int) column {
	c := column{op: n.op, index: columns[n.tag]}
	for _, k := range n.kids {
		c.kids = append(c.kids, k.resolve(columns))
	}
	return c
}

// rows evaluates 64 rows of the truth table. With fewer than six tags rows
// repeat, which does no harm.
func (c *column) rows(block int) uint64 {
	switch c.op {
	case opTag:
		if c.index < len(rowMasks) {
			return rowMasks[c.index]
		}
		if block>>(c.index-len(rowMasks))&1 == 1 {
			return ^uint64(0)
		}
		return 0
	case opNot:
		return ^c.kids[0].rows(block)
	case opAnd:
		r := ^uint64(0)
		for i := range c.kids {
			r &= c.kids[i].rows(block)
		}
		return r
	default:
		var r uint64
		for i := range c.kids {
			r |= c.kids[i].rows(block)
		}
		return r
	}
}
