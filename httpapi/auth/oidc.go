package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/seed47708276/sluice/cascade"
)

// Names of the properties of the console's login with OpenID Connect.
const (
	PropOIDCIssuer    = "sluice.admin.oidc.issuer"
	PropOIDCClient    = "sluice.admin.oidc.clientId"
	PropOIDCSecret    = "sluice.admin.oidc.clientSecret"
	PropOIDCRedirect  = "sluice.admin.oidc.redirectUrl"
	PropOIDCScopes    = "sluice.admin.oidc.scopes"
	PropOIDCClaim     = "sluice.admin.oidc.groupsClaim"
	PropOIDCViewers   = "sluice.admin.oidc.viewers"
	PropOIDCOperators = "sluice.admin.oidc.operators"
	PropOIDCEditors   = "sluice.admin.oidc.editors"
)

func property(name string, kind cascade.Kind, def, doc string, related ...string) cascade.Declaration {
	return cascade.Declaration{
		Name: name, Kind: kind, Default: def, Server: true, File: "sluice.properties", Since: "sluice 0.9", Secret: name == PropOIDCSecret,
		Related: related, Doc: doc,
	}
}

// Properties are the declarations of the login with OpenID Connect.
var Properties = []cascade.Declaration{
	property(PropOIDCIssuer, cascade.Text, "", "Address of the OpenID Connect provider with which people log in to the console; empty: with tokens alone.",
		PropOIDCClient, PropOIDCSecret, PropOIDCRedirect),
	property(PropOIDCClient, cascade.Text, "", "Id of the console as a client of the provider.", PropOIDCIssuer),
	property(PropOIDCSecret, cascade.Text, "", "Secret of that client; empty: the client is a public one.", PropOIDCIssuer),
	property(PropOIDCRedirect, cascade.Text, "", "Where the provider sends people back to: the address of the console with oidc/callback at its end.", PropOIDCIssuer),
	property(PropOIDCScopes, cascade.List, "openid, profile, email", "Scopes that the provider is asked for.", PropOIDCIssuer),
	property(PropOIDCClaim, cascade.Text, "groups", "Claim of the ID token with the groups of a person.", PropOIDCIssuer),
	property(PropOIDCViewers, cascade.List, "", "Groups whose members are viewers.", PropOIDCIssuer),
	property(PropOIDCOperators, cascade.List, "", "Groups whose members are operators.", PropOIDCIssuer),
	property(PropOIDCEditors, cascade.List, "", "Groups whose members are editors.", PropOIDCIssuer),
}

const (
	// timeout bounds a request to the provider, for which a person waits.
	timeout = 10 * time.Second
	// lifetime is how long a login is good: a working day.
	lifetime = 12 * time.Hour
	// maxLogins bounds logins that are good.
	maxLogins = 1000
	// maxGroups bounds what is kept of a person.
	maxGroups = 1000
	// maxPersonName bounds the name of a person, in bytes, as the audit log has it.
	maxPersonName = 200
)

// actorOIDC comes before the name of a person in the audit log. No token's name
// has a colon.
const actorOIDC = "oidc:"

// oidcBegun is a login that is at the provider. The browser that began it keeps
// it, so that it may end on another member.
type oidcBegun struct{ State, Nonce, Verifier, Next string }

// oidcLogin is a person who has logged in on this member.
type oidcLogin struct {
	Token
	issuer string
	groups []string
}

// Logins has people log in with OpenID Connect. It is one of the sources of
// tokens: a login is a token that is in memory alone.
type Logins struct {
	engine *cascade.Engine

	mu sync.Mutex
	of map[[sha256.Size]byte]oidcLogin
}

// NewLogins returns logins of nobody.
func NewLogins(e *cascade.Engine) *Logins {
	return &Logins{engine: e, of: map[[sha256.Size]byte]oidcLogin{}}
}

// On reports whether people can log in so.
func (l *Logins) On() bool {
	return cascade.ServerValue[string](l.engine.Snapshot(), PropOIDCIssuer) != ""
}

// setup asks the provider what it is, once for each half of a login: what it says
// is never old, and people log in a few times a day.
func setup(ctx context.Context, sn *cascade.Snapshot) (*oidc.Provider, *oauth2.Config, error) {
	issuer := cascade.ServerValue[string](sn, PropOIDCIssuer)
	if issuer == "" {
		return nil, nil, fmt.Errorf("%s is not set: log in with a token", PropOIDCIssuer)
	}
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, nil, fmt.Errorf("the OpenID Connect provider %s (%s): %w", issuer, PropOIDCIssuer, err)
	}
	return p, &oauth2.Config{
		ClientID: cascade.ServerValue[string](sn, PropOIDCClient), ClientSecret: cascade.ServerValue[string](sn, PropOIDCSecret), Endpoint: p.Endpoint(),
		RedirectURL: cascade.ServerValue[string](sn, PropOIDCRedirect), Scopes: cascade.ServerValue[[]string](sn, PropOIDCScopes),
	}, nil
}

// Begin returns the provider's address for a login, and what the browser keeps of
// it until the person comes back.
func (l *Logins) Begin(ctx context.Context, next string) (address, kept string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, conf, err := setup(ctx, l.engine.Snapshot())
	if err != nil {
		return "", "", err
	}
	b := oidcBegun{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), next}
	text, err := json.Marshal(b)
	return conf.AuthCodeURL(b.State, oidc.Nonce(b.Nonce), oauth2.S256ChallengeOption(b.Verifier)), base64.RawURLEncoding.EncodeToString(text), err
}

// Finish takes what the browser has kept, and the state and the code that a person
// brings back; it returns the token of the login and where the person wanted to go.
func (l *Logins) Finish(ctx context.Context, kept, state, code string) (token, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var b oidcBegun
	text, err := base64.RawURLEncoding.DecodeString(kept)
	if err != nil || json.Unmarshal(text, &b) != nil || b.State == "" || b.State != state {
		return "", "", errors.New("this login was not begun in this browser, or too long ago: begin again")
	}
	sn := l.engine.Snapshot()
	p, conf, err := setup(ctx, sn)
	if err != nil {
		return "", "", err
	}
	answer, err := conf.Exchange(ctx, code, oauth2.VerifierOption(b.Verifier))
	if err != nil {
		return "", "", fmt.Errorf("the provider does not take the code: %w", err)
	}
	raw, _ := answer.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: conf.ClientID}).Verify(ctx, raw)
	if err != nil {
		return "", "", fmt.Errorf("the ID token of the provider: %w", err)
	}
	if id.Nonce != b.Nonce {
		return "", "", errors.New("the ID token is not of this login: begin again")
	}
	login, err := l.login(id, sn)
	if err != nil {
		return "", "", err
	}
	token = NewTokenText()
	login.Hash = HashToken(token)
	return token, b.Next, l.keep(login)
}

// login reads who somebody is from an ID token.
func (l *Logins) login(id *oidc.IDToken, sn *cascade.Snapshot) (oidcLogin, error) {
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return oidcLogin{}, fmt.Errorf("the claims of the ID token: %w", err)
	}
	called, _ := claims["preferred_username"].(string)
	mail, _ := claims["email"].(string)
	if claims["email_verified"] != true {
		mail = ""
	}
	name, now := cmp.Or(called, mail, id.Subject), time.Now()
	login := oidcLogin{
		Token:  Token{Name: actorOIDC + name[:min(len(name), maxPersonName)], Created: now, Expires: now.Add(lifetime)},
		issuer: id.Issuer,
	}
	claim := cascade.ServerValue[string](sn, PropOIDCClaim)
	switch groups := claims[claim].(type) {
	case string:
		login.groups = []string{groups}
	case []any:
		for _, g := range groups[:min(len(groups), maxGroups)] {
			if text, ok := g.(string); ok {
				login.groups = append(login.groups, text)
			}
		}
	}
	if l.role(&login, sn) == None {
		return login, fmt.Errorf("%s may not use this console: none of the groups (%s) in the claim %s is among %s, %s and %s",
			name, cmp.Or(strings.Join(login.groups, ", "), "none"), claim, PropOIDCViewers, PropOIDCOperators, PropOIDCEditors)
	}
	return login, nil
}

// role is what a person may do by the configuration as it is now: who takes a
// group's role away need not wait for logins to end.
func (l *Logins) role(of *oidcLogin, sn *cascade.Snapshot) Role {
	if cascade.ServerValue[string](sn, PropOIDCIssuer) != of.issuer {
		return None
	}
	for _, r := range []struct {
		property string
		role     Role
	}{{PropOIDCEditors, Editor}, {PropOIDCOperators, Operator}, {PropOIDCViewers, Viewer}} {
		if slices.ContainsFunc(cascade.ServerValue[[]string](sn, r.property), func(g string) bool { return slices.Contains(of.groups, g) }) {
			return r.role
		}
	}
	return None
}

func (l *Logins) keep(login oidcLogin) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.of {
		if o := l.of[k]; o.Expired(login.Created) {
			delete(l.of, k)
		}
	}
	if len(l.of) >= maxLogins {
		return fmt.Errorf("%d people are logged in on this member, which is the most: log out elsewhere, or use a token", maxLogins)
	}
	l.of[login.Hash] = login
	return nil
}

// End ends a login.
func (l *Logins) End(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, HashToken(token))
}

// Lookup implements Tokens.
func (l *Logins) Lookup(hash [sha256.Size]byte) (Token, bool) {
	l.mu.Lock()
	login := l.of[hash]
	l.mu.Unlock()
	login.Role = l.role(&login, l.engine.Snapshot()) // none for nobody
	return login.Token, login.Role != None
}

// Used implements Tokens: nothing of it is kept.
func (l *Logins) Used(string, time.Time) {}
