package websockets

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/seed47708276/sluice/websockets/engineio"
)

const (
	// maxConnectionID bounds the client's name for its socket. The existing
	// clients use 23 digits.
	maxConnectionID = 64
	// keyBytes is the length of a decoded Sec-WebSocket-Key (RFC 6455, 4.1).
	keyBytes = 16
	// sessionLookupTimeout bounds the look-up of the handshake: a store that
	// does not answer becomes a 503 that the client can act on.
	sessionLookupTimeout = 5 * time.Second
	// readSlack is added to maxPayload for the library's limit, so that a
	// message of exactly maxPayload passes.
	readSlack = 1
)

// ServeHTTP answers a request below /socket.io or /ws: with a socket, or with
// a JSON error of the design's table ("Sockets"). The checks run in the order
// route, headers, session, client address, gate, limits; only when all have
// passed is the socket registered, and only then is the 101 written.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		s.refuse(w, refuseDraining)
		return
	}
	started := false
	defer func() {
		if !started {
			s.work.Done()
		}
	}()
	if !hijackable(w) {
		s.log.Error("a middleware in front of the Web Sockets hides the connection: let it implement Unwrap")
		s.refuse(w, refuseServer)
		return
	}
	sock, refused := s.examine(r)
	if refused == nil {
		refused = s.register(sock)
	}
	if refused != nil {
		s.refuse(w, refused)
		return
	}
	defer func() {
		if !started {
			s.hub.forget(sock)
		}
	}()
	ws, wire, err := accept(w, r, sock)
	if err != nil {
		s.log.Debug("handshake failed after its checks", sock.logAttrs(), slog.Any(keyError, err))
		return
	}
	ws.SetReadLimit(s.opts.Config().MaxPayload + readSlack)
	s.totals.handshake(Handshake{Result: "ok"})
	sock.attach(ws, wire)
	started = true
	go sock.begin()
}

func (s *Server) refuse(w http.ResponseWriter, f *refusal) {
	s.totals.handshake(Handshake{f.code, f.why})
	s.log.Debug("handshake refused", slog.String(keyCode, f.code), slog.String(keyReason, f.why))
	f.write(w)
}

func accept(w http.ResponseWriter, r *http.Request, sock *socket) (*websocket.Conn, *wire, error) {
	h := &hijacker{ResponseWriter: w, sock: sock}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // originAllowed has decided
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     sock.onPing,
		OnPongReceived:     sock.onPong,
	})
	if err != nil {
		if h.wire != nil {
			_ = h.wire.Conn.Close()
		}
		return nil, nil, err
	}
	return ws, h.wire, nil
}

// register puts the socket into the hub; one that it takes over is closed.
func (s *Server) register(sock *socket) *refusal {
	cfg := s.opts.Config()
	old, refused := s.hub.add(sock, cfg.MaxPerUser, cfg.MaxSockets)
	if refused != nil {
		return refused
	}
	if old != nil {
		old.close(CauseTakeover)
	}
	return nil
}

// examine runs all checks that need no registration.
func (s *Server) examine(r *http.Request) (*socket, *refusal) {
	cfg := s.opts.Config()
	path := r.URL.EscapedPath()
	asText := below(path, "/ws")
	if !asText && !below(path, "/socket.io") {
		return nil, refuseNotFound
	}
	if refused := checkHeaders(r); refused != nil {
		return nil, refused
	}
	if len(path) > MaxPathFilter {
		return nil, refusePath
	}
	query := r.URL.Query()
	if !asText {
		if query.Get("transport") != "websocket" {
			return nil, refuseTransport
		}
		if query.Has("sid") {
			return nil, refuseSID
		}
	}
	connection := query.Get("connection")
	if !query.Has("connection") {
		connection = randomHex()
	} else if !validConnectionID(connection) {
		return nil, refuseConnID
	}
	if !query.Has("session") {
		return nil, refuseParameter
	}
	if !originAllowed(r, cfg.AllowedOrigins) {
		return nil, refuseOrigin
	}
	session, refused := s.authenticate(r, query.Get("session"), cfg)
	if refused != nil {
		return nil, refused
	}
	address := clientAddr(r, cfg)
	if s.opts.IPCheck != nil && !s.opts.IPCheck(session, address) {
		return nil, forbidAddress
	}
	if v := s.opts.Gate.Allowed(session.Context, session.User); !v.Allowed {
		if v.Reason == SwitchedOff {
			return nil, refuseDisabled
		}
		return nil, forbidSubject
	}
	speaks := PlainText
	switch {
	case asText:
	case engineio.ParseVersion(query.Get("EIO")) == engineio.V4:
		speaks = EngineIO4
	default:
		speaks = EngineIO3
	}
	return s.newSocket(session, speaks, connection, path, address), nil
}

// authenticate finds the session and wants its secret in the right cookie. All
// its reasons are one answer, so that nobody learns which sessions exist.
func (s *Server) authenticate(r *http.Request, id string, cfg *Config) (*Session, *refusal) {
	if id == "" || len(id) > MaxSessionID {
		return nil, forbidLongID
	}
	ctx, cancel := context.WithTimeout(r.Context(), sessionLookupTimeout)
	defer cancel()
	session, err := s.opts.Sessions.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNoSession):
		return nil, forbidNoSession
	case err != nil:
		s.log.Warn("session cannot be looked up: handshake answered with 503", slog.Any(keyError, err))
		return nil, refuseStore
	case session.ID != id: // a store may look in other ids too (spec 2.2, step 5)
		return nil, forbidOtherID
	case session.Expired(time.Now()):
		return nil, forbidNoSession
	case session.Restricted:
		return nil, forbidRestricted
	case !secretPresented(r, session, &cfg.Cookie):
		return nil, forbidSecret
	}
	return session, nil
}

func below(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (rest == "" || rest[0] == '/')
}

func validConnectionID(id string) bool {
	if id == "" || len(id) > maxConnectionID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// checkHeaders validates the upgrade request (RFC 6455, 4.2.1).
func checkHeaders(r *http.Request) *refusal {
	h := r.Header
	if !hasToken(h.Values("Upgrade"), "websocket") {
		return refuseUpgrade
	}
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.Host == "" ||
		r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return refuseMethod
	}
	if !hasToken(h.Values("Connection"), "upgrade") {
		return refuseConnection
	}
	if v := h.Values("Sec-Websocket-Version"); len(v) != 1 || v[0] != "13" {
		return refuseVersion
	}
	keys := h.Values("Sec-Websocket-Key")
	if len(keys) != 1 {
		return refuseKey
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0])); err != nil || len(key) != keyBytes {
		return refuseKey
	}
	return nil
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
