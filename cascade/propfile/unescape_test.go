package propfile

import "testing"

// TestUnescape compares with what a file makes of the same text as a value.
func TestUnescape(t *testing.T) {
	for _, s := range []string{
		"", "x", `a\tb\nc\rd\fe`, `\\`, `\\\\x`, `\u00e4\u00C4`, `\ud83d\ude00`, `a\ud83db`, `\ude00\ud83d`, `\:\=\#\x\ä`, `C:\\temp`, `x\`, `\`,
		`\u12`, `\u`, `a\uzzzz`, `\ud83d\u12`,
	} {
		file, _ := Parse("p.properties", []byte("k="+s))
		text, ok := Unescape(s)
		switch {
		case ok != (file != nil):
			t.Errorf("%q: ok=%t", s, ok)
		case ok && text != file.Entries[0].Value:
			t.Errorf("%q: %q, in a file %q", s, text, file.Entries[0].Value)
		}
	}
	if text, ok := Unescape(` a\u0000\` + "\n "); !ok || text != " a\x00\n " {
		t.Errorf("%q", text)
	}
}
