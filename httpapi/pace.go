package httpapi

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// answerTimeout bounds each write of an answer: a client that does not read
	// loses its connection, whatever is still to come.
	answerTimeout = 30 * time.Second
	// answerChunk is what one write has, so that a slow connection need not carry
	// a whole export within answerTimeout: 2 KB/s are enough.
	answerChunk = 64 << 10
	// refusedBodyTimeout is how long is waited for the rest of a body that nobody
	// wants, before the connection ends.
	refusedBodyTimeout = time.Second
	// streamIdle bounds the wait for the next message of a stream, as idleTimeout
	// does that for the next request of a connection.
	streamIdle = idleTimeout
)

// pace gives each read and write of a request a deadline, whatever its handler
// does. Handlers that set their own keep them.
func (s *Server) pace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w)}
		p.extend()
		if r.ContentLength != 0 {
			// Also for what net/http reads when the handler has returned.
			_ = p.control.SetReadDeadline(time.Now().Add(bodyTimeout)) // every listener's connections have them
		}
		next.ServeHTTP(p, r)
	})
}

// takesNoBody refuses a body where none is taken: its sender means it to be read.
func takesNoBody(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
	default:
		return nil
	}
	if r.ContentLength == 0 {
		return nil
	}
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedBodyTimeout)) // as above
	return fail(http.StatusBadRequest, "body", "a %s has no body: a reason goes into ?reason=", r.Method)
}

// pacedWriter gives each write a deadline.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	own     atomic.Bool // the handler sets the deadlines
}

func (p *pacedWriter) extend() {
	if !p.own.Load() {
		_ = p.control.SetWriteDeadline(time.Now().Add(answerTimeout)) // every listener's connections have them
	}
}

// Write implements http.ResponseWriter.
func (p *pacedWriter) Write(b []byte) (n int, err error) {
	for {
		p.extend()
		part := b[n:min(n+answerChunk, len(b))]
		m, err := p.ResponseWriter.Write(part)
		n += m
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// WriteHeader implements http.ResponseWriter.
func (p *pacedWriter) WriteHeader(status int) {
	p.extend()
	p.ResponseWriter.WriteHeader(status)
}

// FlushError is what http.ResponseController calls.
func (p *pacedWriter) FlushError() error {
	p.extend()
	return p.control.Flush()
}

// SetWriteDeadline is what http.ResponseController calls.
func (p *pacedWriter) SetWriteDeadline(at time.Time) error {
	p.own.Store(true)
	return p.control.SetWriteDeadline(at)
}

// Unwrap is what http.ResponseController calls.
func (p *pacedWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// pacedBody bounds the wait for each part of a body that lasts.
type pacedBody struct {
	io.Reader
	control *http.ResponseController
	ctx     context.Context // of the server; nothing is read when it is done
}

// Read implements io.Reader.
func (p *pacedBody) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(streamIdle)) // every listener's connections have them
	if p.ctx.Err() != nil {                                   // after the deadline, which ending sets before it
		return 0, p.ctx.Err()
	}
	return p.Reader.Read(b)
}

// PublicListener wraps Public with the limits of its listener. A socket leaves
// them behind at its handshake, which is well below them.
func (s *Server) PublicListener() *http.Server {
	l := s.Listener(s.Public())
	l.ConnState = s.followClients
	l.ReadTimeout, l.WriteTimeout = bodyTimeout, answerTimeout
	return l
}
