package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Token is what is kept of a token: everything but its text.
type Token struct {
	Name     string
	Role     Role
	Hash     [sha256.Size]byte // of its text, see HashToken
	Created  time.Time         // zero: not known
	Expires  time.Time         // zero: never
	LastUsed time.Time         // zero: never, or not known
	Actor    string            // who made it
}

// Expired reports whether the token is no longer good.
func (t *Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Tokens are where the admin listener looks a token up.
type Tokens interface {
	// Lookup returns the token whose hash this is, or ok=false. It is in memory:
	// no disk, no network.
	Lookup(hash [sha256.Size]byte) (Token, bool)
	// Used notes that a token was used now; it may be lazy and never blocks.
	Used(name string, at time.Time)
}

// TokenWriter is what a store of tokens can do beside looking them up.
type TokenWriter interface {
	// CreateToken returns ErrTokenExists where the name is taken.
	CreateToken(ctx context.Context, t Token, actor string) error
	// DeleteToken returns ErrNoToken where there is none of that name.
	DeleteToken(ctx context.Context, name, actor string) error
	// List returns all tokens, in any order.
	List() []Token
}

// What a TokenWriter answers.
var (
	ErrTokenExists = errors.New("there is a token of this name already")
	ErrNoToken     = errors.New("there is no token of this name")
)

const (
	tokenPrefix = "slt_" // what scanners for leaked secrets may look for
	tokenBytes  = 32     // random ones, so that no salt or slow hash is needed
	// MaxTokens bounds those of the store and those of the file, each: one for
	// every administrator and every script.
	MaxTokens    = 1000
	maxTokenName = 64 // as much as a table has room for
)

// NewTokenText makes the text of a token.
func NewTokenText() string {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails (crypto/rand)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// HashToken is what is kept of a token's text.
func HashToken(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// IsTokenText reports whether a text has the form that NewTokenText gives.
func IsTokenText(text string) bool { return tokenText.MatchString(text) }

var tokenText = regexp.MustCompile(`^slt_[0-9A-Za-z_-]{43}$`)

// A name stands in paths, in logs and in the audit log, where one with a colon
// is no token's.
var tokenName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._@-]*$`)

// CheckTokenName does not repeat a name that is none: it may be a token that
// stands in the wrong place.
func CheckTokenName(name string) error {
	if len(name) > maxTokenName || !tokenName.MatchString(name) || tokenText.MatchString(name) {
		return fmt.Errorf("a name has 1 to %d letters, digits and . _ @ -, begins with a letter or digit and is no token", maxTokenName)
	}
	return nil
}
