package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/people"
	"github.com/seed47708276/sluice/cascade/store"
)

// listedOverride is an override as a list shows it, with the names of whom it is
// of.
type listedOverride struct {
	Context     uint32     `json:"context"`
	User        uint32     `json:"user"` // 0: the context itself
	ContextName string     `json:"contextName"`
	Login       string     `json:"login"`
	DisplayName string     `json:"displayName"`
	Property    string     `json:"property"`
	Value       string     `json:"value"`
	Final       string     `json:"final"`
	Protected   bool       `json:"protected"`
	Reason      string     `json:"reason"`
	Actor       string     `json:"actor"`
	Time        time.Time  `json:"time"`
	Expires     *time.Time `json:"expires"`
	Expired     bool       `json:"expired"` // it does not count any more
	Revision    uint64     `json:"revision"`
}

// expiresNever asks for the overrides that have no end.
const expiresNever = "never"

// overrideFilter is which overrides a list has. What is empty is anything.
type overrideFilter struct {
	of              cascade.Subject
	property, actor string
	value           *string
	switches        func(value string) bool // nil: any value
	endless         bool                    // without an end
	expiresBefore   time.Time
}

// keeps reports whether an override is one of the list. A secret value is found
// by none: who guesses would learn whether he is right.
func (f *overrideFilter) keeps(schema *cascade.Schema, r *store.Record) bool {
	o, ok := r.Body.(*store.Override)
	switch {
	case !ok:
		return false
	case f.property != "" && r.Name != f.property, f.actor != "" && o.Actor != f.actor:
		return false
	case f.value != nil && (o.Value != *f.value || schema.Show(r.Name, o.Value) != o.Value):
		return false
	case f.switches != nil && !f.switches(schema.Show(r.Name, o.Value)), f.endless && o.Expires != nil:
		return false
	case !f.expiresBefore.IsZero() && (o.Expires == nil || !o.Expires.Before(f.expiresBefore)):
		return false
	}
	return true
}

// overrideFilterOf reads which overrides somebody wants to see.
func (s *Server) overrideFilterOf(query url.Values) (f overrideFilter, err error) {
	if f.of, err = s.querySubject(query); err != nil {
		return f, err
	}
	f.property, f.actor = query.Get("property"), query.Get("actor")
	for name, text := range map[string]string{"property": f.property, "actor": f.actor} {
		// That of a script whose variable is not set would be anything.
		if query.Has(name) && text == "" {
			return f, fail(http.StatusBadRequest, "bad_query", "%s is empty: name one, or leave it out", name)
		}
	}
	if query.Has("value") {
		v := query.Get("value")
		f.value = &v
	}
	if _, f.switches, err = switchOf(query); err != nil {
		return f, err
	}
	if f.endless = query.Get("expiresBefore") == expiresNever; f.endless {
		return f, nil
	}
	if query.Has("expiresBefore") {
		if f.expiresBefore, err = time.Parse(time.RFC3339, query.Get("expiresBefore")); err != nil {
			return f, fail(http.StatusBadRequest, "bad_query", "expiresBefore is a time such as 2026-01-31T12:00:00Z, or %s", expiresNever)
		}
	}
	return f, nil
}

// listOverrides answers a page of overrides, by context, user and property.
func (s *Server) listOverrides(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "context", "user", "property", "value", "switch", "actor", "expiresBefore", "limit", "cursor")
	if err != nil {
		return err
	}
	if err := s.inStore(); err != nil {
		return err
	}
	f, err := s.overrideFilterOf(query)
	if err != nil {
		return err
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	var after *store.Key
	if text := query.Get("cursor"); text != "" {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			var k store.Key
			if k, err = store.ParseCursor(store.KindOverride, b); err == nil {
				after = &k
			}
		}
		if after == nil || f.of.Context != 0 && after.Context != f.of.Context || f.of.User != 0 && after.User != f.of.User {
			return fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this list: use the next of an answer to the same question, or leave it out")
		}
	}
	schema := s.Engine.Schema()
	list, more, err := s.Store.List(store.KindOverride, f.of, false, after, limit, func(rec *store.Record) bool { return f.keeps(schema, rec) })
	if err != nil {
		return s.readProblem(err)
	}
	out, next := []listedOverride{}, ""
	for _, rec := range list {
		out = append(out, s.listed(rec))
	}
	if more {
		next = cursorOf(list[len(list)-1].Key)
	}
	return s.answer(w, http.StatusOK, map[string]any{"overrides": out, "next": next})
}

// listed shows a record of an override.
func (s *Server) listed(rec *store.Record) listedOverride {
	o, index := rec.Body.(*store.Override), s.Engine.People()
	l := listedOverride{
		Context: rec.Context, User: rec.User, Property: rec.Name, Value: s.Engine.Schema().Show(rec.Name, o.Value),
		Final: o.Final, Protected: o.Protected, Reason: o.Reason, Actor: o.Actor, Time: o.Time.UTC(), Revision: rec.Revision,
		ContextName: index.Of(people.Subject{Context: rec.Context}).Name,
	}
	if rec.User != 0 {
		n := index.Of(people.Subject{Context: rec.Context, User: rec.User})
		l.Login, l.DisplayName = n.Login, n.Name
	}
	if o.Expires != nil {
		l.Expires, l.Expired = known(*o.Expires), !time.Now().Before(*o.Expires)
	}
	return l
}
