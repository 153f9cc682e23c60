package yamlfile

import (
	"reflect"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade/finding"
)

// seeds are small files that reach most rules; more are in testdata/fuzz.
var seeds = []string{
	"", "~", "a: {withTags: x & y, k: v}\n", "a:\n  withTags: \"!x\"\n  addTags: y, z\n  priority: 3\n  k: 010\n",
	"a: &a {withTags: x}\nb: {<<: *a, k: [1]}\nc: *a\n", "a: {withTags: {{ T }}, k: {{ env A:b }} c}\n",
	"a: b\n\tc: d\n", "a: \"x\n", "? [a]\n: b\n", "- a\nb: c\n", "a: &a [*a]\n", "[[[[[[[[[[", "a: 1\n---\nb: 2\n", "%YAML 1.1\n---\na: 1\n",
	"p: {final: server, protected: no, value: 12:30, preferencePath: a, x: ~}\n",
	"contexts:\n  - id: 1\n    name: n\n    tags: [a]\n    config: {p: {value: v, expires: 2026-01-01T00:00:00Z}}\n    users: [{id: 2, permissions: [WebMail]}]\n",
	"a: {withTags: a & b | c}\n", "a: !!binary x\n", "a: ! x\n", "\ufeffa: {withTags: a}\r\n", "a: |\n  x\n", "a: >-\n  x\n  y\n", "a: {withTags: *b}\n", "<<: {a: {withTags: b}}\n",
	"a: {withTags: \"\\u202e\\x41 b\", 1: x, on: y}\n", "a:\u2028  withTags: x\n", "\xff\xfe", "a: \x00", "<html>", "<<<<<<< HEAD\n",
}

// checkFindings holds what is true of every answer of every reader.
func checkFindings(t *testing.T, in []byte, fs []finding.Finding, ok bool, entries int) {
	t.Helper()
	if !ok && (!finding.HasErrors(fs) || entries > 0) {
		t.Fatalf("%q: a file error with %d entries and findings %v", in, entries, fs)
	}
	lines := 1 + strings.Count(string(in), "\n") + strings.Count(string(in), "\r") + strings.Count(string(in), "\u0085") +
		strings.Count(string(in), "\u2028") + strings.Count(string(in), "\u2029")
	for _, f := range fs {
		if f.Code == "" || f.Text == "" || f.Path != "p.yml" || f.Line < 0 || f.Line > lines || f.Col < 0 || f.Col > len(in)+1 {
			t.Fatalf("%q: unfit finding %+v", in, f)
		}
		if strings.Contains(f.Text, "%!") || strings.ContainsAny(f.Text, "\n\r\x00\x1b") {
			t.Fatalf("%q: unfit text %q", in, f.Text)
		}
	}
}

func hasCode(fs []finding.Finding, severity finding.Severity) bool {
	for _, f := range fs {
		if f.Severity == severity {
			return true
		}
	}
	return false
}

func FuzzParseSets(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		blocks, fs, ok := ParseSets("p.yml", in)
		checkFindings(t, in, fs, ok, len(blocks))
		invalid := false
		for _, b := range blocks {
			invalid = invalid || b.Invalid
			if !b.Invalid && (b.Expr == nil) != b.With.Token {
				t.Fatalf("%q: a valid block without an expression: %+v", in, b)
			}
			for _, p := range b.Properties {
				invalid = invalid || p.Value.Invalid
				if p.Value.Token != (p.Value.Defined && HasToken(p.Value.Text)) {
					t.Fatalf("%q: Token is wrong: %+v", in, p)
				}
			}
		}
		if invalid && !hasCode(fs, finding.Error) {
			t.Fatalf("%q: something is invalid and no error says so: %+v", in, blocks)
		}
		again, fs2, ok2 := ParseSets("p.yml", in)
		if ok != ok2 || !reflect.DeepEqual(fs, fs2) || len(again) != len(blocks) {
			t.Fatalf("%q: two answers", in)
		}
		list, fs, ok := ParseSettings("p.yml", in)
		checkFindings(t, in, fs, ok, len(list))
	})
}

func FuzzParseMeta(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		list, fs, ok := ParseMeta("p.yml", in)
		checkFindings(t, in, fs, ok, len(list))
		for _, m := range list {
			if m.Invalid && !hasCode(fs, finding.Error) {
				t.Fatalf("%q: an invalid entry and no error: %+v", in, m)
			}
			for _, v := range []*Value{m.Final, m.PreferencePath, m.Value} {
				if v != nil && (!v.Defined || v.Invalid) {
					t.Fatalf("%q: a member that is no value: %+v", in, m)
				}
			}
		}
	})
}

func FuzzParseDirectory(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		list, fs, ok := ParseDirectory("p.yml", in)
		checkFindings(t, in, fs, ok, len(list))
		seen := map[int]bool{}
		for _, c := range list {
			if c.ID < 1 || c.ID > MaxID || seen[c.ID] {
				t.Fatalf("%q: context %+v", in, c)
			}
			seen[c.ID] = true
			for _, u := range c.Users {
				if u.ID < 1 || u.ID > MaxID {
					t.Fatalf("%q: user %+v", in, u)
				}
			}
			for _, o := range c.Config {
				if o.Property == "" {
					t.Fatalf("%q: override %+v", in, o)
				}
			}
		}
	})
}

func FuzzReplaceTokens(f *testing.F) {
	for _, s := range []string{"", "{{A}}", "x {{ env X:d }} y", "{{ file<x.properties> A }}", "{{{A}}}", "{{ X }}{{X}}", "{{:}}", "{{A:{{B}}}}", "}}{{", "{{ env :d }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, unresolved := ReplaceTokens(in, testSource)
		if len(out) > max(MaxResolved, len(in)) {
			t.Fatalf("%q becomes %d bytes", in, len(out))
		}
		if !HasToken(in) && (out != in || unresolved != nil) {
			t.Fatalf("%q has no token and becomes %q %q", in, out, unresolved)
		}
		for _, u := range unresolved {
			if !HasToken(u) || !strings.Contains(in, u) || !strings.Contains(out, u) {
				t.Fatalf("%q: unresolved %q, out %q", in, u, out)
			}
		}
		m, ok := maskTokens(in)
		if !ok || m.restore(m.text) != in || len([]rune(m.text)) != len([]rune(in)) {
			t.Fatalf("%q: masked as %q", in, m.text)
		}
	})
}
