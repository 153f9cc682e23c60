package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// actorLoopback is who writes while the listener is open.
const actorLoopback = "loopback"

type actorKey struct{}

// Actor is on whose behalf a request of the admin listener is made, for the
// audit log: the name of a token, loopback while the listener is open, or
// basic: and a login.
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
)

var authReasons = []string{authMissing, authWrong, authExpired, authRole, authLimited, authNotConfigured}

// admit lets in who may do what the request asks, and refuses pages of another
// origin everything that writes.
func (s *Server) admit(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(s.handle(func(http.ResponseWriter, *http.Request) error {
		return fail(http.StatusForbidden, "cross_origin", "a page of another origin may not do this: use the command line or a page of this server")
	}))
	return cross.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.whoMay(w, r)
		if err != nil {
			s.handle(func(http.ResponseWriter, *http.Request) error { return err })(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, who)))
	}))
}

// whoMay returns the actor of a request, or why it is refused.
func (s *Server) whoMay(w http.ResponseWriter, r *http.Request) (string, error) {
	route, open := routeOf(r), s.open() // once: it may end or begin meanwhile
	if open {
		if err := guardOpen(r); err != nil {
			return "", err
		}
	}
	switch {
	case anyone[route]:
		return "", nil
	case isServicePath(r):
		return s.serviceAccount(w, r, open)
	case open:
		return actorLoopback, mayUse(Editor, actorLoopback, route)
	}
	t, err := s.bearer(w, r)
	if err != nil {
		return "", err
	}
	err = mayUse(t.Role, t.Name, route)
	if err != nil && asProblem(err).Status == http.StatusForbidden {
		s.authFailed(authRole, r, "token", t.Name, "role", t.Role.String(), "route", route)
	}
	return t.Name, err
}

// open reports whether no token is wanted: as long as there is none, where only
// this machine can connect. Whoever names a file of tokens wants them.
func (s *Server) open() bool {
	return !s.Exposed && s.TokenFile == nil && (s.Tokens == nil || !s.Tokens.Any())
}

// presented returns the token that a request brings along; given reports whether
// it brings anything.
func (s *Server) presented(r *http.Request) (t Token, from Tokens, given, ok bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return t, nil, false, false
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	text = strings.TrimSpace(text)
	t, from, ok = s.lookup(HashToken(text))
	// Not even the hash of a word that somebody put into the file makes that
	// word a token.
	return t, from, true, ok && tokenText.MatchString(text) && len(headers) == 1 && strings.EqualFold(scheme, "Bearer")
}

// bearer returns the token of a request. A right one is always good: failures
// before it, whoever made them, only count for wrong ones.
func (s *Server) bearer(w http.ResponseWriter, r *http.Request) (Token, error) {
	t, from, given, ok := s.presented(r)
	switch now := time.Now(); {
	case !given:
		s.authFailed(authMissing, r)
		return Token{}, unauthorized(w, "", "no token came along")
	case !ok:
		if wait := s.wrongTokens.add(clientNetwork(r)); wait > 0 {
			s.authFailed(authLimited, r)
			return Token{}, retryLater(w, wait)
		}
		s.authFailed(authWrong, r)
		return Token{}, unauthorized(w, `, error="invalid_token"`, "the token is not one of this server")
	case t.Expired(now):
		s.authFailed(authExpired, r, "token", t.Name)
		return Token{}, unauthorized(w, `, error="invalid_token"`, "the token "+t.Name+" has expired")
	default:
		from.Used(t.Name, now)
		return t, nil
	}
}

// stillAdmitted reports whether a request that was let in, and lasts, would be
// again: its token may have been deleted meanwhile, or be over.
func (s *Server) stillAdmitted(r *http.Request) bool {
	if s.open() {
		return true
	}
	t, _, _, ok := s.presented(r)
	return ok && !t.Expired(time.Now()) && t.Name == Actor(r.Context())
}

// lookup finds a token in the store, or else in the file.
func (s *Server) lookup(hash [sha256.Size]byte) (Token, Tokens, bool) {
	for _, from := range s.tokenSources() {
		// The hash is compared again, so that it takes the same time however
		// much of it fits.
		if t, ok := from.Lookup(hash); ok && subtle.ConstantTimeCompare(t.Hash[:], hash[:]) == 1 {
			return t, from, true
		}
	}
	return Token{}, nil, false
}

func (s *Server) tokenSources() (list []Tokens) {
	if s.Tokens != nil {
		list = append(list, s.Tokens)
	}
	if s.TokenFile != nil {
		list = append(list, s.TokenFile)
	}
	return list
}

// unauthorized answers who has no token that is good.
func unauthorized(w http.ResponseWriter, more, why string) error {
	w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`+more)
	return fail(http.StatusUnauthorized, "unauthorized", "%s: send one as Authorization: Bearer TOKEN (SLUICE_TOKEN or --token-file of the command line)", why)
}

// authFailed counts a refusal. What anybody can cause without end is logged at
// level debug.
func (s *Server) authFailed(reason string, r *http.Request, more ...any) {
	s.metrics.authFailures.WithLabelValues(reason).Inc()
	level := slog.LevelDebug
	switch reason {
	case authWrong, authExpired, authRole:
		level = slog.LevelWarn
	}
	s.Logger.Log(r.Context(), level, "request refused", append([]any{"reason", reason, "address", clientNetwork(r).Addr().String()}, more...)...)
}
