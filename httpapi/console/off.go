package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// override is one of a list, as the API shows it.
type override struct {
	subject
	ContextName, Login, DisplayName string
	Value, Reason, Actor            string
	Time                            time.Time
	Expires                         *time.Time
	Expired                         bool
	Revision                        uint64
}

// Whom names the user, or the context.
func (o *override) Whom() string {
	switch {
	case o.User == 0 && o.ContextName != "":
		return o.ContextName
	case o.User == 0:
		return plain("off.context.id", o.Context)
	}
	s := someone{Context: o.Context, ID: o.User, Login: o.Login, DisplayName: o.DisplayName}
	return s.Title()
}

// Key names the override in a plan.
func (o *override) Key() string { return o.key(strconv.FormatUint(o.Revision, 10), true) }

type offData struct {
	Property, Value, Actor, Context string
	Pushes                          bool // the property is that of the switch
	Overrides                       []override
	Next                            string   // the address of more of them
	Problem                         *problem // why the store lists none
	Sets                            struct {
		cascade.SetMatches
		Counted  time.Time
		Platform []struct {
			subject
			Value string
		}
		More bool
	}
	Switching, Never, Rollouts []cascade.SetMatch
}

// off is the page of all that switches a property.
func (v *visit) off() {
	q := v.r.URL.Query()
	d := &offData{Property: strings.TrimSpace(q.Get("property")), Value: "false", Actor: q.Get("actor"), Context: q.Get("context")}
	if q.Has("value") {
		d.Value = strings.TrimSpace(q.Get("value"))
	}
	if d.Property == "" {
		d.Property = pushes
	}
	d.Pushes = d.Property == pushes
	ask := url.Values{"property": {d.Property}, "limit": {"100"}}
	for key, words := range map[string]string{"value": d.Value, "actor": d.Actor, "context": d.Context, "cursor": q.Get("cursor")} {
		if words != "" {
			ask.Set(key, words)
		}
	}
	v.get("/admin/v1/overrides", ask, d)
	d.Problem = v.refused()
	if d.Next != "" {
		d.Next = with(v.Here(), "cursor", d.Next)
	}
	v.get("/admin/v1/contextsets", url.Values{"property": {d.Property}}, &d.Sets)
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
}

const (
	// maxHours bounds how long a switch is set for: a year, in hours.
	maxHours = 24 * 365
	// shownDifferences is how many changes a plan shows one by one.
	shownDifferences = 20
)

// key names an override in a plan, with the revision that it has: somebody who
// changes it meanwhile was faster.
func (s subject) key(tag string, there bool) string {
	if !there {
		tag = "0"
	}
	return fmt.Sprintf("%d.%d.%s", s.Context, s.User, strings.Trim(tag, `"`))
}

type planData struct {
	Property, Do, Reason, Hours, Back string
	Keys                              []string
	Title                             string // what is asked
	Until                             *time.Time
	Problem                           string // why the API wants more than a yes
	Confirm                           string // how many sockets it wants confirmed
	Effect                            struct {
		Properties []struct {
			Property        string
			Contexts, Users int
		}
		Differences []cascade.Difference
		Omitted     int
		Sockets     struct{ Connected, Closed, LetIn int }
	}
	body map[string]any // for the API
}

// planned reads what is wanted: overrides that switch a property off or on, or
// that go.
func (v *visit) planned() *planData {
	f := v.r.FormValue // which parses the form
	d := &planData{Property: f("property"), Do: f("do"), Reason: reason(v.r), Hours: f("hours"), Back: with(f("back")), Confirm: f("confirm"), Keys: v.r.Form["key"]}
	value, known := map[string]any{"off": "false", "on": "true", "remove": nil}[d.Do]
	switch {
	case !known:
		v.refuse(http.StatusNotFound, "error.action")
	case len(d.Keys) == 0:
		v.refuse(http.StatusBadRequest, "error.chosen")
	case d.Hours != "" && value != nil:
		n, err := strconv.Atoi(d.Hours)
		if err != nil || n < 1 || n > maxHours {
			v.refuse(http.StatusBadRequest, "error.hours")
		}
		until := time.Now().Add(time.Duration(n) * time.Hour).UTC().Truncate(time.Second)
		d.Until = &until
	}
	var list []map[string]any
	var su subject
	for _, key := range d.Keys {
		revision := uint64(0)
		if n, err := fmt.Sscanf(key, "%d.%d.%d", &su.Context, &su.User, &revision); n != 3 || err != nil {
			v.refuse(http.StatusBadRequest, "error.ids")
		}
		o := map[string]any{"context": su.Context, "user": su.User, "property": d.Property, "revision": revision}
		if value == nil {
			o["remove"] = true
		} else {
			o["value"], o["expires"] = value, d.Until
		}
		list = append(list, o)
	}
	d.body = map[string]any{"reason": d.Reason, "overrides": list}
	d.Title = plain("plan."+d.Do, count(len(d.Keys), "override"))
	if len(d.Keys) == 1 {
		d.Title = plain("plan."+d.Do+".one", su)
	}
	return d
}

func reason(r *http.Request) string {
	if words := strings.TrimSpace(r.FormValue("reason")); words != "" {
		return words
	}
	return plain("reason")
}

// plan shows whom a change would concern, before it is made.
func (v *visit) plan() {
	d := v.planned()
	v.call(http.MethodPost, "/admin/v1/overrides", url.Values{"dryRun": {"true"}}, d.body, d)
	if more := len(d.Effect.Differences) - shownDifferences; more > 0 {
		d.Effect.Differences = d.Effect.Differences[:shownDifferences]
		d.Effect.Omitted += more
	}
	if !v.forestalled(d) {
		v.draw(http.StatusOK, "plan", d)
	}
}

// forestalled leads those whose page was old back to it, where they see what
// another one did meanwhile, and reports whether it did.
func (v *visit) forestalled(d *planData) bool {
	var p *problem
	if !errors.As(v.err, &p) || p.Status != http.StatusPreconditionFailed && (p.Status != http.StatusNotFound || d.Do != "remove") {
		return false
	}
	v.err = nil
	v.lead(d.Back, "said", "forestalled")
	return true
}

// wanted finds the number of sockets that the API wants confirmed.
var wanted = regexp.MustCompile(`\?confirm=(\d+)`)

// apply makes the change that a plan has shown.
func (v *visit) apply() {
	d, query := v.planned(), url.Values{}
	if d.Confirm != "" {
		query.Set("confirm", d.Confirm)
	}
	var out struct{ Revision uint64 }
	v.call(http.MethodPost, "/admin/v1/overrides", query, d.body, &out)
	var p *problem
	if v.forestalled(d) {
		return
	}
	if errors.As(v.err, &p) && p.Code == "would_close" {
		if m := wanted.FindStringSubmatch(p.Detail); m != nil {
			v.err, d.Problem, d.Confirm = nil, p.Detail, m[1]
			v.draw(p.Status, "plan", d)
			return
		}
	}
	v.lead(d.Back, "done", strconv.FormatUint(out.Revision, 10))
}
