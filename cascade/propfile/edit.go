package propfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Set returns data with key set to value, everything else byte-identical. The
// last occurrence of key, the one that counts, gets the new value on one line;
// its indentation, its spelling of the key, its separator and its line end
// stay. A new key goes to the end as key=value, with the line end that the
// file uses. Data whose value is already the one asked for is returned as it
// is. A file read as ISO-8859-1 stays one: characters that it cannot hold
// become \uXXXX.
//
// Parse reads the result as the same entries with that one value changed, or
// one entry more; the function checks that. It is an error if data does not
// parse, if key or value has blanks or other characters up to U+0020 at an
// end (Parse would trim them), is not valid UTF-8, holds a control character
// other than tab, form feed, CR and LF, or exceeds a limit, and if the edit
// would turn a file that is read as ISO-8859-1 into valid UTF-8 that reads
// differently. Errors do not repeat the value, which may be a secret.
func Set(data []byte, key, value string) ([]byte, error) {
	out, err := set(data, key, value)
	if err != nil {
		return nil, fmt.Errorf("set %s: %w", finding.Quote(key), err)
	}
	return out, nil
}

func set(data []byte, key, value string) ([]byte, error) {
	if err := settable("key", key); err != nil {
		return nil, err
	}
	if key == "" {
		return nil, errors.New("the key is empty; name a property")
	}
	if err := settable("value", value); err != nil {
		return nil, err
	}
	file, err := editable(data)
	if err != nil {
		return nil, err
	}
	want := slices.Clone(file.Entries)
	last := len(want) - 1
	for last >= 0 && want[last].Key != key {
		last--
	}
	if last < 0 {
		want = append(want, Entry{Key: key, Value: value})
	} else if want[last].Value == value {
		return data, nil
	} else {
		want[last].Value = value
	}
	src, _ := decode(&report{}, data)
	edit := func(ascii bool) []byte {
		esc := escaper{ascii: ascii, latin1: src.latin1}
		edited := src
		if last < 0 {
			edited.text = appendEntry(src, esc, key, value)
		} else {
			edited.text = replaceValue(src, esc, last, value)
		}
		return edited.encode()
	}
	out := edit(false)
	if src.latin1 && utf8.Valid(out) {
		// The value's own characters must not be what turns the file into
		// UTF-8.
		out = edit(true)
	}
	return out, check(out, want, src.latin1)
}

// Unset returns data without any occurrence of key, their continuation lines
// included, everything else byte-identical, and the number of occurrences
// removed: 0 if key is absent. The errors are those of Set that concern data,
// and what is left beginning like a web page or a byte order mark.
func Unset(data []byte, key string) (out []byte, removed int, err error) {
	out, removed, err = unset(data, key)
	if err != nil {
		return nil, 0, fmt.Errorf("unset %s: %w", finding.Quote(key), err)
	}
	return out, removed, nil
}

func unset(data []byte, key string) (out []byte, removed int, err error) {
	file, err := editable(data)
	if err != nil {
		return nil, 0, err
	}
	var want []Entry
	for _, e := range file.Entries {
		if e.Key != key {
			want = append(want, e)
		}
	}
	removed = len(file.Entries) - len(want)
	if removed == 0 {
		return data, 0, nil
	}
	src, _ := decode(&report{}, data)
	var kept strings.Builder
	from := 0
	for i, l := range entryLines(src) {
		if file.Entries[i].Key == key {
			kept.WriteString(src.text[from:l.start])
			from = l.end
		}
	}
	kept.WriteString(src.text[from:])
	edited := src
	edited.text = kept.String()
	out = edited.encode()
	if err := check(out, want, src.latin1); err != nil {
		return nil, 0, err
	}
	return out, removed, nil
}

// settable refuses text that Parse would not give back.
func settable(what, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("the %s is not valid UTF-8; encode it first", what)
	}
	if trim(text) != text {
		return fmt.Errorf("the %s begins or ends with a blank, tab or line end, "+
			"which the reader of properties files trims; remove it", what)
	}
	if at := strings.IndexFunc(text, isControl); at >= 0 {
		return fmt.Errorf("the %s holds the control character %s at byte %d, which no properties file may hold; remove it",
			what, quoteRune(rune(text[at])), at+1)
	}
	return nil
}

func editable(data []byte) (*File, error) {
	file, findings := Parse("", data)
	if file == nil {
		return nil, fmt.Errorf("the file must be readable before it can be edited: %s", firstError(findings))
	}
	return file, nil
}

// check is the promise of Set and Unset, kept by trying.
func check(out []byte, want []Entry, latin1 bool) error {
	got, findings := Parse("", out)
	switch {
	case got == nil:
		return fmt.Errorf("the file would no longer be readable: %s", firstError(findings))
	case slices.EqualFunc(got.Entries, want, func(a, b Entry) bool { return a.Key == b.Key && a.Value == b.Value }):
		return nil
	case latin1:
		return errors.New("the file is read as ISO-8859-1, and after this change it would be read as UTF-8 " +
			"and other values would change; save it as UTF-8 first")
	default:
		// Known cause: the text left at the start of the file begins with
		// U+FEFF, which there is a byte order mark.
		return errors.New("the change would alter how the rest of the file is read; edit the file by hand")
	}
}

func firstError(findings []finding.Finding) string {
	for _, f := range findings {
		if f.Severity == finding.Error {
			return fmt.Sprintf("line %d, column %d: %s", max(f.Line, 1), max(f.Col, 1), f.Text)
		}
	}
	return "unknown reason"
}

// entryLines cuts a text that Parse accepts: the n-th line is the n-th entry.
func entryLines(src source) []logicalLine {
	var lines []logicalLine
	s := newLineScanner(src, &report{})
	for {
		var l logicalLine
		if !s.next(&l) {
			return lines
		}
		lines = append(lines, l)
	}
}

func replaceValue(src source, esc escaper, entry int, value string) string {
	l := entryLines(src)[entry]
	_, valueStart, separator := l.split()
	indent := src.text[strings.LastIndexAny(src.text[:l.keyAt], "\r\n")+1 : l.keyAt]
	head := l.text[:valueStart]
	if !separator {
		if !isBlank(head[len(head)-1]) || endsInEscape(head) {
			head += "="
		} else {
			esc.afterBlank = true
		}
	}
	return src.text[:l.start] + indent + head + esc.value(value) + l.eol + src.text[l.end:]
}

// endsInEscape reports whether the last character of head is escaped.
func endsInEscape(head string) bool {
	_, joins := cutBackslash(head[:len(head)-1])
	return joins
}

func appendEntry(src source, esc escaper, key, value string) string {
	text := src.text
	eol := lastLineEnd(text)
	if text != "" && !strings.HasSuffix(text, "\n") && !strings.HasSuffix(text, "\r") {
		text += eol
	}
	if lines := entryLines(src); len(lines) > 0 && lines[len(lines)-1].open {
		// The last entry waits for a continuation line. An empty one keeps the
		// new entry from becoming it.
		text += eol
	}
	return text + esc.key(key) + "=" + esc.value(value) + eol
}

// lastLineEnd is the style of a text whose lines may differ: the nearest one
// before what is appended, so that no CR and LF of different lines meet.
func lastLineEnd(text string) string {
	at := strings.LastIndexAny(text, "\r\n")
	switch {
	case at < 0:
		return "\n"
	case text[at] == '\r':
		return "\r"
	case at > 0 && text[at-1] == '\r':
		return "\r\n"
	}
	return "\n"
}
