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
	"strings"
	"time"
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
	mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && slices.Contains(accept, mt) {
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
	// A writer without deadlines is not one of a listener.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		// Otherwise it would end a handler that takes long.
		_ = control.SetReadDeadline(time.Time{})
		return b, nil
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return nil, fail(http.StatusRequestEntityTooLarge, "too_large", "the body has more than %d bytes: send less at a time", maxBody)
	}
	return nil, fail(http.StatusBadRequest, "bad_request", "the body did not arrive whole within %v: send it again", bodyTimeout)
}

// decode reads one JSON object into v, a pointer to a struct whose fields all
// have names. Unknown and repeated members and anything after the object are
// refused: each is a mistake of the caller that would otherwise go unnoticed.
func decode(b []byte, v any) error {
	err := checkJSON(b, memberNames(v))
	if err == nil {
		err = json.Unmarshal(b, v)
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

func memberNames(v any) []string {
	var names []string
	for f := range reflect.TypeOf(v).Elem().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
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

// level is an object or array that checkJSON is in.
type level struct {
	object bool
	key    bool // the next token is a member's name
	seen   map[string]bool
}

// checkJSON wants exactly one object, in UTF-8, of bounded depth, without
// repeated members, and of none but the given names. encoding/json alone takes
// names in any case, so that one member could stand twice.
func checkJSON(b []byte, names []string) error {
	if !utf8.Valid(b) {
		return errors.New("the text is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var stack []level
	for first := true; ; first = false {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			if first || len(stack) > 0 {
				return errors.New("the text is empty or ends too early")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("byte %d: %w", dec.InputOffset(), err)
		}
		d, _ := tok.(json.Delim)
		if first && d != '{' {
			return errors.New("the text is no object")
		}
		if !first && len(stack) == 0 {
			return fmt.Errorf("byte %d: something follows the object", dec.InputOffset())
		}
		if d == '}' || d == ']' {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].object {
			top := &stack[n-1]
			if top.key {
				name, _ := tok.(string)
				switch {
				case top.seen[name]:
					return fmt.Errorf("byte %d: the member %.100q stands twice", dec.InputOffset(), name)
				case n == 1 && !slices.Contains(names, name):
					return fmt.Errorf("byte %d: the member %.100q is not known (%s)", dec.InputOffset(), name, strings.Join(names, ", "))
				}
				top.seen[name], top.key = true, false
				continue
			}
			top.key = true
		}
		if d != 0 {
			if len(stack) == maxDepth {
				return fmt.Errorf("byte %d: nested deeper than %d", dec.InputOffset(), maxDepth)
			}
			l := level{object: d == '{', key: d == '{'}
			if l.object {
				l.seen = map[string]bool{}
			}
			stack = append(stack, l)
		}
	}
}
