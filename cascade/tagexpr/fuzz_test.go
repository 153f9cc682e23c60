package tagexpr

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"a", "!a", "a & b | c", "(a | b) & !c", "a &", "& a", "a b", "a)", "()", "", "!!a", "a || b",
		"!(a|b)&(c|(d&e))", "a\u200b&b", "((((((a))))))", "a|!b&c", "é&日本", "a\x00", "\xff",
		strings.Repeat("(", 70), strings.Repeat("a&", 600) + "a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			if e != nil || err.Code == "" || err.Text == "" || err.Col < 1 || err.Col > len([]rune(text))+1 {
				t.Fatalf("%q: bad error %+v", text, err)
			}
			return
		}
		canonical := e.String()
		if len(canonical) <= MaxText {
			again, err := Parse(canonical)
			if err != nil && err.Code != CodeTooDeep {
				t.Fatalf("%q: canonical %q: %v", text, canonical, err)
			}
			if err == nil && again.String() != canonical {
				t.Fatalf("%q: %q becomes %q", text, canonical, again)
			}
		}
		tags := e.Tags()
		index := map[string]int{}
		for i, tag := range tags {
			if !ValidTag(tag) {
				t.Fatalf("%q: tag %q is not valid", text, tag)
			}
			index[tag] = i
		}
		p := e.Compile(func(tag string) int { return index[tag] })
		bits := make([]uint64, len(tags)/64+1)
		for i := range tags {
			if (i*7+len(text))%3 == 0 {
				bits[i/64] |= 1 << (i % 64)
			}
		}
		has := func(tag string) bool { return bits[index[tag]/64]>>(index[tag]%64)&1 == 1 }
		if e.Match(has) != p.Eval(bits) {
			t.Fatalf("%q: Match and Eval differ", text)
		}
		first, second := e.Because(has), e.Because(has)
		if first == "" || first != second {
			t.Fatalf("%q: no stable reason: %q and %q", text, first, second)
		}
	})
}
