package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

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
	query, flags, err := writeFlags(r, "reason", "dryRun", "confirm")
	if err != nil {
		return err
	}
	if err := noCondition(r); err != nil {
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
	lines := bytes.Split(bytes.TrimRight(b, "\r\n"), []byte{'\n'})
	if last := len(lines) - 1; string(bytes.TrimSpace(lines[last])) == exportEnd {
		lines = lines[:last]
	}
	if len(lines) > store.MaxChanges {
		return fail(http.StatusUnprocessableEntity, "bad_write", "more than %d lines: send them in parts", store.MaxChanges)
	}
	changes, err := s.importChanges(lines, reason, Actor(r.Context()))
	if err != nil {
		return err
	}
	if err := takesAll(s.Engine.Snapshot(), changes); err != nil {
		return err
	}
	write := store.Write{Reason: reason, Action: "import", DryRun: flags["dryRun"], Changes: changes}
	return s.writeMany(w, r, write, len(lines)-len(changes), false)
}

// importChanges reads lines, all processors together, and leaves out what is as
// wanted. It reports the first line that is wrong.
func (s *Server) importChanges(lines [][]byte, reason, actor string) ([]store.Change, error) {
	type result struct {
		change store.Change
		same   bool
		err    error
	}
	results := make([]result, len(lines))
	var next atomic.Int64
	var failed atomic.Pointer[error] // why the store cannot be read
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			err := s.Store.Reading(func(get func(store.Key) (*store.Record, error)) error {
				for i := next.Add(1) - 1; i < int64(len(lines)); i = next.Add(1) - 1 {
					x := &results[i]
					if x.change, x.err = s.importChange(lines[i], reason, actor); x.err == nil {
						x.same, x.err = s.same(&x.change, get)
					}
				}
				return nil
			})
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	work.Wait()
	if err := failed.Load(); err != nil {
		return nil, s.storeProblem(*err)
	}
	changes := make([]store.Change, 0, len(lines))
	for i := range results {
		switch x := &results[i]; {
		case x.err != nil:
			return nil, s.storeProblem(at(i, x.err))
		case !x.same:
			changes = append(changes, x.change)
		}
	}
	return changes, nil
}

// importChange reads a line. Nearly all have one member and nothing around it: of
// those only the member is read. What is wrong is told of the whole line.
func (s *Server) importChange(line []byte, reason, actor string) (c store.Change, err error) {
	if in, ok := onlyMember(line); ok {
		if c, err = s.importOf(&in, reason, actor); err == nil {
			return c, nil
		}
	}
	var in importLine
	if err := decode(line, &in); err != nil {
		return c, err
	}
	return s.importOf(&in, reason, actor)
}

// onlyMember cuts what is around the member of a usual line. It is that member only
// where it is one whole value, which who reads it finds out.
func onlyMember(line []byte) (in importLine, ok bool) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	inner, ok := bytes.CutSuffix(line, endLine)
	if !ok {
		return in, false
	}
	if in.User, ok = bytes.CutPrefix(inner, beginUser); ok {
		return in, true
	}
	in.User = nil
	if in.Override, ok = bytes.CutPrefix(inner, beginOverride); ok {
		return in, true
	}
	in.Override = nil
	in.Context, ok = bytes.CutPrefix(inner, beginContext)
	return in, ok
}

// What lines begin and end with.
var (
	beginUser     = []byte(`{"user":`)
	beginOverride = []byte(`{"override":`)
	beginContext  = []byte(`{"context":`)
	endLine       = []byte(`}`)
)

func (s *Server) importOf(in *importLine, reason, actor string) (c store.Change, err error) {
	switch {
	case in.Context != nil && in.User == nil && in.Override == nil:
		var x struct {
			ID int64 `json:"id"`
			contextBody
		}
		if err := decode(in.Context, &x); err != nil {
			return c, err
		}
		su, err := cascade.NewSubject(x.ID, 0)
		if err != nil || su.Context == 0 {
			return c, fail(http.StatusUnprocessableEntity, "bad_id", "id is 1 to %d", cascade.MaxID)
		}
		body, err := x.record()
		return store.Change{Key: store.ContextKey(su.Context), Body: body}, err
	case in.User != nil && in.Context == nil && in.Override == nil:
		var x struct {
			Context int64 `json:"context"`
			ID      int64 `json:"id"`
			userBody
		}
		if err := decode(in.User, &x); err != nil {
			return c, err
		}
		su, err := cascade.NewSubject(x.Context, x.ID)
		if err != nil || su.User == 0 {
			return c, fail(http.StatusUnprocessableEntity, "bad_id", "context and id are 1 to %d", cascade.MaxID)
		}
		body, err := x.record()
		return store.Change{Key: store.UserKey(su.Context, su.User), Body: body}, err
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
	if schema := s.Engine.Schema(); masked(schema, o.Property, *o.Value) {
		// An export does not show it: what is there stays.
		k := store.OverrideKey(su, o.Property)
		have, err := s.Store.Get(k)
		if err == nil && !exportedAs(schema, have, *o.Value) {
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
	if !plainText(*o.Value) {
		return c, errControl(o.Property)
	}
	if err := finalScope(o.Final); err != nil {
		return c, err
	}
	if err := checkReason(o.Reason); err != nil {
		return c, err
	}
	if err := checkReason(o.Actor); err != nil {
		return c, fail(http.StatusUnprocessableEntity, "bad_reason", "the actor is as the reason: %s", asProblem(err).Detail)
	}
	for _, at := range []*time.Time{o.Time, o.Expires} {
		if at != nil && (at.UTC().Year() < 0 || at.UTC().Year() > lastYear) {
			return c, fail(http.StatusUnprocessableEntity, "bad_time", "time and expires are in the years 0 to %d in UTC", lastYear)
		}
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
func (s *Server) same(c *store.Change, get func(store.Key) (*store.Record, error)) (bool, error) {
	have, err := get(c.Key)
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

// masked reports whether a value is one of which an export left something out.
func masked(schema *cascade.Schema, name, value string) bool {
	return strings.Contains(value, cascade.Mask) && schema.Show(name, strings.ReplaceAll(value, cascade.Mask, "x")) == value
}

// exportedAs reports whether an export writes the override as that value.
func exportedAs(schema *cascade.Schema, rec *store.Record, value string) bool {
	if rec == nil {
		return false
	}
	o, ok := rec.Body.(*store.Override)
	return ok && schema.Show(rec.Name, o.Value) == value
}
