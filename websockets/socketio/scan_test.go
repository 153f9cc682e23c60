package socketio

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// texts are JSON and what resembles it.
var texts = []string{
	"null", "true", "false", "nul", "truex", "0", "-0", "-", "00", "01", "1.", ".5", "1.5", "1e", "1e5", "1E+5", "1e-5", "1e+", "-1.0e-0", "+1", "1_0", "NaN", "Infinity", "0x10",
	`""`, `"`, `"a`, `"\"`, `"\\"`, `"\x"`, `"\u12"`, `"\u123g"`, `"\u00E4\uD800"`, `"\/\b\f\n\r\t"`, "\"\t\"", "\"\x7f\"", "\"\u2028\"", "\"\x00\"", `'a'`,
	"[]", "[ ]", "[1]", "[1,]", "[,1]", "[1 2]", "[1,[2,[3]]]", "[", "]", "[}", "{}", "{ }", `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{1:2}`, `{"a":1 "b":2}`, `{"a":1,"a":2}`, "{", "{]",
	" 1", "1 ", "1\n", "1\v", "1 2", "\ufeff1", "/**/1", "[1]//", "\xff", "\"\xc3\x28\"", "\"\xed\xa0\x80\"",
	"[\t1 ,\r\n\"a\" , {\"b\" : [ ] } ]", "[[[[]]]]", strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65),
}

// sameAsLibrary holds validJSON to encoding/json, but for what it refuses on
// purpose.
func sameAsLibrary(t *testing.T, data []byte) {
	t.Helper()
	want := json.Valid(data) && utf8.Valid(data) && data[0] > ' ' && !deep(data)
	if got := validJSON(data, 0); got != want {
		t.Errorf("%.200q: valid %v, want %v", data, got, want)
	}
}

// deep reports whether a JSON text nests more than MaxDepth levels.
func deep(data []byte) bool {
	depth, deepest := 0, 0
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		token, err := d.Token()
		if err != nil {
			return deepest > MaxDepth
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

func TestValidJSON(t *testing.T) {
	for _, text := range texts {
		sameAsLibrary(t, []byte(text))
		sameAsLibrary(t, []byte("["+text+`,{"k":`+text+"}]"))
	}
	if validJSON(nil, 0) {
		t.Error("nothing is a value")
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ data, name, args string }{
		{`["a"]`, "a", "[]"},
		{"[ \n\"a\" , 1 ]", "a", "[ 1 ]"},
		{`["a" ]`, "a", "[]"},
		{"[\"a\",[],{} ] \n", "a", "[[],{} ]"},
		{`["\u0061\"\\",1]`, `a"\`, "[1]"},
		{`["",null]`, "", "[null]"},
		{`["\ud800x"]`, "\ufffdx", "[]"},
		{`["__proto__",1]`, "__proto__", "[1]"},
	} {
		name, args, ok := split([]byte(c.data))
		if !ok || name != c.name || string(args) != c.args {
			t.Errorf("%s: %q, %s (%v)", c.data, name, args, ok)
		}
	}
	for _, data := range []string{"", "{}", "[]", "[ ]", "[1]", `[["a"]]`, `[{"a":1}]`, "[null]", `"a"`} {
		if name, args, ok := split([]byte(data)); ok {
			t.Errorf("%s: %q, %s", data, name, args)
		}
	}
}
