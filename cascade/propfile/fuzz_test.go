package propfile

import (
	"bytes"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade/finding"
)

// FuzzParse checks what holds for every input: the same answer twice, a file
// or an error, findings and entries that point into the file and keep the
// limits, no goroutine left, and that every occurrence of a key can be found.
func FuzzParse(f *testing.F) {
	for _, text := range seeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		goroutines := runtime.NumGoroutine()
		file, findings := Parse("x.properties", data)
		again, findingsAgain := Parse("x.properties", data)
		if !reflect.DeepEqual(file, again) || !reflect.DeepEqual(findings, findingsAgain) {
			t.Fatalf("two readings differ: %v, %v and %v, %v", file, findings, again, findingsAgain)
		}
		if !bytes.Equal(data, before) {
			t.Fatal("the input was changed")
		}
		// What the library is not asked for else, it reads the same.
		rep := &report{path: "x.properties"}
		asked := parse(rep, data, true)
		if rep.errors == 0 && !reflect.DeepEqual(asked, file) || rep.errors > 0 && file != nil {
			t.Fatalf("the library reads it otherwise: %v, %v", asked, rep.findings)
		}
		awaitGoroutines(t, goroutines)
		if (file == nil) != finding.HasErrors(findings) {
			t.Fatalf("file is nil: %v, findings %v", file == nil, findings)
		}
		sorted := slices.Clone(findings)
		finding.Sort(sorted)
		if !slices.Equal(sorted, findings) {
			t.Fatalf("findings are not in the order of the file: %v", findings)
		}
		lines := naturalLines(data)
		for _, fd := range findings {
			if fd.Line < 0 || fd.Line > len(lines) || fd.Col < 0 || fd.Col > len(lines[max(fd.Line, 1)-1])+1 {
				t.Fatalf("finding outside of the file: %v", fd)
			}
			if fd.Code == codeDisagreement || fd.Path != "x.properties" || !utf8.ValidString(fd.Text) {
				t.Fatalf("finding %v", fd)
			}
		}
		if file == nil {
			return
		}
		line := 0
		for _, e := range file.Entries {
			if e.Line <= line || e.Line > len(lines) {
				t.Fatalf("line %d after line %d of %d", e.Line, line, len(lines))
			}
			line = e.Line
			if e.Key == "" || len(e.Key) > MaxKeyBytes || len(e.Value) > MaxValueBytes || settable("", e.Key) != nil || settable("", e.Value) != nil {
				t.Fatalf("entry %v", e)
			}
		}
	})
}

// awaitGoroutines gives the library's lexer, which has handed over its last
// token but may not have returned yet, the processor until it is gone.
func awaitGoroutines(t *testing.T, want int) {
	t.Helper()
	for range 1_000_000 {
		if runtime.NumGoroutine() <= want {
			return
		}
		runtime.Gosched()
	}
	t.Fatalf("%d goroutines, want %d", runtime.NumGoroutine(), want)
}

func naturalLines(data []byte) []string {
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}

func FuzzSet(f *testing.F) {
	for i, text := range seeds {
		f.Add([]byte(text), "a", seeds[len(seeds)-1-i])
	}
	f.Add([]byte("a=1\\"), "new key", "=x")
	f.Add([]byte("a\\ "), "a", ":\\\n\u200b")
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		file, _ := Parse("", data)
		out, err := Set(data, key, value)
		if err != nil {
			if file != nil && plain(key) && plain(value) && !file.Latin1 {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if file == nil || key == "" {
			t.Fatal("accepted")
		}
		got, findings := Parse("", out)
		if got == nil || !slices.Equal(withoutLines(got.Entries), withValue(file.Entries, key, value)) {
			t.Fatalf("%q reads as %v %v", out, got, findings)
		}
		again, err := Set(out, key, value)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("set twice gives %q, %v after %q", again, err, out)
		}
		checkOthersStay(t, data, out)
		back, removed, err := Unset(out, key)
		if err == nil && removed == 0 {
			t.Fatalf("what was set cannot be unset: %q", back)
		}
	})
}

// checkOthersStay demands that out is data but for one stretch of it, which
// covers no more than one entry.
func checkOthersStay(t *testing.T, data, out []byte) {
	t.Helper()
	head := 0
	for head < min(len(data), len(out)) && data[head] == out[head] {
		head++
	}
	tail := 0
	for tail < min(len(data), len(out))-head && data[len(data)-1-tail] == out[len(out)-1-tail] {
		tail++
	}
	src, ok := decode(&report{}, data)
	if !ok || src.latin1 {
		return // offsets of the text are not those of the file
	}
	at := 0
	if src.bom {
		at = len(utf8BOM)
	}
	touched := 0
	for _, l := range entryLines(src) {
		if at+l.start < len(data)-tail && at+l.end > head {
			touched++
		}
	}
	if touched > 1 {
		t.Fatalf("%d entries of %q were touched in %q", touched, data, out)
	}
}

// plain tells keys and values that Set has no reason to refuse.
func plain(s string) bool {
	return s != "" && len(s) <= MaxKeyBytes && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' })
}

func FuzzUnset(f *testing.F) {
	for _, text := range seeds {
		f.Add([]byte(text), "a")
	}
	f.Add([]byte("a=1\rb=2\n\n\\\r\na=3\\"), "a")
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		file, _ := Parse("", data)
		out, removed, err := Unset(data, key)
		if err != nil {
			misread := regexp.MustCompile("(?i)\ufeff|<html|<!doctype html").Match(data)
			if file != nil && !file.Latin1 && !misread {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if file == nil {
			t.Fatal("accepted")
		}
		var want []Entry
		for _, e := range withoutLines(file.Entries) {
			if e.Key != key {
				want = append(want, e)
			}
		}
		got, findings := Parse("", out)
		if got == nil || !slices.Equal(withoutLines(got.Entries), want) || removed != len(file.Entries)-len(want) {
			t.Fatalf("%q reads as %v %v, %d removed", out, got, findings, removed)
		}
		if removed == 0 && !bytes.Equal(out, data) {
			t.Fatalf("nothing was removed, but the file is %q", out)
		}
		if removed > 0 && len(out) >= len(data) || !isSubsequence(out, data) {
			t.Fatalf("%q is not %q without something", out, data)
		}
	})
}

func isSubsequence(part, whole []byte) bool {
	for _, c := range part {
		i := bytes.IndexByte(whole, c)
		if i < 0 {
			return false
		}
		whole = whole[i+1:]
	}
	return true
}

func withoutLines(entries []Entry) (out []Entry) {
	for _, e := range entries {
		out = append(out, Entry{Key: e.Key, Value: e.Value})
	}
	return out
}
