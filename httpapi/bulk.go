package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// Actions of the audit log.
const (
	actionDisable = "websockets.disable"
	actionEnable  = "websockets.enable"
	actionReset   = "websockets.reset"
	actionBulk    = "overrides.bulk"
)

const (
	// maxBulk is how many records one request changes; its body is at most
	// maxBulkBody, which a slow client has bulkTimeout for.
	maxBulk     = 5_000
	maxBulkBody = 8 << 20
	bulkTimeout = 60 * time.Second
	// maxPreview is how many changes and differences a preview shows.
	maxPreview = 1_000
)

// bulkOverride is one of many; without a value and with remove it is removed.
type bulkOverride struct {
	Context   int64   `json:"context"`
	User      int64   `json:"user"`
	Property  string  `json:"property"`
	Value     *string `json:"value"`
	Remove    bool    `json:"remove"`
	Reason    string  `json:"reason"`
	Expires   *string `json:"expires"`
	Final     string  `json:"final"`
	Protected bool    `json:"protected"`
	// Revision is the one that it must have; 0: it must not be there; nil: any.
	Revision *uint64 `json:"revision"`
}

// bulkAnswer says what a write of many changed, or would.
type bulkAnswer struct {
	Revision  uint64         `json:"revision"`
	DryRun    bool           `json:"dryRun"`
	Changed   int            `json:"changed"`
	Unchanged int            `json:"unchanged"` // left out: they are as wanted already
	Changes   []auditedState `json:"changes"`   // at most maxPreview
	Effect    *effect        `json:"effect,omitempty"`
}

// bulkOverrides writes many overrides, all or nothing.
func (s *Server) bulkOverrides(w http.ResponseWriter, r *http.Request) error {
	_, flags, err := writeFlags(r, "dryRun", "force", "confirm")
	if err != nil {
		return err
	}
	if err := noCondition(r); err != nil {
		return err
	}
	var in struct {
		Reason    string            `json:"reason"`
		Overrides []json.RawMessage `json:"overrides"`
	}
	if err := readBulk(w, r, &in); err != nil {
		return err
	}
	reason, err := reasonOf(in.Reason)
	if err != nil {
		return err
	}
	if len(in.Overrides) == 0 || len(in.Overrides) > maxBulk {
		return fail(http.StatusUnprocessableEntity, "bad_write", "overrides has 1 to %d entries: send them in parts", maxBulk)
	}
	changes, err := s.bulkChanges(in.Overrides, reason, Actor(r.Context()), flags["force"])
	if err != nil {
		return err
	}
	return s.writeMany(w, r, store.Write{Reason: reason, Action: bulkAction(changes), DryRun: flags["dryRun"], Changes: changes}, 0, true)
}

// bulkAction is what the audit log calls a write of overrides: that of the switch
// alone, one way for all, has the name that a write of one has.
func bulkAction(changes []store.Change) string {
	is := ""
	for i := range changes {
		c, action := &changes[i], actionReset
		if o, ok := c.Body.(*store.Override); ok {
			action = map[string]string{"true": actionEnable, "false": actionDisable}[o.Value]
		}
		if c.Name != websockets.PropEnabled || is != "" && is != action || action == "" {
			return actionBulk
		}
		is = action
	}
	return is
}

// bulkChanges checks many overrides; the first that is wrong is named by its
// place.
func (s *Server) bulkChanges(list []json.RawMessage, reason, actor string, force bool) ([]store.Change, error) {
	changes := make([]store.Change, 0, len(list))
	for i, text := range list {
		var o bulkOverride
		err := decode(text, &o)
		if err == nil {
			var c store.Change
			if c, err = s.bulkChange(&o, reason, actor, force); err == nil {
				changes = append(changes, c)
				continue
			}
		}
		return nil, at(i, err)
	}
	return changes, nil
}

// at names the entry that an error is about.
func at(i int, err error) error {
	var p *problem
	if errors.As(err, &p) {
		return fail(p.Status, p.Code, "entry %d: %s", i+1, p.Detail)
	}
	return err
}

func (s *Server) bulkChange(o *bulkOverride, reason, actor string, force bool) (c store.Change, err error) {
	su, err := cascade.NewSubject(o.Context, o.User)
	if err != nil || su.Context == 0 {
		return c, fail(http.StatusUnprocessableEntity, "bad_id", "context and user are ids, 1 to %d; user may be left out", cascade.MaxID)
	}
	k := store.OverrideKey(su, o.Property)
	if o.Remove {
		if o.Value != nil {
			return c, fail(http.StatusUnprocessableEntity, "bad_write", "%s: value and remove exclude each other", o.Property)
		}
		return store.Change{Key: k, If: o.Revision}, overrideName(o.Property)
	}
	body := overrideBody{o.Value, o.Reason, o.Expires, o.Final, o.Protected}
	if body.Reason == "" {
		body.Reason = reason
	}
	over, err := s.overrideOf(su, o.Property, &body, force)
	if err != nil {
		return c, err
	}
	over.Actor = actor
	return store.Change{Key: k, Body: over, If: o.Revision}, nil
}

// writeMany writes, and answers with what changed; the preview of a dry run says
// whom it would concern.
func (s *Server) writeMany(w http.ResponseWriter, r *http.Request, write store.Write, unchanged int, preview bool) error {
	out := bulkAnswer{Revision: s.Store.Head().Revision, DryRun: write.DryRun, Unchanged: unchanged, Changes: []auditedState{}}
	if len(write.Changes) > 0 {
		e, err := s.writeStore(r, write)
		if err != nil {
			return err
		}
		shown := s.showEntry(&e, maxPreview)
		out.Revision, out.Changed, out.Changes = e.Revision, len(e.Changes), shown.Changes
		if write.DryRun {
			out.Revision--
		}
		if write.DryRun && preview {
			if out.Effect, err = s.effectOf(r.Context(), nil, e.Batch(), subjectsOf(&e)); err != nil {
				return err
			}
		}
	}
	return s.answer(w, http.StatusOK, out)
}

// readBulk is readJSON with the limits of many records.
func readBulk(w http.ResponseWriter, r *http.Request, v any) error {
	if _, err := mediaType(r, jsonType); err != nil {
		return err
	}
	b, err := readUpTo(w, r, maxBulkBody, bulkTimeout)
	if err != nil {
		return err
	}
	return decode(b, v)
}
