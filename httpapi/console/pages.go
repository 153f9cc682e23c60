package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// property is the page of a property in the view of the server.
func (c *Console) property(v *visit) error {
	name, err := url.PathUnescape(chi.URLParam(v.r, "property"))
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Detail: "The address is damaged."}
	}
	var x explanation
	if err := v.get("/admin/v1/properties", url.Values{"name": {name}, "verbose": {"true"}}, &x); err != nil {
		return err
	}
	v.draw(http.StatusOK, "property", x)
	return nil
}

type fileFinding struct {
	Line, Col            int
	Severity, Code, Text string
}

type configurationData struct {
	Status   string
	Identity struct {
		Files, Overrides string
		Generation       uint64
	}
	Watch  struct{ Mode, Problem string }
	Loaded time.Time
	Files  []struct {
		Path, Status, Digest string
		Errors               []fileFinding
	}
	Held *struct {
		Digest           string
		Since            time.Time
		Property         string
		Users, Sockets   int
		Connected, Limit int
		Causes           []struct {
			Property, Value, Origin string
			Users                   int
		}
	}
	Pending []struct {
		Property string
		Old, New *string
	}
	Member, Version string
	Reloads         []reload
	lines           map[string]sourceLine
	Said            string
	Search          string
	Properties      []explanation
	More            bool
}

// sourceLine is the line of a file that a finding is about.
type sourceLine struct {
	Path            string
	Line            int
	Text, Corrected string
}

// reload is a change of the files.
type reload struct {
	Time       time.Time
	Generation uint64
	Degraded   bool
	Held       *struct{ Digest string }
	Changed    []struct {
		Property, Result, Because string
		Old, New                  *string
	}
	More int
}

// At is the line of a finding.
func (d *configurationData) At(path string, line int) *sourceLine {
	if l, ok := d.lines[fmt.Sprintf("%s:%d", path, line)]; ok {
		return &l
	}
	return nil
}

func (c *Console) configuration(v *visit) error {
	d := &configurationData{Said: v.r.FormValue("said"), Search: strings.TrimSpace(v.r.FormValue("search"))}
	if err := v.get("/admin/v1/config", nil, d); err != nil {
		return err
	}
	if err := v.get("/admin/v1/config/reloads", nil, d); err != nil {
		return err
	}
	var found struct{ Lines []sourceLine }
	if err := v.get("/admin/v1/config/lines", nil, &found); err != nil {
		return err
	}
	d.lines = make(map[string]sourceLine, len(found.Lines))
	for _, l := range found.Lines {
		d.lines[fmt.Sprintf("%s:%d", l.Path, l.Line)] = l
	}
	if err := v.find(d); err != nil {
		return err
	}
	v.draw(http.StatusOK, "configuration", d)
	return nil
}

// The bounds of a search: pages of the API, and what a page here shows.
const (
	maxSearched = 10
	maxFound    = 200
)

// find looks for the effective values of the server that have a text in their
// name or value.
func (v *visit) find(d *configurationData) error {
	if d.Search == "" {
		return nil
	}
	ask, text := url.Values{"prefix": {""}, "limit": {"1000"}}, strings.ToLower(d.Search)
	for range maxSearched {
		var list struct {
			Properties []explanation
			Next       string
		}
		if err := v.get("/admin/v1/properties", ask, &list); err != nil {
			return err
		}
		for _, x := range list.Properties {
			if strings.Contains(strings.ToLower(x.Property), text) || x.Value != nil && strings.Contains(strings.ToLower(*x.Value), text) {
				if len(d.Properties) == maxFound {
					d.More = true
					return nil
				}
				d.Properties = append(d.Properties, x)
			}
		}
		if list.Next == "" {
			return nil
		}
		ask.Set("cursor", list.Next)
	}
	d.More = true
	return nil
}

// configurationAction reloads, or lets a held change through.
func (c *Console) configurationAction(v *visit) error {
	said := "The files were read again."
	var err error
	switch chi.URLParam(v.r, "action") {
	case "reload":
		var p *problem
		_, err = v.call(http.MethodPost, "/admin/v1/config/reload", nil, struct{}{}, nil)
		if errors.As(err, &p) && p.Status == http.StatusUnprocessableEntity {
			said, err = "The files were read again, and some have errors.", nil
		}
	case "confirm":
		_, err = v.call(http.MethodPost, "/admin/v1/config/confirm", nil, map[string]string{"digest": v.r.PostFormValue("digest")}, nil)
		said = "The change counts."
	default:
		err = &problem{Status: http.StatusNotFound, Detail: "There is no such action."}
	}
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/console/configuration?"+url.Values{"said": {said}}.Encode(), http.StatusSeeOther)
	return nil
}

type auditEntry struct {
	Revision uint64
	Time     time.Time
	Actor    string
	Reason   string
	Action   string
	Changes  []struct {
		Kind          string
		Context, User *uint32
		Name          string
		Before, After json.RawMessage
	}
}

// Subject is whom the first change of an entry is about.
func (e *auditEntry) Subject() string {
	if len(e.Changes) == 0 {
		return ""
	}
	ch, more := &e.Changes[0], ""
	if n := len(e.Changes) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	switch {
	case ch.Context == nil:
		return ch.Name + more
	case ch.User == nil:
		return fmt.Sprintf("context %d%s", *ch.Context, more)
	}
	return fmt.Sprintf("%d@%d%s", *ch.User, *ch.Context, more)
}

type auditData struct {
	Entries []auditEntry
	Next    string
	Said    string
	Query   url.Values
}

// audit is a page of the log, filtered by what the address says.
func (c *Console) audit(v *visit) error {
	q := url.Values{}
	for _, key := range []string{"context", "user", "property", "actor", "action", "since", "cursor"} {
		if text := v.r.FormValue(key); text != "" {
			q.Set(key, text)
		}
	}
	d := auditData{Query: q, Said: v.r.FormValue("said")}
	if err := v.get("/admin/v1/audit", q, &d); err != nil {
		return err
	}
	v.draw(http.StatusOK, "audit", d)
	return nil
}

func (c *Console) revert(v *visit) error {
	path := "/admin/v1/audit/" + url.PathEscape(chi.URLParam(v.r, "revision")) + "/revert"
	if _, err := v.call(http.MethodPost, path, nil, map[string]string{"reason": reason(v.r)}, nil); err != nil {
		return err
	}
	to := local(v.r.PostFormValue("back"))
	http.Redirect(v.w, v.r, to+"?"+url.Values{"said": {"It is as it was before."}}.Encode(), http.StatusSeeOther)
	return nil
}
