package httpapi

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/seed47708276/sluice/httpapi/auth"
)

// Where a token is kept.
const (
	fromStore = "store"
	fromFile  = "file"
)

// ListedToken is what is shown of a token.
type ListedToken struct {
	Name     string     `json:"name"`
	Role     auth.Role  `json:"role"`
	From     string     `json:"from"` // store or file
	Actor    string     `json:"actor,omitempty"`
	Created  *time.Time `json:"created"`
	Expires  *time.Time `json:"expires"`  // null: never
	LastUsed *time.Time `json:"lastUsed"` // null: never, or not known
	Expired  bool       `json:"expired"`
}

// CreatedToken is a token with its text, which is shown this once.
type CreatedToken struct {
	Name    string     `json:"name"`
	Role    auth.Role  `json:"role"`
	Token   string     `json:"token"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"`
}

// listTokens shows all tokens: there are at most 2 * maxTokens.
func (s *Server) listTokens(w http.ResponseWriter, _ *http.Request) error {
	list := []ListedToken{}
	add := func(from string, tokens []auth.Token) {
		now := time.Now()
		for _, t := range tokens {
			list = append(list, ListedToken{
				t.Name, t.Role, from, t.Actor, known(t.Created), known(t.Expires), known(t.LastUsed), t.Expired(now),
			})
		}
	}
	if store, ok := s.Tokens.(auth.TokenWriter); ok {
		add(fromStore, store.List())
	}
	if s.TokenFile != nil {
		add(fromFile, s.TokenFile.List())
	}
	slices.SortStableFunc(list, func(a, b ListedToken) int { return cmp.Compare(a.Name, b.Name) })
	return s.answer(w, http.StatusOK, map[string][]ListedToken{"tokens": list})
}

var errNoTokenStore = fail(http.StatusConflict, "no_token_store", "this server keeps no tokens: put them into the file of %s", PropTokenFile)

// createToken makes a token and shows its text.
func (s *Server) createToken(w http.ResponseWriter, r *http.Request) error {
	store, ok := s.Tokens.(auth.TokenWriter)
	if !ok {
		return errNoTokenStore
	}
	var in struct {
		Name    string `json:"name"`
		Role    string `json:"role"`
		Expires string `json:"expires"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	t := auth.Token{Name: in.Name, Created: time.Now().UTC().Truncate(time.Second), Actor: Actor(r.Context())}
	err := auth.CheckTokenName(t.Name)
	if err != nil {
		return fail(http.StatusBadRequest, "bad_name", "%s", err)
	}
	if t.Role, err = auth.ParseRole(in.Role); err != nil {
		return fail(http.StatusBadRequest, "bad_role", "%s", err)
	}
	if in.Expires != "" {
		if t.Expires, err = time.Parse(time.RFC3339, in.Expires); err != nil || !t.Expires.After(t.Created) {
			return fail(http.StatusBadRequest, "bad_expires", "expires is a time to come, such as 2030-12-31T23:59:59Z, or left out")
		}
	}
	switch {
	case s.TokenFile.Has(t.Name):
		return fail(http.StatusConflict, "token_exists", "the file of %s has a token of this name: choose another", PropTokenFile)
	case len(store.List()) >= auth.MaxTokens:
		return fail(http.StatusConflict, "too_many_tokens", "there are %d tokens, and no room for more: delete those that nobody uses", auth.MaxTokens)
	}
	text := auth.NewTokenText()
	t.Hash = auth.HashToken(text)
	err = store.CreateToken(r.Context(), t, t.Actor)
	switch {
	case errors.Is(err, auth.ErrTokenExists):
		return fail(http.StatusConflict, "token_exists", "there is a token of this name: choose another, or delete that one first")
	case err != nil:
		return s.storeProblem(err)
	}
	s.Logger.Info("token created", "name", t.Name, "role", t.Role.String(), "actor", t.Actor)
	return s.answer(w, http.StatusCreated, CreatedToken{t.Name, t.Role, text, t.Created, known(t.Expires)})
}

// deleteToken makes a token good for nothing, at once.
func (s *Server) deleteToken(w http.ResponseWriter, r *http.Request) error {
	name, err := param(r, "token")
	if err != nil {
		return err
	}
	err = auth.ErrNoToken
	if store, ok := s.Tokens.(auth.TokenWriter); ok && auth.CheckTokenName(name) == nil {
		err = store.DeleteToken(r.Context(), name, Actor(r.Context()))
	}
	switch {
	case errors.Is(err, auth.ErrNoToken) && s.TokenFile.Has(name):
		return fail(http.StatusConflict, "file_token", "the token is in the file of %s: delete its line there", PropTokenFile)
	case errors.Is(err, auth.ErrNoToken):
		return fail(http.StatusNotFound, "no_token", "there is no token of this name: GET /admin/v1/tokens lists them")
	case err != nil:
		return s.closeToken(r, name, err)
	}
	s.Logger.Info("token deleted", "name", name, "actor", Actor(r.Context()))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
