package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// overrideBody is what a PUT of an override says.
type overrideBody struct {
	Value     *string `json:"value"`
	Reason    string  `json:"reason"`
	Expires   *string `json:"expires"`
	Final     string  `json:"final"`
	Protected bool    `json:"protected"`
}

// overrideName checks the name of a property that is to be written. Reading
// takes any name; whoever writes one with a line break has made a mistake.
func overrideName(name string) error {
	switch {
	case strings.TrimSpace(name) == "" || len(name) > cascade.MaxNameLen || !utf8.ValidString(name):
		return fail(http.StatusUnprocessableEntity, "bad_name", "a property name has 1 to %d bytes of UTF-8", cascade.MaxNameLen)
	case strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) != name:
		return fail(http.StatusUnprocessableEntity, "bad_name", "a property name has no control characters, and no white space around it")
	}
	return nil
}

// overrideOf checks an override and returns what to store.
func (s *Server) overrideOf(su cascade.Subject, name string, in *overrideBody, force bool) (*store.Override, error) {
	if err := overrideName(name); err != nil {
		return nil, err
	}
	if in.Value == nil {
		return nil, fail(http.StatusUnprocessableEntity, "no_value", "value is a text; to remove the override use DELETE")
	}
	sn := s.Engine.Snapshot()
	schema := s.Engine.Schema()
	if d := schema.Lookup(name); d != nil && d.Server {
		return nil, fail(http.StatusUnprocessableEntity, "scope", "%s counts in the scope server only: set it in a file (`sluice set`)", name)
	}
	if masked(schema, name, *in.Value) {
		return nil, fail(http.StatusUnprocessableEntity, "masked", "%s is a secret, and %s stands for what is not shown of it: write the value itself", name, cascade.Mask)
	}
	if err := schema.CheckValue(name, *in.Value); err != nil {
		return nil, fail(http.StatusUnprocessableEntity, "bad_value", "%s", err)
	}
	if !plainText(*in.Value) {
		return nil, errControl(name)
	}
	if err := finalScope(in.Final); err != nil {
		return nil, err
	}
	if err := s.accountTakes(sn, su); err != nil {
		return nil, err
	}
	expires, err := expiryOf(in.Expires)
	if err != nil {
		return nil, err
	}
	if lock := hiddenBy(sn, su, name); lock != nil && !force {
		return nil, fail(http.StatusConflict, "locked", "%s is final in the scope %s (%s), so an override of %s has no effect: change that first, or repeat with ?force=true", name, lock.Scope, lock.Origin, su)
	}
	return &store.Override{Value: *in.Value, Final: in.Final, Protected: in.Protected, Reason: in.Reason, Expires: expires}, nil
}

// finalScope checks what a final names; empty is none.
func finalScope(name string) error {
	if name != "" && !slices.Contains(cascade.Scopes(), name) {
		return fail(http.StatusUnprocessableEntity, "bad_final", "final names %.100q, which is no scope: use one of %s", name, strings.Join(cascade.Scopes(), ", "))
	}
	return nil
}

// errControl is for a value that no file could hold.
func errControl(name string) error {
	return fail(http.StatusUnprocessableEntity, "bad_value", "%s: the value holds a control character that is no tab, form feed or line end: remove it", name)
}

// accountTakes refuses overrides of those who are deleted: they would count for
// nobody.
func (s *Server) accountTakes(sn *cascade.Snapshot, su cascade.Subject) error {
	switch sn.Account(su) {
	case cascade.ContextDeleted, cascade.UserDeleted:
		return fail(http.StatusConflict, "deleted", "%s is deleted: create it again first", su)
	case cascade.ContextUnknown, cascade.UserUnknown:
		return fail(http.StatusNotFound, "unknown_subject", "the directory does not know %s, and is strict: create it first", su)
	}
	return nil
}

// hiddenBy returns the final that makes an override of the subject ineffective,
// other than the override's own.
func hiddenBy(sn *cascade.Snapshot, su cascade.Subject, name string) *cascade.Lock {
	x := sn.Explain(su, name, cascade.ExplainOptions{})
	if x.Final == nil {
		return nil
	}
	own := cascade.ScopeContext
	if su.User != 0 {
		own = cascade.ScopeUser
	}
	scopes := cascade.Scopes()
	if slices.Index(scopes, own) < slices.Index(scopes, x.Final.Scope) {
		return x.Final
	}
	return nil
}

func (s *Server) putOverride(w http.ResponseWriter, r *http.Request) error {
	su, name, err := s.pathKey(r)
	if err != nil {
		return err
	}
	var in overrideBody
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	return s.setOverride(w, r, su, name, &in, "override.set", s.explained(su, name))
}

func (s *Server) deleteOverride(w http.ResponseWriter, r *http.Request) error {
	su, name, err := s.pathKey(r)
	if err != nil {
		return err
	}
	return s.removeOverride(w, r, su, name, "override.remove", s.explained(su, name))
}

// pathKey is the subject and the property of an override in the path.
func (s *Server) pathKey(r *http.Request) (su cascade.Subject, name string, err error) {
	if su, err = s.pathSubject(r); err != nil {
		return su, "", err
	}
	name, err = propertyOf(r)
	return su, name, err
}

// propertyOf is the property in the path, or in ?name= where the path has none.
func propertyOf(r *http.Request) (string, error) {
	query, err := parseQuery(r)
	if err != nil {
		return "", err
	}
	name, err := param(r, "property")
	if err != nil || name == "" {
		return query.Get("name"), err
	}
	if query.Has("name") {
		return "", fail(http.StatusBadRequest, "bad_query", "the property is in the path already: leave out name")
	}
	return name, nil
}

// shower makes the answer of a write of the state that follows, and of what
// the record holds then.
type shower func(sn *cascade.Snapshot, after *store.State) any

// explained answers with the explanation of a property.
func (s *Server) explained(su cascade.Subject, name string) shower {
	return func(sn *cascade.Snapshot, _ *store.State) any { return sn.Explain(su, name, cascade.ExplainOptions{}) }
}

// setOverride writes one override, and answers with what show makes of the
// state that follows.
func (s *Server) setOverride(w http.ResponseWriter, r *http.Request, su cascade.Subject, name string, in *overrideBody, action string, show shower) error {
	_, flags, err := writeFlags(r, "name", "force", "dryRun")
	if err != nil {
		return err
	}
	if in.Reason, err = reasonOf(in.Reason); err != nil {
		return err
	}
	o, err := s.overrideOf(su, name, in, flags["force"])
	if err != nil {
		return err
	}
	o.Actor = Actor(r.Context())
	cond, err := condition(r)
	if err != nil {
		return err
	}
	return s.changeOne(w, r, store.Write{
		Reason: in.Reason, Action: action, DryRun: flags["dryRun"],
		Changes: []store.Change{{Key: store.OverrideKey(su, name), Body: o, If: cond}},
	}, show)
}

func (s *Server) removeOverride(w http.ResponseWriter, r *http.Request, su cascade.Subject, name, action string, show shower) error {
	query, flags, err := writeFlags(r, "name", "reason", "dryRun", "target")
	if err != nil {
		return err
	}
	if err := overrideName(name); err != nil {
		return err
	}
	cond, err := condition(r)
	if err != nil {
		return err
	}
	return s.changeOne(w, r, store.Write{
		Reason: query.Get("reason"), Action: action, DryRun: flags["dryRun"],
		Changes: []store.Change{{Key: store.OverrideKey(su, name), If: cond}},
	}, show)
}

// changeOne writes one record and answers 201 where it was not there.
func (s *Server) changeOne(w http.ResponseWriter, r *http.Request, write store.Write, show shower) error {
	e, err := s.writeStore(r, write)
	if err != nil {
		return err
	}
	sn := s.Engine.Snapshot()
	if write.DryRun {
		if sn, _, err = s.Engine.Candidate(r.Context(), nil, e.Batch()); err != nil {
			return err
		}
	}
	status := http.StatusOK
	first := &e.Changes[0]
	if (first.Before == nil || first.Before.Deleted) && !write.DryRun {
		status = http.StatusCreated
	}
	if first.After != nil && !write.DryRun {
		setETag(w, e.Revision)
	}
	return s.answer(w, status, show(sn, first.After))
}

// enablement is what a PUT of the short form says.
type enablement struct {
	Enabled *bool   `json:"enabled"`
	Reason  string  `json:"reason"`
	Expires *string `json:"expires"`
	Target  string  `json:"target"` // targetSluice, which "" is, or targetPlatform
}

// enabled is the answer of the short form.
type enabled struct {
	Context     uint32              `json:"context"`
	User        *uint32             `json:"user"`
	Enabled     bool                `json:"enabled"` // the cascade's answer
	Account     string              `json:"account"` // the directory's: "open", or why it refuses all the same
	Override    *enabledOverride    `json:"override"`
	Explanation cascade.Explanation `json:"explanation"`
	Local       *closing            `json:"local,omitempty"` // this member refuses the subject all the same
	Platform    *platformSwitch     `json:"platform,omitempty"`
}

type enabledOverride struct {
	Enabled bool       `json:"enabled"`
	Reason  string     `json:"reason"`
	Actor   string     `json:"actor"`
	Time    time.Time  `json:"time"`
	Expires *time.Time `json:"expires"`
	Expired bool       `json:"expired"`
}

// showEnablement shows what a subject has; o is its override, or nil.
func showEnablement(sn *cascade.Snapshot, su cascade.Subject, o *store.Override) enabled {
	x := sn.Explain(su, websockets.PropEnabled, cascade.ExplainOptions{})
	e := enabled{Context: su.Context, Account: sn.Account(su).String(), Explanation: x}
	if su.User != 0 {
		e.User = &su.User
	}
	e.Enabled, _ = x.Effective.(bool)
	e.Platform = switches(sn, su, &x)
	if o != nil {
		e.Override = &enabledOverride{
			strings.EqualFold(strings.TrimSpace(o.Value), "true"), o.Reason, o.Actor, o.Time, o.Expires,
			o.Expires != nil && !o.Expires.After(time.Now()),
		}
	}
	return e
}

func (s *Server) getEnablement(w http.ResponseWriter, r *http.Request) error {
	su, err := s.pathSubject(r)
	if err == nil {
		err = s.load(r.Context(), su)
	}
	if err != nil {
		return err
	}
	o, revision, err := s.override(store.OverrideKey(su, websockets.PropEnabled))
	if err != nil {
		return err
	}
	sn := s.Engine.Snapshot()
	setETagOf(w, sn, revision)
	e := showEnablement(sn, su, o)
	if c, ok := s.Closings.of(sn, su); ok {
		e.Local = &c
		e.Explanation.Warnings = append(e.Explanation.Warnings, c.text(s.Member))
	}
	return s.answer(w, http.StatusOK, e)
}

// override reads one from the store, with its revision.
func (s *Server) override(k store.Key) (*store.Override, uint64, error) {
	if s.Fixed {
		return nil, 0, nil
	}
	rec, err := s.Store.Get(k)
	if err != nil || rec == nil {
		return nil, 0, s.readProblem(err)
	}
	o, ok := rec.Body.(*store.Override)
	if !ok {
		return nil, 0, fmt.Errorf("%s is none", k)
	}
	return o, rec.Revision, nil
}

func (s *Server) putEnablement(w http.ResponseWriter, r *http.Request) error {
	su, err := s.pathSubject(r)
	if err != nil {
		return err
	}
	var in enablement
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	if in.Enabled == nil {
		return fail(http.StatusUnprocessableEntity, "no_value", "enabled is true or false; to return to what the cascade says use DELETE")
	}
	value, action := "false", actionDisable
	if *in.Enabled {
		value, action = "true", actionEnable
	}
	switch in.Target {
	case "", targetSluice:
	case targetPlatform:
		return s.putPlatformSwitch(w, r, su, value, &in, action)
	default:
		return errTarget
	}
	return s.setOverride(w, r, su, websockets.PropEnabled, &overrideBody{Value: &value, Reason: in.Reason, Expires: in.Expires}, action, s.enablementAfter(su))
}

func (s *Server) deleteEnablement(w http.ResponseWriter, r *http.Request) error {
	su, err := s.pathSubject(r)
	if err != nil {
		return err
	}
	query, err := parseQuery(r)
	if err != nil {
		return err
	}
	switch query.Get("target") {
	case "", targetSluice:
		return s.removeOverride(w, r, su, websockets.PropEnabled, actionReset, s.enablementAfter(su))
	case targetPlatform:
		return s.removePlatformSwitch(w, r, su)
	}
	return errTarget
}

func (s *Server) enablementAfter(su cascade.Subject) shower {
	return func(sn *cascade.Snapshot, after *store.State) any {
		var o *store.Override
		if after != nil {
			o, _ = after.Body.(*store.Override)
		}
		return showEnablement(sn, su, o)
	}
}
