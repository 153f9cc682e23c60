package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/people"
	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// maxNamesakes is how many of those whom a name may mean are listed.
	maxNamesakes = 10
	// maxSearch bounds the text of a search, in bytes: longer names there are none.
	maxSearch = people.MaxName
)

// pathSubject is the subject that a path names: by ids, or by names that the
// directory knows (see subjectOf). No {context} or {user} in the path is none.
func (s *Server) pathSubject(r *http.Request) (su cascade.Subject, err error) {
	var context, user *string
	for _, key := range chi.RouteContext(r.Context()).URLParams.Keys {
		if key != "context" && key != "user" {
			continue
		}
		text, err := param(r, key)
		if err != nil {
			return su, err
		}
		if key == "user" {
			user = &text
		} else {
			context = &text
		}
	}
	return s.subjectOf(context, user)
}

// subjectOf reads the names of a context and a user, each nil where it was not
// given. Ids win; else a context is meant by its name or a login mapping, a user
// by its login or a mail address, in any letter case. A user without a context
// is USER@CONTEXT in ids, or somebody whose name is unique.
func (s *Server) subjectOf(context, user *string) (su cascade.Subject, err error) {
	if context != nil {
		if su.Context, err = s.contextOf(*context); err != nil {
			return su, err
		}
	}
	if user == nil {
		return su, nil
	}
	if context == nil {
		if u, c, ok := strings.Cut(*user, "@"); ok {
			uid, uerr := cascade.ParseID(u)
			cid, cerr := cascade.ParseID(c)
			if uerr == nil && cerr == nil {
				return cascade.Subject{Context: cid, User: uid}, nil
			}
		}
		if looksLikeID(*user) {
			return su, fail(http.StatusBadRequest, "bad_id", "user %.50s: name its context too, since users are numbered within it", *user)
		}
		return s.named(*user, true, 0)
	}
	if looksLikeID(*user) {
		su.User, err = idOf("user", *user)
		return su, err
	}
	return s.named(*user, true, su.Context)
}

// querySubject is the subject of ?context= and ?user=, where they are given.
func (s *Server) querySubject(query url.Values) (cascade.Subject, error) {
	var context, user *string
	for key, into := range map[string]**string{"context": &context, "user": &user} {
		if query.Has(key) {
			v := query.Get(key)
			*into = &v
		}
	}
	return s.subjectOf(context, user)
}

func (s *Server) contextOf(text string) (uint32, error) {
	if looksLikeID(text) {
		return idOf("context", text)
	}
	su, err := s.named(text, false, 0)
	return su.Context, err
}

// looksLikeID keeps what is meant as an id from being looked up as a name. An
// empty text names nobody.
func looksLikeID(text string) bool {
	return text == "" || strings.Trim(text, "+-0123456789") == ""
}

// named is the one whom a name means; in, where it is not 0, is the context of a
// user.
func (s *Server) named(name string, users bool, in uint32) (cascade.Subject, error) {
	what, where := "context", ""
	if users {
		what = "user"
	}
	if in != 0 {
		where = fmt.Sprintf(" in context %d", in)
	}
	var found []people.Hit
	limit := maxNamesakes + 1
	if in != 0 {
		limit = maxNamesakes * maxNamesakes // of all contexts, of which one counts
	}
	for _, h := range s.Engine.People().Exact(name, users, limit) {
		if in == 0 || h.Context == in {
			found = append(found, h)
		}
	}
	switch {
	case len(found) == 1:
		return cascade.Subject(found[0].Subject), nil
	case len(found) == 0:
		return cascade.Subject{}, fail(http.StatusBadRequest, "bad_id", "no %s%s has the name %.100q: give the id, or search with GET /admin/v1/%ss?search=", what, where, name, what)
	}
	list := make([]string, 0, maxNamesakes)
	for _, h := range found[:min(len(found), maxNamesakes)] {
		list = append(list, describe(&h))
	}
	more := ""
	if len(found) > maxNamesakes {
		more = " and others"
	}
	return cascade.Subject{}, fail(http.StatusBadRequest, "ambiguous_name", "%.100q may mean %s%s: give the id", name, strings.Join(list, ", "), more)
}

// describe is a subject with the names that tell it from others.
func describe(h *people.Hit) string {
	if h.User == 0 {
		return fmt.Sprintf("context %d (%s)", h.Context, h.Name)
	}
	name := h.Login
	if h.Name != "" {
		name = h.Name
	}
	return fmt.Sprintf("%d@%d (%s)", h.User, h.Context, name)
}

// named is an id in a body: a number, or a name as a text.
type namedID string

// UnmarshalJSON takes a whole number as it stands, and a text that is no id: one
// in quotes is a mistake of its sender, as is an empty text.
func (n *namedID) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, (*string)(n)); err != nil {
			return err
		}
		if looksLikeID(string(*n)) {
			return &json.UnmarshalTypeError{Value: "string", Type: reflect.TypeFor[int64]()}
		}
		return nil
	}
	if string(b) == "null" {
		return nil
	}
	var id int64
	if err := json.Unmarshal(b, &id); err != nil {
		return err
	}
	if *n = namedID(strconv.FormatInt(id, 10)); id == 0 {
		*n = ""
	}
	return nil
}

// given is nil where the body does not name one, or names the id 0.
func (n namedID) given() *string {
	if n == "" {
		return nil
	}
	s := string(n)
	return &s
}

// foundUser is a user as a search shows it.
type foundUser struct {
	Context     uint32   `json:"context"`
	ID          uint32   `json:"id"`
	Login       string   `json:"login"`
	Mail        []string `json:"mail"`
	DisplayName string   `json:"displayName"`
	ContextName string   `json:"contextName"`
	Account     string   `json:"account"` // open, or why it is closed
}

// foundContext is a context as a search shows it.
type foundContext struct {
	ID      uint32   `json:"id"`
	Name    string   `json:"name"`
	Logins  []string `json:"logins"`
	Account string   `json:"account"`
}

// whoIs answers whom ?name= may mean, wherever it takes ids or names.
func (s *Server) whoIs(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "name")
	if err != nil {
		return err
	}
	name := strings.TrimSpace(query.Get("name"))
	if name == "" || len(name) > maxSearch {
		return fail(http.StatusBadRequest, "bad_query", "name is that of a context or a user, 1 to %d bytes", maxSearch)
	}
	contexts, users := []foundContext{}, []foundUser{}
	for _, h := range s.Engine.People().Exact(name, false, maxNamesakes) {
		contexts = append(contexts, s.foundContext(&h))
	}
	for _, h := range s.Engine.People().Exact(name, true, maxNamesakes) {
		users = append(users, s.foundUser(cascade.Subject(h.Subject), h.Names))
	}
	return s.answer(w, http.StatusOK, map[string]any{"contexts": contexts, "users": users})
}

// searchUsers finds users of all contexts by the beginning of a login, an address
// or a word of a name, or as USER@CONTEXT in ids. With wait=false names of which
// many were written a moment ago, and which are not sorted yet, may be missing.
func (s *Server) searchUsers(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "search", "limit", "cursor", "wait")
	if err != nil {
		return err
	}
	search := strings.TrimSpace(query.Get("search"))
	if len(search) > maxSearch {
		return fail(http.StatusBadRequest, "bad_query", "search has at most %d bytes: shorten it", maxSearch)
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	index := s.Engine.People()
	if u, c, ok := strings.Cut(search, "@"); ok && looksLikeID(u) && looksLikeID(c) {
		if su, err := s.subjectOf(nil, &search); err == nil {
			return s.answer(w, http.StatusOK, map[string]any{"users": []foundUser{s.foundUser(su, index.Of(people.Subject(su)))}, "next": "", "sorting": false})
		}
	}
	var after *people.Position
	if c := query.Get("cursor"); c != "" {
		if after = positionOf(c, search); after == nil {
			return fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this search: use the next of an answer to the same search, or leave it out")
		}
	}
	switch query.Get("wait") {
	case "", "true":
		index.Ready()
	case "false":
	default:
		return fail(http.StatusBadRequest, "bad_query", "wait is true or false")
	}
	out, next := []foundUser{}, ""
	hits, end, sorting := index.Search(search, true, after, limit)
	for i := range hits {
		out = append(out, s.foundUser(cascade.Subject(hits[i].Subject), hits[i].Names))
	}
	if end != nil {
		b, err := json.Marshal(end)
		if err != nil {
			return err
		}
		next = base64.RawURLEncoding.EncodeToString(b)
	}
	return s.answer(w, http.StatusOK, map[string]any{"users": out, "next": next, "sorting": sorting})
}

// positionOf reads a cursor; nil is one that does not belong to the search.
func positionOf(cursor, search string) *people.Position {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil
	}
	var p people.Position
	if json.Unmarshal(b, &p) != nil || !strings.HasPrefix(p.Text, people.Fold(strings.TrimSpace(search))) {
		return nil
	}
	return &p
}

func (s *Server) foundUser(su cascade.Subject, n people.Names) foundUser {
	return foundUser{
		Context: su.Context, ID: su.User, Login: n.Login, Mail: some(n.Mails), DisplayName: n.Name, Account: s.Engine.Snapshot().Account(su).String(),
		ContextName: s.Engine.People().Of(people.Subject{Context: su.Context}).Name,
	}
}

func (s *Server) foundContext(h *people.Hit) foundContext {
	return foundContext{
		ID: h.Context, Name: h.Name, Logins: some(h.Logins),
		Account: s.Engine.Snapshot().Account(cascade.Subject{Context: h.Context}).String(),
	}
}

// sampledUser is a user by its ids.
type sampledUser struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
}

// sampleOfUsers answers with some users, chosen by chance: of the platform where
// its database is read, else of the directory and of those who are connected
// here.
func (s *Server) sampleOfUsers(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	var list []cascade.Subject
	if s.Platform != nil {
		if list, err = s.Platform.Sample(r.Context(), limit); err != nil {
			return fail(http.StatusServiceUnavailable, "platform_unavailable", "the platform's database was not read: %s", err)
		}
	} else if list, err = s.sampleKnown(limit); err != nil {
		return err
	}
	out := []sampledUser{}
	for _, su := range list {
		out = append(out, sampledUser{su.Context, su.User})
	}
	return s.answer(w, http.StatusOK, map[string]any{"users": out})
}

// sampleKnown takes half of the connected users, and the rest of the directory,
// from an id chosen by chance on.
func (s *Server) sampleKnown(limit int) (list []cascade.Subject, err error) {
	seen, met := 0, map[cascade.Subject]bool{}
	s.Sockets.Users(func(context, user uint32) bool {
		su := cascade.Subject{Context: context, User: user}
		if seen++; len(list) < (limit+1)/2 {
			list = append(list, su)
		} else if at := rand.IntN(seen); at < len(list) {
			list[at] = su
		}
		return true
	})
	for _, su := range list {
		met[su] = true
	}
	if s.Fixed {
		return list, nil
	}
	// Contexts are numbered from 1 on: half of the starts are among the first.
	from := store.UserKey(rand.Uint32N(uint32(1)<<(1+rand.Uint32N(30))), rand.Uint32N(cascade.MaxID))
	for _, after := range []*store.Key{&from, nil} {
		records, _, err := s.Store.List(store.KindUser, cascade.Subject{}, false, after, limit, func(r *store.Record) bool { return !r.Deleted })
		if err != nil {
			return list, s.readProblem(err)
		}
		for _, r := range records {
			if su := r.Subject(); len(list) < limit && !met[su] {
				met[su] = true
				list = append(list, su)
			}
		}
	}
	return list, nil
}
