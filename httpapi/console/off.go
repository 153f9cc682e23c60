package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// override is one of a list, as the API shows it.
type override struct {
	Context, User                   uint32
	ContextName, Login, DisplayName string
	Property, Value, Reason, Actor  string
	Time                            time.Time
	Expires                         *time.Time
	Expired                         bool
}

// Whom names the user, or the context.
func (o *override) Whom() string {
	switch {
	case o.User == 0 && o.ContextName != "":
		return o.ContextName
	case o.User == 0:
		return fmt.Sprintf("context %d", o.Context)
	}
	s := someone{Context: o.Context, ID: o.User, Login: o.Login, DisplayName: o.DisplayName}
	return s.Title()
}

// Key is what a form sends for one of the list.
func (o *override) Key() string { return fmt.Sprintf("%d.%d", o.Context, o.User) }

// contextSet is one with whom it matches.
type contextSet struct {
	Set, File, Expression string
	Line                  int
	Value                 *string
	Contexts, Users       int
	Rollouts              []string
}

type offData struct {
	Property, Value, Actor, Context string
	Overrides                       []override
	Next                            string
	Problem                         string // why the store lists none
	Sets                            struct {
		Contexts, Users int
		Counted         time.Time
		Sets            []contextSet
		Platform        []struct {
			Context, User uint32
			Value         string
		}
		More bool
	}
	Switching, Never, Rollouts []contextSet
	Said                       string
}

// Query is the address of the page with another cursor.
func (d *offData) Query(cursor string) string {
	q := url.Values{"property": {d.Property}, "value": {d.Value}}
	for key, text := range map[string]string{"actor": d.Actor, "context": d.Context, "cursor": cursor} {
		if text != "" {
			q.Set(key, text)
		}
	}
	return "/console/off?" + q.Encode()
}

// off is the page of all that switches a property.
func (c *Console) off(v *visit) error {
	q := v.r.URL.Query()
	d := &offData{Property: strings.TrimSpace(q.Get("property")), Value: "false", Actor: q.Get("actor"), Context: q.Get("context"), Said: q.Get("said")}
	if q.Has("value") {
		d.Value = strings.TrimSpace(q.Get("value"))
	}
	if d.Property == "" {
		d.Property = pushes
	}
	ask := url.Values{"property": {d.Property}, "limit": {"100"}}
	for key, text := range map[string]string{"value": d.Value, "actor": d.Actor, "context": d.Context, "cursor": q.Get("cursor")} {
		if text != "" {
			ask.Set(key, text)
		}
	}
	var p *problem
	if err := v.get("/admin/v1/overrides", ask, d); errors.As(err, &p) && p.Status != http.StatusUnauthorized {
		d.Problem = p.Detail
	} else if err != nil {
		return err
	}
	if err := v.get("/admin/v1/contextsets", url.Values{"property": {d.Property}}, &d.Sets); err != nil {
		return err
	}
	for _, s := range d.Sets.Sets {
		if s.Value != nil && (d.Value == "" || *s.Value == d.Value) {
			d.Switching = append(d.Switching, s)
		}
		if s.Users == 0 && s.Contexts == 0 {
			d.Never = append(d.Never, s)
		}
		if len(s.Rollouts) > 0 {
			d.Rollouts = append(d.Rollouts, s)
		}
	}
	v.draw(http.StatusOK, "off", d)
	return nil
}

type planData struct {
	Property, Reason, Back string
	Keys                   []string
	Changed                int
	Effect                 struct {
		Properties []struct {
			Property        string
			Contexts, Users int
		}
		Sockets struct{ Connected, Closed, LetIn int }
	}
}

// offAction shows what taking overrides away would change, or does it.
func (c *Console) offAction(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return &problem{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	d := &planData{Property: v.r.PostForm.Get("property"), Reason: reason(v.r), Keys: v.r.PostForm["key"], Back: local(v.r.PostForm.Get("back"))}
	body := struct {
		Reason    string           `json:"reason"`
		Overrides []map[string]any `json:"overrides"`
	}{Reason: d.Reason}
	for _, key := range d.Keys {
		context, user, _ := strings.Cut(key, ".")
		con, cerr := strconv.ParseInt(context, 10, 32)
		u, uerr := strconv.ParseInt(user, 10, 32)
		if err := errors.Join(cerr, uerr); err != nil {
			return &problem{Status: http.StatusBadRequest, Detail: "What is chosen are contexts and users."}
		}
		o := map[string]any{"context": con, "property": d.Property, "remove": true}
		if u != 0 {
			o["user"] = u
		}
		body.Overrides = append(body.Overrides, o)
	}
	if len(body.Overrides) == 0 {
		return &problem{Status: http.StatusBadRequest, Detail: "Nothing is chosen: mark some of the list first."}
	}
	path := "/admin/v1/overrides"
	confirmed := v.r.PostForm.Get("confirmed") != ""
	if !confirmed {
		path += "?dryRun=true"
	}
	if _, err := v.call(http.MethodPost, path, nil, body, d); err != nil {
		return err
	}
	if !confirmed {
		v.draw(http.StatusOK, "plan", d)
		return nil
	}
	v.back(d.Back, count(d.Changed, "override")+" taken away; the audit log can bring back what was.")
	return nil
}

// back leads to a page that says what was done.
func (v *visit) back(to, said string) {
	mark := "?"
	if strings.Contains(to, "?") {
		mark = "&"
	}
	http.Redirect(v.w, v.r, to+mark+url.Values{"said": {said}}.Encode(), http.StatusSeeOther)
}
