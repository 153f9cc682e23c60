package httpapi

import (
	"bytes"
	"log"
	"log/slog"
	"sync/atomic"
)

// errorLog is where net/http writes what no handler sees: panics of handlers
// and accepts that fail, which are errors, and TLS handshakes that fail, which
// anybody can cause as often as he likes.
type errorLog struct {
	log        *slog.Logger
	handshakes atomic.Int64 // of TLS, that failed
}

func (e *errorLog) logger() *log.Logger { return log.New(e, "", 0) }

var handshakeFailed = []byte("http: TLS handshake error")

// Write takes one record.
func (e *errorLog) Write(p []byte) (int, error) {
	text := string(bytes.TrimSpace(p))
	if bytes.HasPrefix(p, handshakeFailed) {
		e.handshakes.Add(1)
		e.log.Debug(text)
	} else {
		e.log.Error(text)
	}
	return len(p), nil
}
