package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed47708276/sluice/cascade"
)

// pushes is the property that most questions are about.
const pushes = "com.openexchange.websockets.enabled"

// explanation is that of the API, with the lines of files that its steps name.
type explanation struct {
	cascade.Explanation
	sourceLines
}

// explain asks why a property is what it is.
func (v *visit) explain(base string, ask url.Values) *explanation {
	x := &explanation{sourceLines: sourceLines{}}
	ask.Set("verbose", "true")
	v.get(base+"/properties", ask, x)
	for i := range x.Steps {
		if o := x.Steps[i].Origin; o != nil && o.File != "" {
			v.lines(x.sourceLines, url.Values{"file": {o.File}, "line": {strconv.Itoa(o.Line)}})
		}
	}
	return x
}

// property is the page of a property in the view of the server.
func (v *visit) property() {
	name, err := url.PathUnescape(chi.URLParam(v.r, "property"))
	if err != nil {
		v.refuse(http.StatusBadRequest, "error.address")
	}
	v.draw(http.StatusOK, "property", name, v.explain("/admin/v1", url.Values{"name": {name}}))
}

type personData struct {
	someone
	Property    string
	Pushes      bool // the property is that of the switch
	Explanation *explanation
	WhatIf      map[string]string // what is supposed: tags, permissions, value
	Key         string            // names the override in a plan, with its revision
	Override    bool              // there is one
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
	NoSessions *problem // why none are listed
	Deliveries []delivery
	Sent       *delivery // the test message that the address names
	Entries    []auditEntry
}

// person is the page of a user.
func (v *visit) person() {
	su, q := v.subject(), v.r.URL.Query()
	var found struct{ Users []someone }
	v.get("/admin/v1/users", url.Values{"search": {su.String()}}, &found)
	if len(found.Users) != 1 {
		v.refuse(http.StatusNotFound, "error.ids")
		return
	}
	d := &personData{someone: found.Users[0], WhatIf: map[string]string{}, Property: cmp.Or(strings.TrimSpace(q.Get("property")), pushes)}
	d.Pushes = d.Property == pushes
	ask := url.Values{"name": {d.Property}}
	for _, key := range []string{"tags", "permissions", "value"} {
		if words := q.Get(key); words != "" {
			d.WhatIf[key] = words
			ask.Set(key, words)
		}
	}
	base := fmt.Sprintf("/admin/v1/contexts/%d/users/%d", su.Context, su.User)
	d.Explanation = v.explain(base, ask)
	tag := v.call(http.MethodGet, base+"/websockets", nil, nil, nil)
	d.Override = v.refused() == nil && tag != "" && !strings.HasPrefix(tag, "W/") // which would be that of an answer
	if !d.Override {
		tag = "0"
	}
	d.Key = fmt.Sprintf("%d.%d.%s.%s", su.Context, su.User, strings.Trim(tag, `"`), pushes)
	v.get("/admin/v1/sockets", su.query(), d)
	v.get("/admin/v1/sessions", su.query(), d)
	d.NoSessions = v.refused()
	v.arrivals(d, su)
	v.get("/admin/v1/audit", su.query("limit", "5"), d)
	v.draw(http.StatusOK, "person", d.Title(), d)
}

// personAction does something for a user, and leads back to the page.
func (v *visit) personAction() {
	su := v.subject()
	switch chi.URLParam(v.r, "action") {
	case "send":
		v.sendTest(su)
	case "register":
		v.register(su)
	case "end":
		v.call(http.MethodDelete, "/admin/v1/sessions", su.query("session", v.r.PostFormValue("session")), nil, nil)
		v.lead(su.Path(), "said", "ended")
	case "close":
		var out struct{ Closed int }
		v.call(http.MethodDelete, "/admin/v1/sockets", su.query(), nil, &out)
		v.lead(su.Path(), "said", "closed", "n", strconv.Itoa(out.Closed))
	default:
		v.refuse(http.StatusNotFound, "error.action")
	}
}

// delivery is what became of a message, as the API tells it.
type delivery struct {
	subject
	ID, Topic, From, Outcome, Proof string
	Time                            time.Time
	Sockets                         int
	Ms                              *float64
	Settled                         bool
	Members                         []struct {
		Asked   int
		Dropped map[string]int
	}
}

// Arrived says how far a message came, in a few words.
func (d *delivery) Arrived() string {
	asked := false
	for i := range d.Members {
		asked = asked || d.Members[i].Asked > 0
	}
	switch {
	case d.Ms != nil && (d.Proof == "page" || d.Proof == "browser"):
		return plain("proof."+d.Proof, fmt.Sprintf("%.0f", *d.Ms))
	case d.Proof == "queued" && asked && !d.Settled:
		return plain("proof.waiting")
	case d.Proof == "queued" && asked:
		return plain("proof.silent")
	case d.Proof == "queued":
		return plain("proof.unasked")
	case texts["proof."+d.Outcome] != nil:
		return plain("proof." + d.Outcome)
	}
	return plain("proof.none")
}

// Grade is how a message is marked.
func (d *delivery) Grade() string {
	return cmp.Or(map[string]string{"page": "ok", "browser": "ok", "queued": "degraded"}[d.Proof], "failed")
}

// Lost says why sockets did not get it.
func (d *delivery) Lost() string {
	var parts []string
	for i := range d.Members {
		for why, n := range d.Members[i].Dropped {
			parts = append(parts, fmt.Sprintf("%d %s", n, word("dropped", why)))
		}
	}
	return strings.Join(parts, ", ")
}

// shownDeliveries is how many of the last messages the page of a person has.
const shownDeliveries = 10

// arrivals adds what became of a person's last messages.
func (v *visit) arrivals(d *personData, su subject) {
	v.get("/admin/v1/deliveries", su.query(), d)
	d.Deliveries = d.Deliveries[:min(len(d.Deliveries), shownDeliveries)]
	id := v.r.URL.Query().Get("message")
	if id == "" {
		return
	}
	var of struct{ Deliveries []delivery }
	v.get("/admin/v1/deliveries", url.Values{"id": {id}}, &of)
	d.Sent = &delivery{ID: id, Outcome: "no_socket"}
	if len(of.Deliveries) > 0 {
		d.Sent = &of.Deliveries[0]
	}
}

// sendTest sends a message that clients ignore; the page that follows watches it
// arrive.
func (v *visit) sendTest(su subject) {
	var sent struct {
		ID     string
		Local  int
		Remote *int
	}
	v.call(http.MethodPost, "/admin/v1/messages", nil, map[string]any{
		"context": su.Context, "user": su.User, "name": "sluice:test", "args": []any{map[string]any{"from": "console", "time": time.Now().UTC()}}, "confirm": true,
	}, &sent)
	said := "sent"
	if sent.Remote == nil || *sent.Remote > 0 {
		said = "carried"
	}
	v.lead(su.Path(), "said", said, "n", strconv.Itoa(sent.Local), "message", sent.ID)
}

// register has the mail server notify for the user.
func (v *visit) register(su subject) {
	var out struct {
		Results []struct{ Result, Detail string }
	}
	v.call(http.MethodPost, "/admin/v1/mailpush/registrations", nil, map[string]any{"action": "register", "users": []subject{su}}, &out)
	for _, r := range out.Results {
		if r.Result != "registered" {
			v.refuse(http.StatusBadGateway, "error.registration", word("registration", r.Result), r.Detail)
		}
	}
	v.lead(su.Path(), "said", "registered")
}

// Step is one of those that a push goes through: ok, problem or unknown.
type Step struct {
	Code, Verdict, Text string
	Details             []string
	Next                string
}

// Grade is how a step is marked.
func (s *Step) Grade() string {
	return map[string]string{"ok": "ok", "problem": "failed"}[s.Verdict]
}

// doctor examines a person. It asks every member and the mail server, so that
// the page of the person loads it by itself.
func (v *visit) doctor() {
	su := v.subject()
	if v.opts.Doctor == nil {
		v.refuse(http.StatusNotFound, "error.doctor")
	}
	d := struct {
		subject
		Steps []Step
	}{subject: su}
	if v.err == nil {
		d.Steps, v.err = v.opts.Doctor(v.r.Context(), v, su.Context, su.User)
	}
	v.draw(http.StatusOK, "doctor", plain("doctor"), &d)
}
