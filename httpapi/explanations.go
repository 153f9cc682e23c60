package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

const (
	defaultLimit = 100
	maxLimit     = 1000 // explanations of one answer: some 2 MiB
	maxWhatIf    = 256  // tags or permissions of one question; a context has some 10
)

// param is a path parameter, unescaped: chi hands it out as it was sent when
// the path has an escaped slash.
func param(r *http.Request, name string) (string, error) {
	v := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return v, nil
	}
	u, err := url.PathUnescape(v)
	if err != nil {
		return "", fail(http.StatusBadRequest, "bad_path", "%s: %s", name, err)
	}
	return u, nil
}

// question is what all property routes have in common.
type question struct {
	su   cascade.Subject
	what cascade.WhatIf
	opt  cascade.ExplainOptions
	// value is that of an override that the subject is supposed to have; nil: what it has.
	value *string

	query url.Values
}

// question reads what is asked; known are parameters that the route has beside
// those of all.
func (s *Server) question(r *http.Request, known ...string) (q question, err error) {
	if q.query, err = knownQuery(r, append(known, "verbose", "tags", "permissions", "value")...); err != nil {
		return q, err
	}
	if q.su, err = s.pathSubject(r); err != nil {
		return q, err
	}
	if err := s.load(r.Context(), q.su); err != nil {
		return q, err
	}
	if q.query.Has("verbose") {
		switch q.query.Get("verbose") {
		case "true", "":
			q.opt.Verbose = true
		case "false":
		default:
			return q, fail(http.StatusBadRequest, "bad_query", "verbose is true or false")
		}
	}
	w := cascade.WhatIf{Tags: commaList(q.query.Get("tags")), Permissions: commaList(q.query.Get("permissions"))}
	if len(w.Tags) > maxWhatIf || len(w.Permissions) > maxWhatIf {
		return q, fail(http.StatusBadRequest, "bad_query", "tags and permissions have at most %d entries each: leave some out", maxWhatIf)
	}
	q.what = w
	if q.query.Has("value") {
		value := q.query.Get("value")
		if q.value = &value; q.su.Context == 0 {
			return q, fail(http.StatusBadRequest, "bad_query", "value supposes an override, which a context or a user has: leave it out")
		}
	}
	return q, nil
}

func parseQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "bad_query", "the query cannot be read: escape %%, & and ; in its values")
	}
	return query, nil
}

// knownQuery refuses parameters that are not among known, or stand twice.
func knownQuery(r *http.Request, known ...string) (url.Values, error) {
	query, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	for key, values := range query {
		switch {
		case !slices.Contains(known, key):
			return nil, fail(http.StatusBadRequest, "bad_query", "the parameter %.100q is not known here (%s)", key, strings.Join(known, ", "))
		case len(values) != 1:
			return nil, fail(http.StatusBadRequest, "bad_query", "%s stands twice: leave one out", key)
		}
	}
	return query, nil
}

// idOf reads an id. Zeros before it are refused: of one thing there is one path.
func idOf(key, text string) (uint32, error) {
	id, err := cascade.ParseID(text)
	if err == nil && text[0] == '0' {
		err = fmt.Errorf("%q is not an id: leave out the zeros before it", text)
	}
	if err != nil {
		return 0, fail(http.StatusBadRequest, "bad_id", "%s: %s", key, err)
	}
	return id, nil
}

func commaList(s string) []string {
	var out []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func (s *Server) property(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	name, err := param(r, "property")
	if err != nil {
		return err
	}
	return s.explain(w, r, &q, name)
}

// asked is the state that a question about a property is about; name is empty
// where it is about many.
func (s *Server) asked(ctx context.Context, q *question, name string) (*cascade.Snapshot, error) {
	if q.value == nil {
		return s.Engine.Snapshot().Suppose(q.su, q.what), nil
	}
	if name == "" {
		return nil, fail(http.StatusBadRequest, "bad_query", "value is for one property: ask with ?name=")
	}
	if _, err := s.overrideOf(q.su, name, &overrideBody{Value: q.value}, true); err != nil {
		p := asProblem(err)
		return nil, fail(http.StatusBadRequest, p.Code, "value: %s", p.Detail)
	}
	o := cascade.Override{Key: cascade.Key{Subject: q.su, Property: name}, Value: *q.value, Actor: Actor(ctx), Reason: supposed, Time: time.Now()}
	sn, _, err := s.Engine.Candidate(ctx, nil, cascade.Batch{Overrides: []cascade.Override{o}})
	if err != nil {
		return nil, requestEnded(err)
	}
	return sn.Suppose(q.su, q.what), nil
}

// supposed is the reason of an override that nobody has made.
const supposed = "what if"

// explain answers for one property; one that nothing defines is no error.
func (s *Server) explain(w http.ResponseWriter, r *http.Request, q *question, name string) error {
	if name == "" || len(name) > cascade.MaxNameLen || !utf8.ValidString(name) {
		return fail(http.StatusBadRequest, "bad_name", "a property name has 1 to %d bytes of UTF-8", cascade.MaxNameLen)
	}
	var revision uint64
	if q.su.Context != 0 {
		var err error
		// While the file of the store cannot be read, the look-up goes on: there is
		// no revision to write on then.
		if _, revision, err = s.override(store.OverrideKey(q.su, name)); err != nil && asProblem(err).Status != http.StatusServiceUnavailable {
			return err
		}
	}
	sn, err := s.asked(r.Context(), q, name)
	if err != nil {
		return err
	}
	setETagOf(w, sn, revision)
	return s.answer(w, http.StatusOK, s.explainHere(sn, q.su, name, q.opt))
}

// properties answers ?name= as the path with the name does, ?prefix= with a list of
// those that the subject has, and ?contains= with those of them that have a text in
// their name or value, in any letter case.
func (s *Server) properties(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r, "name", "prefix", "contains", "limit", "cursor")
	if err != nil {
		return err
	}
	if q.query.Has("name") {
		for _, other := range []string{"prefix", "contains", "limit", "cursor"} {
			if q.query.Has(other) {
				return fail(http.StatusBadRequest, "bad_query", "name asks for one property, and %s is for lists: leave one out", other)
			}
		}
		return s.explain(w, r, &q, q.query.Get("name"))
	}
	if !q.query.Has("prefix") && !q.query.Has("contains") {
		return fail(http.StatusBadRequest, "bad_query", "ask with ?name= for one property, or with ?prefix= or ?contains= for a list")
	}
	limit, err := limitOf(q.query)
	if err != nil {
		return err
	}
	after, err := base64.RawURLEncoding.DecodeString(q.query.Get("cursor"))
	if err != nil || !utf8.Valid(after) || bytes.IndexByte(after, 0) >= 0 { // the bytes of an id hold a NUL
		return fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this server: use the next of an answer, or leave it out")
	}
	page := struct {
		Properties []cascade.Explanation `json:"properties"`
		Next       string                `json:"next"`
	}{Properties: []cascade.Explanation{}}
	sn, err := s.asked(r.Context(), &q, "")
	if err != nil {
		return err
	}
	// As the command line lists: what anybody has, and this subject too, be it
	// by default.
	words, schema := strings.ToLower(q.query.Get("contains")), s.Engine.Schema()
	for _, name := range sn.AllNames() {
		if name <= string(after) || !strings.HasPrefix(name, q.query.Get("prefix")) {
			continue
		}
		v, defined := sn.Get(q.su, name)
		if !defined || !strings.Contains(strings.ToLower(name), words) && !strings.Contains(strings.ToLower(schema.Show(name, v.Text)), words) {
			continue
		}
		if len(page.Properties) == limit {
			page.Next = base64.RawURLEncoding.EncodeToString([]byte(page.Properties[limit-1].Property))
			break
		}
		page.Properties = append(page.Properties, s.explainHere(sn, q.su, name, q.opt))
	}
	return s.answer(w, http.StatusOK, page)
}

// tags lists the tags of a subject; an id of 0 is none, as everywhere in JSON.
func (s *Server) tags(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "context", "user")
	if err != nil {
		return err
	}
	for _, key := range []string{"context", "user"} {
		if v := query.Get(key); v == "" || v == "0" {
			query.Del(key)
		}
	}
	su, err := s.querySubject(query)
	if err == nil {
		err = s.load(r.Context(), su)
	}
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, map[string]any{"tags": s.Engine.Snapshot().Tags(su)})
}
