package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/seed47708276/sluice/cascade/store"
)

// writeTimeout bounds a write of a token, as of everything that the API writes.
const writeTimeout = 20 * time.Second

// storeTokens are the tokens in the store: those of all members of a cluster.
type storeTokens struct{ store *store.Store }

// NewStoreTokens returns the tokens of a store, which are a TokenWriter.
func NewStoreTokens(s *store.Store) Tokens { return storeTokens{s} }

// Lookup implements Tokens.
func (s storeTokens) Lookup(hash [sha256.Size]byte) (Token, bool) {
	name, body, ok := s.store.Token(hash)
	if !ok {
		return Token{}, false
	}
	return fromStored(name, body, time.Time{}), true
}

// Used implements Tokens.
func (s storeTokens) Used(name string, at time.Time) { s.store.TokenUsed(name, at) }

// CreateToken implements TokenWriter.
func (s storeTokens) CreateToken(ctx context.Context, t Token, actor string) error {
	var expires *time.Time // nil: never
	if !t.Expires.IsZero() {
		expires = &t.Expires
	}
	body := &store.Token{Role: t.Role.String(), Hash: t.Hash[:], Actor: actor, Created: t.Created, Expires: expires}
	err := s.write(ctx, "token.create", actor, store.Change{Key: store.TokenKey(t.Name), Body: body, If: new(uint64)})
	var taken *store.ConditionError
	if errors.As(err, &taken) {
		return ErrTokenExists
	}
	return err
}

// DeleteToken implements TokenWriter.
func (s storeTokens) DeleteToken(ctx context.Context, name, actor string) error {
	err := s.write(ctx, "token.delete", actor, store.Change{Key: store.TokenKey(name)})
	var missing *store.NotFoundError
	if errors.As(err, &missing) {
		return ErrNoToken
	}
	return err
}

func (s storeTokens) write(ctx context.Context, action, actor string, c store.Change) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err := s.store.Do(ctx, store.Write{Actor: actor, Action: action, Changes: []store.Change{c}})
	return err
}

// List implements TokenWriter.
func (s storeTokens) List() (list []Token) {
	s.store.Tokens(func(name string, body *store.Token, used time.Time) {
		list = append(list, fromStored(name, body, used))
	})
	return list
}

// fromStored has a role that this version does not know as none.
func fromStored(name string, body *store.Token, used time.Time) Token {
	t := Token{Name: name, Hash: [sha256.Size]byte(body.Hash), Created: body.Created, LastUsed: used, Actor: body.Actor}
	t.Role, _ = ParseRole(body.Role)
	if body.Expires != nil {
		t.Expires = *body.Expires
	}
	return t
}
