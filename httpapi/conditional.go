package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

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
