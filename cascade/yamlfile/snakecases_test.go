package yamlfile

import (
	"math/rand/v2"
	"strings"
)

// plainScalars are unquoted scalars worth asking about one by one.
const plainScalars = `0 1 -1 +1 00 01 07 08 09 -08 010 -010 +010 0_ 0_7 0__7 _0 _ 0049123 0123456789 0123456701 1_000 1__0 1_ +1_0 -1_0
0x1F 0x1f 0X1F -0x1F +0xff 0x 0x_ 0x_1 0x1_ 0x1F_ 0xg 0b1 0b101 -0b101 0b 0b_ 0b_1 0b1_ 0b2 0B1 0o17 0o8
12:30 12:30:45 1:60 1:5 08:30 8:30 -1:30 +1:30 190:20:30 190:20:30.15 0:30 1:2:3:4:5:6 1:2:3:4:5:6:7:8 9:59:59 24:00 00:00 12:3 12:300 1: :1
1.0 1.10 1. .5 -.5 +.5 5. 0.0 -0.0 -0 +0 1.2.3 1,5 1_0.5 1_0.5_ 685_230.15e+3 1e3 1E3 1e+3 1e-3 1.5e3 1.5e+3 1.e3 .5e3 1e 1e+ e3 1e3.5 1e999 -1e999 1e-999
0.001 0.0001 0.00001 9999999.0 10000000.0 123456789.0 100.0 1e7 1e6 1.25e10 1e21 0.1 3.14159 ._ ._1 .1_ . .. -. + - 1.1_0 01.5 00.5 08.5 0_1.5 0e3 08e3
.inf .Inf .INF -.inf +.inf .iNf inf Inf Infinity -.INF .nan .NaN .NAN -.nan NaN nan
true True TRUE tRUE false False FALSE fALSE yes Yes YES yEs no No NO nO on On ON oN off Off OFF oFF y Y n N t f T F
~ null Null NULL nULL nil none None ~~ =
2026-01-01 2026-1-1 2026-13-45 2026-01-01T10:00:00Z 2026-01-01t10:00:00Z 2026-01-01T10:00:00 2026-01-01T10:00:00.5 2026-01-01T10:00:00+02:00 2026-01-01T1:00:00Z 2026-1-1T10:00:00Z 2026-01 20260101 26-01-01 2026-01-01T 0000-00-00 2026/01/01
5m 10s 500ms 1h 1d 10% 1/2 1-2 a-b a.b a:b a/b a@b a=b a+b a_b a~b a!b a*b a&b a?b a|b a>b a$b a%b a^b a;b a\b a'b a"b
user@example.com http://example.com/x?y=z#f https://h:8080/ 192.168.0.1 10.0.0.0/8 ::1 fe80::1 com.openexchange.foo ox-8.2 v1 1.10.3 7.10.6-rev12 c:\dir /opt/x ./x ../x *.example.com
12345678901 1234567890123 12345678901234567890123 -9223372036854775808 9223372036854775808 2147483647 2147483648 0777777777777777777777777 0xffffffffffffffffff 123456789012345.678 1.7976931348623157e308 5e-324 0.1e1
?x :x -x ?x: ,x [x ]x {x }x #x &x *x !x |x >x 'x "x %x @x `

// spacedScalars are those that hold blanks, quotes, or lines.
var spacedScalars = []string{
	"`x", "''", `""`, `"a"`, "'a'", `"010"`, "'yes'", `"~"`, `"\x41\u00e9\n"`, `"a\
    b"`, "'a\n\n    b'", "a b", "a  b", "a # c", "a #c", "a#c", "# c", " # c", "a: b", "a :b", "a:\tb", "a, b", "1 2", "1 000", "2026-01-01 10:00:00", "2026-01-01  10:00:00",
	"2026-01-01 10:00:00 Z", "2026-01-01 10:00:00 +2", "2026-01-01 10:00:00 -05:30", "yes no", "true ", "no # off", "\"no\" # off", "a\n    b", "a\n\n    b", "|\n    a\n    b", "|-\n    a\n    b", "|+\n    a\n\n",
	">\n    a\n    b", ">-\n    a\n    b", ">\n    a\n\n    b", "|2\n    a", "|\n    010", ">-\n    yes", "[]", "[ ]", "[a]", "[a, b]", "[a, b,]", "[1, 010, yes, ~, 1.10, 2026-01-01]", "[\"a\", 'b']", "[[a], [b, c]]", "[a, {b: c}]", "[{a: b}]",
	"[a b, c d]", "[,]", "[a,,b]", "[TRUE, False]", "[\"yes\"]", "[[]]", "[~]", "[!x a]", "[a: b]", "{}", "{a: b}", "{a}", "{a: {b: c}}", "{a: 1, a: 2}", "\n    - a\n    - b", "\n  - a\n  - b", "\n    - a: b", "\n    a: b", "!!str 5", "!!int \"5\"",
	"!!bool yes", "!!float 1", "!!null ''", "!x 5", "! x", "! 5", "!!binary aGk=", "!!set {a}", "!!omap [a: b]", "!!timestamp 2026-01-01", "&a 5", "&a", "*a", "&a x\n  l: *a", "&a yes\n  l: *a", "&a 010\n  l: *a", "é", "日本", "😀", "a\u00a0b", "a\u2028b", "a\u0085b",
	"<<", "'<<'", "- a", "-", "- ", "? a", "?", "|", ">", "@a", "%a", "&", "*", "!", "a\tb", "\ta", "a\t", "\"a\tb\"", "'a''b'", "'a'b", "\"a\"b", "\"\\q\"", "\"\\/\"", "a\\nb", "$${x}", "${x}", "a}", "a]", "a{b", "a[b",
}

// snakeScalars are documents of one block with one scalar, as a value and as
// the tags that a block adds.
func snakeScalars() []string {
	var out []string
	for _, s := range append(strings.Fields(plainScalars), spacedScalars...) {
		out = append(out, "b:\n  withTags: t\n  k: "+s+"\n")
	}
	for _, s := range strings.Fields("u YES True off true 010 1.10 08 2026-01-01 ~ [u,v] [u] [YES,~,010] {a:b} \"u,v\" u,v ,u,, 1337 !x") {
		out = append(out, "b:\n  withTags: t\n  addTags: "+s+"\n", "b:\n  withTags: "+s+"\n  k: 1\n", "b:\n  withTags: t\n  "+s+": 1\n", s+":\n  withTags: t\n")
	}
	// A pseudo-random part that stays the same.
	rng := rand.New(rand.NewPCG(3, 33))
	for range 250 {
		var s strings.Builder
		for range 1 + rng.IntN(4) {
			s.WriteString(scalarLetters[rng.IntN(len(scalarLetters))])
		}
		out = append(out, "b:\n  withTags: t\n  k: "+s.String()+"\n")
	}
	return out
}

// snakeDocuments are documents whose structure is the question.
func snakeDocuments() []string {
	const b = "b:\n  withTags: t\n  k: 1\n"
	return append([]string{
		"", "\n", "# c\n", "~\n", "{}\n", "[]\n", "x\n", "---\n", "---\n...\n", "--- # c\n" + b, "--- {b: {withTags: t}}\n", b + "...\n", b + "---\n", "---\n" + b + "---\n" + b, b + "...\n---\n" + b, "\ufeff" + b, strings.ReplaceAll(b, "\n", "\r\n"), strings.ReplaceAll(b, "\n", "\r"),
		"%YAML 1.0\n---\n" + b, "%YAML 1.1\n---\n" + b, "%YAML 1.2\n---\n" + b, "%YAML 1.3\n---\n" + b, "%YAML 1.10 # c\n---\n" + b, "%YAML 2.0\n---\n" + b, "%YAML\n---\n" + b, "%YAML 1\n---\n" + b, "%YAML 1.2\n%YAML 1.2\n---\n" + b, "%YAML 1.2\n" + b,
		"%FOO\n---\n" + b, "%FOO bar baz\n---\n" + b, "%FOO\n%BAR x\n%YAML 1.2\n---\n" + b, "%FOO\n" + b, "# c\n%YAML 1.2\n# d\n\n---\n" + b, b + "%FOO\n", "%TAG ! tag:x,2000:\n---\n" + b, "%TAG !e! tag:x,2000:\n---\nb:\n  withTags: t\n  k: !e!x 5\n", " %YAML 1.2\n---\n" + b, "%\n---\n" + b, "%YAML 1.2\r\n---\r\n" + b, "%YAML 1.2\n--- " + "{b: {withTags: t}}\n",
		b + b, b + "c:\n  withTags: u\n" + b, "b:\n  withTags: t\n  k: 1\n  k: 1\n", "b:\n  withTags: t\n  k: 1\n  \"k\": 2\n", "b:\n  withTags: t\n  k: 1\n  'k': 2\n  k: 3\n", "b:\n  withTags: t\n  withTags: u\n", "b:\n  withTags: t\n  addTags: u\n  addTags: v\n", "b: {withTags: t, k: 1, l: 2, k: 3}\n", "{b: {withTags: t}, b: {withTags: u}}\n", "b:\n  withTags: t\n  1: x\n  0x1: y\n", "b:\n  withTags: t\n  yes: x\n  true: y\n",
		"b: &b\n  withTags: t\n  k: 1\nc:\n  <<: *b\n  k: 2\n", "b: &b\n  withTags: t\n  k: 1\nc:\n  k: 2\n  <<: *b\n", "b: &b {withTags: t, k: 1}\nc: &c {k: 2, l: 3}\nd: {<<: [*b, *c]}\n", "b: &b {withTags: t, k: 1}\nc: &c {k: 2, l: 3}\nd: {<<: *b, <<: *c}\n", "b: &b {withTags: t, k: 1}\nc: {<<: *b, k: 2, k: 3}\n", "b: &b {withTags: t, k: 1, k: 4}\nc: {<<: *b}\n", "b:\n  withTags: t\n  <<: 1\n", "b:\n  withTags: t\n  <<: [1]\n", "b:\n  withTags: t\n  \"<<\": 1\n", "<<: {b: {withTags: t}}\nc: {withTags: u}\n", "c: {withTags: u}\n<<: {b: {withTags: t}}\n", "c: {withTags: u}\n<<: {b: {withTags: t}, c: {withTags: v}}\n", "b: {withTags: t, <<: {k: 1}, l: 2}\n", "b: &b {withTags: t}\nc: *b\n", "b: {withTags: t, k: &k v, l: *k}\n", "b: {withTags: t, &k k: v, l: *k}\n", "b: {withTags: t, k: *u}\n",
		"b: 1\n", "b:\n", "b: [1]\n", "b: text\nc:\n  withTags: t\n", "- b\n", "b:\n- x\n", "1: {withTags: t}\n", "08: {withTags: t}\n", "yes: {withTags: t}\n", "~: {withTags: t}\n", "? b\n: {withTags: t}\n", "? [a]\n: {withTags: t}\n", "\"b\": {withTags: t}\n", "b : {withTags: t}\n", "b:{withTags: t}\n", "b: {withTags:t}\n", "b: {withTags: t,k: 1}\n", "b: {withTags: t, k}\n", "b: {withTags: t, k: }\n", "b: {withTags: t\n,k: 1}\n", "b: {withTags: t}}\n", "b: {withTags: t\n", "b:\n  withTags: t\n k: 1\n", "b:\n  withTags: t\n   k: 1\n", "b:\n\twithTags: t\n", "b:\n  withTags: t\t\n", "b:\n  withTags:\tt\n", "b:\n  withTags: t\n\n\n  k: 1\n", "b:\n  withTags: t\n  k: a\n   b\n", "b:\n  withTags: t\n  k: \"a\n  b\"\n", "b:\n  withTags: t\n  k: 'a\nb'\n", "b:\n  withTags: t\n  k:\n  l: 2\n", "b:\n  withTags: t\n  k:\n    v\n", "b:\n  withTags: t\n  k: # c\n    v\n", "b:\n  withTags: >-\n    t\n    & u\n", "b:\n  withTags: t & u\n", "b:\n  withTags: \"!t\"\n", "b:\n  withTags: !t\n", "b:\n  withTags: t | u\n", "b:\n  withTags: | t\n", "b:\n  withTags: &t\n", "b:\n  withTags: \"\"\n", "b:\n  withTags: [t, u]\n",
		"io.ox/core//theme: {protected: false}\nio.ox/core//theme: {protected: false}\n", "com.openexchange.x:\n  final: server\n  value: TRUE\n  protected: False\n",
	}, randomSnake(5, 60)...)
}
