package console

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// override is one of a list, as the API shows it.
type override struct {
	subject
	ContextName, Login, DisplayName string
	Property, Value, Reason, Actor  string
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
	return (&someone{Context: o.Context, ID: o.User, Login: o.Login, DisplayName: o.DisplayName}).Title()
}

// Key names the override in a plan.
func (o *override) Key() string {
	return fmt.Sprintf("%d.%d.%d.%s", o.Context, o.User, o.Revision, o.Property)
}

// shownSets bounds the context sets of a list: a filter by property shows others.
const shownSets = 100

// setList is a list of context sets, and how many it leaves out.
type setList struct {
	Sets []cascade.SetMatch
	More int
}

func (l *setList) add(s cascade.SetMatch) {
	if len(l.Sets) == shownSets {
		l.More++
		return
	}
	l.Sets = append(l.Sets, s)
}

type offData struct {
	Query     url.Values // what the filter says
	Overrides []override
	Next      string   // the address of more of them
	Problem   *problem // why the store lists none
	Counts    struct {
		cascade.SetMatches
		Counted  time.Time
		Platform []cascade.PlatformSwitch
		More     bool
	}
	Switching, Never, Rollouts setList
}

// off is the page of all that switches something.
func (v *visit) off() {
	d := &offData{Query: v.r.URL.Query()}
	if !d.Query.Has("switch") {
		d.Query.Set("switch", "off")
	}
	ask := url.Values{"limit": {"100"}}
	for _, key := range []string{"property", "switch", "context", "user", "actor", "cursor"} {
		if words := strings.TrimSpace(d.Query.Get(key)); words != "" {
			ask.Set(key, words)
		}
	}
	if within := d.Query.Get("expires"); within == "never" {
		ask.Set("expiresBefore", within)
	} else if hours, err := strconv.Atoi(within); err == nil {
		ask.Set("expiresBefore", time.Now().Add(time.Duration(hours)*time.Hour).UTC().Format(time.RFC3339))
	}
	v.get("/admin/v1/overrides", ask, d)
	d.Problem = v.refused()
	if d.Next != "" {
		d.Next = with(v.Here(), "cursor", d.Next)
	}
	sets := url.Values{"switch": ask["switch"]}
	if ask.Has("property") {
		sets["property"] = ask["property"]
	}
	v.get("/admin/v1/contextsets", sets, &d.Counts)
	for _, s := range d.Counts.Sets {
		if len(s.Gives) > 0 {
			d.Switching.add(s)
		}
		if s.Users == 0 && s.Contexts == 0 {
			d.Never.add(s)
		}
		if len(s.Rollouts) > 0 {
			d.Rollouts.add(s)
		}
	}
	v.draw(http.StatusOK, "off", plain("nav.off"), d)
}

const (
	// maxHours bounds how long a switch is set for: a year, in hours.
	maxHours = 24 * 365
	// shownDifferences is how many changes a plan shows one by one.
	shownDifferences = 20
)

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
		Sockets     struct {
			Connected, Closed, LetIn int
			Unreachable              []string
		}
	}
	first subject        // whom the first override is of
	body  map[string]any // for the API
}

// planned reads what is wanted: overrides that switch a property off or on, or
// that go. A key is CONTEXT.USER.REVISION.PROPERTY: who changes the override
// meanwhile was faster. Revision 0 is none; the property may stand by itself.
func (v *visit) planned() *planData {
	f := v.r.FormValue // which parses the form
	d := &planData{Do: f("do"), Reason: reason(v.r), Hours: f("hours"), Back: with(f("back")), Confirm: f("confirm"), Keys: v.r.Form["key"]}
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
	var names []string
	for i, key := range d.Keys {
		su, revision, property := subject{}, uint64(0), f("property")
		if parts := strings.SplitN(key, ".", 4); len(parts) == 4 {
			property = parts[3]
		}
		if n, err := fmt.Sscanf(key, "%d.%d.%d", &su.Context, &su.User, &revision); n != 3 || err != nil {
			v.refuse(http.StatusBadRequest, "error.ids")
		}
		if i == 0 {
			d.first = su
		}
		o := map[string]any{"context": su.Context, "user": su.User, "property": property, "revision": revision, "remove": value == nil}
		if value != nil {
			o["value"], o["expires"] = value, d.Until
		}
		list, names = append(list, o), append(names, property)
	}
	slices.Sort(names)
	d.Property = strings.Join(slices.Compact(names), ", ")
	d.body = map[string]any{"reason": d.Reason, "overrides": list}
	d.Title = plain("plan."+d.Do, count(len(d.Keys), "override"))
	if len(d.Keys) == 1 {
		d.Title = plain("plan."+d.Do+".one", d.first)
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
		v.draw(http.StatusOK, "plan", plain("plan"), d)
	}
}

// forestalled leads those whose page was old back to it, where they see what
// another one did meanwhile, and reports whether it did.
func (v *visit) forestalled(d *planData) bool {
	if s := v.status(); s != http.StatusPreconditionFailed && (s != http.StatusNotFound || d.Do != "remove") {
		return false
	}
	v.err = nil
	var log auditData
	v.get("/admin/v1/audit", d.first.query("limit", "1"), &log)
	done := uint64(0)
	if len(log.Entries) > 0 {
		done = log.Entries[0].Revision
	}
	v.lead(d.Back, "said", "forestalled", "n", strconv.FormatUint(done, 10))
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
	if v.forestalled(d) {
		return
	}
	if p := v.problem(); p != nil && p.Code == "would_close" {
		if m := wanted.FindStringSubmatch(p.Detail); m != nil {
			v.err, d.Problem, d.Confirm = nil, p.Detail, m[1]
			v.draw(p.Status, "plan", plain("plan"), d)
			return
		}
	}
	v.lead(d.Back, "done", strconv.FormatUint(out.Revision, 10))
}
