package websockets

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// SessionLifetime is how long a session lives without a socket or a Touch:
// com.openexchange.sessiond.sessionDefaultLifeTime
// (docs/reference/sessions.md#limits).
const SessionLifetime = time.Hour

// secretBytes is the entropy of session ids, secrets and Engine.IO ids: 128
// bits, so that guessing is hopeless at any rate.
const secretBytes = 16

// keySession is the log key of a session, which shows no more than its owner.
const keySession = "session"

// ErrNoSession is what Sessions answer for an id that they do not have, or
// have no more. The handshake turns it into 403; any other error into 503.
var ErrNoSession = errors.New("no such session: log in again")

// Sessions are where the handshake looks a session up. No error of theirs may
// hold an id or a secret, because errors are logged.
type Sessions interface {
	// Get returns the session with that id without extending its life, or
	// ErrNoSession. The caller must not change what it gets.
	Get(ctx context.Context, id string) (*Session, error)
	// Touch extends the life of a session that has an open socket. It returns
	// ErrNoSession when the session is gone or expired: its sockets are closed.
	Touch(ctx context.Context, id string) error
}

// SessionDeleter is a store whose sessions are ours to remove: the handshake
// removes those whose context is disabled or whose user is gone
// (docs/reference/handshake.md#checks).
type SessionDeleter interface {
	// Delete removes a session, or returns ErrNoSession.
	Delete(ctx context.Context, id string) error
}

// SessionMover is a store whose sessions are ours to change: a client that may
// come from another address takes its session there
// (docs/reference/handshake.md#ip-check).
type SessionMover interface {
	// Move sets the address of a session, or returns ErrNoSession.
	Move(ctx context.Context, id string, address netip.Addr) error
}

// Session is a fully authenticated login of a user. Its id and secret never
// appear in logs or errors: String and LogValue leave them out.
type Session struct {
	ID       string // 1 to MaxSessionID bytes
	Secret   string // value of the secret cookie; empty where SecretSum stands for it
	Context  uint32
	User     uint32
	Client   string     // client id, such as open-xchange-appsuite
	AnyAgent bool       // the remembered cookie name is good for every agent
	Hash     string     // the remembered hash in the cookie's name (docs/reference/handshake.md#secret-cookie); empty: there is none
	Guest    bool       // context and user id take part in the hash (docs/reference/handshake.md#cookie-hash)
	Address  netip.Addr // from which the session is used, for the IP check; may be zero

	// SecretSum is the SHA-256 of the secret, all that our own stores keep of it.
	// The secret has 128 random bits, so that its sum needs no salt and no work.
	SecretSum []byte

	// IDHash is the SessionHash of a session whose id its store does not know; else
	// it is empty, see HashedID.
	IDHash string `json:"-"`

	// Restricted is set for a session that waits for its second factor or is
	// otherwise not fully authenticated. It gets no socket.
	Restricted bool

	Created  time.Time
	Expires  time.Time
	Lifetime time.Duration // what a Touch adds to now; 0 is SessionLifetime
}

// MaxSessionID bounds the session parameter of a handshake. The existing ids
// have 32 characters.
const MaxSessionID = 128

// NewSession makes a session with a random id and secret of 128 bits each, in
// hex, that expires lifetime from now (0: SessionLifetime). An empty userAgent
// makes a session whose cookie name is good for every agent. The hash leaves
// the header fields of the cookie configuration out, because their values are
// known only when the client comes.
func NewSession(context, user uint32, client, userAgent string, lifetime time.Duration, cookie CookieConfig) *Session {
	if lifetime <= 0 {
		lifetime = SessionLifetime
	}
	now := time.Now()
	return &Session{
		ID:       randomHex(),
		Secret:   randomHex(),
		Context:  context,
		User:     user,
		Client:   client,
		AnyAgent: userAgent == "",
		Hash:     CookieHash(userAgent, client, nil, nil, cookie.Salt),
		Created:  now,
		Expires:  now.Add(lifetime),
		Lifetime: lifetime,
	}
}

// CookieName is the name of the cookie that must carry Secret.
func (s *Session) CookieName() string { return SecretCookiePrefix + s.Hash }

// Sealed is a copy of the session with the sum in the place of the secret.
func (s *Session) Sealed() *Session {
	sealed := *s
	if s.Secret != "" {
		sum := sha256.Sum256([]byte(s.Secret))
		sealed.Secret, sealed.SecretSum = "", sum[:]
	}
	return &sealed
}

// HasSecret compares a value with the session's secret, in constant time. A
// session without a secret has none that fits.
func (s *Session) HasSecret(value string) bool {
	if s.Secret != "" {
		return subtle.ConstantTimeCompare([]byte(value), []byte(s.Secret)) == 1
	}
	sum := sha256.Sum256([]byte(value))
	return subtle.ConstantTimeCompare(sum[:], s.SecretSum) == 1
}

// Expired reports whether the session's time is over at now.
func (s *Session) Expired(now time.Time) bool { return !s.Expires.IsZero() && !now.Before(s.Expires) }

// String names the owner only.
func (s *Session) String() string {
	return fmt.Sprintf("session of user %d in context %d", s.User, s.Context)
}

// LogValue names the owner only, so that a logged session gives nothing away.
func (s *Session) LogValue() slog.Value {
	return slog.GroupValue(slog.Int(keyContext, int(s.Context)), slog.Int(keyUser, int(s.User)))
}

// randomHex returns secretBytes random bytes in hex. crypto/rand never fails:
// the runtime ends the process rather than hand out weak bytes.
func randomHex() string {
	var b [secretBytes]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
