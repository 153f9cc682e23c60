package cli

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/httpapi/mailpush"
)

// pushState is what GET /admin/v1/mailpush answers, as far as it is shown.
type pushState struct {
	Requests  map[string]int64
	Endpoints []struct {
		URL, Status, Error string
		Since              time.Time
	}
	UnknownUsers []struct {
		User  string
		Count int64
		Last  time.Time
	}
}

// pushRule is the property that decides about new mails where it is set.
const pushRule = httpapi.PropPushEnabled + ".open-xchange-appsuite"

// mailPush tells whether notifications of new mails come to the server that was
// asked, and whether the cascade lets them through.
func (d *doctor) mailPush() error {
	for _, name := range []string{pushRule + "." + mailpush.Topic, pushRule, httpapi.PropPushEnabled} {
		x, err := d.c.explain(d.app, d.su, name, cascade.WhatIf{}, false)
		if err != nil {
			return err
		}
		// One of a topic is no declared property: its text counts, and one that is
		// no boolean does not.
		on, known := x.Effective.(bool)
		if !known && x.Value != nil {
			on = strings.EqualFold(*x.Value, "true")
			known = on || strings.EqualFold(*x.Value, "false")
		}
		if !known {
			continue
		}
		if on {
			d.add("push", verdictOK, x.Summary, "")
		} else {
			d.add("push", verdictProblem, x.Summary, fmt.Sprintf("change what sets it: `sluice explain %s %s`", name, d.flags))
		}
		break
	}
	if err := d.registered(); err != nil {
		return err
	}
	var s pushState
	if _, err := d.c.call(d.app, http.MethodGet, "/admin/v1/mailpush", nil, &s); err != nil {
		return err
	}
	d.endpoints(&s)
	var details []string
	for _, u := range s.UnknownUsers {
		details = append(details, fmt.Sprintf("%s: %s, the last one %s ago", oneLine(u.User), counted(int(u.Count), "notification"), sinceText(u.Last)))
	}
	taken := s.Requests["accepted"] + s.Requests["coalesced"]
	refused := s.Requests["address"] + s.Requests["unauthorized"]
	switch {
	case len(details) > 0:
		d.add("mail", verdictUnknown, "the mail server has named users that the directory does not know, or knows twice: this one may be among them",
			"give the user in the directory the login or address that the mail server uses", details...)
	case taken > 0:
		d.add("mail", verdictOK, counted(int(taken), "notification")+" came to this member since its start", "")
	case refused > 0:
		d.add("mail", verdictProblem, fmt.Sprintf("%s of the mail server were refused, and none was taken", counted(int(refused), "notification")),
			fmt.Sprintf("compare %s and its .password with the URL in Dovecot's configuration, and %s", httpapi.PropBasicLogin, httpapi.PropNotifyAddresses))
	default:
		d.add("mail", verdictUnknown, "no notification of a new mail has come to this member since its start", "docs/dovecot.md tells how Dovecot is told to, and how to try it")
	}
	return nil
}

// endpoints tells of those of Dovecot's HTTP API that fail.
func (d *doctor) endpoints(s *pushState) {
	var failing []string
	for _, e := range s.Endpoints {
		if e.Status == "failing" {
			failing = append(failing, fmt.Sprintf("%s, for %s: %s", oneLine(e.URL), sinceText(e.Since), oneLine(e.Error)))
		}
	}
	if len(failing) > 0 {
		d.add("doveadm", verdictProblem, fmt.Sprintf("%d of %d endpoints of Dovecot's HTTP API fail: while one works, users are registered there", len(failing), len(s.Endpoints)),
			fmt.Sprintf("compare %s and .apiSecret with Dovecot's configuration", httpapi.PropDoveAdmEndpoints), failing...)
	}
}

// registered tells whether Dovecot would notify for the user.
func (d *doctor) registered() error {
	var r registration
	_, err := d.c.call(d.app, http.MethodGet, ownPath(d.su)+"/mailpush", nil, &r)
	switch {
	case refused(err, "not_configured"):
		d.add("registration", verdictUnknown, "whether Dovecot notifies for the user cannot be seen: its HTTP API is not configured", "docs/dovecot.md tells how")
		return nil
	case err != nil:
		return err
	}
	next := "`sluice mailpush register " + d.flags + "`"
	switch r.Result {
	case "registered":
		d.add("registration", verdictOK, "Dovecot notifies for "+oneLine(r.Login), "")
	case "unregistered":
		d.add("registration", verdictProblem, "Dovecot does not notify for "+oneLine(r.Login), next)
	case "other":
		d.add("registration", verdictProblem, fmt.Sprintf("Dovecot notifies for %s in another's name: %s", oneLine(r.Login), oneLine(r.Value)), next)
	case "no_login":
		d.add("registration", verdictUnknown, "the directory has neither a login nor a mail address of the user, by which Dovecot could be asked", "give it one: `sluice user set` with --login or --mail")
	default:
		d.add("registration", verdictUnknown, "Dovecot does not say whether it notifies for "+oneLine(r.Login)+": "+oneLine(r.Detail), "")
	}
	return nil
}
