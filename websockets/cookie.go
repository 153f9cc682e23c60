package websockets

import (
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// SecretCookiePrefix is followed by the hash in the name of the secret cookie
// (docs/reference/handshake.md#secret-cookie).
const SecretCookiePrefix = "open-xchange-secret-"

// CookieHash is the hash in the secret cookie's name
// (docs/reference/handshake.md#cookie-hash): MD5 over the user agent, the
// client id, the additional strings (context and user id of a guest, else
// none), the non-empty values of the configured header fields and the salt;
// Base64 without anything but letters, digits and underscore.
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
// the cookie that this session and this agent must use
// (docs/reference/handshake.md#secret-cookie). Of several cookies with that
// name the first counts.
func secretPresented(r *http.Request, s *Session, cfg *CookieConfig) bool {
	agent, named := firstValue(r.Header, "User-Agent")
	if !named || cfg.Hash == CookieRemember {
		return s.Hash != "" && sameSecret(r.Header, s.CookieName(), s) == secretRight
	}
	found := sameSecret(r.Header, SecretCookiePrefix+requestHash(r, agent, s, cfg), s)
	if found == secretMissing && s.Hash != "" && (s.AnyAgent || changeableAgent(agent)) {
		found = sameSecret(r.Header, s.CookieName(), s)
	}
	return found == secretRight
}

// firstValue returns the first field of that name, which has its canonical
// form, and whether there is one.
func firstValue(h http.Header, name string) (string, bool) {
	if v := h[name]; len(v) > 0 {
		return v[0], true
	}
	return "", false
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

// What a handshake looks at in its cookies. Browsers keep at most 180 for a
// site and 4096 bytes in each.
const (
	maxCookies     = 256
	maxCookieBytes = 16 << 10 // of all, as much as the listener's header takes
)

type secretMatch uint8

const (
	secretMissing secretMatch = iota
	secretWrong
	secretRight
)

// sameSecret compares the first cookie of a name with the session's secret.
func sameSecret(h http.Header, name string, s *Session) secretMatch {
	value, found := firstCookie(h, name)
	switch {
	case !found:
		return secretMissing
	case s.HasSecret(value):
		return secretRight
	default:
		return secretWrong
	}
}

// firstCookie finds a cookie (RFC 6265, 4.2.1) without making anything of the
// others.
func firstCookie(h http.Header, name string) (string, bool) {
	seen, size := 0, 0
	for _, line := range h["Cookie"] {
		if size += len(line); size > maxCookieBytes {
			return "", false
		}
		for pair := range strings.SplitSeq(line, ";") {
			if seen++; seen > maxCookies {
				return "", false
			}
			n, value, _ := strings.Cut(pair, "=")
			if strings.TrimSpace(n) != name {
				continue
			}
			value = strings.TrimSpace(value)
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			return value, true
		}
	}
	return "", false
}

// changeableAgent reports whether an agent is known to change its User-Agent
// between requests, so that its remembered cookie name counts too
// (docs/reference/handshake.md#secret-cookie).
func changeableAgent(agent string) bool {
	a := strings.ToLower(agent)
	if strings.HasPrefix(a, "applecoremedia/") || strings.HasPrefix(a, "stagefright/") {
		return true
	}
	return strings.HasPrefix(a, "mozilla/5.0") && strings.Contains(a, "windows") &&
		(strings.Contains(a, "trident/7.0") || strings.Contains(a, "edge/"))
}
