package exchange

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
)

// held checks that what is handed over is within bounds, and renders it.
type held struct {
	entries
	bounds
	t *testing.T
}

func (h *held) check(err error) {
	if err != nil {
		h.t.Error(err)
	}
}

func (h *held) Context(c cascade.Context) error {
	h.check(h.bounds.context(c))
	return h.entries.Context(c)
}

func (h *held) User(u cascade.User) error {
	h.check(h.bounds.user(u))
	return h.entries.User(u)
}

func (h *held) Override(o cascade.Override) error {
	h.check(h.bounds.override(o))
	h.check(notUTF8("override", o.Property, o.Value))
	return h.entries.Override(o)
}

// FuzzReadTSV: whatever a file holds, findings are fit for a log, entries are
// within bounds, and neither depends on how the file is read. A file without
// its last line end is never taken for a whole one.
func FuzzReadTSV(f *testing.F) {
	for _, s := range []string{
		"", "\n", "\r\n", "\t", "cid", "cid\n", "\ufeffcid\tname\tvalue\r\n7\tconfig/a\tx\r\n",
		contextHeader + "7\tacme\t1\ttaxonomy/types\twebmail, de\n7\tacme\t1\tconfig/a\tx; final=context; protected\n8\tb\tNULL\tNULL\tNULL\n",
		userHeader + "7\t3\t1\t4294967295\tconfig/a\ta\\tb\\nc\\\\u00e4\\0\n7\t4\t0\tNULL\tNULL\tNULL\n",
		"cid\tid\tname\tvalue\n7\t3\tconfig/a\t\\\\ud83d\\\\ude00\nvalue\tcid\tname\n%253B;x;=\t7\tconfig/ü\n",
		"cid\tcontext_name\tenabled\n7\tacme\t0\n7\tacme\t1\n", "cid\tname\tvalue\n7\tconfig/a\t\\\n", "cid\tname\tvalue\n7\tconfig/a\t\xff\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h := &held{t: t}
		fs, err := ReadTSV(nil, h, Input{"1.tsv", bytes.NewReader(in)})
		if err != nil {
			t.Fatal(err)
		}
		checkFindings(t, fs)
		if len(in) > 0 && in[len(in)-1] != '\n' && len(fs) == 0 {
			t.Errorf("%q is cut off, and nothing says so", in)
		}
		again := &entries{}
		fsAgain, err := ReadTSV(nil, again, Input{"1.tsv", iotest.OneByteReader(bytes.NewReader(in))})
		if err != nil || !slices.Equal(h.list, again.list) || !slices.Equal(fs, fsAgain) {
			t.Errorf("%q: %q %v, read otherwise %q %v, %v", in, h.list, fs, again.list, fsAgain, err)
		}
	})
}

// FuzzYAML: what is written reads back the same, without a warning.
func FuzzYAML(f *testing.F) {
	f.Add("acme", "a.b", "x", "reason", "actor", int64(1_700_000_000_123), uint8(0))
	for i, s := range []string{
		"", "~", "null", "yes", "NO", "on", "y", "True", "010", "0x1F", "12:30", "1.10", "1e3", ".inf", "2026-01-31", "-", "- a", "? a", "a: b", "a #b", "#", "&a", "*a", "!a", "|", ">", "%a", "@a", "`",
		"'", "\"", "\\", "{}", "[a, b]", "a,b", "<<", "=", "---", "...", " a ", "\t", "a\nb\n", "\r\n", "\x00\x1b\x7f", "\u0085\u2028\u2029\ufeff\u00a0", "ä€😀", "\U000e0001", "\ufffe\uffff\ufffd", "{{ env A }}",
		strings.Repeat("\x01", 300), strings.Repeat("k", cascade.MaxNameLen), "<<<<<<< HEAD", "<html>",
	} {
		f.Add(s, "p"+s, s, s, s, int64(i), uint8(i))
		f.Add("", s, s+s, "", "", int64(-i), uint8(i))
	}
	f.Fuzz(func(t *testing.T, name, property, value, reason, actor string, ms int64, bits uint8) {
		roundTrip(t, sample(name, property, value, reason, actor, ms, bits))
	})
}

func FuzzUnescapedValues(f *testing.F) {
	for _, s := range []string{"x", "x; final=user", "a%3Bb%253B", `\u00e4\n\\`, ";", ";;=", `\u12`, `a\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if s, err := userValue(in); err == nil && !strings.Contains(in, `\`) && s.value != in {
			t.Errorf("%q became %q", in, s.value)
		}
		s, err := contextValue(in)
		if err != nil {
			return
		}
		if has := strings.Contains(in, ";"); !has && (!s.protected || s.final != "" || s.more) || s.oddBool && s.protected {
			t.Errorf("%q: %+v", in, s)
		}
		// The existing system's own way of writing leads back to the value.
		written := strings.NewReplacer(`\`, `\\`, "%", "%25", ";", "%3B").Replace(s.value)
		if again, err := contextValue(written); err != nil || again.value != s.value {
			t.Errorf("%q, written as %q, became %s", s.value, written, fmt.Sprint(again, err))
		}
	})
}

// FuzzEncodeAttribute: what is written for the platform is read back as it was,
// with the metadata that stood there.
func FuzzEncodeAttribute(f *testing.F) {
	for _, s := range []string{"", "true", " false ", "a;b%3B%25", "a\tb\r\n\f", `C:\temp\u00e4`, "😀ü", "\u00a0x", "=:#!"} {
		f.Add(s, "old; final=context;protected=true", true)
		f.Add(s, "", false)
	}
	f.Fuzz(func(t *testing.T, value, before string, has bool) {
		if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r == 0 }) || len(value) > 1000 {
			return
		}
		var was *string
		want := stored{protected: false}
		if has {
			old, err := contextValue(before)
			if err != nil {
				return
			}
			was, want = &before, old
		}
		want.value = value
		name, text, err := EncodeAttribute(false, "a.b", value, was)
		if err != nil || name != "config/a.b" {
			t.Fatal(name, err)
		}
		if got, err := contextValue(text); err != nil || got != want {
			t.Errorf("%q is stored as %q and read as %+v, want %+v (%v)", value, text, got, want, err)
		}
		if _, text, err = EncodeAttribute(true, "a.b", value, was); err != nil {
			t.Fatal(err)
		}
		if got, err := userValue(text); err != nil || got.value != value {
			t.Errorf("%q is stored as %q and read as %+v (%v)", value, text, got, err)
		}
	})
}

func TestEncodeAttribute(t *testing.T) {
	for _, c := range []struct {
		user          bool
		value, before string // before "-": none
		want          string
	}{
		{true, "false", "-", "false"},
		{true, "a;b%", "x", "a;b%"},
		{false, "false", "-", "false; protected=false"},
		{false, "false", "true", "false"}, // protected, as it was
		{false, "false", "true; final=context", "false; final=context"},
		{false, "false", "true;protected=false;", "false;protected=false;"},
		{false, "a;b%", "-", "a%3Bb%25; protected=false"},
		{false, " ü\n", "-", `\u0020\u00fc\n; protected=false`},
	} {
		var before *string
		if c.before != "-" {
			before = &c.before
		}
		if _, got, err := EncodeAttribute(c.user, "a", c.value, before); got != c.want || err != nil {
			t.Errorf("%q after %q: %q, want %q (%v)", c.value, c.before, got, c.want, err)
		}
	}
	if _, _, err := EncodeAttribute(true, strings.Repeat("n", 121), "x", nil); err != nil {
		t.Error(err)
	}
	if _, _, err := EncodeAttribute(true, strings.Repeat("n", 122), "x", nil); err == nil {
		t.Error("a name of 122 characters is taken")
	}
	if _, _, err := EncodeAttribute(true, "a", strings.Repeat("ü", 11_000), nil); err == nil {
		t.Error("a value of 66,000 bytes is taken")
	}
}
