package yamlfile

import (
	"fmt"
	"strings"
	"testing"
)

// TestSampleTree reads the context sets of
// docs/reference/cascade.md#sample-trees, T1.
func TestSampleTree(t *testing.T) {
	const file = `beta_plus:
  withTags: groupware_plus & beta
  com.openexchange.messaging.rss: true
  com.openexchange.quota.mailbox: 20480
plus:
  withTags: groupware_plus
  com.openexchange.quota.mailbox: 10240
  com.openexchange.hostname: plus.example.com
webmail:
  withTags: "webmail & !beta"
  com.openexchange.quota.mailbox: 512
brand_es:
  withTags: es
  com.openexchange.hostname: correo.example.es
`
	for _, in := range []string{file, "\ufeff" + file, strings.ReplaceAll(file, "\n", "\r\n"), strings.ReplaceAll(file, "\n", "\r")} {
		blocks, fs, ok := ParseSets("contextSets/offers.yml", []byte(in))
		if !ok || len(fs) != 0 || len(blocks) != 4 {
			t.Fatalf("ok=%v findings=%v blocks=%d", ok, fs, len(blocks))
		}
		b := blocks[2]
		if b.Name != "webmail" || b.Line != 9 || b.Col != 1 || b.With.Line != 10 || b.With.Col != 14 || b.Expr.String() != "webmail & !beta" {
			t.Errorf("third block: %+v", b)
		}
		if p := b.Properties[0]; p.Name != "com.openexchange.quota.mailbox" || p.Value != (Value{Text: "512", Defined: true, Line: 11, Col: 3}) {
			t.Errorf("property: %+v", p)
		}
	}
}

// TestBlockHeads holds what may stand in the head of a set.
func TestBlockHeads(t *testing.T) {
	rows := []struct{ in, blocks, findings string }{
		{"b: {withTags: a}", "b[a]{}", ""},
		{"b: {withTags: 1337}", "b[1337]{}", ""},
		{"1337: {withTags: a}", "1337[a]{}", ""},
		{"2026-01-01: {withTags: a}", "2026-01-01[a]{}", ""},
		{"\"no\": {withTags: \"no\"}", "no[no]{}", ""},
		{"b: {withTags: true}", "b[true]{}", ""},
		{"b: {\"withTags\": a, 'x': 1}", "b[a]{x=1}", ""},
		{"b: {withTags: a, priority: 5}", "b[a]@5{}", ""},
		{"b: {withTags: a, priority: -2147483648}", "b[a]@-2147483648{}", ""},
		{"b: {withTags: a, priority: \"7\"}", "b[a]@7{}", ""},
		{"b: {withTags: a, priority: ~}", "b[a]{}", ""},
		{"b: {withTags: a, addTags: \"x, y,,z \"}", "b[a]+x,y,z{}", ""},
		{"b: {withTags: a, addTags: [x, 7, \"y\"]}", "b[a]+[x,7,y]{}", "1:27 warning list-as-text"},
		{"b: {withTags: a, addTags: }", "b[a]{}", ""},
		{"b: {withTags: a, addTags: 12}", "b[a]+12{}", ""},
		{"b:\n  withTags: >-\n    a\n    & b\n", "b[a & b]{}", ""},
		{"b:\n  withTags: |\n    a & b\n", "b[a & b]{}", ""},
		{"b:\n  withTags: &t a & b\nc:\n  withTags: *t\n", "b[a & b]{} c[a & b]{}", ""},

		{"b: {x: 1}", "!b{x=1}", "1:1 error missing-with-tags"},
		{"b: {withtags: a}", "!b{withtags=a}", "1:1 error missing-with-tags"},
		{"b: {}", "!b{}", "1:1 error bad-block"},
		{"b: {withTags: }", "!b{}", "1:15 error missing-with-tags"},
		{"b: {withTags: \"\"}", "!b{}", "1:16 error empty-expression"},
		{"b: 1\nc: {withTags: a}", "!b{} c[a]{}", "1:1 error bad-block"},
		{"b:\nc: {withTags: a}", "!b{} c[a]{}", "1:1 error bad-block"},
		{"b: [withTags]", "!b{}", "1:1 error bad-block"},
		{"b: !x {withTags: a}", "!b[a]{}", "1:4 error yaml-tag"},
		{"b: {withTags: [a, b]}", "!b{}", "1:15 error bad-value"},
		{"b: {withTags: {a: b}}", "!b{}", "1:15 error bad-value"},
		{"b: {withTags: !x }", "!b{}", "1:15 error yaml-tag"},
		{"b: {withTags: ! x }", "!b{}", "1:15 error yaml-tag"},
		{"b: {withTags: !\tx }", "!b{}", "1:15 error yaml-tag"},
		{"b:\n  withTags: !\n    x\n", "!b{}", "2:13 error yaml-tag"},
		{"b: {withTags: !!str x }", "!b{}", "1:15 error yaml-tag"},
		{"b: {withTags: &x }", "!b{}", "1:15 error missing-with-tags"},
		{"b: {withTags: &x ! y }", "!b{}", "1:15 error yaml-tag"},
		{"b: {withTags: no}", "!b{}", "1:15 error bad-value"},
		{"b: {withTags: On}", "!b{}", "1:15 error bad-value"},
		{"b: {withTags: TRUE}", "!b{}", "1:15 error bad-value"},
		{"b: {withTags: 010}", "b[010]{}", "1:15 warning yaml11"},
		{"b: {withTags: a, priority: high}", "!b[a]{}", "1:28 error bad-priority"},
		{"b: {withTags: a, priority: 1.5}", "!b[a]{}", "1:28 error bad-priority"},
		{"b: {withTags: a, priority: 2147483648}", "!b[a]{}", "1:28 error bad-priority"},
		{"b: {withTags: a, priority: [1]}", "!b[a]{}", "1:28 error bad-value"},
		{"b: {withTags: a, priority: {{ P }}}", "!b[a]{}", "1:28 error bad-priority"},
		{"b: {withTags: a, addTags: \"x y\"}", "!b[a]{}", "1:28 error bad-tag"},
		{"b: {withTags: a, addTags: \"x, !y\"}", "!b[a]{}", "1:28 error bad-tag"},
		{"b: {withTags: a, addTags: [x, [y]]}", "b[a]+[x,[y]]{}", "1:27 warning list-as-text"},
		{"b: {withTags: a, addTags: off}", "b[a]+false{}", ""},
		{"b: {withTags: a, addTags: &y }", "!b[a]{}", "1:27 error bad-tag"},
		{"b: {withTags: a, addTags: {x: y}}", "!b[a]{}", "1:27 error bad-value"},
		{"yes: {withTags: a}", "!yes[a]{}", "1:1 error bad-key"},
		{"true: {withTags: a}", "!true[a]{}", "1:1 error bad-key"},
		{"~: {withTags: a}", "!~[a]{}", "1:1 error bad-key"},
		{"\"\": {withTags: a}", "![a]{}", "1:1 error bad-key"},
		{"? [x]\n: {withTags: a}", "![a]{}", "1:3 error bad-key"},
		{"a: &k {withTags: x}\n*k : {withTags: a}", "a[x]{} ![a]{}", "2:1 error bad-key"},

		{"b: {withTags: \"a\u200bb | c\"}", "b[a\u200bb | c]{}", "1:16 warning suspicious-tag"},
		{"b: {withTags: \"\\u202ea\"}", "b[\u202ea]{}", "1:16 warning suspicious-tag"},
		{"b: {withTags: a, addTags: \"x\u00a0y\"}", "b[a]+x\u00a0y{}", "1:28 warning suspicious-tag"},
		{"b: {withTags: \"a & b  \"}", "b[a & b]{}", "1:16 warning trailing-blanks"},
		{"b: {withTags: \"(a & b)  \"}", "b[a & b]{}", ""},
	}
	for _, r := range rows {
		got, fs, ok := sets(t, r.in)
		if !ok || got != r.blocks || brief(fs) != r.findings {
			t.Errorf("%q:\n got %s | %s\nwant %s | %s\n%v", r.in, got, brief(fs), r.blocks, r.findings, fs)
		}
	}
}

// TestExpressionPlaces maps columns of the expression to the file.
func TestExpressionPlaces(t *testing.T) {
	rows := []struct {
		in, code  string
		line, col int
	}{
		{"b:\n  withTags: a &\n", "missing-operand", 2, 16},
		{"b:\n  withTags: a b\n", "missing-operator", 2, 15},
		{"b:\n  withTags: é a\n", "missing-operator", 2, 15},
		{"b:\n  withTags: a || b\n", "missing-operand", 2, 16},
		{"b:\n  withTags: a)\n", "stray-bracket", 2, 14},
		{"b:\n  withTags: ()\n", "empty-brackets", 2, 13},
		{"b:\n  withTags: 'a & '\n", "missing-operand", 2, 18},
		{"b:\n  withTags: '!!a'\n", "double-negation", 2, 15},
		{"b:\n  withTags: '''a'' b'\n", "missing-operator", 2, 20},
		{"b:\n  withTags: \"a\\t\\u0062 & \"\n", "missing-operator", 2, 17},
		{"b:\n  withTags: \"\\x41 \\U00000042\"\n", "missing-operator", 2, 19},
		{"b:\n  withTags: \"\\\"a b\"\n", "missing-operator", 2, 18},
		{"b:\n  withTags: &q   a b\n", "missing-operator", 2, 20},
		{"b:\n  withTags: &q \"a b\"\n", "missing-operator", 2, 19},
		{"b:\n  withTags: &q\n    a b\n", "missing-operator", 2, 13},
		{"b:\n  withTags:\n    a b\n", "missing-operator", 3, 7},
		{"b:\n  withTags: a\n    b\n", "missing-operator", 2, 13},
		{"b:\n  withTags: >\n    a b\n", "missing-operator", 2, 13},
		{"b: {withTags: a b, x: 1}\n", "missing-operator", 1, 17},
		{"b: {x: {{ T }}, withTags: a b}\n", "missing-operator", 1, 29},
		{"b:\n  withTags: a & b | c\n", "ambiguous-expression", 2, 13},
		{"b:\n  withTags: 'a & b | c'\n", "ambiguous-expression", 2, 14},
	}
	for _, r := range rows {
		blocks, fs, ok := ParseSets("p.yml", []byte(r.in))
		want := fmt.Sprintf("%d:%d error %s", r.line, r.col, r.code)
		if !ok || brief(fs) != want {
			t.Errorf("%q: ok=%v %s, want %s", r.in, ok, brief(fs), want)
		}
		ambiguous := r.code == CodeAmbiguous
		if b := blocks[0]; b.Invalid == ambiguous || (b.Expr != nil) != ambiguous {
			t.Errorf("%q: Invalid=%v Expr=%v", r.in, b.Invalid, b.Expr)
		}
	}
}

func TestAmbiguousExpressionCounts(t *testing.T) {
	blocks, fs, ok := ParseSets("p.yml", []byte("b: {withTags: a & b | c, x: 1}"))
	if !ok || len(fs) != 1 || blocks[0].Invalid || blocks[0].Expr.String() != "a & (b | c)" {
		t.Fatalf("%v %v %+v", ok, fs, blocks)
	}
	for _, s := range []string{`"(a & b) | c"`, `"a & (b | c)"`, "brackets"} {
		if !strings.Contains(fs[0].Text, s) {
			t.Errorf("%s is not in %q", s, fs[0].Text)
		}
	}
}

// TestScalars holds the rules for values.
func TestScalars(t *testing.T) {
	rows := []struct{ in, value, findings string }{
		{"text", "text", ""},
		{"two words", "two words", ""},
		{"\"quoted \\u00e9\"", "quoted é", ""},
		{"'it''s'", "it's", ""},
		{"|\n    a\n    b", "a\nb\n", ""},
		{">-\n    a\n    b", "a b", ""},
		{"true", "true", ""},
		{"True", "true", ""},
		{"FALSE", "false", ""},
		{"yes", "true", ""},
		{"Yes", "true", ""},
		{"YES", "true", ""},
		{"on", "true", ""},
		{"On", "true", ""},
		{"ON", "true", ""},
		{"no", "false", ""},
		{"No", "false", ""},
		{"NO", "false", ""},
		{"off", "false", ""},
		{"Off", "false", ""},
		{"OFF", "false", ""},
		{"y", "y", ""},
		{"n", "n", ""},
		{"yEs", "yEs", ""},
		{"oN", "oN", ""},
		{"\"yes\"", "yes", ""},
		{"'off'", "off", ""},
		{"|-\n    yes", "yes", ""},
		{"~", "~", ""},
		{"null", "~", ""},
		{"Null", "~", ""},
		{"NULL", "~", ""},
		{"", "~", ""},
		{"# c", "~", ""},
		{"nUll", "nUll", ""},
		{"\"\"", "", ""},
		{"''", "", ""},
		{"\"~\"", "~", ""},
		{"'null'", "null", ""},
		{"42", "42", ""},
		{"-42", "-42", ""},
		{"0", "0", ""},
		{"1.5", "1.5", ""},
		{"1.2.3", "1.2.3", ""},
		{"192.168.0.1", "192.168.0.1", ""},
		{"12345678901234567890", "12345678901234567890", ""},
		{"0o17", "0o17", ""},
		{"12:99", "12:99", ""},
		{"10:20am", "10:20am", ""},
		{"1-2-3", "1-2-3", ""},
		{"=", "=", ""},
		{"<<", "!", "3:6 error bad-value"},
		{"\"010\"", "010", ""},
		{"a # b", "a", ""},
		{"a#b", "a#b", ""},
		{"http://x/y", "http://x/y", ""},
		{"[a, b]", "[a, b]", "3:3 warning list-as-text"},
		{"[a, [True, 3], ~]", "[a, [true, 3], null]", "3:3 warning list-as-text"},
		{"[a, b]", "[a, b]", "3:3 warning list-as-text"},
		{"[a, [True, 3], ~]", "[a, [true, 3], null]", "3:3 warning list-as-text"},
		{"{a: b}", "!", "3:6 error bad-value"},
		{"{{ two words }}", "!", "3:6 error bad-value"},
		{"!!binary aGk=", "!", "3:6 error yaml-tag"},
		{"!!python/object/apply:os.system [x]", "!", "3:6 error yaml-tag"},
		{"!!str 010", "!", "3:6 error yaml-tag"},
		{"!custom x", "!", "3:6 error yaml-tag"},
		{"! x", "!", "3:6 error yaml-tag"},
		{"\"a! b\"", "a! b", ""},
		{strings.Repeat("x", MaxValue), strings.Repeat("x", MaxValue), ""},
		{strings.Repeat("x", MaxValue+1), "!", "3:6 error too-long"},
	}
	for _, r := range rows {
		blocks, fs, ok := ParseSets("p.yml", []byte("b:\n  withTags: a\n  k: "+r.in+"\n  after: 1\n"))
		checkTexts(t, r.in, nil)
		if !ok || len(blocks) != 1 || blocks[0].Invalid || len(blocks[0].Properties) != 2 {
			t.Errorf("%.60q: ok=%v %.300v %v", r.in, ok, blocks, fs)
			continue
		}
		v := blocks[0].Properties[0].Value
		if v.Line != 3 || v.Col != 3 || show(v) != r.value || show(blocks[0].Properties[1].Value) != "1" || brief(fs) != r.findings {
			t.Errorf("%.60q: %+v %s, want %.60q %s", r.in, v, brief(fs), r.value, r.findings)
		}
		if strings.HasPrefix(r.in, `"`) && (!v.Defined || v.Invalid) {
			t.Errorf("%.60q must be defined", r.in)
		}
	}
}

// TestKeys holds the rules for the names of properties.
func TestKeys(t *testing.T) {
	rows := []struct{ in, name, findings string }{
		{"com.openexchange.foo", "com.openexchange.foo", ""},
		{"io.ox/core//theme", "io.ox/core//theme", ""},
		{"\"1\"", "1", ""},
		{"'true'", "true", ""},
		{"y", "y", ""},
		{"\"<<\"", "<<", ""},
		{"two words", "two words", ""},
		{"1", "!", "3:3 error bad-key"},
		{"1.5", "!", "3:3 error bad-key"},
		{"2026-01-01", "!", "3:3 error bad-key"},
		{"true", "!", "3:3 error bad-key"},
		{"on", "!", "3:3 error bad-key"},
		{"~", "!", "3:3 error bad-key"},
		{"null", "!", "3:3 error bad-key"},
		{"\"\"", "!", "3:3 error bad-key"},
		{"? [a]\n  ", "!", "3:5 error bad-key"},
		{"? {a: b}\n  ", "!", "3:5 error bad-key"},
		{"!!str x", "!", "3:3 error yaml-tag"},
		{"! x", "!", "3:3 error yaml-tag"},
		{"\"" + strings.Repeat("k", MaxKey) + "\"", strings.Repeat("k", MaxKey), ""},
		{"\"" + strings.Repeat("k", MaxKey+1) + "\"", "!", "3:3 error too-long"},
		{"{{ K }}", "{{ K }}", "3:3 warning token-in-key"},
		{"com.openexchange.f\u200boo", "com.openexchange.f\u200boo", "3:3 warning suspicious-key"},
		{"com.openexchange.foo\u00a0", "com.openexchange.foo\u00a0", "3:3 warning suspicious-key"},
	}
	for _, r := range rows {
		blocks, fs, ok := ParseSets("p.yml", []byte("b:\n  withTags: a\n  "+r.in+": v\n  after: 1\n"))
		if !ok || len(blocks) != 1 || blocks[0].Invalid || len(blocks[0].Properties) != 2 {
			t.Errorf("%.60q: ok=%v %v %v", r.in, ok, blocks, fs)
			continue
		}
		p := blocks[0].Properties[0]
		got := p.Name
		if p.Value.Invalid {
			got = "!"
		} else if p.Value.Text != "v" {
			t.Errorf("%.60q: value %+v", r.in, p.Value)
		}
		if got != r.name || brief(fs) != r.findings {
			t.Errorf("%.60q: %q %s, want %q %s", r.in, got, brief(fs), r.name, r.findings)
		}
	}
}

// TestMerges: anchors, aliases and << as administrators use them to share.
func TestMerges(t *testing.T) {
	rows := []struct{ in, blocks, findings string }{
		{"base: &b {withTags: x, p: 1, q: 2}\nc: {<<: *b, withTags: y, q: 3}", "base[x]{p=1 q=2} c[y]{p=1 q=3}", ""},
		{"a: &a {withTags: x, p: 1}\nb: &b {withTags: y, p: 2, q: 3}\nc: {<<: [*b, *a]}", "a[x]{p=1} b[y]{p=2 q=3} c[y]{p=2 q=3}", ""},
		{"a: &a {withTags: x, p: &v yes}\nb: {withTags: y, p: *v}", "a[x]{p=true} b[y]{p=true}", ""},
		{"a: &a {withTags: x}\nb: *a", "a[x]{} b[x]{}", ""},
		{"a: &a {withTags: x, p: 1}\nb: &b {<<: *a, q: 2}\nc: {<<: *b, r: 3}", "a[x]{p=1} b[x]{p=1 q=2} c[x]{p=1 q=2 r=3}", ""},
		{"a: {withTags: x, <<: {p: 1}}", "a[x]{p=1}", ""},
		{"a: {withTags: x, \"<<\": 1}", "a[x]{<<=1}", ""},
		{"a: &a {withTags: x, p: [1]}\nb: {<<: *a}", "a[x]{p=[1]} b[x]{p=[1]}", "1:21 warning list-as-text"},
		{"a: {withTags: x, <<: 5}", "!a[x]{}", "1:22 error bad-alias"},
		{"a: &a {withTags: x}\nb: {<<: [*a, 5]}", "a[x]{} !b[x]{}", "2:14 error bad-alias"},
		{"<<: {a: {withTags: x}}\nb: {withTags: y}", "a[x]{} b[y]{}", ""},
		{"<<: 1\nb: {withTags: y}", "b[y]{}", "1:5 error bad-alias"},
	}
	for _, r := range rows {
		got, fs, ok := sets(t, r.in)
		if !ok || got != r.blocks || brief(fs) != r.findings {
			t.Errorf("%q:\n got %s | %s\nwant %s | %s", r.in, got, brief(fs), r.blocks, r.findings)
		}
	}
}

func TestFindingsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("b:\n  withTags: a\n")
	for i := range 3 * maxFindings {
		fmt.Fprintf(&b, "  k%d: {x: 1}\n", i)
	}
	blocks, fs, ok := ParseSets("p.yml", []byte(b.String()))
	if !ok || len(fs) != maxFindings+1 || fs[0].Code != codeMoreFindings || !strings.HasPrefix(fs[0].Text, "400 more") {
		t.Errorf("ok=%v, %d findings, first %v", ok, len(fs), fs[0])
	}
	for _, p := range blocks[0].Properties {
		if !p.Value.Invalid {
			t.Fatalf("%s is not marked", p.Name)
		}
	}
}

// TestSecretsStayOut: a warning about a value does not repeat it when its name
// says that it is a secret.
func TestSecretsStayOut(t *testing.T) {
	for _, name := range []string{"com.openexchange.db.Password", "x.cookie.hash.salt", "apiKey", "a.secret", "authToken", "credentials", "MASTER_PASSWD"} {
		_, fs, _ := ParseSets("p.yml", []byte("b: {withTags: a, "+name+": 012345}"))
		if len(fs) != 1 || fs[0].Code != CodeYAML11 || strings.Contains(fs[0].Text, "5349") || strings.Contains(fs[0].Text, "12345") {
			t.Errorf("%s: %v", name, fs)
		}
		_, fs, _ = ParseMeta("p.yml", []byte(name+": {value: 012345}"))
		if len(fs) != 1 || strings.Contains(fs[0].Text, "12345") {
			t.Errorf("%s: %v", name, fs)
		}
	}
}
