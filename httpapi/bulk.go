package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
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
	_, flags, err := writeFlags(r, "dryRun", "force")
	if err != nil {
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
	return s.writeMany(w, r, store.Write{Reason: reason, Action: "overrides.bulk", DryRun: flags["dryRun"], Changes: changes}, 0)
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
		return store.Change{Key: k}, overrideName(o.Property)
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
	return store.Change{Key: k, Body: over}, nil
}

// writeMany writes, and answers with what changed; a preview says whom it would
// concern.
func (s *Server) writeMany(w http.ResponseWriter, r *http.Request, write store.Write, unchanged int) error {
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
			if out.Effect, err = s.effectOf(nil, e.Batch(), subjectsOf(&e)); err != nil {
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

// importLine is a line of an import: one of the three.
type importLine struct {
	Context  json.RawMessage `json:"context"`
	User     json.RawMessage `json:"user"`
	Override json.RawMessage `json:"override"`
}

// importRecords writes many records of the directory, a line each, all or
// nothing. What is as wanted already is left out, so that an import can be
// repeated from its beginning.
func (s *Server) importRecords(w http.ResponseWriter, r *http.Request) error {
	query, flags, err := writeFlags(r, "reason", "dryRun")
	if err != nil {
		return err
	}
	if _, err := mediaType(r, ndjson); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	reason, err := reasonOf(query.Get("reason"))
	if err != nil {
		return err
	}
	b, err := readUpTo(w, r, maxBulkBody, bulkTimeout)
	if err != nil {
		return err
	}
	write := store.Write{Reason: reason, Action: "import", DryRun: flags["dryRun"]}
	unchanged := 0
	for i, line := range bytes.Split(bytes.TrimRight(b, "\n"), []byte{'\n'}) {
		if i >= maxBulk {
			return fail(http.StatusUnprocessableEntity, "bad_write", "more than %d lines: send them in parts", maxBulk)
		}
		c, err := s.importChange(line, reason, Actor(r.Context()))
		if err != nil {
			return at(i, err)
		}
		same, err := s.same(&c)
		if err != nil {
			return err
		}
		if same {
			unchanged++
		} else {
			write.Changes = append(write.Changes, c)
		}
	}
	return s.writeMany(w, r, write, unchanged)
}

func (s *Server) importChange(line []byte, reason, actor string) (c store.Change, err error) {
	var in importLine
	if err := decode(line, &in); err != nil {
		return c, err
	}
	switch {
	case in.Context != nil && in.User == nil && in.Override == nil:
		var x struct {
			ID      int64    `json:"id"`
			Name    string   `json:"name"`
			Enabled *bool    `json:"enabled"`
			Tags    []string `json:"tags"`
		}
		if err := decode(in.Context, &x); err != nil {
			return c, err
		}
		su, err := cascade.NewSubject(x.ID, 0)
		if err != nil || su.Context == 0 {
			return c, fail(http.StatusUnprocessableEntity, "bad_id", "id is 1 to %d", cascade.MaxID)
		}
		return store.Change{Key: store.ContextKey(su.Context), Body: &store.Context{Name: x.Name, Enabled: x.Enabled == nil || *x.Enabled, Tags: some(x.Tags)}}, nil
	case in.User != nil && in.Context == nil && in.Override == nil:
		var x struct {
			Context     int64    `json:"context"`
			ID          int64    `json:"id"`
			Enabled     *bool    `json:"enabled"`
			Permissions []string `json:"permissions"`
		}
		if err := decode(in.User, &x); err != nil {
			return c, err
		}
		su, err := cascade.NewSubject(x.Context, x.ID)
		if err != nil || su.User == 0 {
			return c, fail(http.StatusUnprocessableEntity, "bad_id", "context and id are 1 to %d", cascade.MaxID)
		}
		return store.Change{Key: store.UserKey(su.Context, su.User), Body: &store.User{Enabled: x.Enabled == nil || *x.Enabled, Permissions: some(x.Permissions)}}, nil
	case in.Override != nil && in.Context == nil && in.User == nil:
		return s.importOverride(in.Override, reason, actor)
	}
	return c, fail(http.StatusUnprocessableEntity, "bad_write", "a line has one of context, user and override")
}

// importOverride keeps what an export says of who set an override and when. It
// takes what the directory file takes: what a final hides is somebody's wish
// still, and one that has expired says why a value was what it was.
func (s *Server) importOverride(text json.RawMessage, reason, actor string) (c store.Change, err error) {
	var o struct {
		Context   int64      `json:"context"`
		User      int64      `json:"user"`
		Property  string     `json:"property"`
		Value     *string    `json:"value"`
		Final     string     `json:"final"`
		Protected bool       `json:"protected"`
		Reason    string     `json:"reason"`
		Actor     string     `json:"actor"`
		Time      *time.Time `json:"time"`
		Expires   *time.Time `json:"expires"`
	}
	if err := decode(text, &o); err != nil {
		return c, err
	}
	su, err := cascade.NewSubject(o.Context, o.User)
	if err != nil || su.Context == 0 {
		return c, fail(http.StatusUnprocessableEntity, "bad_id", "context and user are ids, 1 to %d; user may be left out", cascade.MaxID)
	}
	if err := overrideName(o.Property); err != nil {
		return c, err
	}
	if o.Value == nil {
		return c, fail(http.StatusUnprocessableEntity, "no_value", "%s: value is a text", o.Property)
	}
	if k := store.OverrideKey(su, o.Property); s.Engine.Schema().Secret(o.Property) && *o.Value == cascade.Mask {
		// An export does not show it: what is there stays.
		have, err := s.Store.Get(k)
		if err == nil && (have == nil || have.Body == nil) {
			err = fail(http.StatusUnprocessableEntity, "masked", "%s of %s is a secret that the export does not hold: write its value into the import, or leave the line out", o.Property, su)
		}
		if err != nil {
			return c, s.storeProblem(err)
		}
		return store.Change{Key: k, Body: have.Body}, nil
	}
	if err := s.Engine.Schema().CheckValue(o.Property, *o.Value); err != nil {
		return c, fail(http.StatusUnprocessableEntity, "bad_value", "%s", err)
	}
	body := &store.Override{Value: *o.Value, Final: o.Final, Protected: o.Protected, Reason: o.Reason, Actor: o.Actor, Expires: whole(o.Expires)}
	if body.Reason == "" {
		body.Reason = reason
	}
	if body.Actor == "" {
		body.Actor = actor
	}
	if at := whole(o.Time); at != nil {
		body.Time = *at
	}
	return store.Change{Key: store.OverrideKey(su, o.Property), Body: body}, nil
}

// whole is a time as the store keeps it.
func whole(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC().Truncate(time.Millisecond)
	return &at
}

// same reports whether a record is as a change wants it already.
func (s *Server) same(c *store.Change) (bool, error) {
	have, err := s.Store.Get(c.Key)
	if err != nil || have == nil || have.Deleted {
		return false, s.storeProblem(err)
	}
	if o, ok := c.Body.(*store.Override); ok && o.Time.IsZero() {
		was, ok := have.Body.(*store.Override)
		if !ok {
			return false, nil
		}
		like := *o
		like.Time, like.Reason, like.Actor = was.Time, was.Reason, was.Actor
		return reflect.DeepEqual(&like, was), nil
	}
	return reflect.DeepEqual(have.Body, c.Body), nil
}

// exportRecords streams the directory and the overrides, a line each, as an
// import takes them.
func (s *Server) exportRecords(w http.ResponseWriter, r *http.Request) error {
	if err := s.inStore(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", ndjson)
	secure(w.Header())
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, kind := range []store.Kind{store.KindContext, store.KindUser, store.KindOverride} {
		var after *store.Key
		for {
			list, more, err := s.Store.List(kind, cascade.Subject{}, false, after, maxLimit, func(rec *store.Record) bool { return !rec.Deleted })
			if err != nil {
				// The status is sent: what is missing is seen by the missing end.
				s.Logger.Error("export ended early", "err", err)
				panic(http.ErrAbortHandler)
			}
			for _, rec := range list {
				if o, ok := rec.Body.(*store.Override); ok && s.Engine.Schema().Secret(rec.Name) {
					o.Value = cascade.Mask
				}
				if err := enc.Encode(exportLine(rec)); err != nil {
					return nil // the client has left
				}
			}
			if !more {
				break
			}
			after = &list[len(list)-1].Key
		}
	}
	_, _ = io.WriteString(w, `{"end":true}`+"\n") // the client has left where it fails
	return nil
}

func exportLine(rec *store.Record) any {
	switch body := rec.Body.(type) {
	case *store.Context:
		return map[string]any{"context": map[string]any{"id": rec.Context, "name": body.Name, "enabled": body.Enabled, "tags": some(body.Tags)}}
	case *store.User:
		return map[string]any{"user": map[string]any{"context": rec.Context, "id": rec.User, "enabled": body.Enabled, "permissions": some(body.Permissions)}}
	case *store.Override:
		o := map[string]any{"context": rec.Context, "property": rec.Name, "value": body.Value, "reason": body.Reason, "actor": body.Actor, "time": body.Time}
		if rec.User != 0 {
			o["user"] = rec.User
		}
		if body.Final != "" {
			o["final"] = body.Final
		}
		if body.Protected {
			o["protected"] = true
		}
		if body.Expires != nil {
			o["expires"] = body.Expires
		}
		return map[string]any{"override": o}
	}
	return nil
}
