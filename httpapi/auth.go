package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/auth"
)

type actorKey struct{}

// Actor is on whose behalf a request for administrators is made, for the audit
// log: the name of a token, unix: and the system user at the other end of the
// admin socket, or basic: and a login.
func Actor(ctx context.Context) string {
	who, _ := ctx.Value(actorKey{}).(string)
	return who
}

// Why a request is refused, in sluice_auth_failures_total.
const (
	authMissing       = "missing" // no token or password
	authWrong         = "wrong"
	authExpired       = "expired"
	authRole          = "role"              // the token's is too small
	authLimited       = "too_many_failures" // after wrong ones
	authNotConfigured = "not_configured"    // basic auth
	authPeer          = "peer"              // of the admin socket
)

var authReasons = []string{authMissing, authWrong, authExpired, authRole, authLimited, authNotConfigured, authPeer}

// admit lets in who may do what the request asks, and refuses pages of another
// origin everything that writes.
func (s *Server) admit(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(s.handle(func(http.ResponseWriter, *http.Request) error {
		return fail(http.StatusForbidden, "cross_origin", "a page of another origin may not do this: use the command line or a page of this server")
	}))
	return cross.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.whoMay(w, r)
		if err == nil {
			err = takesNoBody(w, r)
		}
		if err != nil {
			s.handle(func(http.ResponseWriter, *http.Request) error { return err })(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, who)))
	}))
}

// whoMay returns the actor of a request, or why it is refused. Over the admin
// socket the credentials of the process count, and no token is looked at.
func (s *Server) whoMay(w http.ResponseWriter, r *http.Request) (string, error) {
	route := routeOf(r)
	if need, listed := s.roles[route]; listed && need == anyone {
		return "", nil
	}
	if p := peerOf(r.Context()); p != nil {
		return s.socketPeer(p, r, route)
	}
	switch {
	case route == routeMetrics && cascade.ServerValue[bool](s.Engine.Snapshot(), PropMetricsPublic):
		return "", nil
	case isServicePath(r):
		return s.serviceAccount(w, r)
	}
	t, err := s.bearer(w, r)
	if err != nil {
		return "", err
	}
	err = s.mayUse(t.Role, t.Name, route)
	if err != nil && asProblem(err).Status == http.StatusForbidden {
		s.authFailed(authRole, r, "token", t.Name, "role", t.Role.String(), "route", route)
	}
	return t.Name, err
}

// socketPeer returns the actor of a request of the admin socket.
func (s *Server) socketPeer(p *peer, r *http.Request, route string) (string, error) {
	switch {
	case p.err != nil:
		s.authFailed(authPeer, r, "err", p.err)
		return "", fail(http.StatusForbidden, "peer", "the kernel does not say who has connected: use the TCP listener and a token")
	case !p.editor:
		s.authFailed(authPeer, r, "user", p.name)
		return "", fail(http.StatusForbidden, "peer", "user %s may not use this socket: root, the user of the service and members of the group of %s may; everybody else needs a token, and the TCP listener", p.name, PropSocketGroup)
	}
	if isServicePath(r) {
		return actorUnix + p.name, nil
	}
	return actorUnix + p.name, s.mayUse(auth.Editor, actorUnix+p.name, route)
}

// presented returns the token that a request brings along; given reports whether
// it brings anything.
func (s *Server) presented(r *http.Request) (t auth.Token, from auth.Tokens, given, ok bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return t, nil, false, false
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	text = strings.TrimSpace(text)
	t, from, ok = s.lookup(auth.HashToken(text))
	// Not even the hash of a word that somebody put into the file makes that
	// word a token.
	return t, from, true, ok && auth.IsTokenText(text) && len(headers) == 1 && strings.EqualFold(scheme, "Bearer")
}

// bearer returns the token of a request. A right one is always good: failures
// before it, whoever made them, only count for wrong ones.
func (s *Server) bearer(w http.ResponseWriter, r *http.Request) (auth.Token, error) {
	t, from, given, ok := s.presented(r)
	switch now := time.Now(); {
	case !given:
		s.authFailed(authMissing, r)
		return auth.Token{}, unauthorized(w, "", "no token came along")
	case !ok:
		if wait := s.wrongTokens.Add(clientNetwork(r)); wait > 0 {
			s.authFailed(authLimited, r)
			return auth.Token{}, retryLater(w, wait)
		}
		s.authFailed(authWrong, r)
		return auth.Token{}, unauthorized(w, `, error="invalid_token"`, "the token is not one of this server")
	case t.Expired(now):
		s.authFailed(authExpired, r, "token", t.Name)
		return auth.Token{}, unauthorized(w, `, error="invalid_token"`, "the token "+t.Name+" has expired")
	default:
		from.Used(t.Name, now)
		return t, nil
	}
}

// stillAdmitted reports whether a request that was let in, and lasts, would be
// again: its token may have been deleted meanwhile, or be over.
func (s *Server) stillAdmitted(r *http.Request) bool {
	if peerOf(r.Context()) != nil {
		return true
	}
	t, _, _, ok := s.presented(r)
	return ok && !t.Expired(time.Now()) && t.Name == Actor(r.Context())
}

// lookup finds a token in the store, or else in the file.
func (s *Server) lookup(hash [sha256.Size]byte) (auth.Token, auth.Tokens, bool) {
	for _, from := range s.tokenSources() {
		// The hash is compared again, so that it takes the same time however
		// much of it fits.
		if t, ok := from.Lookup(hash); ok && (from != s.Tokens || !s.Closings.revoked(t.Name)) && subtle.ConstantTimeCompare(t.Hash[:], hash[:]) == 1 {
			return t, from, true
		}
	}
	return auth.Token{}, nil, false
}

func (s *Server) tokenSources() (list []auth.Tokens) {
	if s.Tokens != nil {
		list = append(list, s.Tokens)
	}
	if s.TokenFile != nil {
		list = append(list, s.TokenFile)
	}
	return append(list, s.oidc)
}

// unauthorized answers who has no token that is good.
func unauthorized(w http.ResponseWriter, more, why string) error {
	w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`+more)
	return fail(http.StatusUnauthorized, "unauthorized", "%s: send one as Authorization: Bearer TOKEN (SLUICE_TOKEN or --token-file of the command line), or use the Unix socket on the server's machine", why)
}

// authFailed counts a refusal. What anybody can cause without end is logged at
// level debug.
func (s *Server) authFailed(reason string, r *http.Request, more ...any) {
	s.metrics.authFailures.WithLabelValues(reason).Inc()
	level := slog.LevelDebug
	switch reason {
	case authWrong, authExpired, authRole, authPeer:
		level = slog.LevelWarn
	}
	address := "unix" // a socket has none
	if n := clientNetwork(r); n.IsValid() {
		address = n.Addr().String()
	}
	s.Logger.Log(r.Context(), level, "request refused", append([]any{"reason", reason, "address", address}, more...)...)
}

// clientNetwork is that of the connection: on this listener nobody is believed
// who says that he speaks for another.
func clientNetwork(r *http.Request) netip.Prefix {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	a, bits := ap.Addr().Unmap().WithZone(""), 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // never fails: the bits fit
	return p
}

// retryLater answers an address that must wait.
func retryLater(w http.ResponseWriter, wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return fail(http.StatusTooManyRequests, "too_many_failures", "too many wrong tokens or passwords came from your address: correct yours, and try again in %d s", seconds)
}

// basicRealm is that of the existing system.
const basicRealm = `Basic realm="OX REST", encoding="UTF-8"`

// serviceAccount returns the actor of a request with the login and password of
// the existing system's service account. As in the existing system nobody is let
// in while login or password is empty, as they are shipped.
func (s *Server) serviceAccount(w http.ResponseWriter, r *http.Request) (string, error) {
	sn := s.Engine.Snapshot()
	login := strings.TrimSpace(cascade.ServerValue[string](sn, PropBasicLogin))
	password := strings.TrimSpace(cascade.ServerValue[string](sn, PropBasicPassword))
	if login == "" || password == "" {
		s.authFailed(authNotConfigured, r)
		return "", fail(http.StatusForbidden, "not_configured", "nobody may use this: set %s and %s", PropBasicLogin, PropBasicPassword)
	}
	// A password may be guessed, so that who guesses must wait even for the
	// right one.
	from := clientNetwork(r)
	if wait := s.wrongPasswords.Locked(from); wait > 0 {
		s.authFailed(authLimited, r)
		return "", retryLater(w, wait)
	}
	l, p, ok := r.BasicAuth()
	if same(l, login)&same(p, password) == 1 && ok && len(r.Header.Values("Authorization")) == 1 {
		return "basic:" + login, nil
	}
	reason := authMissing
	if r.Header.Get("Authorization") != "" {
		reason = authWrong
		s.wrongPasswords.Add(from)
	}
	s.authFailed(reason, r)
	w.Header().Set("WWW-Authenticate", basicRealm)
	return "", fail(http.StatusUnauthorized, "unauthorized", "send the login and password that %s and its .password have, as basic auth", PropBasicLogin)
}

// same compares in a time that tells nothing of b, not even its length.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
