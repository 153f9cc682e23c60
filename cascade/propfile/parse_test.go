package propfile

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/magiconair/properties"

	"github.com/seed47708276/sluice/cascade/finding"
)

// show renders a reading: entries as line:key=value, findings as
// line:col:code, with a ! before errors.
func show(f *File, findings []finding.Finding) (entries, found []string) {
	if f != nil {
		for _, e := range f.Entries {
			entries = append(entries, fmt.Sprintf("%d:%s=%s", e.Line, e.Key, e.Value))
		}
	}
	for _, fd := range findings {
		mark := ""
		if fd.Severity == finding.Error {
			mark = "!"
		}
		found = append(found, fmt.Sprintf("%s%d:%d:%s", mark, fd.Line, fd.Col, fd.Code))
	}
	return entries, found
}

func list(s ...string) []string { return s }

// rules holds one case per rule.
var rules = []struct {
	name, in string
	entries  []string
	findings []string
}{
	{"nothing", "", nil, nil},
	{"only blank lines and comments", "\n  \n# a=1\n\t! b=2\r\n\f", nil, nil},
	{"separators", "a=1\nb:2\nc 3\nd\t4\ne\f5\nf = 6\ng : 7\nh  8\ni", list("1:a=1", "2:b=2", "3:c=3", "4:d=4", "5:e=5", "6:f=6", "7:g=7", "8:h=8", "9:i="), nil},
	{"a second separator is value", "a==1\nb=:2\nc : = 3", list("1:a==1", "2:b=:2", "3:c== 3"), nil},
	{"empty values count", "a=\nb:\nc", list("1:a=", "2:b=", "3:c="), nil},
	{"indentation", "   a=1\n\t\fb=2", list("1:a=1", "2:b=2"), nil},
	{"trailing blanks are trimmed", "a=1  \t\nb = \n", list("1:a=1", "2:b="), nil},
	{"escaped blanks are trimmed too", "\\ a\\ =\\ 1\\t\n", list("1:a=1"), nil},
	{"no-break space is not trimmed", "a=\u00a01\u00a0", list("1:a=\u00a01\u00a0"), nil},
	{"escapes", `a=\t1\n2\r3\f4\\5\x6\"7`, list("1:a=1\n2\r3\f4\\5x6\"7"), nil},
	{"escapes in keys", "a\\ b\\=c\\:d\\\\=1", list("1:a b=c:d\\=1"), nil},
	{"comment characters inside", "a=#1\nb#c=!2\n\\#d=3", list("1:a=#1", "2:b#c=!2", "3:#d=3"), nil},
	{"unicode escapes", `a\u0062=\u00E9\u20ac`, list("1:ab=é€"), nil},
	{"surrogate pair", `a=\ud83d\ude00.`, list("1:a=😀."), nil},
	{"surrogate pair over two lines", "a=\\ud83d\\\n  \\ude00", list("1:a=😀"), nil},
	{"lone high surrogate", `a=x\ud83dy`, list("1:a=x\ufffdy"), list("1:4:lone-surrogate")},
	{"lone low surrogate", "b=1\na=\\\n  x\\ude00", list("1:b=1", "2:a=x\ufffd"), list("3:4:lone-surrogate")},
	{"two high surrogates", `a=\ud83d\ud83d\ude00`, list("1:a=\ufffd😀"), list("1:3:lone-surrogate")},
	{"raw UTF-8", "a=äöü €😀", list("1:a=äöü €😀"), nil},
	{"continuation", "a=1,\\\n   2,\\\n\t3\nb=4", list("1:a=1,2,3", "4:b=4"), nil},
	{"continuation with CRLF", "a=1,\\\r\n  2\r\nb=3\r\n", list("1:a=1,2", "3:b=3"), nil},
	{"continuation with CR", "a=1,\\\r  2\rb=3\r", list("1:a=1,2", "3:b=3"), nil},
	{"continuation in a key", "ke\\\n  y=v", list("1:key=v"), nil},
	{"continuation in a separator", "a \\\n = \\\n 1", list("1:a=1"), nil},
	{"continuation into a comment character", "a=1\\\n#2", list("1:a=1#2"), nil},
	{"continuation ended by a blank line", "a=1\\\n\nb=2", list("1:a=1", "3:b=2"), nil},
	{"escaped backslash does not continue", "a=1\\\\\nb=2", list("1:a=1\\", "2:b=2"), nil},
	{"three backslashes do", "a=1\\\\\\\nb=2", list("1:a=1\\b=2"), nil},
	{"comments do not continue", "# a\\\nb=2", list("2:b=2"), nil},
	{"backslash alone on its line", "\\\n  a=1", list("2:a=1"), nil},
	{"backslash alone before a comment", "\\\n# a=1\nb=2", list("3:b=2"), nil},
	{"escape over two lines", "a=\\u00\\\n  e9", list("1:a=é"), nil},
	{"line ends of all kinds", "a=1\rb=2\r\nc=3\nd=4\n\re=5", list("1:a=1", "2:b=2", "3:c=3", "4:d=4", "6:e=5"), nil},
	{"duplicates are all kept", "a=1\nb=2\na=3", list("1:a=1", "2:b=2", "3:a=3"), nil},
	{"keys that trimming makes equal", "a=1\n\\ta=2", list("1:a=1", "2:a=2"), nil},
	{"no expansion", "a=${HOME}\nb=${b}\nc=${", list("1:a=${HOME}", "2:b=${b}", "3:c=${"), nil},
	{"tokens are text", "a={{env NAME:x}}", list("1:a={{env NAME:x}}"), nil},

	{"backslash at the end", `a=b\`, list("1:a=b"), list("1:4:trailing-backslash")},
	{"backslash and line end at the end", "a=b\\\r\n", list("1:a=b"), list("1:4:trailing-backslash")},
	{"backslash alone, then CRLF", "a=b\n\\\r\n", list("1:a=b"), list("2:1:trailing-backslash")},
	{"backslash alone at the end", "a=b\n\\", nil, list("!2:1:empty-key")},
	{"backslash alone, then LF", "a=b\n\\\n", nil, list("!2:1:empty-key")},

	{"bad escapes", "a=1\nb=\\uZZZZ\nc=\\u12\nd\\u00=1", nil, list("!2:3:bad-escape", "!3:3:bad-escape", "!4:2:bad-escape")},
	{"bad escape on a continuation line", "a=é,\\\n  é\\u12", nil, list("!2:4:bad-escape")},
	{"empty keys", "=v\na=1\n  :\n\\ =x", nil, list("!1:1:empty-key", "!3:3:empty-key", "!4:1:empty-key")},
	{"NUL", "a=1\nbé=\x002", nil, list("!2:4:control-character")},
	{"ESC in a comment", "# \x1b[31m\n", nil, list("!1:3:control-character")},
	{"DEL", "a=\x7f", nil, list("!1:3:control-character")},
	{"vertical tab", "a=1\r\nb=\v", nil, list("!2:3:control-character")},
	{"control character behind Latin-1", "a=\xe9\xe9\x01", nil, list("!1:5:control-character")},
	{"escaped control characters", "a=\\u0000\nb\\u001B=1\nc=\\u007f", nil, list("!1:3:control-character", "!2:2:control-character", "!3:3:control-character")},
	{"ELF", "\x7fELF\x02\x01\x01\x00\x00\x00", nil, list("!1:1:control-character")},
	{"gzip", "\x1f\x8b\x08\x00\x00\x00", nil, list("!1:1:control-character")},
	{"PNG", "\x89PNG\r\n\x1a\n", nil, list("!2:1:control-character")},

	{"conflict", "a=1\n<<<<<<< HEAD\nb=1\n=======\nb=2\n>>>>>>> theirs\n", nil, list("!2:1:conflict-marker", "!4:1:conflict-marker", "!6:1:conflict-marker")},
	{"conflict with base and CRLF", "<<<<<<<\r\n||||||| base\r\n=======\r\n>>>>>>>\r\n", nil, list("!1:1:conflict-marker", "!2:1:conflict-marker", "!3:1:conflict-marker", "!4:1:conflict-marker")},
	{"conflict inside a value", "a=1,\\\n<<<<<<< HEAD\n", nil, list("!2:1:conflict-marker")},
	{"what only resembles a marker", "<<<<<<<x=1\na=<<<<<<< HEAD\n <<<<<<< b\n#=======\nc=========", list("1:<<<<<<<x=1", "2:a=<<<<<<< HEAD", "3:<<<<<<<=b", "5:c========="), list("1:1:suspicious-key", "3:2:suspicious-key")},
	{"web page", "\n <!DOCTYPE HTML>\n<body>", nil, list("!2:2:html")},
	{"web page without doctype", "<Html lang=en>", nil, list("!1:1:html")},
	{"what only resembles a web page", "a=<html>\n<htmlish=1", list("1:a=<html>", "2:<htmlish=1"), list("2:1:suspicious-key")},

	{"Cyrillic letter", "com.\u0430=1", list("1:com.\u0430=1"), list("1:1:suspicious-key")},
	{"no-break space behind a key", "a\u00a0=1", list("1:a\u00a0=1"), list("1:1:suspicious-key")},
	{"zero width space, tab, bidi", "a=1\n b\u200b=1\nc\\td=2\n\u202ee=3", list("1:a=1", "2:b\u200b=1", "3:c\td=2", "4:\u202ee=3"), list("2:2:suspicious-key", "3:1:suspicious-key", "4:1:suspicious-key")},
	{"JSON", `{"a": 1}`, list(`1:{"a"=1}`), list("1:1:suspicious-key")},
	{"key with a blank", `a\ b=1`, list("1:a b=1"), nil},

	{"byte order mark", "\ufeffa=1", list("1:a=1"), nil},
	{"second byte order mark", "\ufeff\ufeffa=1", list("1:\ufeffa=1"), list("1:1:suspicious-key")},
	{"byte order mark alone", "\ufeff", nil, nil},
	{"Latin-1", "a=é\nb=\xe9\x93\nc=\u00fc", list("1:a=Ã©", "2:b=é\u0093", "3:c=Ã¼"), list("2:3:encoding")},
	{"byte order mark and Latin-1", "\ufeffa=\xff", list("1:a=ÿ"), list("1:3:encoding")},
	{"UTF-16LE mark", "\xff\xfea\x00=\x001\x00", nil, list("!1:1:encoding")},
	{"UTF-16BE mark", "\xfe\xff\x00a\x00=\x001", nil, list("!1:1:encoding")},
	{"UTF-32LE mark", "\xff\xfe\x00\x00a\x00\x00\x00", nil, list("!1:1:encoding")},
	{"UTF-32BE mark", "\x00\x00\xfe\xff\x00\x00\x00a", nil, list("!1:1:encoding")},
	{"UTF-16LE", "a\x00=\x001\x00\n\x00", nil, list("!1:1:encoding")},
	{"UTF-16BE", "\x00a\x00=\x001\x00\n", nil, list("!1:1:encoding")},
	{"UTF-32LE", "a\x00\x00\x00=\x00\x00\x00", nil, list("!1:1:encoding")},
	{"UTF-32BE", "\x00\x00\x00a\x00\x00\x00=", nil, list("!1:1:encoding")},
	{"one UTF-16 character", "a\x00", nil, list("!1:1:encoding")},
}

// seeds are the texts of the rules, for the fuzz targets and for Java.
var seeds = func() (texts []string) {
	for _, c := range rules {
		texts = append(texts, c.in)
	}
	return texts
}()

func TestParse(t *testing.T) {
	for _, c := range rules {
		t.Run(c.name, func(t *testing.T) {
			f, findings := Parse("x.properties", []byte(c.in))
			entries, found := show(f, findings)
			if !slices.Equal(entries, c.entries) {
				t.Errorf("entries %q, want %q", entries, c.entries)
			}
			if !slices.Equal(found, c.findings) {
				t.Errorf("findings %q, want %q\n%v", found, c.findings, findings)
			}
			if wantNil := slices.ContainsFunc(c.findings, func(s string) bool { return s[0] == '!' }); wantNil != (f == nil) {
				t.Errorf("file is nil: %v, want %v", f == nil, wantNil)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	repeat := strings.Repeat
	for _, c := range []struct {
		name, in, code string // "" if accepted
		line           int
	}{
		{"largest file", repeat("# "+repeat("x", 61)+"\n", MaxFileBytes/64), "", 0},
		{"file", repeat("# "+repeat("x", 61)+"\n", MaxFileBytes/64) + "\n", codeTooLarge, 0},
		{"most keys", repeat("k=v\n", MaxKeys), "", 0},
		{"keys", repeat("k=v\n", MaxKeys+1), codeTooManyKeys, MaxKeys + 1},
		{"longest key", repeat("é", MaxKeyBytes/2) + "=v", "", 0},
		{"key", "\n" + repeat("é", MaxKeyBytes/2) + "x=v", codeKeyTooLong, 2},
		{"key that trimming shortens", `\ ` + repeat("k", MaxKeyBytes) + `\ =v`, "", 0},
		{"longest value", "k=" + repeat("v", MaxLineBytes-2), "", 0},
		{"line", "a=1\nk=" + repeat("v", MaxLineBytes-1), codeLineTooLong, 2},
		{"comment line", "#" + repeat("v", MaxLineBytes), codeLineTooLong, 1},
		{"longest continued line", "k=" + repeat("v", MaxLineBytes-4) + "\\\n   vv", "", 0},
		{"continued line", "k=" + repeat("v", MaxLineBytes-4) + "\\\n   vvv", codeLineTooLong, 2},
		{"continued line of short pieces", "k=" + repeat("v\\\r\n", MaxLineBytes), codeLineTooLong, MaxLineBytes - 1},
		{"continuation lines without content", "k=" + repeat("\\\n", MaxFileBytes/2-4) + "v", "", 0},
		// Each byte of Latin-1 takes two in UTF-8.
		{"longest Latin-1 value", "k=" + repeat("\xe9", MaxValueBytes/2), "", 0},
		{"value", "k=" + repeat("\xe9", MaxValueBytes/2+1), codeValueTooLong, 1},
		{"longest Latin-1 line", "#" + repeat("\xe9", MaxLineBytes-1), "", 0},
		{"Latin-1 line", "#" + repeat("\xe9", MaxLineBytes), codeLineTooLong, 1},
		{"Latin-1 continued line", repeat("#"+repeat("\xe9", 100)+"\n", 2) + "k" + repeat("\xe9\\\n", MaxLineBytes), codeLineTooLong, MaxLineBytes + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, findings := Parse("x.properties", []byte(c.in))
			i := slices.IndexFunc(findings, func(f finding.Finding) bool { return f.Severity == finding.Error })
			switch {
			case c.code == "" && (f == nil || i >= 0):
				t.Errorf("refused: %v", findings)
			case c.code != "" && (f != nil || i < 0 || findings[i].Code != c.code || findings[i].Line != c.line):
				t.Errorf("file is nil: %v, findings %v, want %s in line %d", f == nil, findings, c.code, c.line)
			}
		})
	}
}

func TestFindingsAreBounded(t *testing.T) {
	for _, line := range []string{"=v\n", "<<<<<<< HEAD\n", "\\u1=\\u2\n"} {
		_, findings := Parse("x", []byte("=v\n"+strings.Repeat(line, 10*MaxErrors)))
		if len(findings) != MaxErrors {
			t.Errorf("%d errors for lines of %q, want %d", len(findings), line, MaxErrors)
		}
	}
	f, findings := Parse("x", []byte(strings.Repeat("ä=\\ud800\n", 10*MaxWarnings)))
	if f == nil || len(findings) != MaxWarnings+1 || findings[0].Code != codeMoreWarnings {
		t.Errorf("file is nil: %v, %d findings, want %d warnings and one that counts the rest", f == nil, len(findings), MaxWarnings)
	}
	if want := fmt.Sprint(19 * MaxWarnings); !strings.Contains(findings[0].Text, want) {
		t.Errorf("%q does not say %s", findings[0].Text, want)
	}
	for _, fd := range findings {
		if len(fd.Text) > 2*finding.MaxQuote {
			t.Errorf("finding of %d bytes: %s", len(fd.Text), fd.Text)
		}
	}
}

func TestFindingsNameTheirFileAndTheCharacters(t *testing.T) {
	_, findings := Parse("dir/x.properties", []byte("com.\u0430\u200b=1"))
	if len(findings) != 1 || findings[0].Path != "dir/x.properties" {
		t.Fatalf("findings %v", findings)
	}
	for _, want := range []string{"U+0430", "U+200B"} {
		if !strings.Contains(findings[0].Text, want) {
			t.Errorf("%q does not name %s", findings[0].Text, want)
		}
	}
}

func TestDisagreementIsSeen(t *testing.T) {
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	for _, c := range []struct {
		name, text string
		raw        []rawEntry
		want       bool
	}{
		{"same", "a=1\nb=2\n", []rawEntry{{"a", "1"}, {"b", "2"}}, true},
		{"same with duplicates", "a=1\nb=2\na=3\n", []rawEntry{{"a", "1"}, {"b", "2"}, {"a", "3"}}, true},
		{"value", "a=1\nb=2\n", []rawEntry{{"a", "1"}, {"b", "3"}}, false},
		{"key", "a=1\nb=2\n", []rawEntry{{"a", "1"}, {"c", "2"}}, false},
		{"one key twice", "a=1\nb=2\n", []rawEntry{{"a", "1"}, {"a", "1"}}, false},
		{"missing", "a=1\n", []rawEntry{{"a", "1"}, {"b", "2"}}, false},
		{"more", "a=1\nb=2\n", []rawEntry{{"a", "1"}}, false},
		{"other duplicate", "a=1\na=2\n", []rawEntry{{"a", "2"}, {"a", "1"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			props, err := loader.LoadBytes([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := agree(props, c.raw); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestUnambiguous: where the library is not asked, it reads the same.
func TestUnambiguous(t *testing.T) {
	parts := []string{"a", "key", " ", "=", ":", "  ", "value", "#", "!", "\n", "\n\n", "\"", "{{X}}", "'", "a.b/c", "~", "%", "="}
	r := rand.New(rand.NewPCG(1, 2))
	asked := 0
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(20) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		text := b.String()
		if !unambiguous(text) {
			t.Fatalf("%q has only printable ASCII", text)
		}
		file, _ := Parse("x", []byte(text))
		rep := &report{path: "x"}
		library := parse(rep, []byte(text), true)
		if (file == nil) != (rep.errors > 0) || file != nil && !reflect.DeepEqual(file, library) {
			t.Fatalf("%q: %v, the library: %v, %v", text, file, library, rep.findings)
		}
		if file != nil && len(file.Entries) > 0 {
			asked++
		}
	}
	if asked < 1000 {
		t.Errorf("only %d texts have entries", asked)
	}
	for _, text := range []string{"a=\\u0041", "a=\tb", "a=b\r\n", "\xff=1", "ä=1", "a\x00=1"} {
		if unambiguous(text) {
			t.Errorf("%q may be read in two ways", text)
		}
	}
}
