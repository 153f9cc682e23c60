package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// basicAuth lets in who has the login and password of the existing system's
// service account. It is for a listener that is never open; the admin listener
// asks serviceAccount itself.
func (s *Server) basicAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.serviceAccount(w, r, false)
		if err != nil {
			s.handle(func(http.ResponseWriter, *http.Request) error { return err })(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, who)))
	})
}

// serviceAccount returns the actor of a request with basic auth. As in the
// existing system nobody is let in while login or password is empty, as they
// are shipped; but on an open listener, where everybody may read the same and
// more without, only a login that is configured is asked for.
func (s *Server) serviceAccount(w http.ResponseWriter, r *http.Request, open bool) (string, error) {
	sn := s.Engine.Snapshot()
	login := strings.TrimSpace(server[string](sn, PropBasicLogin))
	password := strings.TrimSpace(server[string](sn, PropBasicPassword))
	if login == "" || password == "" {
		if open {
			return actorLoopback, nil
		}
		s.authFailed(authNotConfigured, r)
		return "", fail(http.StatusForbidden, "not_configured", "nobody may use this: set %s and %s", PropBasicLogin, PropBasicPassword)
	}
	// A password may be guessed, so that who guesses must wait even for the
	// right one.
	from := clientNetwork(r)
	if wait := s.wrongPasswords.locked(from); wait > 0 {
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
		s.wrongPasswords.add(from)
	}
	s.authFailed(reason, r)
	w.Header().Set("WWW-Authenticate", `Basic realm="OX REST", encoding="UTF-8"`)
	return "", fail(http.StatusUnauthorized, "unauthorized", "send the login and password that %s and its .password have, as basic auth", PropBasicLogin)
}

// same compares in a time that tells nothing of b, not even its length.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
