package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// pushes is the property that most questions are about.
const pushes = "com.openexchange.websockets.enabled"

// someone is a user as the API finds it.
type someone struct {
	Context     uint32
	ID          uint32
	Login       string
	Mail        []string
	DisplayName string
	ContextName string
	Account     string
}

// Path is the page of the user.
func (s *someone) Path() string { return fmt.Sprintf("/console/person/%d/%d", s.Context, s.ID) }

// Title is what people call the user.
func (s *someone) Title() string {
	switch {
	case s.DisplayName != "":
		return s.DisplayName
	case s.Login != "":
		return s.Login
	case len(s.Mail) > 0:
		return s.Mail[0]
	}
	return fmt.Sprintf("User %d", s.ID)
}

type searchData struct {
	Query string
	Found []someone
	More  bool
	Asked bool
}

// search is the front page. A text leads to the one page that it means, else to
// a list of those whom it may mean.
func (c *Console) search(v *visit) error {
	q := strings.TrimSpace(v.r.FormValue("q"))
	d := searchData{Query: q, Asked: q != ""}
	for _, text := range candidates(q) {
		if strings.Contains(text, ".") && !strings.ContainsAny(text, "@ ") {
			var list struct{ Properties []explanation }
			if err := v.get("/admin/v1/properties", url.Values{"prefix": {text}, "limit": {"1"}}, &list); err != nil {
				return err
			}
			if len(list.Properties) == 1 && list.Properties[0].Property == text {
				http.Redirect(v.w, v.r, "/console/property/"+url.PathEscape(text), http.StatusSeeOther)
				return nil
			}
		}
		var list struct {
			Users []someone
			Next  string
		}
		if err := v.get("/admin/v1/users", url.Values{"search": {text}, "limit": {"50"}}, &list); err != nil {
			return err
		}
		if len(list.Users) == 1 {
			http.Redirect(v.w, v.r, list.Users[0].Path(), http.StatusSeeOther)
			return nil
		}
		if len(list.Users) > 0 {
			d.Found, d.More = list.Users, list.Next != ""
			break
		}
	}
	v.draw(http.StatusOK, "search", d)
	return nil
}

// candidates are the texts of a question that may name somebody: the whole, then
// its words, those with an @ first.
func candidates(q string) []string {
	if q == "" {
		return nil
	}
	out := []string{q}
	words := strings.Fields(q)
	if len(words) == 1 {
		return out
	}
	for _, w := range words {
		if strings.Contains(w, "@") {
			out = append(out, w)
		}
	}
	for _, w := range words {
		switch strings.ToLower(w) {
		case "push", "pushes", "websocket", "websockets", "socket", "sockets", "on", "off", "why", "is", "for", "the", "user":
		default:
			if !strings.Contains(w, "@") {
				out = append(out, w)
			}
		}
	}
	return out
}

// explanation is that of the API.
type explanation struct {
	Property  string
	Value     *string
	Effective any
	Scope     *string
	Origin    *origin
	Default   *string
	Summary   string
	Tags      []struct{ Tag, From string }
	Steps     []struct {
		Scope, Status string
		Value         *string
		Origin        *origin
		Invalid       bool
		Sets          []struct {
			Set, File, Expression, Because string
			Line                           int
			Matched                        bool
		}
	}
	Warnings []string
}

type personData struct {
	someone
	Property    string
	Explanation explanation
	Held        *explanation
	Tags        string // what-if
	Permissions string
	Revision    string // of the override, for If-Match
	Sockets     []struct {
		Member, Connection, Path, Client, Protocol, Address string
		Since                                               time.Time
		Sent                                                *time.Time
		Queued                                              int
	}
	Ended []struct {
		Member, Cause string
		Code          int
		Time          time.Time
	}
	Refused []struct {
		Member, Code, Reason, Address string
		Time                          time.Time
	}
	Unreachable []string
	Sessions    []struct {
		Hash, Client, Address string
		Guest, Restricted     bool
		Created, Expires      *time.Time
		Sockets               int
	}
	NoSessions string // why none are listed
	Deliveries []delivery
	Sent       *delivery // the test message that the address names
	Entries    []auditEntry
	Done       string // a revision that was just written
	Pushes     bool   // the property is that of the switch
	Said       string
}

// person is the page of a user.
func (c *Console) person(v *visit) error {
	d := &personData{}
	ctx, user := chi.URLParam(v.r, "context"), chi.URLParam(v.r, "user")
	base := "/admin/v1/contexts/" + url.PathEscape(ctx) + "/users/" + url.PathEscape(user)
	var found struct{ Users []someone }
	if err := v.get("/admin/v1/users", url.Values{"search": {user + "@" + ctx}}, &found); err != nil {
		return err
	}
	if len(found.Users) != 1 {
		return &problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("%s@%s is no user: ids are 1 to 2147483647.", user, ctx)}
	}
	d.someone = found.Users[0]
	q := v.r.URL.Query()
	if d.Property = strings.TrimSpace(q.Get("property")); d.Property == "" {
		d.Property = pushes
	}
	d.Pushes = d.Property == pushes
	d.Tags, d.Permissions, d.Done, d.Said = q.Get("tags"), q.Get("permissions"), q.Get("done"), q.Get("said")
	ask := url.Values{"name": {d.Property}, "verbose": {"true"}}
	for key, text := range map[string]string{"tags": d.Tags, "permissions": d.Permissions} {
		if text != "" {
			ask.Set(key, text)
		}
	}
	if err := v.get(base+"/properties", ask, &d.Explanation); err != nil {
		return err
	}
	if header, err := v.call(http.MethodGet, base+"/websockets", nil, nil, nil); err == nil {
		if tag := header.Get("ETag"); !strings.HasPrefix(tag, "W/") { // which would be that of an answer, not of an override
			d.Revision = tag
		}
	}
	if err := v.get("/admin/v1/sockets", url.Values{"context": {ctx}, "user": {user}}, d); err != nil {
		return err
	}
	if err := v.arrivals(d, ctx, user); err != nil {
		return err
	}
	var log struct{ Entries []auditEntry }
	if err := v.get("/admin/v1/audit", url.Values{"context": {ctx}, "user": {user}, "limit": {"5"}}, &log); err != nil {
		return err
	}
	d.Entries = log.Entries
	v.draw(http.StatusOK, "person", d)
	return nil
}

// personAction changes something for a user, and leads back to the page.
func (c *Console) personAction(v *visit) error {
	ctx, user := chi.URLParam(v.r, "context"), chi.URLParam(v.r, "user")
	back := url.Values{}
	var err error
	switch action := chi.URLParam(v.r, "action"); action {
	case "on", "off":
		back, err = v.switchPushes(ctx, user, action == "on")
	case "reset":
		var out struct{ Revision json.Number }
		_, err = v.call(http.MethodDelete, websockets(ctx, user)+"?"+url.Values{"reason": {reason(v.r)}}.Encode(), nil, nil, &out)
		back.Set("said", "The switch is back to what the cascade says.")
	case "send":
		back, err = v.sendTest(ctx, user)
	case "end":
		var out struct{ Ended int }
		ask := url.Values{"context": {ctx}, "user": {user}, "session": {v.r.PostFormValue("session")}}
		_, err = v.call(http.MethodDelete, "/admin/v1/sessions?"+ask.Encode(), nil, nil, &out)
		back.Set("said", "The session has ended, and its sockets with it.")
	case "register":
		back, err = v.register(ctx, user)
	case "close":
		var out struct{ Closed int }
		_, err = v.call(http.MethodDelete, "/admin/v1/sockets?"+url.Values{"context": {ctx}, "user": {user}}.Encode(), nil, nil, &out)
		back.Set("said", count(out.Closed, "socket")+" closed.")
	default:
		return &problem{Status: http.StatusNotFound, Detail: "There is no such action."}
	}
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/console/person/"+url.PathEscape(ctx)+"/"+url.PathEscape(user)+"?"+back.Encode(), http.StatusSeeOther)
	return nil
}

func websockets(ctx, user string) string {
	return "/admin/v1/contexts/" + url.PathEscape(ctx) + "/users/" + url.PathEscape(user) + "/websockets"
}

func reason(r *http.Request) string {
	if text := strings.TrimSpace(r.PostFormValue("reason")); text != "" {
		return text
	}
	return "by the console"
}

// forestalled tells somebody whose page was old what another one did meanwhile.
func (v *visit) forestalled(ctx, user string) (url.Values, error) {
	var now struct {
		Override *struct {
			Enabled       bool
			Actor, Reason string
		}
	}
	if err := v.get(websockets(ctx, user), nil, &now); err != nil {
		return nil, err
	}
	did := "Somebody else took the override away meanwhile."
	if o := now.Override; o != nil {
		did = fmt.Sprintf("%s switched it %s meanwhile: %s.", o.Actor, map[bool]string{true: "on", false: "off"}[o.Enabled], o.Reason)
	}
	return url.Values{"said": {did + " Nothing of yours was saved."}}, nil
}

// switchPushes writes the switch, on the condition that nobody did since the page
// was drawn.
func (v *visit) switchPushes(ctx, user string, on bool) (url.Values, error) {
	body := map[string]any{"enabled": on, "reason": reason(v.r)}
	if hours := v.r.PostFormValue("hours"); hours != "" {
		n, err := strconv.Atoi(hours)
		if err != nil || n < 1 || n > 24*365 {
			return nil, &problem{Status: http.StatusBadRequest, Detail: "The time is 1 hour to a year."}
		}
		body["expires"] = time.Now().Add(time.Duration(n) * time.Hour).UTC().Format(time.RFC3339)
	}
	cond := http.Header{"If-None-Match": {"*"}}
	if seen := v.r.PostFormValue("revision"); seen != "" {
		cond = http.Header{"If-Match": {seen}}
	}
	header, err := v.call(http.MethodPut, websockets(ctx, user), cond, body, nil)
	var p *problem
	if errors.As(err, &p) && p.Status == http.StatusPreconditionFailed {
		return v.forestalled(ctx, user)
	}
	if err != nil {
		return nil, err
	}
	return url.Values{"done": {strings.Trim(header.Get("ETag"), `"`)}}, nil
}
