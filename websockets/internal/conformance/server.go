package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// The intervals that the suites expect
// (docs/reference/socketio.md#conformance-suites).
const (
	pingInterval   = 300 * time.Millisecond
	pingTimeout    = 200 * time.Millisecond
	connectTimeout = time.Second
	maxPayload     = 1_000_000
)

// maxConnections bounds what can be open at once; a suite opens one after the
// other.
const maxConnections = 256

// server answers on /engine.io/ and /socket.io/.
type server struct {
	log     *slog.Logger
	engine  engineio.Settings
	socket  socketio.Settings
	slots   chan struct{}
	work    sync.WaitGroup // connections
	stopped context.Context
	stop    context.CancelFunc
}

func newServer(log *slog.Logger) *server {
	namespaces, err := socketio.NewNamespaces("/custom")
	if err != nil {
		panic(err) // it is a good name
	}
	s := &server{
		log:    log,
		engine: engineio.Settings{PingInterval: pingInterval, PingTimeout: pingTimeout, MaxPayload: maxPayload},
		socket: socketio.Settings{
			ConnectTimeout: connectTimeout, MaxBytes: maxPayload, Namespaces: namespaces, Attachments: socketio.MaxAttachments,
		},
		slots: make(chan struct{}, maxConnections),
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	return s
}

// close ends all connections and waits for them. Nothing may be served any
// more.
func (s *server) close() {
	s.stop()
	s.work.Wait()
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/engine.io/":
		s.serve(w, r, func(engineio.Version, time.Time) application { return echo{} })
	case "/socket.io/":
		s.serve(w, r, s.newContract)
	default:
		http.NotFound(w, r)
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, newApplication func(engineio.Version, time.Time) application) {
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	version, refused := engineio.CheckRequest(r.Method, upgrade, r.URL.Query())
	if refused != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(refused.AppendJSON(nil)) // a client that is gone needs no answer
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	s.work.Add(1)
	defer s.work.Done()
	defer func() { <-s.slots }()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		s.log.Warn("handshake failed", "err", err)
		return
	}
	// One more than the protocol allows, so that its own rule is what counts.
	ws.SetReadLimit(maxPayload + 1)
	now := time.Now()
	c := &connection{ws: ws, engine: engineio.NewSession(version, s.engine, now), app: newApplication(version, now)}
	if err := c.run(s.stopped); err != nil {
		s.log.Info("connection closed", "err", err)
	}
}
