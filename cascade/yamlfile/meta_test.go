package yamlfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade/finding"
)

func showMeta(m MetaEntry) string {
	s := m.Property + "{"
	if m.Invalid {
		s = "!" + s
	}
	for _, v := range []struct {
		name  string
		value *Value
	}{{"final", m.Final}, {"path", m.PreferencePath}, {"value", m.Value}} {
		if v.value != nil {
			s += v.name + "=" + show(*v.value) + " "
		}
	}
	if m.Protected != nil {
		s += fmt.Sprintf("protected=%v ", *m.Protected)
	}
	return strings.TrimSpace(s+showAll(m.Other)) + "}"
}

func TestParseMeta(t *testing.T) {
	rows := []struct{ in, want, findings string }{
		// docs/reference/cascade.md#sample-trees, T2
		{
			"com.openexchange.passwordchange.minLength: { final: server }\ncom.openexchange.upload.max: { final: context }\n" +
				"io.ox/mail//features/unifiedInbox: { protected: false }\ncom.openexchange.typo: { final: contexts }      # sic\n",
			"com.openexchange.passwordchange.minLength{final=server} com.openexchange.upload.max{final=context} " +
				"io.ox/mail//features/unifiedInbox{protected=false} com.openexchange.typo{final=contexts}", "",
		},
		{"p:\n  preferencePath: a/b\n  value: yes\n  protected: true\n  other: x\n", "p{path=a/b value=true protected=true other=x}", ""},
		{"p: {value: }", "p{}", ""},
		{"p: {value: \"\"}", "p{value=}", ""},
		{"p: {value: 010}", "p{value=010}", "1:12 warning yaml11"},
		{"p: {value: {{ X:1 }}, final: {{ F }}}", "p{final={{ F }}* value={{ X:1 }}*}", ""},
		{"p: {protected: \"True \"}", "p{protected=true}", ""},
		{"p: {protected: off}", "p{protected=false}", ""},
		{"p: {protected: ~}", "p{}", ""},
		{"p: {}", "p{}", ""},
		{"a: &a {final: server}\nb: {<<: *a, protected: true}\nc: *a", "a{final=server} b{final=server protected=true} c{final=server}", ""},

		{"p: {protected: maybe}\nq: {final: server}", "!p{} q{final=server}", "1:16 error bad-meta"},
		{"p: {protected: 1}", "!p{}", "1:16 error bad-meta"},
		{"p: {protected: {{ X }}}", "!p{}", "1:16 error bad-meta"},
		{"p: {final: [server]}", "p{final=[server]}", "1:5 warning list-as-text"},
		{"p: {final: a, final: b}", "p{final=b}", "1:15 warning duplicate-key"},
		{"p: {value: a}\np: {final: b}", "p{final=b}", "2:1 warning duplicate-key"},
		{"p: {protected: TRUE, value: False}", "p{value=false protected=true}", ""},
		{"p: {other: {a: b}, final: server}", "!p{final=server}", "1:12 error bad-value"},
		{"p: {value: !!binary aGk=}", "!p{}", "1:12 error yaml-tag"},
		{"p: server\nq: {final: server}", "!p{} q{final=server}", "1:1 error bad-meta"},
		{"p:\nq: {final: server}", "!p{} q{final=server}", "1:1 error bad-meta"},
		{"p: !x {final: server}", "!p{final=server}", "1:4 error yaml-tag"},
		{"1: {final: server}", "!1{final=server}", "1:1 error bad-key"},
		{"p: {1: x}", "!p{}", "1:5 error bad-key"},
		{"p: {<<: 1}", "!p{}", "1:9 error bad-alias"},
		{"", "", ""},
	}
	for _, r := range rows {
		list, fs, ok := ParseMeta("p.yml", []byte(r.in))
		checkTexts(t, r.in, fs)
		var s []string
		for _, m := range list {
			s = append(s, showMeta(m))
		}
		if got := strings.Join(s, " "); !ok || got != r.want || brief(fs) != r.findings {
			t.Errorf("%q:\n got %s | %s\nwant %s | %s", r.in, got, brief(fs), r.want, r.findings)
		}
	}
	for _, in := range []string{"[p]", "p: {\n", "a: 1\n---\nb: 1"} {
		if list, fs, ok := ParseMeta("p.yml", []byte(in)); ok || len(list) != 0 || !finding.HasErrors(fs) {
			t.Errorf("%q: ok=%v %v %v", in, ok, list, fs)
		}
	}
	list, _, _ := ParseMeta("p.yml", []byte("\np:\n  final: server\n"))
	if m := list[0]; m.Line != 2 || m.Col != 1 || m.Final.Line != 3 || m.Final.Col != 3 {
		t.Errorf("places: %+v %+v", m, *m.Final)
	}
}

func TestParseSettings(t *testing.T) {
	long := strings.Repeat("k", MaxKey/2)
	rows := []struct{ in, want, findings string }{
		{"a: 1\nb: {c: yes, d: {e: x, f: }}\n", "a=1 b/c=true b/d/e=x b/d/f=~", ""},
		{"io.ox/mail//features/x: true\n", "io.ox/mail//features/x=true", ""},
		{"a: {}\nb: ~\n", "b=~", ""},
		{"a: {{ X }}\nb: {c: {{ Y:z }}}\n", "a={{ X }}* b/c={{ Y:z }}*", ""},
		{"d: &d {x: 1, y: 2}\ne: {<<: *d, y: 3}\nf: *d\n", "d/x=1 d/y=2 e/x=1 e/y=3 f/x=1 f/y=2", ""},
		{"a: [1]\nb: 2\n", "a=[1] b=2", "1:1 warning list-as-text"},
		{"a: {1: x, c: y}\n", "a/1=! a/c=y", "1:5 error bad-key"},
		{"a: !x {c: y}\nb: 1\n", "a=! b=1", "1:4 error yaml-tag"},
		{"a/b: 1\na: {b: 2, c: 3}\n", "a/b=2 a/c=3", "2:5 warning duplicate-key"},
		{"v: 1.10\n", "v=1.10", "1:4 warning yaml11"},
		{long + ": {" + long + ": 1}\n", long + "/" + long + "=!", fmt.Sprintf("1:%d error too-long", len(long)+4)},
		{"", "", ""},
	}
	for _, r := range rows {
		list, fs, ok := ParseSettings("p.yml", []byte(r.in))
		checkTexts(t, r.in, fs)
		if got := showAll(list); !ok || got != r.want || brief(fs) != r.findings {
			t.Errorf("%q:\n got %s | %s\nwant %s | %s", r.in, got, brief(fs), r.want, r.findings)
		}
	}
	for _, in := range []string{"[p]", "x"} {
		if list, fs, ok := ParseSettings("p.yml", []byte(in)); ok || len(list) != 0 || !finding.HasErrors(fs) {
			t.Errorf("%q: ok=%v %v %v", in, ok, list, fs)
		}
	}
	list, _, _ := ParseSettings("p.yml", []byte("a:\n  b:\n    c: 1\n"))
	if v := list[0].Value; v.Line != 3 || v.Col != 5 {
		t.Errorf("place: %+v", v)
	}
}
