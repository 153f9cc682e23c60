package websockets

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
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
	// handshakeOK is the result of one that became a socket.
	handshakeOK = "ok"
)

// ServeHTTP answers a request below /socket.io or /ws: with a socket, or with
// a JSON error of the design's table ("Sockets"). The checks run in the order
// route, headers, session, client address, gate, limits; only when all have
// passed is the socket registered, and only then is the 101 written.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		s.refuse(w, r, attempt{address: clientAddr(r, s.opts.Config()).addr}, refuseDraining)
		return
	}
	started := false
	defer func() {
		if !started {
			s.work.Done()
		}
	}()
	who := attempt{}
	sock, refused := s.admit(w, r, &who)
	if refused != nil {
		s.refuse(w, r, who, refused)
		return
	}
	defer func() {
		if !started {
			s.leave(sock)
			s.hub.forget(sock)
		}
	}()
	wire, err := accept(w, r, sock)
	if err != nil {
		s.log.Debug("handshake failed after its checks", sock.logAttrs(), slog.Any(keyError, err))
		return
	}
	wire.limit()
	s.totals.handshake(Handshake{Result: handshakeOK})
	s.records.add(r, who.subject, handshakeOK, "")
	sock.attach(wire)
	started = true
	sock.welcome()
	if s.watched() {
		s.opts.Watcher.Opened(sock.info())
	}
	go sock.begin()
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, who attempt, f *refusal) {
	s.noteRefused(who, f)
	s.records.add(r, who.subject, f.code, f.why)
	f.write(w, r.ProtoMajor == 1)
}

func accept(w http.ResponseWriter, r *http.Request, sock *socket) (*wire, error) {
	h := &hijacker{ResponseWriter: w, wire: &wire{sock: sock}}
	ws, err := websocket.Accept(h, r, h.wire.acceptOptions())
	if err != nil {
		if h.wire.Conn != nil {
			_ = h.wire.Conn.Close()
		}
		return nil, err
	}
	h.wire.ws = ws
	return h.wire, nil
}

// register puts the socket into the hub and makes it known to the cluster; one
// that it takes over is closed.
func (s *Server) register(ctx context.Context, sock *socket) *refusal {
	cfg := s.opts.Config()
	old, refused := s.hub.add(sock, cfg.MaxPerUser, cfg.MaxSockets)
	if refused != nil {
		return refused
	}
	if old != nil {
		old.close(CauseTakeover)
		s.withdraw(old)
	}
	if refused := s.registerInCluster(ctx, sock); refused != nil {
		s.leave(sock)
		s.hub.forget(sock)
		return refused
	}
	return nil
}

// leave takes a socket out of the hub and the cluster.
func (s *Server) leave(sock *socket) {
	if !s.hub.leave(sock) {
		return
	}
	if sock.rec != nil && s.opts.Peers != nil {
		sock.mu.Lock()
		attached := sock.attached
		sock.mu.Unlock()
		if attached {
			return // finish withdraws it, when the others know how far the client has got
		}
	}
	s.withdraw(sock)
}

// admit returns a registered socket for a request that passes every check. What
// asks a store waits for its turn.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, who *attempt) (*socket, *refusal) {
	cfg := s.opts.Config()
	address := clientAddr(r, cfg)
	who.address = address.addr
	ask, refused := examine(r, cfg, address)
	if refused != nil {
		return nil, refused
	}
	if !hijackable(w) {
		s.log.Error("a middleware in front of the Web Sockets hides the connection: let it implement Unwrap")
		return nil, refuseServer
	}
	if !s.turnstile.enter(r.Context(), s.stopped.Done()) {
		if s.stopped.Err() != nil {
			return nil, refuseDraining
		}
		return nil, refuseBusy
	}
	defer s.turnstile.leave()
	session, held, refused := s.authenticate(r, ask.session, ask.address, cfg, who)
	if refused != nil {
		return nil, refused
	}
	sock := s.newSocket(session, ask)
	if held {
		sock.bornMuted()
	}
	if refused := s.register(r.Context(), sock); refused != nil {
		return nil, refused
	}
	if refused := s.reconsider(r.Context(), sock, session); refused != nil {
		s.leave(sock)
		s.hub.forget(sock)
		return nil, refused
	}
	return sock, nil
}

// handshake is what a request asks for.
type handshake struct {
	session, connection, path string
	speaks                    Protocol
	address                   clientAddress
	named                     bool // the client has chosen its connection id
	offsets                   bool // it asks for Socket.IO's own recovery
	ids                       bool // it asks for ids of messages
}

// examine runs all checks that need no store.
func examine(r *http.Request, cfg *Config, address clientAddress) (*handshake, *refusal) {
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
	query, refused := parseParams(r.URL.RawQuery)
	switch {
	case refused != nil:
		return nil, refused
	case !asText && query.transport.value != "websocket":
		return nil, refuseTransport
	case !asText && query.sid.given:
		return nil, refuseSID
	case !query.connection.given:
		query.connection.value = randomHex()
	case !printable(query.connection.value, maxConnectionID):
		return nil, refuseConnID
	}
	if !query.session.given {
		return nil, refuseParameter
	}
	if !originAllowed(r, cfg) {
		return nil, refuseOrigin
	}
	ask := &handshake{
		session: query.session.value, connection: query.connection.value, path: path,
		speaks: PlainText, address: address, named: query.connection.given,
		ids: asText && query.ids.value == "1",
	}
	switch {
	case asText:
	case engineio.ParseVersion(query.version.value) == engineio.V4:
		ask.speaks, ask.offsets = EngineIO4, query.recovery.value == "1"
	default:
		ask.speaks = EngineIO3
	}
	return ask, nil
}

// authenticate finds the session, wants its secret in the right cookie, its
// client at the right address, and its user served, or held
// (docs/reference/handshake.md#checks, 3 to 13). All its reasons but the last
// are one answer, so that nobody learns which sessions exist.
func (s *Server) authenticate(r *http.Request, id string, address clientAddress, cfg *Config, who *attempt) (session *Session, held bool, refused *refusal) {
	if !printable(id, MaxSessionID) {
		return nil, false, forbidParameter
	}
	ctx, cancel := context.WithTimeout(r.Context(), sessionLookupTimeout)
	defer cancel()
	session, err := s.opts.Sessions.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNoSession):
		return nil, false, forbidNoSession
	case err != nil:
		// The store has said so once; each handshake would only repeat it.
		s.log.Debug("session cannot be looked up: handshake answered with 503", slog.Any(keyError, err))
		return nil, false, refuseStore
	case session.ID != id: // a store may look in other ids too (docs/reference/handshake.md#checks, 5)
		return nil, false, forbidOtherID
	}
	who.subject = subject{session.Context, session.User}
	switch {
	case session.Expired(time.Now()), s.endedOwners.over(session):
		return nil, false, forbidNoSession
	case session.Restricted:
		return nil, false, forbidRestricted
	}
	if s.opts.Load != nil {
		if err := s.opts.Load(ctx, session.Context, session.User); err != nil {
			s.log.Debug("user cannot be looked up: handshake answered with 503", slog.Any(keyError, err))
			return nil, false, refuseUnread
		}
	}
	verdict := s.opts.Gate.Allowed(session.Context, session.User)
	if !verdict.Allowed && verdict.Reason == NotRead {
		return nil, false, refuseUnread
	}
	if !verdict.Allowed && verdict.Reason != SwitchedOff {
		s.endSession(ctx, session, verdict.Reason)
		return nil, false, forbidAccount(verdict.Reason)
	}
	if !secretPresented(r, session, &cfg.Cookie) {
		return nil, false, forbidSecret
	}
	ok, adopt := s.checkAddress(session, address, cfg)
	switch {
	case !ok && !address.addr.IsValid():
		s.noAddress(r, session, cfg)
		return nil, false, forbidNoAddress
	case !ok:
		return nil, false, forbidAddress
	case !verdict.Allowed && !verdict.Hold:
		return nil, false, refuseDisabled
	case adopt:
		s.moveSession(ctx, session, address.addr)
	}
	return session, !verdict.Allowed, nil
}

// endSession removes a session that has lost its owner
// (docs/reference/handshake.md#checks, 7 and 8), where the store is ours.
func (s *Server) endSession(ctx context.Context, session *Session, why Reason) {
	if why != ContextDisabled && why != UserUnknown {
		return
	}
	if store, ours := s.opts.Sessions.(SessionDeleter); ours {
		if err := store.Delete(ctx, session.ID); err != nil && !errors.Is(err, ErrNoSession) {
			s.log.Warn("session of a disabled context or deleted user stays", slog.Any(keySession, session), slog.Any(keyError, err))
		}
	}
}

// moveSession gives a session the address from which it is used now.
func (s *Server) moveSession(ctx context.Context, session *Session, address netip.Addr) {
	if store, ours := s.opts.Sessions.(SessionMover); ours {
		if err := store.Move(ctx, session.ID, address); err != nil && !errors.Is(err, ErrNoSession) {
			s.log.Warn("session keeps its old address", slog.Any(keySession, session), slog.Any(keyError, err))
		}
	}
}

func below(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (rest == "" || rest[0] == '/')
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
