package propfile

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// isBlank tells the white space that may surround keys and separators.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }

// logicalLine is one entry as written: a natural line and its continuation
// lines. The fields up to eol are offsets and pieces of the scanned text.
type logicalLine struct {
	start, end int    // the natural lines, with the last one's line end
	keyAt      int    // first character that is no indentation
	keyLine    int    // line of keyAt, from 1
	eol        string // line end before end, "" at the end of the text
	text       string // joined, without indentation, joining backslashes and line ends
	open       bool   // the text ended where a continuation line was due
	pairs      bool   // text holds a surrogate pair, set by unescape
}

// split finds the end of the key and the start of the value in text, and
// whether an = or : stands between them: Java's Properties.load0.
func (l *logicalLine) split() (keyEnd, valueStart int, separator bool) {
	text := l.text
scan:
	for keyEnd < len(text) {
		switch text[keyEnd] {
		case '=', ':', ' ', '\t', '\f':
			break scan
		case '\\':
			keyEnd++
		}
		keyEnd++
	}
	for valueStart = keyEnd; valueStart < len(text); valueStart++ {
		if c := text[valueStart]; isBlank(c) {
			continue
		} else if separator || c != '=' && c != ':' {
			break
		}
		separator = true
	}
	return keyEnd, valueStart, separator
}

// lineScanner cuts a text into logical lines exactly as the LineReader of
// java.util.Properties does.
type lineScanner struct {
	src    source
	report *report
	crs    bool // some lines end in CR or CRLF
	pos    int
	line   int // number of the natural line before pos
	joined []byte
}

func newLineScanner(src source, rep *report) lineScanner {
	return lineScanner{src: src, report: rep, crs: strings.IndexByte(src.text, '\r') >= 0}
}

// next reads the next entry, or reports false at the end of the text and after
// an error that makes going on pointless. Blank lines and comments are passed
// over; so is a backslash alone on its line, which Java joins with what comes
// next even if that is a comment.
func (s *lineScanner) next(l *logicalLine) bool {
	*l = logicalLine{}
	s.joined = s.joined[:0]
	text := s.src.text
	size := 0 // bytes of the file joined so far
	continued := false
	for s.pos < len(text) {
		at := s.pos
		end, next := s.lineEnd(at)
		s.pos = next
		s.line++
		if s.tooLong(s.fileBytes(text[at:end])) {
			return false
		}
		if isConflictMarker(text[at:end]) {
			s.report.fail(s.line, 1, codeConflictMarker, fmt.Sprintf(
				"merge conflict marker %s; resolve the conflict and remove the markers", text[at:at+conflictMarkerLen]))
			if s.report.full() {
				return false
			}
			if !continued {
				continue
			}
		}
		first := at
		for first < end && isBlank(text[first]) {
			first++
		}
		if l.text == "" && (first == end || text[first] == '#' || text[first] == '!') {
			continued = false
			*l = logicalLine{}
			continue
		}
		if !continued {
			l.start = at
		}
		l.end = next
		l.eol = text[end:next]
		body, joins := cutBackslash(text[first:end])
		if l.text == "" {
			l.keyAt, l.keyLine, l.text = first, s.line, body
		} else {
			s.join(l, body)
		}
		if size += s.fileBytes(body); s.tooLong(size) {
			return false
		}
		switch {
		case !joins:
			s.finish(l)
			return true
		case next == len(text):
			l.open = true
			s.finish(l)
			if l.text == "" && next-end < 2 {
				// Java yields an empty key for a backslash alone at the end of
				// the file, unless CRLF follows it.
				return true
			}
			s.report.warn(s.line, s.column(end-1), codeTrailingBackslash,
				"the backslash at the end of the file joins nothing and is dropped; remove it")
			return l.text != ""
		}
		continued = true
	}
	return false
}

// join appends a continuation line. The bytes are gathered beside l.text, as
// a million short continuation lines must not cost a million copies.
func (s *lineScanner) join(l *logicalLine, body string) {
	if len(s.joined) == 0 {
		s.joined = append(s.joined, l.text...)
	}
	s.joined = append(s.joined, body...)
}

func (s *lineScanner) finish(l *logicalLine) {
	if len(s.joined) > 0 {
		l.text = string(s.joined)
	}
}

func (s *lineScanner) tooLong(n int) bool {
	if n <= MaxLineBytes {
		return false
	}
	s.report.fail(s.line, 1, codeLineTooLong, fmt.Sprintf(
		"the line, with the continuation lines before it, has %d bytes, the limit is %d; are line ends missing?",
		n, MaxLineBytes))
	return true
}

func (s *lineScanner) fileBytes(text string) int {
	if s.src.latin1 {
		return utf8.RuneCountInString(text)
	}
	return len(text)
}

// column gives the column in characters, from 1, of a byte of the text.
func (s *lineScanner) column(at int) int {
	start := strings.LastIndexAny(s.src.text[:at], "\r\n") + 1
	return utf8.RuneCountInString(s.src.text[start:at]) + 1
}

// locate finds the line and column of a byte of l.text in the file. It walks
// the entry again: only errors and warnings need it, and they are few.
func (s *lineScanner) locate(l *logicalLine, off int) (line, col int) {
	text, at := s.src.text, l.keyAt
	for line = l.keyLine; ; line++ {
		end, next := s.lineEnd(at)
		body, joins := cutBackslash(text[at:end])
		if off < len(body) || !joins || next >= l.end {
			return line, s.column(min(at+off, end))
		}
		off -= len(body)
		for at = next; at < l.end && isBlank(text[at]); {
			at++
		}
	}
}

// lineEnd finds the end of the natural line at pos, and the start of the next.
func (s *lineScanner) lineEnd(pos int) (end, next int) {
	text := s.src.text
	if !s.crs {
		if n := strings.IndexByte(text[pos:], '\n'); n >= 0 {
			return pos + n, pos + n + 1
		}
		return len(text), len(text)
	}
	for end = pos; end < len(text); end++ {
		switch {
		case text[end] == '\n':
			return end, end + 1
		case text[end] != '\r':
		case end+1 < len(text) && text[end+1] == '\n':
			return end, end + 2
		default:
			return end, end + 1
		}
	}
	return end, end
}

// cutBackslash removes the backslash that joins a line with the next: the last
// of an odd number of them.
func cutBackslash(line string) (body string, joins bool) {
	n := len(line) - len(strings.TrimRight(line, `\`))
	if n%2 == 0 {
		return line, false
	}
	return line[:len(line)-1], true
}

// conflictMarkerLen is git's default; longer markers occur only nested inside
// markers of this length.
const conflictMarkerLen = 7

func isConflictMarker(line string) bool {
	if len(line) < conflictMarkerLen || len(line) > conflictMarkerLen && line[conflictMarkerLen] != ' ' {
		return false
	}
	switch line[:conflictMarkerLen] {
	case "<<<<<<<", "|||||||", "=======", ">>>>>>>":
		return true
	}
	return false
}
