package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

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
