package yamlfile

import (
	"slices"
	"strings"
	"testing"
)

// source is a TokenSource: "env NAME" or "file:x.properties NAME".
type source map[string]string

func (s source) Lookup(src, name string) (string, bool) {
	v, ok := s[src+" "+name]
	return v, ok
}

var testSource = source{
	"env A": "1", "env EMPTY": "", "env A.b-c/d": "odd", "env env": "e", "env file": "f", "env BRACES": "{{ A }}", "env é": "accent",
	"file:x.properties A": "2", "file:x y.properties com.foo": "3", "env LONG": strings.Repeat("L", MaxResolved/2),
}

func TestReplaceTokens(t *testing.T) {
	rows := []struct {
		in, out    string
		unresolved []string
	}{
		{"", "", nil},
		{"plain", "plain", nil},
		{"{{A}}", "1", nil},
		{"{{ A }}", "1", nil},
		{"{{\tA\t}}", "1", nil},
		{"{{ env A }}", "1", nil},
		{"{{env\tA}}", "1", nil},
		{"x{{A}}y{{ A }}z", "x1y1z", nil},
		{"{{ EMPTY }}", "", nil},
		{"{{ EMPTY:d }}", "", nil},
		{"{{ A:d }}", "1", nil},
		{"{{ X:d }}", "d", nil},
		{"{{ X: d e  }}", "d e", nil},
		{"{{ X :d }}", "d", nil},
		{"{{ X: }}", "", nil},
		{"{{X:}}", "", nil},
		{"{{ X:a:b{c}<d> }}", "a:b{c}<d>", nil},
		{"{{ X:http://h:80/ }}", "http://h:80/", nil},
		{"{{ X:a\nb }}", "a\nb", nil},
		{"{{ file<x.properties> A }}", "2", nil},
		{"{{file<x.properties>A}}", "2", nil},
		{"{{ file<x y.properties> com.foo:d }}", "3", nil},
		{"{{ file<x.properties> B:d }}", "d", nil},
		{"{{ A.b-c/d }}", "odd", nil},
		{"{{ env }}", "e", nil},
		{"{{ env env }}", "e", nil},
		{"{{ env:d }}", "e", nil},
		{"{{ env :d }}", "e", nil},
		{"{{ file }}", "f", nil},
		{"{{ é }}", "accent", nil},
		{"{{{A}}}", "{1}", nil},
		{"{{ {{A}} }}", "{{ 1 }}", nil},
		{"{{ BRACES }}", "{{ A }}", nil},
		{"{{ X:{{ A }}", "{{ A", nil},

		{"{{ X }}", "{{ X }}", []string{"{{ X }}"}},
		{"a{{ X }}b{{ A }}c{{ X }}d{{Y}}", "a{{ X }}b1c{{ X }}d{{Y}}", []string{"{{ X }}", "{{Y}}"}},
		{"{{ file<y.properties> A }}", "{{ file<y.properties> A }}", []string{"{{ file<y.properties> A }}"}},

		{"{{}}", "{{}}", nil},
		{"{{ }}", "{{ }}", nil},
		{"{{:d}}", "{{:d}}", nil},
		{"{{ two words here }}", "{{ two words here }}", nil},
		{"{{ vault X }}", "{{ vault X }}", nil},
		{"{{ file<x.txt> A }}", "{{ file<x.txt> A }}", nil},
		{"{{ file<x.properties A }}", "{{ file<x.properties A }}", nil},
		{"{{ file<x.properties> }}", "{{ file<x.properties> }}", nil},
		{"{{ A", "{{ A", nil},
		{"{{ A }", "{{ A }", nil},
		{"{ { A } }", "{ { A } }", nil},
		{"{{ A\n}}", "{{ A\n}}", nil},
		{"A }}", "A }}", nil},
		{"{{ \x00 }}", "{{ \x00 }}", nil},
	}
	for _, r := range rows {
		out, unresolved := ReplaceTokens(r.in, testSource)
		if out != r.out || !slices.Equal(unresolved, r.unresolved) {
			t.Errorf("%q: %q %q, want %q %q", r.in, out, unresolved, r.out, r.unresolved)
		}
		if has := HasToken(r.in); has != (r.out != r.in || len(r.unresolved) > 0) {
			t.Errorf("HasToken(%q) = %v", r.in, has)
		}
	}
}

// TestReplacedTextIsBounded: many small tokens do not become gigabytes.
func TestReplacedTextIsBounded(t *testing.T) {
	out, unresolved := ReplaceTokens(strings.Repeat("{{LONG}}", 1000), testSource)
	if len(out) > MaxResolved || len(unresolved) != 1 || !strings.HasSuffix(out, "{{LONG}}") || !strings.HasPrefix(out, "LLLL") {
		t.Errorf("%d bytes, unresolved %q", len(out), unresolved)
	}
}

func TestTokensInFiles(t *testing.T) {
	rows := []struct{ in, want, findings string }{
		{"b: {withTags: a, k: {{ A }}}", "b[a]{k={{ A }}*}", ""},
		{"b: {withTags: a, k: {{ A }}, l: {{ env B:yes }}}", "b[a]{k={{ A }}* l={{ env B:yes }}*}", ""},
		{"b: {withTags: a, k: x {{ A:# }} y {{B: a }}z}", "b[a]{k=x {{ A:# }} y {{B: a }}z*}", ""},
		{"b: {withTags: a, k: \"{{ A:\\n }}\"}", "b[a]{k={{ A:\\n }}*}", ""},
		{"b: {withTags: a, k: '{{ A }}', l: |-\n  {{ B }}\n  }", "", "1:0 error yaml-syntax"},
		{"b:\n  withTags: a\n  k: |-\n    x\n    {{ A }}\n", "b[a]{k=x\n{{ A }}*}", ""},
		{"b:\n  withTags: a\n  k: \"{{ A\n    :d }}\"\n", "b[a]{k={{ A :d }}*}", ""},
		{"b:\n  # {{ A }}\n  withTags: a # {{ B }}\n  k: {{ C }} # {{ D }}\n", "b[a]{k={{ C }}*}", ""},
		{"b: {withTags: {{ T }}, k: 1}", "b[*{{ T }}]{k=1}", ""},
		{"b: {withTags: \"{{ T }} & !x\", addTags: \"y, {{ U }}\"}", "b[*{{ T }} & !x]+*y, {{ U }}{}", ""},
		{"b: {withTags: a, addTags: [y, {{ U }}]}", "b[a]+*[y, {{ U }}]{}", "1:27 warning list-as-text"},
		{"b: {withTags: a, k: [{{ A }}]}", "b[a]{k=[{{ A }}]*}", "1:18 warning list-as-text"},
		{"b: {withTags: a, k: {{ two words }}}", "b[a]{k=!}", "1:21 error bad-value"},
		{"b: {withTags: a, k: {{ A:{ }}, j: {{ A:\": }}, i: {{ A:é日 }}}", "b[a]{k={{ A:{ }}* j={{ A:\": }}* i={{ A:é日 }}*}", ""},
		{"{{ N }}: {withTags: a}", "{{ N }}[a]{}", "1:1 warning token-in-key"},
		// A letter that could mark a placeholder does not disturb one.
		{"b: {withTags: \ua000, k: {{ A }}, l: \"\\uA001aaaa\"}", "b[\ua000]{k={{ A }}* l=\ua001aaaa}", ""},
	}
	for _, r := range rows {
		got, fs, _ := sets(t, r.in)
		if got != r.want || brief(fs) != r.findings {
			t.Errorf("%q:\n got %s | %s\nwant %s | %s", r.in, got, brief(fs), r.want, r.findings)
		}
	}
}

func TestMaskKeepsPlaces(t *testing.T) {
	const in = "a: {{ é:日本 }} b\n{{A}}{{B}} \"{{ file<x.properties> N:d }}\" {{ bad one }}\n"
	m, ok := maskTokens(in)
	if !ok || len(m.tokens) != 4 || len([]rune(m.text)) != len([]rune(in)) || strings.Contains(m.text, "{{A") || !strings.Contains(m.text, "{{ bad one }}") {
		t.Fatalf("%v %q %q", ok, m.tokens, m.text)
	}
	if got := m.restore(m.text); got != in {
		t.Errorf("restored: %q", got)
	}
}

func TestMaskWithoutFreeLetter(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: {{ A }} # ")
	for _, span := range markerRanges {
		for r := span[0]; r <= span[1]; r++ {
			b.WriteRune(r)
		}
	}
	_, fs, ok := sets(t, b.String())
	if ok || brief(fs) != "0:0 error "+CodeTooManyLetters {
		t.Errorf("ok=%v %s", ok, brief(fs))
	}
}

// TestParseHelpers: what the caller does with a token replaced reports as the
// file itself would.
func TestParseHelpers(t *testing.T) {
	if e, fs := ParseExpression("p.yml", 4, 7, "a & b"); e == nil || len(fs) != 0 {
		t.Errorf("%v %v", e, fs)
	}
	if e, fs := ParseExpression("p.yml", 4, 7, "a &"); e != nil || brief(fs) != "4:7 error missing-operand" {
		t.Errorf("%v %v", e, fs)
	}
	if e, fs := ParseExpression("p.yml", 4, 7, "a & b | c"); e == nil || brief(fs) != "4:7 error ambiguous-expression" {
		t.Errorf("%v %v", e, fs)
	}
	if tags, fs := ParseTagList("p.yml", 4, 7, " a,, b "); !slices.Equal(tags, []string{"a", "b"}) || len(fs) != 0 {
		t.Errorf("%q %v", tags, fs)
	}
	if tags, fs := ParseTagList("p.yml", 4, 7, "a, b c"); tags != nil || brief(fs) != "4:7 error bad-tag" {
		t.Errorf("%q %v", tags, fs)
	}
}
