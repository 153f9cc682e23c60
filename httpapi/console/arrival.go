package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// delivery is what became of a message, as the API tells it.
type delivery struct {
	ID, Topic, From, Outcome, Proof string
	Context, User                   uint32
	Time                            time.Time
	Sockets                         int
	Ms                              *float64
	Settled                         bool
	Members                         []struct {
		Member                 string
		Asked, Silent, Unasked int
		Dropped                map[string]int
	}
}

// Arrived says how far a message came, in a few words.
func (d *delivery) Arrived() string {
	at := ""
	if d.Ms != nil {
		at = fmt.Sprintf(" after %.0f ms", *d.Ms)
	}
	switch {
	case d.Proof == "page":
		return "the page has it" + at
	case d.Proof == "browser":
		return "the browser has it" + at
	case d.Proof == "queued" && d.Asked() && !d.Settled:
		return "written, waiting for the browser's answer"
	case d.Proof == "queued" && d.Asked():
		return "written; the browser has not answered"
	case d.Proof == "queued":
		return "written; nobody asked the browser"
	case d.Outcome == "no_socket":
		return "nowhere: no socket was open"
	case d.Outcome == "disabled":
		return "nowhere: the switch is off"
	case d.Outcome == "duplicate":
		return "not again: it was sent before"
	case d.Outcome == "merged":
		return "with an equal one that waited"
	}
	return "nowhere: no socket took it"
}

// Asked reports whether a browser was asked.
func (d *delivery) Asked() bool {
	for i := range d.Members {
		if d.Members[i].Asked > 0 {
			return true
		}
	}
	return false
}

// Grade is how a message is marked.
func (d *delivery) Grade() string {
	switch d.Proof {
	case "page", "browser":
		return "ok"
	case "queued":
		return "degraded"
	}
	return "failed"
}

// Lost says why sockets did not get it.
func (d *delivery) Lost() string {
	var parts []string
	for i := range d.Members {
		for why, n := range d.Members[i].Dropped {
			parts = append(parts, fmt.Sprintf("%d %s", n, why))
		}
	}
	return strings.Join(parts, ", ")
}

// shownDeliveries is how many of the last messages the page of a person has.
const shownDeliveries = 10

// arrivals adds a person's sessions, and what became of the last messages.
func (v *visit) arrivals(d *personData, ctx, user string) error {
	who := url.Values{"context": {ctx}, "user": {user}}
	var p *problem
	if err := v.get("/admin/v1/sessions", who, d); errors.As(err, &p) && p.Status != http.StatusUnauthorized {
		d.NoSessions = p.Detail
	} else if err != nil {
		return err
	}
	if err := v.get("/admin/v1/deliveries", who, d); err != nil {
		return err
	}
	d.Deliveries = d.Deliveries[:min(len(d.Deliveries), shownDeliveries)]
	id := v.r.URL.Query().Get("message")
	if id == "" {
		return nil
	}
	var of struct{ Deliveries []delivery }
	if err := v.get("/admin/v1/deliveries", url.Values{"id": {id}}, &of); err != nil {
		return err
	}
	d.Sent = &delivery{ID: id, Outcome: "no_socket"}
	if len(of.Deliveries) > 0 {
		d.Sent = &of.Deliveries[0]
	}
	return nil
}

// sendTest sends a message that clients ignore; the page that follows watches it
// arrive.
func (v *visit) sendTest(ctx, user string) (url.Values, error) {
	c, cerr := strconv.ParseInt(ctx, 10, 32)
	u, uerr := strconv.ParseInt(user, 10, 32)
	if err := errors.Join(cerr, uerr); err != nil {
		return nil, &problem{Status: http.StatusBadRequest, Detail: "Context and user are ids."}
	}
	var sent struct {
		ID     string
		Local  int
		Remote *int
	}
	_, err := v.call(http.MethodPost, "/admin/v1/messages", nil, map[string]any{
		"context": c, "user": u, "name": "sluice:test", "args": []any{map[string]any{"from": "console", "time": time.Now().UTC()}}, "confirm": true,
	}, &sent)
	said := fmt.Sprintf("A test message was queued for %s of this member", count(sent.Local, "socket"))
	if sent.Remote == nil || *sent.Remote > 0 {
		said += " and is on its way to the others"
	}
	return url.Values{"said": {said + "."}, "message": {sent.ID}}, err
}

// register has the mail server notify for the user.
func (v *visit) register(ctx, user string) (url.Values, error) {
	c, cerr := strconv.ParseInt(ctx, 10, 32)
	u, uerr := strconv.ParseInt(user, 10, 32)
	if err := errors.Join(cerr, uerr); err != nil {
		return nil, &problem{Status: http.StatusBadRequest, Detail: "Context and user are ids."}
	}
	var out struct {
		Results []struct{ Result, Detail string }
	}
	_, err := v.call(http.MethodPost, "/admin/v1/mailpush/registrations", nil, map[string]any{
		"action": "register", "users": []any{map[string]any{"context": c, "user": u}},
	}, &out)
	said := "The mail server was asked to notify for this user."
	if len(out.Results) > 0 {
		said = "The mail server answered: " + out.Results[0].Result
		if text := out.Results[0].Detail; text != "" {
			said += " (" + text + ")"
		}
	}
	return url.Values{"said": {said}}, err
}

// Step is one of those that a push goes through: ok, problem or unknown.
type Step struct {
	Code    string
	Verdict string
	Text    string
	Details []string
	Next    string
}

// Grade is how a step is marked.
func (s *Step) Grade() string {
	return map[string]string{"ok": "ok", "problem": "failed"}[s.Verdict]
}

// doctor examines a person. It asks every member and the mail server, so that
// the page of the person loads it by itself.
func (c *Console) doctor(v *visit) error {
	con, cerr := strconv.ParseUint(chi.URLParam(v.r, "context"), 10, 31)
	user, uerr := strconv.ParseUint(chi.URLParam(v.r, "user"), 10, 31)
	if err := errors.Join(cerr, uerr); err != nil || con == 0 || user == 0 {
		return &problem{Status: http.StatusNotFound, Detail: "Context and user are ids, 1 to 2147483647."}
	}
	if c.opts.Doctor == nil {
		return &problem{Status: http.StatusNotFound, Detail: "This server has no doctor: use `sluice doctor`."}
	}
	steps, err := c.opts.Doctor(v.r.Context(), v, uint32(con), uint32(user))
	if err != nil {
		return err
	}
	v.draw(http.StatusOK, "doctor", &struct {
		someone
		Steps []Step
	}{someone{Context: uint32(con), ID: uint32(user)}, steps})
	return nil
}
