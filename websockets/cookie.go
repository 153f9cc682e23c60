package websockets

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// SecretCookiePrefix is followed by the hash in the name of the secret cookie
// (spec 3.1).
const SecretCookiePrefix = "open-xchange-secret-"

// CookieHash is the hash in the secret cookie's name (spec 3.2): MD5 over the
// user agent, the client id, the additional strings (context and user id of a
// guest, else none), the non-empty values of the configured header fields and
// the salt; Base64 without anything but letters, digits and underscore.
//
// MD5 is what the existing logins use for the name. It protects nothing: the
// secret is the cookie's value.
func CookieHash(userAgent, client string, additional, fields []string, salt string) string {
	h := md5.New()
	h.Write([]byte(userAgent))
	h.Write([]byte(client))
	for _, s := range additional {
		h.Write([]byte(s))
	}
	for _, s := range fields {
		h.Write([]byte(s))
	}
	h.Write([]byte(salt))
	return strings.Map(func(r rune) rune {
		if r == '+' || r == '/' || r == '=' {
			return -1
		}
		return r
	}, base64.StdEncoding.EncodeToString(h.Sum(nil)))
}

// secretPresented reports whether the request carries the session's secret in
// the cookie that this session and this agent must use (spec 3.1). Of several
// cookies with that name the first counts.
func secretPresented(r *http.Request, s *Session, cfg *CookieConfig) bool {
	if s.Secret == "" {
		return false
	}
	agent := r.UserAgent()
	if agent == "" || cfg.Hash == CookieRemember {
		value, found := firstCookie(r, s.CookieName())
		return found && sameSecret(value, s.Secret)
	}
	value, found := firstCookie(r, SecretCookiePrefix+requestHash(r, agent, s, cfg))
	if !found && (s.UserAgent == "" || changeableAgent(agent)) {
		value, found = firstCookie(r, s.CookieName())
	}
	return found && sameSecret(value, s.Secret)
}

func requestHash(r *http.Request, agent string, s *Session, cfg *CookieConfig) string {
	var additional []string
	if s.Guest {
		additional = []string{strconv.Itoa(int(s.Context)), strconv.Itoa(int(s.User))}
	}
	var fields []string
	for _, name := range cfg.Fields {
		if v := r.Header.Get(name); v != "" {
			fields = append(fields, v)
		}
	}
	return CookieHash(agent, s.Client, additional, fields, cfg.Salt)
}

func firstCookie(r *http.Request, name string) (string, bool) {
	c, err := r.Cookie(name)
	if err != nil {
		return "", false
	}
	return c.Value, true
}

func sameSecret(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// changeableAgent reports whether an agent is known to change its User-Agent
// between requests, so that its remembered cookie name counts too (spec 3.1).
func changeableAgent(agent string) bool {
	a := strings.ToLower(agent)
	if strings.HasPrefix(a, "applecoremedia/") || strings.HasPrefix(a, "stagefright/") {
		return true
	}
	return strings.HasPrefix(a, "mozilla/5.0") && strings.Contains(a, "windows") &&
		(strings.Contains(a, "trident/7.0") || strings.Contains(a, "edge/"))
}
