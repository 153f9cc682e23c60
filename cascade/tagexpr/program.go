package tagexpr

// Targets of a jump that end a program.
const (
	accept int32 = -1
	reject int32 = -2
)

// step tests one bit and jumps, so that no stack is needed.
type step struct {
	bit     int32 // < 0: a tag that nobody carries
	yes, no int32 // index of the next step, accept or reject
}

// Program is a compiled expression. It is immutable and safe for concurrent
// use; the zero Program matches nothing.
type Program struct {
	steps []step // in reverse: the first one to run is the last
}

// Compile translates the reading that counts. bit numbers the tags from 0; a
// negative number means that no subject can carry the tag.
func (e *Expr) Compile(bit func(tag string) int) Program {
	var p Program
	e.tree.emit(&p, bit, accept, reject)
	return p
}

// Eval reports whether the expression matches the set bits: bit b of the set
// is bits[b/64]>>(b%64)&1. Bits beyond the slice are not set. It allocates
// nothing and runs each step at most once.
func (p Program) Eval(bits []uint64) bool {
	for at := int32(len(p.steps)) - 1; at >= 0; {
		s := &p.steps[at]
		at = s.no
		if b := uint32(s.bit); s.bit >= 0 && int(b/64) < len(bits) && bits[b/64]>>(b%64)&1 == 1 {
			at = s.yes
		}
		if at == accept {
			return true
		}
	}
	return false
}

// emit appends the steps of n, last first, and returns where n starts.
func (n *node) emit(p *Program, bit func(string) int, yes, no int32) int32 {
	switch n.op {
	case opTag:
		p.steps = append(p.steps, step{bit: int32(bit(n.tag)), yes: yes, no: no})
		return int32(len(p.steps)) - 1
	case opNot:
		return n.kids[0].emit(p, bit, no, yes)
	}
	start := int32(0)
	for i := len(n.kids) - 1; i >= 0; i-- {
		start = n.kids[i].emit(p, bit, yes, no)
		if n.op == opAnd {
			yes = start
		} else {
			no = start
		}
	}
	return start
}
