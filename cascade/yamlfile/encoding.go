package yamlfile

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const (
	byteOrderMark = "\ufeff"
	utf8BOM       = '\ufeff'
	// pageHead is how much of a file is looked at to recognise a web page.
	pageHead = 512
)

// Line breaks that YAML 1.1 knows and editors do not show as such.
const (
	nextLine           = '\u0085'
	lineSeparator      = '\u2028'
	paragraphSeparator = '\u2029'
)

// decode checks what the file is made of before any parser sees it, and
// returns its text without the byte order mark. Only the first offence is
// reported: a file of the wrong kind has thousands.
func (r *report) decode(data []byte, limit int) (string, bool) {
	if len(data) > limit {
		r.errorf(0, 0, CodeTooLarge, "the file has %d bytes, at most %d are read; split it or move it out of the tree", len(data), limit)
		return "", false
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		r.errorf(1, 1, CodeEncoding, "the file is UTF-16; save it as UTF-8")
		return "", false
	}
	text := strings.TrimPrefix(string(data), byteOrderMark)
	if isWebPage(text) {
		r.errorf(1, 1, CodeWebPage, "this is a web page, not a configuration file (an error page of a download?); fetch the file again")
		return "", false
	}
	return text, r.checkCharacters(text) && r.checkConflict(text)
}

func isWebPage(text string) bool {
	head := strings.ToLower(strings.TrimSpace(text[:min(len(text), pageHead)]))
	for _, p := range []string{"<!doctype html", "<html", "<head", "<?xml", "<body"} {
		if strings.HasPrefix(head, p) {
			return true
		}
	}
	return false
}

func (r *report) checkCharacters(text string) bool {
	line, col, oddBreak := 1, 0, false
	for i := 0; i < len(text); {
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(text[i:])
		}
		col++
		switch {
		case c == '\n' || c == '\r' && !strings.HasPrefix(text[i+1:], "\n"):
			line, col = line+1, 0
		case c == '\r' || c == '\t':
		case c == utf8.RuneError && size == 1:
			r.errorf(line, col, CodeEncoding, "the file is not valid UTF-8 here (ISO-8859-1?); save it as UTF-8")
			return false
		case c == 0:
			r.errorf(line, col, CodeControl, "NUL byte; the file is UTF-16 or not text at all: save it as UTF-8 text")
			return false
		case c < ' ' || c >= 0x7f && c < 0xa0 && c != nextLine || c == 0xfffe || c == 0xffff:
			r.errorf(line, col, CodeControl, "control character %U; remove it", c)
			return false
		case c == utf8BOM:
			r.errorf(line, col, CodeControl, "byte order mark in the middle of the file; remove it (were two files joined?)")
			return false
		case c == nextLine || c == lineSeparator || c == paragraphSeparator:
			if !oddBreak {
				r.warnf(line, col, CodeLineBreak, "%U ends a line for YAML 1.1 though editors do not show it; write an ordinary line break", c)
			}
			oddBreak = true
			line, col = line+1, 0
		}
		i += size
	}
	return true
}

// checkConflict finds what git leaves behind when a merge is not finished.
func (r *report) checkConflict(text string) bool {
	for _, marker := range []string{"<<<<<<< ", ">>>>>>> "} {
		at := 0
		if !strings.HasPrefix(text, marker) {
			i := strings.Index(text, "\n"+marker)
			if i < 0 {
				continue
			}
			at = i + 1
		}
		r.errorf(1+strings.Count(text[:at], "\n"), 1, CodeConflict, "the file holds the markers of an unfinished git merge; finish the merge and save the result")
		return false
	}
	return true
}
