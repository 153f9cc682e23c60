package tagexpr

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Limits of one expression. They are far above what people write and keep the
// work for a hostile file small: every later step is linear in the nodes, but
// for the comparison of the two readings (see ambiguity.go).
const (
	// MaxText is the longest text that Parse accepts, in bytes.
	MaxText = 4 << 10
	// MaxDepth is how deep brackets may be nested; it bounds recursion.
	MaxDepth = 64
	// MaxNodes is the number of tags and operators of one expression.
	MaxNodes = 1024
)

// Codes of Error, stable for scripts.
const (
	CodeEmpty           = "empty-expression"
	CodeMissingOperand  = "missing-operand"
	CodeMissingOperator = "missing-operator"
	CodeMissingBracket  = "missing-bracket"
	CodeStrayBracket    = "stray-bracket"
	CodeEmptyBrackets   = "empty-brackets"
	CodeDoubleNegation  = "double-negation"
	CodeBadCharacter    = "bad-character"
	CodeTooLong         = "expression-too-long"
	CodeTooDeep         = "expression-too-deep"
	CodeTooLarge        = "expression-too-large"
)

// Error says where an expression is malformed and what to write instead.
type Error struct {
	Col  int    // from 1, in characters; one past the last character when something is missing at the end
	Code string // one of the Code constants
	Text string // what is wrong and what to do next
}

// operand is one member of a chain, in both readings.
type operand struct {
	standard, existing *node
	plainTag           bool // written as a bare tag: the existing system lets it swallow the rest of its chain
}

// parser is a recursive descent over the characters of one expression.
type parser struct {
	text  []rune
	pos   int // index into text
	nodes int
}

// Parse reads a tag expression: tags, `!`, `&`, `|` and brackets, with the
// usual precedence. A tag is a run of characters other than white space and
// `& | ! ( )`; tags are case-sensitive. Whatever is malformed, over a limit,
// not UTF-8 or holds control characters is an *Error, never a guess.
func Parse(text string) (*Expr, *Error) {
	if len(text) > MaxText {
		return nil, &Error{1, CodeTooLong, fmt.Sprintf("the expression has %d bytes, at most %d are allowed; split the set into several sets", len(text), MaxText)}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{firstInvalid(text), CodeBadCharacter, "the expression is not valid UTF-8 here; save the file as UTF-8"}
	}
	p := &parser{text: []rune(text)}
	for i, r := range p.text {
		if unicode.IsControl(r) && !isSpace(r) && r != nextLine {
			return nil, &Error{i + 1, CodeBadCharacter, fmt.Sprintf("control character %U is not allowed in an expression; remove it", r)}
		}
	}
	p.skipSpace()
	if p.pos == len(p.text) {
		return nil, &Error{1, CodeEmpty, "the expression is empty; write a tag, such as webmail"}
	}
	both, err := p.chain(0)
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.text) {
		return nil, p.fail(CodeStrayBracket, "there is no ( for this ); remove it or add the (")
	}
	return newExpr(both), nil
}

// chain reads operands joined by & and | up to a closing bracket or the end.
func (p *parser) chain(depth int) (operand, *Error) {
	first, err := p.operand(depth)
	if err != nil {
		return operand{}, err
	}
	operands, operators := []operand{first}, []rune{}
	for {
		p.skipSpace()
		r := p.peek()
		switch r {
		case 0, ')':
			return operand{standard: standardReading(operands, operators), existing: existingReading(operands, operators)}, nil
		case '&', '|':
			if err := p.count(); err != nil {
				return operand{}, err
			}
			p.pos++
		default:
			return operand{}, p.missingOperator()
		}
		next, err := p.operand(depth)
		if err != nil {
			return operand{}, err
		}
		operands, operators = append(operands, next), append(operators, r)
	}
}

// operand reads a tag or a bracket, either of them with or without a `!`.
func (p *parser) operand(depth int) (operand, *Error) {
	p.skipSpace()
	if p.peek() != '!' {
		return p.unsigned(depth)
	}
	if err := p.count(); err != nil {
		return operand{}, err
	}
	p.pos++
	p.skipSpace()
	if p.peek() == '!' {
		return operand{}, p.fail(CodeDoubleNegation, "a second ! in a row is not allowed; remove both")
	}
	o, err := p.unsigned(depth)
	if err != nil {
		return operand{}, err
	}
	return operand{standard: negate(o.standard), existing: negate(o.existing)}, nil
}

func (p *parser) unsigned(depth int) (operand, *Error) {
	switch r := p.peek(); r {
	case 0, '&', '|', ')':
		return operand{}, p.missingOperand(r)
	case '(':
		return p.bracket(depth + 1)
	}
	if err := p.count(); err != nil {
		return operand{}, err
	}
	start := p.pos
	for p.pos < len(p.text) && isTagChar(p.text[p.pos]) {
		p.pos++
	}
	n := &node{op: opTag, tag: string(p.text[start:p.pos])}
	return operand{standard: n, existing: n, plainTag: true}, nil
}

func (p *parser) bracket(depth int) (operand, *Error) {
	if depth > MaxDepth {
		return operand{}, p.fail(CodeTooDeep, fmt.Sprintf("brackets are nested deeper than %d; simplify the expression", MaxDepth))
	}
	open := p.pos + 1
	p.pos++
	p.skipSpace()
	if p.peek() == ')' {
		return operand{}, &Error{open, CodeEmptyBrackets, "the brackets are empty; put a tag between them or remove them"}
	}
	inner, err := p.chain(depth)
	if err != nil {
		return operand{}, err
	}
	if p.peek() != ')' {
		return operand{}, p.fail(CodeMissingBracket, fmt.Sprintf("the ( of column %d is not closed; add a )", open))
	}
	p.pos++
	return inner, nil
}

func (p *parser) missingOperand(found rune) *Error {
	if p.pos > 0 && (found == '&' || found == '|') && p.text[p.pos-1] == found {
		return p.fail(CodeMissingOperand, fmt.Sprintf("a tag is missing between %c and %c; a single %c is enough", found, found, found))
	}
	if found == 0 {
		return p.fail(CodeMissingOperand, "the expression ends where a tag is expected; add the tag or remove the operator")
	}
	return p.fail(CodeMissingOperand, fmt.Sprintf("a tag is expected before %c; add the tag or remove the operator", found))
}

func (p *parser) missingOperator() *Error {
	start := p.pos
	for p.pos < len(p.text) && isTagChar(p.text[p.pos]) {
		p.pos++
	}
	word := string(p.text[start:p.pos])
	p.pos = start
	hint := "put & or | between them"
	switch word {
	case "and", "AND":
		hint = "write & instead of " + word
	case "or", "OR":
		hint = "write | instead of " + word
	}
	return p.fail(CodeMissingOperator, "an operator is missing between two tags; "+hint+" (a tag cannot hold blanks)")
}

func (p *parser) count() *Error {
	p.nodes++
	if p.nodes > MaxNodes {
		return p.fail(CodeTooLarge, fmt.Sprintf("more than %d tags and operators; split the set into several sets", MaxNodes))
	}
	return nil
}

func (p *parser) fail(code, text string) *Error {
	return &Error{p.pos + 1, code, text}
}

// peek is the next character, 0 at the end (a NUL cannot occur in the text).
func (p *parser) peek() rune {
	if p.pos == len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

func (p *parser) skipSpace() {
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
}

func firstInvalid(text string) int {
	col := 1
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				break
			}
		}
		col++
	}
	return col
}
