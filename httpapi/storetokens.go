package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/seed47708276/sluice/cascade/store"
)

// StoreTokens are the tokens of a store.
type StoreTokens struct{ Store *store.Store }

// Lookup implements Tokens.
func (t StoreTokens) Lookup(hash [sha256.Size]byte) (Token, bool) {
	name, kept, ok := t.Store.Token(hash)
	if !ok {
		return Token{}, false
	}
	return tokenOf(name, kept, time.Time{}), true
}

// Any implements Tokens.
func (t StoreTokens) Any() bool { return t.Store.AnyToken() }

// Used implements Tokens.
func (t StoreTokens) Used(name string, at time.Time) { t.Store.TokenUsed(name, at) }

// CreateToken implements TokenWriter.
func (t StoreTokens) CreateToken(ctx context.Context, token Token, actor string) error {
	kept := &store.Token{Role: token.Role.String(), Hash: token.Hash[:], Actor: actor, Created: token.Created}
	if !token.Expires.IsZero() {
		kept.Expires = &token.Expires
	}
	_, err := t.Store.Do(ctx, store.Write{
		Actor: actor, Action: "token.create",
		Changes: []store.Change{{Key: store.TokenKey(token.Name), Body: kept, If: new(uint64)}},
	})
	var taken *store.ConditionError
	if errors.As(err, &taken) {
		return ErrTokenExists
	}
	return err
}

// DeleteToken implements TokenWriter.
func (t StoreTokens) DeleteToken(ctx context.Context, name, actor string) error {
	_, err := t.Store.Do(ctx, store.Write{
		Actor: actor, Action: "token.delete",
		Changes: []store.Change{{Key: store.TokenKey(name)}},
	})
	var missing *store.NotFoundError
	if errors.As(err, &missing) {
		return ErrNoToken
	}
	return err
}

// List implements TokenWriter.
func (t StoreTokens) List() (list []Token) {
	t.Store.Tokens(func(name string, kept *store.Token, used time.Time) {
		list = append(list, tokenOf(name, kept, used))
	})
	return list
}

func tokenOf(name string, kept *store.Token, used time.Time) Token {
	// A role of a newer version may do nothing here.
	role, _ := ParseRole(kept.Role)
	t := Token{Name: name, Role: role, Hash: [sha256.Size]byte(kept.Hash), Created: kept.Created, LastUsed: used, Actor: kept.Actor}
	if kept.Expires != nil {
		t.Expires = *kept.Expires
	}
	return t
}
