package httpapi

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

// pages reads the records of a kind in their order, some at a time.
type pages struct {
	store *store.Store
	kind  store.Kind
	list  []*store.Record
	after *store.Key
	done  bool
}

// head is the next record, or nil at the end.
func (p *pages) head() (*store.Record, error) {
	if len(p.list) > 0 || p.done {
		return p.first(), nil
	}
	list, more, err := p.store.List(p.kind, cascade.Subject{}, false, p.after, maxLimit, func(rec *store.Record) bool { return !rec.Deleted })
	if err != nil {
		return nil, err
	}
	p.list, p.done = list, !more
	if len(list) > 0 {
		p.after = &list[len(list)-1].Key
	}
	return p.first(), nil
}

func (p *pages) first() *store.Record {
	if len(p.list) == 0 {
		return nil
	}
	return p.list[0]
}

// walkDirectory calls f with every context, its overrides, then each of its users
// with the user's, in ascending order: as the directory file has them.
func walkDirectory(st *store.Store, f func(*store.Record) error) error {
	kinds := []*pages{{store: st, kind: store.KindContext}, {store: st, kind: store.KindUser}, {store: st, kind: store.KindOverride}}
	for {
		var next *pages
		for _, p := range kinds { // of the same subject the record goes before its overrides
			rec, err := p.head()
			if err != nil {
				return err
			}
			if rec != nil && (next == nil || compareSubjects(rec, next.list[0]) < 0) {
				next = p
			}
		}
		if next == nil {
			return nil
		}
		if err := f(next.list[0]); err != nil {
			return err
		}
		next.list = next.list[1:]
	}
}

func compareSubjects(a, b *store.Record) int {
	return cmp.Or(cmp.Compare(a.Context, b.Context), cmp.Compare(a.User, b.User))
}

// exportEnd is the last line of an export.
const exportEnd = `{"end":true}`

// exportRecords streams the directory and the overrides, a line each, as an
// import takes them. The last line says that it is whole.
func (s *Server) exportRecords(w http.ResponseWriter, _ *http.Request) error {
	if err := s.inStore(); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	begun, left := false, false
	begin := func() {
		w.Header().Set("Content-Type", ndjson)
		secure(w.Header())
		begun = true
	}
	err := walkDirectory(s.Store, func(rec *store.Record) error {
		if !begun {
			begin()
		}
		if o, ok := rec.Body.(*store.Override); ok {
			o.Value = s.Engine.Schema().Show(rec.Name, o.Value)
		}
		err := enc.Encode(exportLine(rec))
		left = err != nil
		return err
	})
	switch {
	case left:
		return nil
	case err != nil && !begun:
		return s.readProblem(err)
	case err != nil:
		// The status is sent: what is missing is seen by the missing end.
		s.Logger.Error("export ended early", "err", err)
		panic(http.ErrAbortHandler)
	}
	begin()
	_, _ = io.WriteString(w, exportEnd+"\n") // the client has left where it fails
	return nil
}

func exportLine(rec *store.Record) any {
	switch body := rec.Body.(type) {
	case *store.Context:
		c := map[string]any{"id": rec.Context, "name": body.Name, "enabled": body.Enabled, "tags": some(body.Tags)}
		if len(body.Logins) > 0 {
			c["logins"] = body.Logins
		}
		return map[string]any{"context": c}
	case *store.User:
		u := map[string]any{"context": rec.Context, "id": rec.User, "enabled": body.Enabled, "permissions": some(body.Permissions)}
		if body.Login != "" {
			u["login"] = body.Login
		}
		if len(body.Mails) > 0 {
			u["mail"] = body.Mails
		}
		if body.DisplayName != "" {
			u["displayName"] = body.DisplayName
		}
		return map[string]any{"user": u}
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
