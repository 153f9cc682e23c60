package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

const (
	maxBody  = 1 << 20 // bytes; a message is at most a quarter of it
	maxDepth = 64      // of nested JSON; the clients' payloads have 5
)

// mediaType checks the content type: JSON is required, so that no browser form
// can write.
func mediaType(r *http.Request, accept ...string) (string, error) {
	mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil {
		for _, a := range accept {
			if mt == a {
				return mt, nil
			}
		}
	}
	return "", fail(http.StatusUnsupportedMediaType, "content_type", "send Content-Type: %s", accept[0])
}

// readBody reads the whole body, up to a limit.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return nil, fail(http.StatusRequestEntityTooLarge, "too_large", "the body has more than %d bytes", limit)
	}
	if err != nil {
		return nil, fail(http.StatusBadRequest, "bad_request", "the body did not arrive whole")
	}
	return b, nil
}

// decode reads one JSON object into v. Unknown and repeated members and
// anything after the object are refused: each is a mistake of the caller that
// would otherwise go unnoticed.
func decode(b []byte, v any) error {
	if err := checkJSON(b); err != nil {
		return fail(http.StatusBadRequest, "bad_json", "%s", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fail(http.StatusBadRequest, "bad_json", "%s", err)
	}
	return nil
}

// checkJSON wants exactly one value, without repeated members, of bounded
// depth.
func checkJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	type level struct {
		object bool
		key    bool // the next token is a member's name
		seen   map[string]bool
	}
	var stack []level
	for values := 0; ; {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			if values == 0 || len(stack) > 0 {
				return errors.New("the body is empty or ends too early")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("byte %d: %w", dec.InputOffset(), err)
		}
		if len(stack) == 0 {
			if values++; values > 1 {
				return fmt.Errorf("byte %d: something follows the JSON value", dec.InputOffset())
			}
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].object {
			top := &stack[n-1]
			if top.key {
				name, _ := tok.(string)
				if top.seen[name] {
					return fmt.Errorf("byte %d: the member %.100q stands twice", dec.InputOffset(), name)
				}
				top.seen[name], top.key = true, false
				continue
			}
			top.key = true
		}
		if d, ok := tok.(json.Delim); ok {
			if len(stack) == maxDepth {
				return fmt.Errorf("byte %d: nested deeper than %d", dec.InputOffset(), maxDepth)
			}
			stack = append(stack, level{object: d == '{', key: d == '{', seen: map[string]bool{}})
		}
	}
}
