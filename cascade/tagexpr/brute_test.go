package tagexpr

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// brute evaluates an expression from its text alone, by substituting: no tree
// of the package is involved. Tags are single letters.
func brute(text string, has func(string) bool) bool {
	s := strings.ReplaceAll(text, " ", "")
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z' && has(string(r)):
			b.WriteByte('1')
		case r >= 'a' && r <= 'z':
			b.WriteByte('0')
		default:
			b.WriteRune(r)
		}
	}
	s = b.String()
	rules := []string{"!0", "1", "!1", "0", "(0)", "0", "(1)", "1"}
	and := []string{"0&0", "0", "0&1", "0", "1&0", "0", "1&1", "1"}
	or := []string{"0|0", "0", "0|1", "1", "1|0", "1", "1|1", "1"}
	for len(s) > 1 {
		before := s
		for _, r := range []*strings.Replacer{strings.NewReplacer(rules...), strings.NewReplacer(and...)} {
			if next := r.Replace(s); next != s {
				s = next
				break
			}
		}
		if s == before {
			s = orOnce(s, or)
		}
	}
	return s == "1"
}

// orOnce applies one | that no & stands next to.
func orOnce(s string, or []string) string {
	for i := 0; i+3 <= len(s); i++ {
		if s[i+1] != '|' || i > 0 && (s[i-1] == '&' || s[i-1] == '!') || i+3 < len(s) && s[i+3] == '&' {
			continue
		}
		for j := 0; j < len(or); j += 2 {
			if s[i:i+3] == or[j] {
				return s[:i] + or[j+1] + s[i+3:]
			}
		}
	}
	panic("stuck at " + s)
}

// bruteExisting puts the brackets that
// docs/reference/cascade.md#tag-expressions describes into a text, so that
// brute evaluates the existing system's reading.
func bruteExisting(s string) string {
	parts, ops := split(s)
	left := inner(parts[0])
	for i, op := range ops {
		next := parts[i+1]
		if next[0] != '(' && next[0] != '!' {
			rest := strings.Join(parts[i+1:i+2], "")
			for j := i + 1; j < len(ops); j++ {
				rest += string(ops[j]) + parts[j+1]
			}
			return "(" + left + string(op) + bruteExisting(rest) + ")"
		}
		left = "(" + left + string(op) + inner(next) + ")"
	}
	return left
}

func inner(part string) string {
	bang := strings.HasPrefix(part, "!")
	part = strings.TrimPrefix(part, "!")
	if strings.HasPrefix(part, "(") {
		part = "(" + bruteExisting(part[1:len(part)-1]) + ")"
	}
	if bang {
		part = "!" + part
	}
	return part
}

func split(s string) (parts []string, ops []byte) {
	depth, start := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '&', '|':
			if depth == 0 {
				parts, ops, start = append(parts, s[start:i]), append(ops, s[i]), i+1
			}
		}
	}
	return append(parts, s[start:]), ops
}

func randomExpression(r *rand.Rand, depth int) string {
	var b strings.Builder
	for i := range 1 + r.IntN(4) {
		if i > 0 {
			b.WriteByte("&|"[r.IntN(2)])
		}
		if r.IntN(4) == 0 {
			b.WriteByte('!')
		}
		if depth > 0 && r.IntN(3) == 0 {
			b.WriteString("(" + randomExpression(r, depth-1) + ")")
		} else {
			b.WriteByte("abcdef"[r.IntN(6)])
		}
	}
	return b.String()
}

// TestDifferential compares parser, readings, ambiguity, compiled programs and
// reasons with the substitution above on every assignment.
func TestDifferential(t *testing.T) {
	const letters = "abcdef"
	r := rand.New(rand.NewPCG(1, 2))
	ambiguous := 0
	for range 250 {
		text := randomExpression(r, 3)
		e := mustParse(t, text)
		again := mustParse(t, e.String())
		if again.Ambiguity() != nil || again.String() != e.String() {
			t.Fatalf("%s: canonical form %s is not stable", text, e)
		}
		program := e.Compile(func(tag string) int { return strings.Index(letters, tag) + 60 })
		existing := bruteExisting(text)
		differ := false
		for row := range 1 << len(letters) {
			has := func(tag string) bool { return row>>strings.Index(letters, tag)&1 == 1 }
			standard, old := brute(text, has), brute(existing, has)
			differ = differ || standard != old
			if got := e.Match(has); got != old {
				t.Fatalf("%s row %b: Match = %v, the existing reading %s gives %v", text, row, got, existing, old)
			}
			if got := program.Eval([]uint64{uint64(row) << 60, uint64(row) >> 4}); got != old {
				t.Fatalf("%s row %b: Eval = %v, want %v", text, row, got, old)
			}
			_, why := e.tree.reason(has)
			checkReason(t, e, why, old, r)
		}
		if differ != (e.Ambiguity() != nil) {
			t.Fatalf("%s: the readings differ: %v; Ambiguity: %+v", text, differ, e.Ambiguity())
		}
		if differ {
			ambiguous++
		}
	}
	if ambiguous < 20 {
		t.Errorf("only %d of the random expressions are ambiguous; the test proves little", ambiguous)
	}
}

// checkReason tries other assignments that agree on the deciding tags: the
// outcome must stay.
func checkReason(t *testing.T, e *Expr, why reason, want bool, r *rand.Rand) {
	t.Helper()
	for range 3 {
		noise := r.Uint32()
		got := e.Match(func(tag string) bool {
			for _, s := range why.set {
				if s == tag {
					return true
				}
			}
			for _, s := range why.unset {
				if s == tag {
					return false
				}
			}
			return noise>>(tag[0]-'a')&1 == 1
		})
		if got != want {
			t.Fatalf("%s: %+v does not decide it", e, why)
		}
	}
}

func TestProgram(t *testing.T) {
	if (Program{}).Eval([]uint64{^uint64(0)}) {
		t.Error("the zero program matches")
	}
	p := mustParse(t, "a & !b").Compile(func(tag string) int {
		if tag == "a" {
			return 130
		}
		return -1
	})
	for _, r := range []struct {
		bits []uint64
		want bool
	}{{nil, false}, {[]uint64{0, 0}, false}, {[]uint64{0, 0, 4}, true}, {[]uint64{4, 4, 0}, false}} {
		if got := p.Eval(r.bits); got != r.want {
			t.Errorf("Eval(%v) = %v", r.bits, got)
		}
	}
	bits := []uint64{0, 0, 4}
	if n := testing.AllocsPerRun(100, func() { p.Eval(bits) }); n != 0 {
		t.Errorf("Eval allocates %v times", n)
	}
}

func BenchmarkEval(b *testing.B) {
	e, _ := Parse("(webmail | groupware) & !beta & (de | fr | es)")
	tags := e.Tags()
	p := e.Compile(func(tag string) int {
		for i, t := range tags {
			if t == tag {
				return i
			}
		}
		return -1
	})
	bits := []uint64{0b100010}
	b.ReportAllocs()
	for b.Loop() {
		p.Eval(bits)
	}
}
