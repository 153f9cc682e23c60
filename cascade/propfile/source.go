package propfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	utf8BOM = "\xef\xbb\xbf"

	// nulSample is the part of a file that is looked at for UTF-16 and UTF-32
	// without a byte order mark: enough for a comment header in any script.
	nulSample = 1024
)

// source is the decoded text of a file: valid UTF-8 without its byte order
// mark. For ISO-8859-1 each character of text is one byte of the file, so that
// encode is exact.
type source struct {
	text   string
	latin1 bool
	bom    bool
}

// decode finds out the encoding and refuses what is no text at all.
func decode(rep *report, data []byte) (source, bool) {
	if len(data) > MaxFileBytes {
		rep.fail(0, 0, codeTooLarge, fmt.Sprintf(
			"the file has %d bytes, the limit is %d; split it", len(data), MaxFileBytes))
		return source{}, false
	}
	if name := wideEncoding(data); name != "" {
		rep.fail(1, 1, codeEncoding, "the file looks like "+name+"; save it as UTF-8")
		return source{}, false
	}
	var src source
	data, src.bom = bytes.CutPrefix(data, []byte(utf8BOM))
	src.latin1 = !utf8.Valid(data)
	if at := indexControl(data); at >= 0 {
		before := string(data[:at])
		if !utf8.ValidString(before) {
			before = latin1ToUTF8(data[:at])
		}
		line, col := position(before)
		rep.fail(line, col, codeControlCharacter, fmt.Sprintf(
			"control character %s; remove it, or replace the file if it is no text file", quoteRune(rune(data[at]))))
		return source{}, false
	}
	if src.latin1 {
		src.text = latin1ToUTF8(data)
	} else {
		src.text = string(data)
	}
	if at, is := indexHTML(src.text); is {
		line, col := position(src.text[:at])
		rep.fail(line, col, codeHTML,
			"this is a web page, not a properties file: a download probably saved an error page; fetch the file again")
		return source{}, false
	}
	if src.latin1 {
		at := firstInvalid(data)
		line, col := position(string(data[:at]))
		rep.warn(line, col, codeEncoding, fmt.Sprintf(
			"byte 0x%02X is not valid UTF-8, so the whole file is read as ISO-8859-1; save it as UTF-8", data[at]))
	}
	return src, true
}

// encode is the inverse of decode for a text that was edited. For ISO-8859-1
// the text must not hold characters above U+00FF.
func (src source) encode() []byte {
	out := make([]byte, 0, len(src.text)+len(utf8BOM))
	if src.bom {
		out = append(out, utf8BOM...)
	}
	if !src.latin1 {
		return append(out, src.text...)
	}
	for _, r := range src.text {
		out = append(out, byte(r))
	}
	return out
}

func latin1ToUTF8(data []byte) string {
	var b strings.Builder
	b.Grow(len(data) + len(data)/8)
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

func firstInvalid(data []byte) int {
	for at := 0; at < len(data); {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return -1
}

// wideEncoding names the encoding of a file whose characters take two or four
// bytes, or returns "". ASCII in such a file has its zero bytes in fixed
// columns, which no other kind of file has.
func wideEncoding(data []byte) string {
	for _, mark := range []struct{ bytes, name string }{
		{"\xff\xfe\x00\x00", "UTF-32LE"},
		{"\x00\x00\xfe\xff", "UTF-32BE"},
		{"\xff\xfe", "UTF-16LE"},
		{"\xfe\xff", "UTF-16BE"},
	} {
		if bytes.HasPrefix(data, []byte(mark.bytes)) {
			return mark.name
		}
	}
	sample := data[:min(len(data), nulSample)&^3]
	if len(sample) == 0 {
		sample = data[:min(len(data), 2)&^1]
	}
	var zeros [4]int
	for i, c := range sample {
		if c == 0 {
			zeros[i%4]++
		} else if isControl(rune(c)) {
			return "" // a binary file with zeros in it
		}
	}
	quads := len(sample) / 4
	switch odd, even := zeros[1]+zeros[3], zeros[0]+zeros[2]; {
	case odd+even == 0:
		return ""
	case quads > 0 && zeros[1] == quads && zeros[2] == quads && zeros[3] == quads && zeros[0] == 0:
		return "UTF-32LE"
	case quads > 0 && zeros[0] == quads && zeros[1] == quads && zeros[2] == quads && zeros[3] == 0:
		return "UTF-32BE"
	case even == 0 && odd*4 >= len(sample):
		return "UTF-16LE"
	case odd == 0 && even*4 >= len(sample):
		return "UTF-16BE"
	}
	return ""
}

// isControl tells the characters that make a file a file error. Tab, form
// feed, CR and LF are text. The characters U+0080 to U+009F are let through:
// in a file read as ISO-8859-1 they are the quotes and dashes of Windows.
func isControl(r rune) bool {
	return r < ' ' && r != '\t' && r != '\f' && r != '\r' && r != '\n' || r == 0x7f
}

// indexControl finds the first control character. The bytes of UTF-8 and of
// ISO-8859-1 mean the same here. Eight bytes at a time, as every byte of every
// file passes: a borrow or carry can only cause a second look, never hide one.
func indexControl(data []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	at := 0
	for ; at+8 <= len(data); at += 8 {
		word := binary.LittleEndian.Uint64(data[at:])
		dels := word ^ 0x7f*ones
		if ((word-0x20*ones)&^word|(dels-ones)&^dels)&tops == 0 {
			continue
		}
		for i, c := range data[at : at+8] {
			if isControl(rune(c)) {
				return at + i
			}
		}
	}
	for ; at < len(data); at++ {
		if isControl(rune(data[at])) {
			return at
		}
	}
	return -1
}

// indexHTML finds the opening of a web page. What follows the name decides, so
// that a key such as <htmlish stays a key.
func indexHTML(text string) (at int, is bool) {
	at = len(text) - len(strings.TrimLeft(text, " \t\f\r\n"))
	for _, open := range []string{"<!doctype html", "<html"} {
		end := at + len(open)
		if end > len(text) || !strings.EqualFold(text[at:end], open) {
			continue
		}
		if end == len(text) || strings.IndexByte("> \t\f\r\n/", text[end]) >= 0 {
			return at, true
		}
	}
	return 0, false
}

// position gives the line and the column in characters, both from 1, of what
// follows the text before it. Lines end in LF, CR or CRLF.
func position(before string) (line, col int) {
	line, start := 1, 0
	for i := range len(before) {
		if before[i] == '\n' || before[i] == '\r' && (i+1 >= len(before) || before[i+1] != '\n') {
			line++
			start = i + 1
		}
	}
	return line, utf8.RuneCountInString(before[start:]) + 1
}
