package socketio

import (
	"bytes"
	"encoding/json"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth bounds nested arrays and objects, so that no reader of the
// arguments has to recurse deeper. The known events nest three levels.
const MaxDepth = 64

// scanner holds text against the grammar of JSON (RFC 8259) in one pass that
// builds nothing. With attachments it also checks the placeholders.
type scanner struct {
	data        []byte
	pos         int
	attachments int
	seen        uint16 // bit n: the placeholder of attachment n was there
}

// validJSON reports whether data is one JSON value in UTF-8 that begins with
// its first byte and nests at most MaxDepth levels. With attachments above 0,
// at most MaxAttachments, it also wants a placeholder for each attachment,
// exactly once; without, an object that looks like a placeholder is data.
func validJSON(data []byte, attachments int) bool {
	if len(data) == 0 || data[0] <= ' ' || !utf8.Valid(data) {
		return false
	}
	s := scanner{data: data, attachments: attachments}
	if !s.value(0) {
		return false
	}
	s.space()
	return s.pos == len(data) && bits.OnesCount16(s.seen) == attachments
}

func (s *scanner) space() {
	s.pos = skipSpace(s.data, s.pos)
}

func skipSpace(data []byte, pos int) int {
	for pos < len(data) {
		switch data[pos] {
		case ' ', '\t', '\n', '\r':
			pos++
		default:
			return pos
		}
	}
	return pos
}

// trimSpace takes off the white space behind a value.
func trimSpace(data []byte) []byte { return bytes.TrimRight(data, " \t\r\n") }

// peek returns the next byte, or 0, which no token begins with.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// take moves over c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// value moves over a value within depth levels of others.
func (s *scanner) value(depth int) bool {
	s.space()
	switch c := s.peek(); c {
	case '{':
		return depth < MaxDepth && s.object(depth+1)
	case '[':
		return depth < MaxDepth && s.array(depth+1)
	case '"':
		return s.text()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(w string) bool {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return false
	}
	s.pos += len(w)
	return true
}

// text moves over a string, whose opening quote comes next.
func (s *scanner) text() bool {
	s.pos++
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if !s.escape() {
				return false
			}
		default:
			s.pos++
		}
	}
	return false
}

func (s *scanner) escape() bool {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return true
	case 'u':
		s.pos++
		for range 4 {
			switch c := s.peek(); {
			case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
				s.pos++
			default:
				return false
			}
		}
		return true
	default:
		return false
	}
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		_ = s.take('+') || s.take('-')
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	begin := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > begin
}

func (s *scanner) array(depth int) bool {
	s.pos++
	if s.space(); s.take(']') {
		return true
	}
	for s.value(depth) {
		s.space()
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
	return false
}

func (s *scanner) object(depth int) bool {
	s.pos++
	if s.space(); s.take('}') {
		return true
	}
	members, marked := 0, false
	num := -1
	for {
		s.space()
		key := s.pos
		if s.peek() != '"' || !s.text() {
			return false
		}
		name := s.data[key:s.pos]
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		begin := s.pos
		if !s.value(depth) {
			return false
		}
		if members++; s.attachments > 0 {
			value := s.data[begin:s.pos]
			switch {
			case isKey(name, placeholderKey) && string(value) == "true":
				marked = true
			case isKey(name, numKey):
				num = s.index(value)
			}
		}
		s.space()
		if s.take('}') {
			return !marked || members == 2 && s.placeholder(num)
		}
		if !s.take(',') {
			return false
		}
	}
}

// The members of a placeholder, {"_placeholder":true,"num":0}.
const (
	placeholderKey = "_placeholder"
	numKey         = "num"
)

// isKey reports whether a member's quoted name means key.
func isKey(quoted []byte, key string) bool {
	name := quoted[1 : len(quoted)-1]
	for _, c := range name {
		if c == '\\' {
			var text string
			return json.Unmarshal(quoted, &text) == nil && text == key
		}
	}
	return string(name) == key
}

// index reads the number of an attachment, or returns -1 (CVE-2022-2421).
func (s *scanner) index(value []byte) int {
	n, rest, ok := number(value, uint64(s.attachments-1))
	if !ok || len(rest) > 0 || len(value) > 1 && value[0] == '0' {
		return -1
	}
	return int(n)
}

// placeholder notes that attachment num has its place; a second one is refused.
func (s *scanner) placeholder(num int) bool {
	if num < 0 || s.seen&(1<<num) != 0 {
		return false
	}
	s.seen |= 1 << num
	return true
}

// eventName finds the name in an event's array: quoted as it stands there, and
// the place behind it. It reports false when data is no array that starts with
// a text. data must be valid JSON or empty.
func eventName(data []byte) (quoted []byte, end int, ok bool) {
	if len(data) == 0 || data[0] != '[' {
		return nil, 0, false
	}
	begin := skipSpace(data, 1)
	if data[begin] != '"' {
		return nil, 0, false
	}
	s := scanner{data: data, pos: begin}
	s.text() // valid
	return data[begin:s.pos], s.pos, true
}

// unquote returns the text of a valid JSON string. What is no Unicode, such as
// half a surrogate pair, becomes U+FFFD.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	for _, c := range inner {
		if c == '\\' {
			var text string
			if err := json.Unmarshal(quoted, &text); err != nil {
				panic("socketio: valid JSON string does not decode: " + err.Error())
			}
			return text
		}
	}
	return string(inner)
}

// split parts an event's array into its name and the array of the arguments
// behind it, neither of them a part of data. It reports false when data is no
// array that starts with a text. data must be valid JSON or empty.
func split(data []byte) (name string, args json.RawMessage, ok bool) {
	quoted, end, ok := eventName(data)
	if !ok {
		return "", nil, false
	}
	end = skipSpace(data, end)
	if data[end] == ',' {
		end++
	}
	rest := trimSpace(data[end:])
	args = make(json.RawMessage, 0, 1+len(rest))
	return unquote(quoted), append(append(args, '['), rest...), true
}
