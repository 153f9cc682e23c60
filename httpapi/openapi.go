package httpapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strconv"
)

// openAPI is the contract of the admin listener, which the tests hold every
// answer against.
//
//go:embed openapi.yaml
var openAPI []byte

var openAPITag = func() string {
	sum := sha256.Sum256(openAPI)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}()

func (s *Server) contract(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("ETag", openAPITag)
	if g, ok := w.(*getWriter); ok && g.unchanged(openAPI) {
		secure(h)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/yaml")
	h.Set("Content-Length", strconv.Itoa(len(openAPI)))
	secure(h)
	_, _ = w.Write(openAPI) // a client that has left gets none
	return nil
}
