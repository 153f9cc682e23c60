package httpapi

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
)

// maxPreliminary is how many properties one answer has. These paths know no
// pages; whole trees of the existing system have some 5000.
const maxPreliminary = 20_000

// preliminary are the paths on which the existing system's peers read
// properties (docs/reference/cascade.md#the-existing-rest-routes): below
// /preliminary, and all routes that its service account is for.
func (s *Server) preliminary(r chi.Router) {
	r.NotFound(s.handle(preliminaryNotFound))
	for _, su := range []string{"", "/{context}/{user}"} {
		r.Get("/configuration/v1/property/{property}"+su, s.handle(s.preliminaryProperty))
		r.Get("/configuration/v1/withPrefix/{prefix}"+su, s.handle(s.preliminaryPrefix))
	}
}

func preliminaryNotFound(http.ResponseWriter, *http.Request) error {
	return fail(http.StatusNotFound, "not_found", "nothing has this path: ask for property/NAME or withPrefix/PREFIX, with /CONTEXT/USER behind it or without, and write a slash of a name as %%2F")
}

// preliminarySubject is who is asked for. What is no id is nobody's, as in the
// existing system, and a disabled context is one all the same.
func (s *Server) preliminarySubject(r *http.Request) (cascade.Subject, *cascade.Snapshot, error) {
	su, err := s.pathSubject(r)
	if err != nil {
		return su, nil, fail(http.StatusNotFound, "no_such_user", "%s", asProblem(err).Detail)
	}
	if err := s.load(r.Context(), su); err != nil {
		return su, nil, err
	}
	sn := s.Engine.Snapshot()
	if su.Context == 0 {
		return su, sn, nil
	}
	switch sn.Account(su) {
	case cascade.ContextDeleted, cascade.ContextUnknown:
		return su, sn, fail(http.StatusNotFound, "no_such_user", "there is no context %d: create it, or compare the id", su.Context)
	case cascade.UserDeleted, cascade.UserUnknown:
		return su, sn, fail(http.StatusNotFound, "no_such_user", "there is no %s: create it, or compare the ids", su)
	}
	return su, sn, nil
}

// preliminaryValue is what a scope says of a property. A default is none: the
// callers have their own, and take 404 for the sign to use it.
func preliminaryValue(sn *cascade.Snapshot, su cascade.Subject, name string) (string, bool) {
	v, ok := sn.Get(su, name)
	switch {
	case !ok || v.Scope == cascade.ScopeDefault:
		return "", false
	}
	return sn.Schema().Show(name, v.Text), true
}

func (s *Server) preliminaryProperty(w http.ResponseWriter, r *http.Request) error {
	su, sn, err := s.preliminarySubject(r)
	if err != nil {
		return err
	}
	name, err := param(r, "property")
	if err != nil {
		return err
	}
	value, ok := preliminaryValue(sn, su, name)
	if !ok {
		return fail(http.StatusNotFound, "undefined", "no scope defines this property for %s: compare its name, or use the default", su)
	}
	return s.answer(w, http.StatusOK, map[string]string{name: value})
}

func (s *Server) preliminaryPrefix(w http.ResponseWriter, r *http.Request) error {
	su, sn, err := s.preliminarySubject(r)
	if err != nil {
		return err
	}
	prefix, err := param(r, "prefix")
	if err != nil {
		return err
	}
	if prefix == "" { // chi takes an empty one in the middle of a path
		return preliminaryNotFound(w, r)
	}
	values := map[string]string{}
	for _, name := range sn.Names(su) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if len(values) == maxPreliminary {
			return fail(http.StatusUnprocessableEntity, "too_many", "more than %d properties begin so: ask with a longer prefix", maxPreliminary)
		}
		if value, ok := preliminaryValue(sn, su, name); ok {
			values[name] = value
		}
	}
	return s.answer(w, http.StatusOK, values)
}
