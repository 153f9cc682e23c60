package yamlfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// TestFileErrors holds what makes a whole file unusable, with the place of the
// one thing to correct.
func TestFileErrors(t *testing.T) {
	rows := []struct{ in, want string }{
		{"a: b\n\tc: d\n", "2:1 error yaml-syntax"},
		{"a:\n  withTags: x\n\tb: c\n", "3:1 error yaml-syntax"},
		{"a: \"x\nb: c\n", "1:0 error yaml-syntax"},
		{"a:\n  withTags: x\n  k: \"a\n    b\n", "3:0 error yaml-syntax"},
		{"a:\n  withTags: x\n  k: 'v'v\n  l: m\nb:\n  withTags: y\n", "3:0 error yaml-syntax"},
		{"a:\n  withTags: x\n   k: v\nb:\n  withTags: y\n", "3:0 error yaml-syntax"},
		{"a:\n  withTags: x\n k: v\n", "3:0 error yaml-syntax"},
		{"a: b: c\n", "1:0 error yaml-syntax"},
		{"- a\nb: c\n", "2:0 error yaml-syntax"},
		{"a: @x\n", "1:0 error yaml-syntax"},
		{"a: [1,\n", "1:0 error yaml-syntax"},
		{"a: {withTags: x\n", "1:0 error yaml-syntax"},
		{"a: \"\\q\"\n", "1:0 error yaml-syntax"},
		{"%YAML 2.0\n---\na: {withTags: x}\n", "1:0 error yaml-syntax"},
		{"%YAML 1.1\n%YAML 1.1\n---\na: {withTags: x}\n", "1:0 error yaml-syntax"},
		{"%YAML 1.2\na: {withTags: x}\n", "2:0 error yaml-syntax"},
		{"b:\n  withTags: !x & y\n", "2:0 error yaml-syntax"},
		{"b:\n  withTags: &x | y\n", "2:0 error yaml-syntax"},
		{"b:\n  withTags: *x\n", "2:13 error bad-alias"},
		{"a: {withTags: x}\n---\nb: {withTags: x}\n", "2:1 error second-document"},
		{"a: {withTags: x}\n...\n---\n", "3:1 error second-document"},
		{"a: {withTags: x}\n---\n\tb\n", "3:1 error yaml-syntax"},
		{"- b\n", "1:1 error not-a-map"},
		{"foo\n", "1:1 error not-a-map"},
		{"\n\n[a, b]", "3:1 error not-a-map"},
		{"a: 1\n<<<<<<< HEAD\nb: 2\n=======\n", "2:1 error merge-conflict"},
		{">>>>>>> branch\n", "1:1 error merge-conflict"},
		{"<!DOCTYPE html>\n<p>", "1:1 error web-page"},
		{"\n <HTML><head>", "1:1 error web-page"},
		{"\xff\xfea\x00", "1:1 error bad-encoding"},
		{"\xfe\xff\x00a", "1:1 error bad-encoding"},
		{"a: é\nb: \xff\n", "2:4 error bad-encoding"},
		{"a: \xc3", "1:4 error bad-encoding"},
		{"a\x00:\x00 \x00", "1:2 error control-character"},
		{"a: é\x1b[0m\n", "1:5 error control-character"},
		{"a: \x7f\n", "1:4 error control-character"},
		{"a: \u0081\n", "1:4 error control-character"},
		{"a: 1\r\nb: \ufeff\n", "2:4 error control-character"},
		{"\x7fELF\x02\x01\x01", "1:1 error control-character"},
		{"a: \u2028  \x01", "1:4 warning odd-line-break; 2:3 error control-character"},
		{strings.Repeat("# x\n", MaxFile/4+1), "0:0 error file-too-large"},
	}
	for _, r := range rows {
		got, fs, ok := sets(t, r.in)
		if ok || got != "" || brief(fs) != r.want {
			t.Errorf("%.80q: ok=%v %s, want %s\n%v", r.in, ok, brief(fs), r.want, fs)
		}
	}
}

// TestOneBadEntry holds what costs one entry, while the good ones beside it
// count.
func TestOneBadEntry(t *testing.T) {
	const good = "z: {withTags: z}\n"
	deep := strings.Repeat("{a: ", MaxDepth) + strings.Repeat("}", MaxDepth)
	rows := []struct{ in, want, findings string }{
		{"a: &a [*a]\n", "!a{} z[z]{}", "1:8 error bad-alias"},
		{"a: &a\n  <<: *a\n", "!a{} z[z]{}", "2:7 error bad-alias"},
		{"a: &a {b: &b {c: *a}}\nb: *a\n", "!a{} !b{} z[z]{}", "1:18 error bad-alias"},
		{"a: " + deep + "\n", "!a{} z[z]{}", "1:128 error too-deep"},
		{"a: b\n", "!a{} z[z]{}", "1:1 error bad-block"},
		{"%FOO\n---\na: 1\n", "!a{} z[z]{}", "3:1 error bad-block"},
	}
	for _, r := range rows {
		if got, fs, ok := sets(t, r.in+good); !ok || got != r.want || brief(fs) != r.findings {
			t.Errorf("%q: ok=%v %s, want %s\n%v", r.in, ok, got, r.want, fs)
		}
		if list, fs, ok := ParseMeta("p.yml", []byte(r.in+"z: {final: user}\n")); !ok || len(list) < 2 || list[len(list)-1].Invalid || !list[0].Invalid {
			t.Errorf("%q as metadata: ok=%v %v", r.in, ok, fs)
		}
	}
}

// TestDuplicateKeys: of a key that a map has twice the last counts, in its own
// place, and a warning names both lines.
func TestDuplicateKeys(t *testing.T) {
	rows := []struct{ in, want, findings string }{
		{"b: {withTags: a, x: 1, x: 1}\n", "b[a]{x=1}", "1:24 warning duplicate-key"},
		{"b: {withTags: a, x: 1, y: 3, \"x\": 2}\n", "b[a]{y=3 x=2}", "1:30 warning duplicate-key"},
		{"b: {withTags: a, withTags: c, addTags: d, addTags: e, priority: 1, priority: 2}\n", "b[c]+e@2{}", "1:18 warning duplicate-key; 1:43 warning duplicate-key; 1:68 warning duplicate-key"},
		{"b: {withTags: a}\nc: {withTags: c}\nb: {withTags: d}\n", "c[c]{} b[d]{}", "3:1 warning duplicate-key"},
		{"b: {withTags: a, x: 1, x: 2, x: 3}\n", "b[a]{x=3}", "1:24 warning duplicate-key; 1:30 warning duplicate-key"},
		{"b: {withTags: a, x: {y: 1, y: 2}}\n", "b[a]{x=!}", "1:21 error bad-value; 1:28 warning duplicate-key"},
		{"a: &a {withTags: x}\nb: {<<: *a, <<: *a}\n", "a[x]{} b[x]{}", ""},
	}
	many := "b:\n  withTags: a\n"
	for i := range 2 * fewKeys {
		many += fmt.Sprintf("  k%d: 1\n", i)
	}
	if got, fs, ok := sets(t, many+"  k0: 2\n"); !ok || !strings.HasSuffix(got, " k0=2}") || strings.Count(got, "k0=") != 1 || brief(fs) != "27:3 warning duplicate-key" {
		t.Errorf("a large map: ok=%v %s %v", ok, got, fs)
	}
	for _, r := range rows {
		got, fs, ok := sets(t, r.in)
		if !ok || got != r.want || brief(fs) != r.findings {
			t.Errorf("%q: ok=%v %s, want %s\n%s, want %s", r.in, ok, got, r.want, brief(fs), r.findings)
		}
		for _, f := range fs {
			if f.Code == CodeDuplicateKey && (!strings.Contains(f.Text, "in line 1") || !strings.Contains(f.Text, "which wins")) {
				t.Errorf("%q: %s", r.in, f.Text)
			}
		}
	}
}

// TestEmptyFiles are fine, whatever their emptiness looks like.
func TestEmptyFiles(t *testing.T) {
	for _, in := range []string{"", "\n", "# nothing\n", "---\n", "---\n...\n", "~\n", "null", "{}", "\ufeff", "\ufeff# x\r\n"} {
		if got, fs, ok := sets(t, in); !ok || got != "" || len(fs) != 0 {
			t.Errorf("%q: ok=%v %s %v", in, ok, got, fs)
		}
	}
}

// TestDeepAndUnfolding: what is small on disk and large in memory is refused
// before it hurts.
func TestDeepAndUnfolding(t *testing.T) {
	nest := func(open, shut string, n int) string {
		return "a: " + strings.Repeat(open, n) + "x" + strings.Repeat(shut, n)
	}
	indents := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.Repeat(" ", i) + "a:\n")
		}
		return b.String()
	}
	bomb := func(levels, width int) string {
		var b strings.Builder
		b.WriteString("l0: &l0 [x, x, x, x, x, x, x, x, x]\n")
		for i := 1; i <= levels; i++ {
			fmt.Fprintf(&b, "l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i-1), width), ", "))
		}
		return b.String()
	}
	chain := "a0: &a0 {x: y}\n"
	for i := 1; i < MaxDepth+2; i++ {
		chain += fmt.Sprintf("a%d: &a%d {x: *a%d}\n", i, i, i-1)
	}
	rows := []struct {
		name, in, want string
		entry          bool
	}{
		{"unclosed lists", strings.Repeat("[", 20_000), CodeSyntax, false},
		{"lists", nest("[", "]", 9_000), CodeTooDeep, true},
		{"lists at the limit", nest("[", "]", MaxDepth), CodeTooDeep, true},
		{"unclosed maps", strings.Repeat("{a: ", 9_000), CodeSyntax, false},
		{"maps", nest("{a: ", "}", 9_000), CodeTooDeep, true},
		{"indents", indents(1_400), CodeTooDeep, true},
		{"dashes", strings.Repeat("- ", 500_000), CodeSyntax, false},
		{"question marks", strings.Repeat("? ", 9_000), CodeTooDeep, false},
		{"alias bomb", bomb(9, 9), CodeAlias, true},
		{"long alias bomb", bomb(31, 40), CodeAlias, true},
		{"wide aliases", "a: &a [" + strings.Repeat("x,", 1000) + "]\nb: [" + strings.Repeat("*a,", 1000) + "]", CodeAlias, true},
		{"alias chain", chain, CodeTooDeep, true},
	}
	for _, r := range rows {
		start := time.Now()
		_, fs, ok := sets(t, r.in)
		if d := time.Since(start); d > maxParseTime {
			t.Errorf("%s: took %v", r.name, d)
		}
		only := !ok && len(fs) == 1 // else it costs the entry, and not the file
		if ok != r.entry || !ok && !only || !slices.ContainsFunc(fs, func(f finding.Finding) bool { return f.Code == r.want }) {
			t.Errorf("%s: ok=%v %s, want %s", r.name, ok, brief(fs), r.want)
		}
	}
}

// maxParseTime is far above what a parse takes (under a second), so that a busy
// machine or the race detector does not fail the test, and far below what
// anything worse than linear would take.
const maxParseTime = 30 * time.Second

// TestLargeFilesAreLinear: a file at the limit, of whatever shape, is read in
// time.
func TestLargeFilesAreLinear(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s, MaxFile/len(s)) }
	var keys, blocks strings.Builder
	keys.WriteString("a:\n  withTags: x\n")
	for i := 0; keys.Len() < MaxFile-20; i++ {
		fmt.Fprintf(&keys, "  k%d: 010\n", i)
	}
	for i := 0; i <= MaxBlocks; i++ {
		fmt.Fprintf(&blocks, "b%d: {withTags: a}\n", i)
	}
	var oneLine strings.Builder
	oneLine.WriteString("{x: &a [a! b], ")
	for i := range MaxBlocks - 1 {
		fmt.Fprintf(&oneLine, "é%d: {withTags: é a, p: %s}, ", i, strings.Repeat("é", 20))
	}
	oneLine.WriteString("}")
	rows := []struct{ name, in string }{
		{"one line", oneLine.String()},
		{"comments", fill("# x\n")},
		{"keys", keys.String()},
		{"braces", fill("{{")},
		{"token openings", "a: '" + fill("{{file<")[:MaxFile-10] + "}}'"},
		{"tokens", "a: '" + fill("{{A}}")[:MaxFile-10] + "'"},
		{"token defaults", fill("{{a:")},
		{"blank tokens", fill("{{ ")},
		{"duplicates", fill("a: 1\n")},
		{"quotes", "a: \"" + fill("\n")[:MaxFile-10] + "\""},
		{"lists", "a: [" + fill("[],")[:MaxFile-10] + "]"},
		{"blocks", blocks.String()},
		{"unclosed", "a: [" + fill("b, # c\n")[:MaxFile-10]},
		{"broken at the end", fill("a: b\n")[:MaxFile-100] + "  c\n - d"},
	}
	for _, r := range rows {
		start := time.Now()
		sets(t, r.in)
		if d := time.Since(start); d > maxParseTime {
			t.Errorf("%s: took %v", r.name, d)
		} else {
			t.Logf("%s: %v", r.name, d)
		}
	}
}
