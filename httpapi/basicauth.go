package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/seed47708276/sluice/cascade"
)

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
