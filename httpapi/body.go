package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxBody  = 1 << 20 // bytes; a message is at most a quarter of it
	maxDepth = 64      // of nested JSON; the clients' payloads have 5
	// bodyTimeout bounds a body of maxBody: 35 KB/s is what any client of an
	// administrator has.
	bodyTimeout = 30 * time.Second
)

const jsonType = "application/json"

// mediaType checks the content type: JSON is required, so that no browser form
// can write.
func mediaType(r *http.Request, accept ...string) (string, error) {
	mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && slices.Contains(accept, mt) {
		if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
			return "", fail(http.StatusBadRequest, "charset", "the charset %.40q is none that is read here: send UTF-8", charset)
		}
		return mt, nil
	}
	return "", fail(http.StatusUnsupportedMediaType, "content_type", "send Content-Type: %s", strings.Join(accept, " or "))
}

// readJSON reads a body that is one JSON object into v.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if _, err := mediaType(r, jsonType); err != nil {
		return err
	}
	b, err := readBody(w, r)
	if err != nil {
		return err
	}
	return decode(b, v)
}

// readBody reads the whole body, up to its limits.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return readUpTo(w, r, maxBody, bodyTimeout)
}

func readUpTo(w http.ResponseWriter, r *http.Request, limit int64, within time.Duration) ([]byte, error) {
	if r.ContentLength > limit { // which need not be read to know it
		w.Header().Set("Connection", "close")
		return nil, tooLarge(limit)
	}
	// A writer without deadlines is not one of a listener.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(within))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		// Otherwise it would end a handler that takes long.
		_ = control.SetReadDeadline(time.Time{})
		return b, nil
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return nil, tooLarge(limit)
	}
	return nil, fail(http.StatusBadRequest, "bad_request", "the body did not arrive whole within %v: send it again", within)
}

func tooLarge(limit int64) error {
	return fail(http.StatusRequestEntityTooLarge, "too_large", "the body has more than %d bytes: send less at a time", limit)
}

var byteOrderMark = []byte("\ufeff")

// decode reads one JSON object into v, a pointer to a struct whose fields all
// have names. Unknown and repeated members and anything after the object are
// refused: each is a mistake of the caller that would otherwise go unnoticed.
func decode(b []byte, v any) error {
	if !utf8.Valid(b) {
		return fail(http.StatusBadRequest, "bad_json", "the text is not UTF-8: send one JSON object")
	}
	if bytes.HasPrefix(b, byteOrderMark) {
		return fail(http.StatusBadRequest, "bad_json", "the text begins with a byte order mark: leave it out")
	}
	err := json.Unmarshal(b, v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fail(http.StatusBadRequest, "bad_json", "byte %d: %s: send one JSON object", syntax.Offset, err)
	}
	if err == nil {
		// encoding/json would put another character in its place, unseen.
		if at := loneSurrogate(b); at >= 0 {
			return fail(http.StatusBadRequest, "bad_json", "byte %d: half a surrogate pair is no character: send both halves, or the character itself", at+1)
		}
	}
	// Before a wrong type, which may be that of a repeated member.
	if bad := checkMembers(b, memberNames(v)); bad != nil {
		err = bad
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return fail(http.StatusBadRequest, "bad_json", "the member %q is no %s that fits: correct it", wrong.Field, jsonKind(wrong.Type))
	case err != nil:
		return fail(http.StatusBadRequest, "bad_json", "%s: send one JSON object", err)
	}
	return nil
}

// memberLists are the names of each type that is decoded.
var memberLists sync.Map // reflect.Type: []string

func memberNames(v any) []string {
	t := reflect.TypeOf(v).Elem()
	if names, ok := memberLists.Load(t); ok {
		return names.([]string)
	}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	memberLists.Store(t, names)
	return names
}

// jsonKind is what a caller calls the type.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int64:
		return "integer"
	case reflect.String:
		return "string"
	}
	return "value"
}

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
