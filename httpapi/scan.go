package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// level is an object or array that checkMembers is in.
type level struct {
	object bool
	key    bool // the next text is a member's name
	first  int  // index of its first member's name
	many   map[string]bool
}

// manyMembers is from where on the names of an object are kept in a map.
const manyMembers = 32

// checkMembers wants an object of bounded depth, without repeated members, and
// of none but the given names. encoding/json takes names in any case, so that
// one member could stand twice. b is valid JSON.
func checkMembers(b []byte, names []string) error {
	if text := bytes.TrimLeft(b, " \t\r\n"); text[0] != '{' {
		return errors.New("the text is no object")
	}
	var stackBuf [8]level
	var seenBuf [manyMembers][]byte
	stack, seen := stackBuf[:0], seenBuf[:0]
	for i := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case '{', '[':
			if len(stack) == maxDepth {
				return fmt.Errorf("byte %d: nested deeper than %d", i+1, maxDepth)
			}
			stack = append(stack, level{object: c == '{', key: c == '{', first: len(seen)})
		case '}', ']':
			seen = seen[:stack[len(stack)-1].first]
			stack = stack[:len(stack)-1]
		case ',':
			top := &stack[len(stack)-1]
			top.key = top.object
		case '"':
			end := textEnd(b, i)
			if top := &stack[len(stack)-1]; top.key {
				name := unquote(b[i : end+1])
				switch {
				case top.repeats(seen[top.first:], name):
					return fmt.Errorf("byte %d: the member %.100q stands twice", end+1, name)
				case len(stack) == 1 && !slices.ContainsFunc(names, func(n string) bool { return n == string(name) }):
					return fmt.Errorf("byte %d: the member %.100q is not known (%s)", end+1, name, strings.Join(names, ", "))
				}
				seen = append(seen, name)
				top.key = false
			}
			i = end
		}
	}
	return nil
}

// repeats reports whether the object has a member of that name already.
func (l *level) repeats(seen [][]byte, name []byte) bool {
	if l.many == nil {
		if len(seen) < manyMembers {
			return slices.ContainsFunc(seen, func(n []byte) bool { return bytes.Equal(n, name) })
		}
		l.many = make(map[string]bool, 2*manyMembers)
		for _, n := range seen {
			l.many[string(n)] = true
		}
	}
	if l.many[string(name)] {
		return true
	}
	l.many[string(name)] = true
	return false
}

// textEnd returns the index of the quote that ends the text at start. b is
// valid JSON.
func textEnd(b []byte, start int) int {
	for i := start + 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
}

// loneSurrogate returns the index of the first escape that is half a surrogate
// pair without the other half, or -1. b is valid JSON.
func loneSurrogate(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\\')
		if n < 0 {
			return -1
		}
		i += n
		switch unit := escapedUnit(b[i:]); {
		case !utf16.IsSurrogate(unit):
			i += 2 // of \uXXXX what follows has no backslash
		case utf16.DecodeRune(unit, escapedUnit(b[i+6:])) == utf8.RuneError:
			return i
		default:
			i += 12
		}
	}
}

// escapedUnit is the UTF-16 code unit of an escape \uXXXX at the start of b, 0
// where there is none.
func escapedUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(n)
}

// unquote is the text between the quotes, without escapes.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic(fmt.Sprintf("httpapi: a text of valid JSON: %v", err))
	}
	return []byte(s)
}
