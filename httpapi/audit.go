package httpapi

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

// audited is an entry of the audit log as the API shows it.
type audited struct {
	Revision uint64         `json:"revision"`
	Time     time.Time      `json:"time"`
	Actor    string         `json:"actor"`
	Reason   string         `json:"reason"`
	Action   string         `json:"action"`
	Changes  []auditedState `json:"changes"`
	// Omitted counts the changes that a list leaves out; the entry itself,
	// asked for by its revision, has all.
	Omitted int `json:"omitted,omitempty"`
}

type auditedState struct {
	Kind    store.Kind `json:"kind"`
	Context *uint32    `json:"context"`
	User    *uint32    `json:"user"`
	Name    string     `json:"name,omitempty"` // of a property or a token
	Before  any        `json:"before"`
	After   any        `json:"after"`
}

// maxAudited is how many changes of an entry a list shows.
const maxAudited = 20

// showEntry shows an entry, its secrets masked.
func (s *Server) showEntry(e *store.Entry, limit int) audited {
	a := audited{Revision: e.Revision, Time: e.Time, Actor: e.Actor, Reason: e.Reason, Action: e.Action, Changes: []auditedState{}}
	for i := range e.Changes {
		c := &e.Changes[i]
		if len(a.Changes) == limit {
			a.Omitted = len(e.Changes) - limit
			break
		}
		st := auditedState{Kind: c.Kind, Name: c.Name, Before: s.showState(c.Key, c.Before), After: s.showState(c.Key, c.After)}
		if c.Context != 0 {
			st.Context = &c.Context
		}
		if c.User != 0 {
			st.User = &c.User
		}
		a.Changes = append(a.Changes, st)
	}
	if e.Platform != nil {
		a.Changes = append(a.Changes, auditedPlatform(e.Platform))
	}
	return a
}

// showState is a record before or after a change; null where there was none.
func (s *Server) showState(k store.Key, st *store.State) any {
	switch {
	case st == nil:
		return nil
	case st.Deleted:
		return map[string]bool{"deleted": true}
	}
	switch body := st.Body.(type) {
	case *store.Override:
		o := *body
		o.Value = s.Engine.Schema().Show(k.Name, o.Value)
		return o
	case *store.Token:
		return map[string]any{"role": body.Role, "expires": body.Expires}
	}
	return st.Body
}

// audit answers a page of the log, the newest first.
func (s *Server) audit(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "context", "user", "property", "actor", "action", "since", "limit", "cursor")
	if err != nil {
		return err
	}
	var since time.Time
	if query.Has("since") {
		if since, err = time.Parse(time.RFC3339, query.Get("since")); err != nil {
			return fail(http.StatusBadRequest, "bad_query", "since is a time such as 2026-01-31T12:00:00Z")
		}
	}
	want, err := s.querySubject(query)
	if err != nil {
		return err
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	before := uint64(0)
	if text := query.Get("cursor"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 64); err != nil || before == 0 {
			return fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this server: use the next of an answer, or leave it out")
		}
	}
	property, actor, action := query.Get("property"), query.Get("actor"), query.Get("action")
	about := func(c store.Changed) bool {
		return (want.Context == 0 || c.Context == want.Context) && (want.User == 0 || c.User == want.User) &&
			(property == "" || c.Kind == store.KindOverride && c.Name == property)
	}
	list, next, err := s.Store.Log(before, limit, func(e *store.Entry) bool {
		if actor != "" && e.Actor != actor || action != "" && e.Action != action || e.Time.Before(since) {
			return false
		}
		if want.Context == 0 && want.User == 0 && property == "" {
			return true
		}
		if p := e.Platform; p != nil && (want.Context == 0 || p.Context == want.Context) && (want.User == 0 || p.User == want.User) &&
			(property == "" || p.Attribute == attributeOf(property)) {
			return true
		}
		return slices.ContainsFunc(e.Changes, about)
	})
	if err != nil {
		return s.readProblem(err)
	}
	out := []audited{}
	for i := range list {
		// Of a write about many, what was asked for comes first.
		slices.SortStableFunc(list[i].Changes, func(a, b store.Changed) int {
			return cmp.Compare(oneIf(!about(a)), oneIf(!about(b)))
		})
		out = append(out, s.showEntry(&list[i], maxAudited))
	}
	cursor := ""
	if next > 1 {
		cursor = strconv.FormatUint(next, 10)
	}
	return s.answer(w, http.StatusOK, map[string]any{"entries": out, "next": cursor})
}

// entryOf reads the entry that a path names.
func (s *Server) entryOf(r *http.Request) (*store.Entry, error) {
	n, err := strconv.ParseUint(chi.URLParam(r, "revision"), 10, 64)
	if err != nil || n == 0 {
		return nil, fail(http.StatusBadRequest, "bad_id", "a revision is a number of the audit log")
	}
	e, err := s.Store.EntryOf(n)
	if err != nil {
		return nil, s.readProblem(err)
	}
	if e == nil {
		return nil, fail(http.StatusNotFound, "not_found", "the audit log has no revision %d", n)
	}
	return e, nil
}

func (s *Server) auditEntry(w http.ResponseWriter, r *http.Request) error {
	e, err := s.entryOf(r)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, s.showEntry(e, len(e.Changes)))
}

// revert puts back what an entry has changed, unless that has changed since.
func (s *Server) revert(w http.ResponseWriter, r *http.Request) error {
	_, flags, err := writeFlags(r, "force", "dryRun", "confirm")
	if err != nil {
		return err
	}
	if err := noCondition(r); err != nil {
		return err
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	reason, err := reasonOf(in.Reason)
	if err != nil {
		return err
	}
	e, err := s.entryOf(r)
	if err != nil {
		return err
	}
	changes, err := s.reversal(e, flags["force"])
	if err != nil {
		return err
	}
	write := store.Write{
		Reason: reason, Action: "revert." + strconv.FormatUint(e.Revision, 10), DryRun: flags["dryRun"], Changes: changes,
	}
	done, err := s.writeStore(r, write)
	var p *problem
	if errors.As(err, &p) && p.Code == "stale" {
		return fail(http.StatusConflict, "changed_since", "revision %d was followed by others: %s or repeat with ?force=true", e.Revision, p.Detail)
	}
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, s.showEntry(&done, len(done.Changes)))
}

// reversal is what undoes an entry.
func (s *Server) reversal(e *store.Entry, force bool) ([]store.Change, error) {
	if e.Platform != nil {
		return nil, fail(http.StatusConflict, "platform", "revision %d has changed the platform's database, which a revert leaves alone: use `sluice enable`, `disable` or `reset` with --platform", e.Revision)
	}
	var changes []store.Change
	deleted := map[cascade.Subject]bool{} // again, with all that is below
	for i := range e.Changes {
		c, err := s.reverse(&e.Changes[i], force, e.Revision)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if changes = append(changes, *c); c.Body == nil && !c.Forget && c.Kind != store.KindOverride {
			deleted[c.Subject()] = true
		}
	}
	changes = slices.DeleteFunc(changes, func(c store.Change) bool {
		above := deleted[cascade.Subject{Context: c.Context}] && c.Key != store.ContextKey(c.Context)
		return above || deleted[c.Subject()] && c.Kind == store.KindOverride
	})
	if len(changes) == 0 {
		return nil, fail(http.StatusConflict, "reverted", "everything is as it was before revision %d", e.Revision)
	}
	return changes, takesAll(s.Engine.Snapshot(), changes)
}

// takesAll refuses records of those who are deleted, unless they come back in
// the same write: they would count for nobody now, and return with their owner.
func takesAll(sn *cascade.Snapshot, changes []store.Change) error {
	back := map[cascade.Subject]bool{}
	for i := range changes {
		if c := &changes[i]; c.Body != nil && c.Kind != store.KindOverride {
			back[c.Subject()] = true
		}
	}
	for i := range changes {
		c := &changes[i]
		if c.Body == nil || c.Kind == store.KindContext || c.Kind == store.KindToken {
			continue
		}
		context, su := cascade.Subject{Context: c.Context}, c.Subject()
		switch {
		case !back[context] && sn.Account(context) == cascade.ContextDeleted:
			return fail(http.StatusConflict, "deleted", "%s is deleted: create it again first", context)
		case !back[su] && sn.Account(su) == cascade.UserDeleted:
			return fail(http.StatusConflict, "deleted", "%s is deleted: create it again first", su)
		}
	}
	return nil
}

// reverse is the change that undoes one; nil where nothing is left to undo.
func (s *Server) reverse(c *store.Changed, force bool, revision uint64) (*store.Change, error) {
	if c.Kind == store.KindToken {
		return nil, fail(http.StatusConflict, "token", "a token is not brought back: make a new one with `sluice token create`")
	}
	now, err := s.Store.Get(c.Key)
	if err != nil {
		return nil, s.storeProblem(err)
	}
	have := uint64(0)
	if now != nil {
		have = now.Revision
	}
	// What was removed without a tombstone has no revision of its own.
	unchanged := have == revision || c.After == nil && now == nil
	if !force && !unchanged {
		return nil, fail(http.StatusConflict, "changed_since", "%s has changed since revision %d, with revision %d: look, then repeat with ?force=true", c.Key, revision, have)
	}
	out := &store.Change{Key: c.Key}
	live := now != nil && !now.Deleted
	switch {
	case c.Before != nil && !c.Before.Deleted:
		out.Body = c.Before.Body
	case c.Before != nil: // a tombstone
		if !live {
			return nil, nil
		}
	case now == nil:
		return nil, nil
	default:
		out.Forget = c.Kind != store.KindOverride
	}
	if !live {
		have = 0 // none may have come meanwhile
	}
	if !force {
		out.If = &have
	}
	return out, nil
}
