package tagexpr

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
// of its own (spec/cascade.md section 5.6).
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
