package propfile

import (
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	for _, c := range []struct{ name, in, key, value, want string }{
		{"in place", "# c\na=1\nb=2\n", "a", "x", "# c\na=x\nb=2\n"},
		{"the last occurrence", "a=1\nb=2\na=3\nc=4\n", "a", "x", "a=1\nb=2\na=x\nc=4\n"},
		{"same value changes nothing", "a \\\n : 1  \n", "a", "1", "a \\\n : 1  \n"},
		{"spelling, indentation and separator stay", "\t \\u0061\\x  :\t1 \r\nb=2", "ax", "x", "\t \\u0061\\x  :\tx\r\nb=2"},
		{"blank as separator", "a  1\n", "a", "x", "a  x\n"},
		{"blank as separator before =", "a  1\n", "a", "=x", "a  \\=x\n"},
		{"blank as separator before :", "a\t1\n", "a", ":x", "a\t\\:x\n"},
		{"no separator", "a\nb=1", "a", "x", "a=x\nb=1"},
		{"no separator, escaped blank at the end of the key", "a\\ \nb=1", "a", "x", "a\\ =x\nb=1"},
		{"no separator, escaped backslash and a blank", "a\\\\ \nb=1", `a\`, "x", "a\\\\ x\nb=1"},
		{"empty value gets one", "a =  \nb=1", "a", "x", "a =  x\nb=1"},
		{"value becomes empty", "a=1\nb=1", "a", "", "a=\nb=1"},
		{"continuation lines go", "a=1,\\\r\n  2,\\\r\n  3\r\nb=1\r\n", "a", "x", "a=x\r\nb=1\r\n"},
		{"value begins on a continuation line", "  a = \\\n   1\\\n   2\nb=1", "a", "x", "  a = x\nb=1"},
		{"continued key", "ke\\\n  y=1\nb=1", "key", "x", "key=x\nb=1"},
		{"continuation ended by a blank line", "a=1\\\n\nb=1", "a", "x", "a=x\nb=1"},
		{"backslash alone before", "\\\n  a=1\nb=1", "a", "x", "  a=x\nb=1"},
		{"last line without end", "b=1\na=1", "a", "x", "b=1\na=x"},
		{"last line with a backslash", "a=1\\", "a", "x", "a=x"},
		{"last line with a backslash and an end", "a=1\\\n", "a", "x", "a=x\n"},
		{"CR only", "a=1\rb=2\r", "a", "x", "a=x\rb=2\r"},
		{"byte order mark", "\ufeffa=1\n", "a", "x", "\ufeffa=x\n"},
		{"token", "a={{env A:1}}\nb={{env B}}\n", "a", "{{file<x.properties> C}}", "a={{file<x.properties> C}}\nb={{env B}}\n"},

		{"new key", "b=1\n", "a", "x", "b=1\na=x\n"},
		{"new key in an empty file", "", "a", "x", "a=x\n"},
		{"new key behind a byte order mark", "\ufeff", "a", "x", "\ufeffa=x\n"},
		{"new key, last line without end", "b=1", "a", "x", "b=1\na=x\n"},
		{"new key, CRLF", "b=1\r\nc=1", "a", "x", "b=1\r\nc=1\r\na=x\r\n"},
		{"new key, CR", "b=1\r", "a", "x", "b=1\ra=x\r"},
		{"new key, comment without end", "b=1\n# c\\", "a", "x", "b=1\n# c\\\na=x\n"},
		{"new key, last line with a backslash", "b=1\\", "a", "x", "b=1\\\n\na=x\n"},
		{"new key, last line with a backslash and an end", "b=1\\\r", "a", "x", "b=1\\\r\ra=x\r"},
		{"new key, last line with a backslash and CRLF", "b=1\\\r\n", "a", "x", "b=1\\\r\n\r\na=x\r\n"},
		{"new key, blank continuation line", "b=1\\\n  ", "a", "x", "b=1\\\n  \na=x\n"},
		{"new key, backslash alone and CRLF", "b=1\n\\\r\n", "a", "x", "b=1\n\\\r\na=x\r\n"},
		{"new key, escaped", "", "#a b=c:d\\e\tf", "x", "\\#a\\ b\\=c\\:d\\\\e\\tf=x\n"},
		{"new key like a byte order mark", "", "\ufeffa", "x", "\\ufeffa=x\n"},

		{"readable value", "", "a", "=:#! b  c{{x}}é€😀", "a==:#! b  c{{x}}é€😀\n"},
		{"escaped value", "", "a", "C:\\u\tx\ny\fz\rw", "a=C:\\\\u\\tx\\ny\\fz\\rw\n"},
		{"unseen characters", "", "a", "x\u200b\u202e\u00a0\u0085y\U000e0041z", "a=x\\u200b\\u202e\\u00a0\\u0085y\\udb40\\udc41z\n"},
		{"Latin-1", "b=\xff\n", "a", "é€😀", "b=\xff\na=\xe9\\u20ac\\ud83d\\ude00\n"},
		{"Latin-1 in place", "a=\xff\n# \xe9\n", "a", "ü", "a=\xfc\n# \xe9\n"},
		{"Latin-1 whose last foreign byte goes", "a=\xff\n", "a", "x", "a=x\n"},
		{"Latin-1 value that would be UTF-8", "a=\xff\n", "a", "Ã¼", "a=\\u00c3\\u00bc\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := []byte(c.in)
			got, err := Set(in, c.key, c.value)
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			if string(in) != c.in {
				t.Errorf("the input was changed to %q", in)
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, key, value, says string }{
		{"empty key", "", "", "x", "the key is empty"},
		{"key with blanks around", "", "a ", "x", "the key begins or ends with a blank"},
		{"value with a leading blank", "", "a", " x", "the value begins or ends with a blank"},
		{"value with a line end", "", "a", "x\n", "the value begins or ends with a blank"},
		{"NUL", "", "a", "x\x00y", "control character U+0000 at byte 2"},
		{"ESC in the key", "", "a\x1bb", "x", "control character U+001B"},
		{"DEL", "", "a", "\x7f", "U+007F"},
		{"invalid UTF-8", "", "a", "\xff", "not valid UTF-8"},
		{"long key", "", strings.Repeat("k", MaxKeyBytes+1), "x", "the limit is 512"},
		{"long value", "", "a", strings.Repeat("v", MaxLineBytes), "the limit is 262144"},
		{"broken file", "b=1\n=x", "a", "x", "line 2, column 1: the line has no key"},
		{"full file", strings.Repeat("k=v\n", MaxKeys), "a", "x", "more than 100000 keys"},
		{"key that makes a web page", "", "<html>", "x", "web page"},
		{"Latin-1 that would become UTF-8", "a=\xff\nb=\xc3\xbc\n", "a", "x", "save it as UTF-8 first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Set([]byte(c.in), c.key, c.value)
			if err == nil || got != nil {
				t.Fatalf("got %q, want an error", got)
			}
			if !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), `set "`) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
		})
	}
}

func TestSetDoesNotRepeatTheValue(t *testing.T) {
	for _, value := range []string{"hunter2 ", "hunter2\x00", "hunter2" + strings.Repeat("x", MaxLineBytes)} {
		if _, err := Set([]byte("a=1"), "a", value); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v, want one without the value", err)
		}
	}
}

func TestUnset(t *testing.T) {
	for _, c := range []struct {
		name, in, key, want string
		removed             int
	}{
		{"absent", "a=1\n", "b", "a=1\n", 0},
		{"in the middle", "# c\na=1\nb=2\na=3\n# d\n", "b", "# c\na=1\na=3\n# d\n", 1},
		{"all occurrences", "a=1\n b=2\n\\u0061 3\nc=4\n", "a", " b=2\nc=4\n", 2},
		{"continuation lines", "a=1\\\r\n  2\\\r\n  3\r\nb=2\r\n", "a", "b=2\r\n", 1},
		{"blank continuation line", "a=1\\\n\nb=2\n", "a", "b=2\n", 1},
		{"backslash alone before", "b=2\n\\\n a=1\n", "a", "b=2\n", 1},
		{"backslash alone before a comment", "\\\n# c\na=1\n", "a", "\\\n# c\n", 1},
		{"comment above stays", "# about a\na=1\n", "a", "# about a\n", 1},
		{"last line without end", "b=2\na=1", "a", "b=2\n", 1},
		{"last line with a backslash", "b=2\na=1\\", "a", "b=2\n", 1},
		{"everything", "\ufeffa=1", "a", "\ufeff", 1},
		{"CR only", "a=1\rb=2\r", "a", "b=2\r", 1},
		{"CR before, LF behind", "b=2\ra=1\n\nc=3", "a", "b=2\r\nc=3", 1},
		{"Latin-1", "a=1\n# \xff\n", "a", "# \xff\n", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, removed, err := Unset([]byte(c.in), c.key)
			if err != nil || string(got) != c.want || removed != c.removed {
				t.Errorf("got %q, %d, %v, want %q, %d", got, removed, err, c.want, c.removed)
			}
		})
	}
}

func TestUnsetRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"broken file", "a=\\u12", "four hexadecimal digits"},
		{"Latin-1 that would become UTF-8", "a=\xff\nb=\xc3\xbc\n", "save it as UTF-8 first"},
		{"what is left is a web page", "a\n<html>=1", "web page"},
		{"what is left begins with a byte order mark", "a\n\ufeffb=1", "edit the file by hand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, removed, err := Unset([]byte(c.in), "a")
			if err == nil || got != nil || removed != 0 || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, %d, %v, want an error that says %q", got, removed, err, c.says)
			}
		})
	}
}
