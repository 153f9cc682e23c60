package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
)

// problem is an answer that is no success: application/problem+json (RFC 9457)
// with a code that stays the same over versions.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Local  string `json:"local,omitempty"` // closed: it acts on this member although it is not stored
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func fail(status int, code, format string, args ...any) error {
	return newProblem(status, code, fmt.Sprintf(format, args...))
}

func newProblem(status int, code, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// The path is not repeated: a session id may be part of it.
var errNotFound = fail(http.StatusNotFound, "not_found", "nothing has this path: compare it with the documentation; a property name with a slash goes into ?name=")

func notFound(http.ResponseWriter, *http.Request) error { return errNotFound }

func methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	routes := chi.RouteContext(r.Context()).Routes
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), m, path) {
			allow = append(allow, m)
			if m == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
	}
	// chi says the same of a method it does not know, whatever the path.
	if len(allow) == 0 {
		return notFound(w, r)
	}
	list := strings.Join(allow, ", ")
	w.Header().Set("Allow", list)
	return fail(http.StatusMethodNotAllowed, "method_not_allowed", "the method %.20q does nothing here: use %s", r.Method, list)
}

// asProblem hides what is no problem for the caller to solve.
func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	return newProblem(http.StatusInternalServerError, "internal", "the server failed: its log has the reason")
}

// plain refuses parameters where there are none: one that is not looked at is a
// mistake that its caller would not notice.
func plain(h func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.RawQuery != "" {
			return fail(http.StatusBadRequest, "bad_query", "this takes no parameters: leave out everything from the ? on")
		}
		return h(w, r)
	}
}

// handle turns a handler that returns its error into one that answers it.
func (s *Server) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w = forGet(w, r)
		err := h(w, r)
		if err == nil {
			return
		}
		p := asProblem(err)
		if p.Status == http.StatusInternalServerError {
			// The route, not the path, of which a session id may be part.
			s.Logger.Error("request failed", "method", r.Method, "route", r.Pattern, "err", err)
		}
		s.write(w, p.Status, "application/problem+json", p)
	}
}

// answer writes a value as JSON.
func (s *Server) answer(w http.ResponseWriter, status int, v any) error {
	s.write(w, status, "application/json", v)
	return nil
}

func (s *Server) write(w http.ResponseWriter, status int, mediaType string, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// Before the status is sent, so that a failure is none of a success.
	if err := enc.Encode(v); err != nil {
		s.Logger.Error("answer not encoded", "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	if g, ok := w.(*getWriter); ok && status == http.StatusOK && g.unchanged(b.Bytes()) {
		secure(h)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	secure(h)
	w.WriteHeader(status)
	if _, err := w.Write(b.Bytes()); err != nil {
		s.Logger.Debug("answer not written", "err", err)
	}
}

// secure marks answers as nobody's to keep or to guess the type of.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// getWriter is the answer to a GET. What is the same as the client has already
// is answered with 304.
type getWriter struct {
	http.ResponseWriter
	have []string // the lines of If-None-Match
}

// forGet wraps the answer to a request that reads.
func forGet(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return w
	}
	return &getWriter{w, r.Header.Values("If-None-Match")}
}

// Unwrap is what http.ResponseController calls.
func (g *getWriter) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// unchanged tags an answer by its body, where it has no tag of its own, and
// reports whether the client has it.
func (g *getWriter) unchanged(body []byte) bool {
	h := g.Header()
	if h.Get("ETag") == "" {
		sum := sha256.Sum256(body)
		// Weak: it is no revision, so that no write takes it as a condition.
		h.Set("ETag", `W/"`+hex.EncodeToString(sum[:8])+`"`)
	}
	own := strings.TrimPrefix(h.Get("ETag"), "W/")
	for _, line := range g.have {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == own {
				return true
			}
		}
	}
	return false
}
