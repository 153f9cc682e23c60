package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

// Bounds of a list.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxWhatIf    = 256 // tags or permissions of one question
)

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// check is one line of the readiness.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok or degraded
	Detail string `json:"detail,omitempty"`
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) error {
	st := s.Engine.Status()
	files := check{Name: "configuration", Status: "ok"}
	bad := 0
	for _, f := range st.Files {
		if f.Status != cascade.FileOK || slices.ContainsFunc(f.Errors, isError) {
			bad++
		}
	}
	if s.Engine.Snapshot().Degraded() {
		files.Status, files.Detail = "degraded", fmt.Sprintf("%d files with errors: GET /admin/v1/config lists them", bad)
	}
	watch := check{Name: "watch", Status: "ok", Detail: st.Watch.Mode}
	if st.Watch.Problem != "" {
		watch.Status, watch.Detail = "degraded", st.Watch.Problem
	}
	status, answer := http.StatusOK, "ready"
	if files.Status != "ok" || watch.Status != "ok" {
		answer = "degraded"
	}
	switch s.state.Load() {
	case starting:
		status, answer = http.StatusServiceUnavailable, "starting"
	case draining:
		status, answer = http.StatusServiceUnavailable, "draining"
	}
	return s.answer(w, status, map[string]any{"status": answer, "checks": []check{files, watch}})
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, s.Engine.Status())
}

// reload reads the trees now; 422 says that a file did not load.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	result, err := s.Engine.Reload(r.Context())
	if err != nil {
		return err
	}
	status := http.StatusOK
	if result.BadFiles > 0 {
		status = http.StatusUnprocessableEntity
	}
	return s.answer(w, status, result)
}

// subject reads the ids of a path or query; "" is none.
func subject(context, user string) (su cascade.Subject, err error) {
	if context == "" && user == "" {
		return su, nil
	}
	if su.Context, err = cascade.ParseID(context); err != nil {
		return su, fail(http.StatusBadRequest, "bad_id", "context: %s", err)
	}
	if user != "" {
		if su.User, err = cascade.ParseID(user); err != nil {
			return su, fail(http.StatusBadRequest, "bad_id", "user: %s", err)
		}
	}
	return su, nil
}

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
	su  cascade.Subject
	sn  *cascade.Snapshot
	opt cascade.ExplainOptions
}

func (s *Server) question(r *http.Request) (q question, err error) {
	if q.su, err = subject(chi.URLParam(r, "context"), chi.URLParam(r, "user")); err != nil {
		return q, err
	}
	query := r.URL.Query()
	if v := query.Get("verbose"); query.Has("verbose") && v != "" {
		if q.opt.Verbose, err = strconv.ParseBool(v); err != nil {
			return q, fail(http.StatusBadRequest, "bad_query", "verbose is true or false")
		}
	} else {
		q.opt.Verbose = query.Has("verbose")
	}
	w := cascade.WhatIf{Tags: commaList(query.Get("tags")), Permissions: commaList(query.Get("permissions"))}
	if len(w.Tags) > maxWhatIf || len(w.Permissions) > maxWhatIf {
		return q, fail(http.StatusBadRequest, "bad_query", "at most %d tags and permissions", maxWhatIf)
	}
	q.sn = s.Engine.Snapshot().Suppose(q.su, w)
	return q, nil
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
	name, err := param(r, "property")
	if err != nil {
		return err
	}
	return s.explain(w, r, name)
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request, name string) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	if name == "" || len(name) > cascade.MaxNameLen {
		return fail(http.StatusBadRequest, "bad_name", "a property name has 1 to %d bytes", cascade.MaxNameLen)
	}
	return s.answer(w, http.StatusOK, q.sn.Explain(q.su, name, q.opt))
}

// properties answers ?name= as the path with the name does, and ?prefix= with
// a list.
func (s *Server) properties(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	if query.Has("name") {
		return s.explain(w, r, query.Get("name"))
	}
	if !query.Has("prefix") {
		return fail(http.StatusBadRequest, "bad_query", "ask with ?name= for one property, or with ?prefix= for a list")
	}
	q, err := s.question(r)
	if err != nil {
		return err
	}
	limit := defaultLimit
	if v := query.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > maxLimit {
			return fail(http.StatusBadRequest, "bad_query", "limit is 1 to %d", maxLimit)
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(query.Get("cursor"))
	if err != nil {
		return fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this server")
	}
	page := struct {
		Properties []cascade.Explanation `json:"properties"`
		Next       string                `json:"next"`
	}{Properties: []cascade.Explanation{}}
	for _, name := range q.sn.Names(q.su) {
		if name <= string(after) || !strings.HasPrefix(name, query.Get("prefix")) {
			continue
		}
		if len(page.Properties) == limit {
			page.Next = base64.RawURLEncoding.EncodeToString([]byte(page.Properties[limit-1].Property))
			break
		}
		page.Properties = append(page.Properties, q.sn.Explain(q.su, name, q.opt))
	}
	return s.answer(w, http.StatusOK, page)
}

func (s *Server) tags(w http.ResponseWriter, r *http.Request) error {
	user := r.URL.Query().Get("user")
	if user == "0" {
		user = ""
	}
	su, err := subject(r.URL.Query().Get("context"), user)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, map[string]any{"tags": s.Engine.Snapshot().Tags(su)})
}

func isError(f finding.Finding) bool { return f.Severity == finding.Error }
