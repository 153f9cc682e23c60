package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// problem is an answer that is no success: application/problem+json (RFC 9457)
// with a code that stays the same over versions.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func fail(status int, code, format string, args ...any) error {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

func notFound(_ http.ResponseWriter, r *http.Request) error {
	return fail(http.StatusNotFound, "not_found", "there is nothing at %.200q", r.URL.Path)
}

func methodNotAllowed(_ http.ResponseWriter, r *http.Request) error {
	return fail(http.StatusMethodNotAllowed, "method_not_allowed", "%.20q is not possible at %.200q", r.Method, r.URL.Path)
}

// handle turns a handler that returns its error into one that answers it.
func (s *Server) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var p *problem
		if !errors.As(err, &p) {
			s.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
			p = &problem{"about:blank", http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError, "internal", "the server's log has the reason"}
		}
		w.Header().Set("Content-Type", "application/problem+json")
		s.write(w, p.Status, p)
	}
}

// answer writes a value as JSON.
func (s *Server) answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	s.write(w, status, v)
	return nil
}

func (s *Server) write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		s.Logger.Debug("answer not written", "err", err)
	}
}
