package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
)

// sourceLines are lines of files by file:line.
type sourceLines map[string]cascade.SourceLine

// At is a line, or nil.
func (s sourceLines) At(path string, line int) *cascade.SourceLine {
	if l, ok := s[fmt.Sprintf("%s:%d", path, line)]; ok {
		return &l
	}
	return nil
}

// lines adds those that the API has: of all findings where ask is nil.
func (v *visit) lines(to sourceLines, ask url.Values) {
	var found struct{ Lines []cascade.SourceLine }
	v.get("/admin/v1/config/lines", ask, &found)
	for _, l := range found.Lines {
		to[fmt.Sprintf("%s:%d", l.Path, l.Line)] = l
	}
}

// reload is a change of the files.
type reload struct {
	Time       time.Time
	Generation uint64
	Degraded   bool
	Held       *cascade.Hold
	Changed    []cascade.Change
	More       int
}

// Total is how many values changed, also those that are not listed.
func (r *reload) Total() int { return len(r.Changed) + r.More }

// engineStatus is embedded under a name that leaves Status to its field.
type engineStatus = cascade.Status

type configurationData struct {
	engineStatus
	Member, Version string
	Reloads         []reload
	sourceLines
	Search string
	Found  propertyList
}

func (v *visit) configuration() {
	d := &configurationData{Search: strings.TrimSpace(v.r.FormValue("search")), sourceLines: sourceLines{}}
	v.get("/admin/v1/config", nil, d)
	v.get("/admin/v1/config/reloads", nil, d)
	v.lines(d.sourceLines, nil)
	if d.Search != "" {
		d.Found = v.find(d.Search, "200")
	}
	v.draw(http.StatusOK, "configuration", plain("nav.configuration"), d)
}

// configurationAction reloads, or lets a held change through.
func (v *visit) configurationAction() {
	said := chi.URLParam(v.r, "action")
	switch said {
	case "reload":
		v.call(http.MethodPost, "/admin/v1/config/reload", nil, struct{}{}, nil)
		if v.status() == http.StatusUnprocessableEntity {
			v.err, said = nil, "errors"
		}
	case "confirm":
		v.call(http.MethodPost, "/admin/v1/config/confirm", nil, map[string]string{"digest": v.r.PostFormValue("digest")}, nil)
	default:
		v.refuse(http.StatusNotFound, "error.action")
	}
	v.lead("/console/configuration", "said", said)
}

type auditEntry struct {
	Revision              uint64
	Time                  time.Time
	Actor, Reason, Action string
	Omitted               int // changes that are not in the list
	Changes               []struct {
		Kind, Name    string
		Context, User *uint32
		Before, After map[string]any
	}
}

// Subject is whom the first change of an entry is about.
func (e *auditEntry) Subject() string {
	if len(e.Changes) == 0 {
		return ""
	}
	ch := &e.Changes[0]
	whom := ch.Name
	switch {
	case ch.User != nil:
		whom = subject{*ch.Context, *ch.User}.String()
	case ch.Context != nil:
		whom = plain("off.context.id", *ch.Context)
	}
	if n := len(e.Changes) + e.Omitted - 1; n > 0 {
		return plain("audit.more", whom, n)
	}
	return whom
}

// Reversible reports whether the API can undo an entry: it makes no token again,
// and leaves the platform's database alone.
func (e *auditEntry) Reversible() bool {
	return len(e.Changes) > 0 && e.Changes[0].Kind != "token" && !strings.HasSuffix(e.Action, ".platform")
}

type auditData struct {
	Entries []auditEntry
	Next    string // the address of older ones
	Query   url.Values
}

// audit reads a page of the log, filtered by what the address says.
func (v *visit) audit(d *auditData) {
	d.Query = v.r.URL.Query()
	ask := url.Values{"limit": {"50"}}
	for _, key := range []string{"context", "user", "property", "actor", "action", "cursor"} {
		if words := d.Query.Get(key); words != "" {
			ask.Set(key, words)
		}
	}
	if hours, err := strconv.Atoi(d.Query.Get("hours")); err == nil && hours > 0 {
		ask.Set("since", time.Now().Add(-time.Duration(hours)*time.Hour).UTC().Format(time.RFC3339))
	}
	v.get("/admin/v1/audit", ask, d)
	if d.Next != "" {
		d.Next = with(v.Here(), "cursor", d.Next) + "#audit"
	}
}

func (v *visit) revert() {
	path := "/admin/v1/audit/" + url.PathEscape(chi.URLParam(v.r, "revision")) + "/revert"
	var out struct{ Revision uint64 }
	v.call(http.MethodPost, path, nil, map[string]string{"reason": reason(v.r)}, &out)
	v.lead(v.r.PostFormValue("back"), "done", strconv.FormatUint(out.Revision, 10))
}
