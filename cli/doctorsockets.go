package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// sessions looks at the one that was named, else at all of the user.
func (d *doctor) sessions() error {
	if d.session == "" {
		return d.allSessions()
	}
	var s struct {
		Context, User uint32
		Client        string
		Restricted    bool
		Expires       *time.Time
	}
	_, err := d.c.call(d.app, http.MethodGet, "/admin/v1/sessions/"+url.PathEscape(d.session), nil, &s)
	switch {
	case refused(err, "no_session"):
		d.add("session", verdictProblem, "there is no such session: it was ended, has expired, or never was", "the user logs in again")
	case refused(err, "store_unavailable"):
		d.add("session", verdictProblem, err.Error(), "look at Redis, where the sessions are")
	case err != nil:
		return err
	case s.Context != d.su.Context || s.User != d.su.User:
		d.add("session", verdictProblem, fmt.Sprintf("it belongs to somebody else, user %d in context %d", s.User, s.Context), "look at the session parameter of the client's request again")
	case s.Restricted:
		d.add("session", verdictProblem, "it is restricted, or waits for its second factor: such a session gets no socket", "the user completes the login")
	default:
		until := ""
		if s.Expires != nil {
			until = ", until " + timeText(*s.Expires)
		}
		d.add("session", verdictOK, "it is one of the user, of the client "+oneLine(s.Client)+until, "")
	}
	return nil
}

// allSessions tells of the sessions of the user.
func (d *doctor) allSessions() error {
	var l listedSessions
	_, err := d.c.call(d.app, http.MethodGet, sessionsPath(d.su), nil, &l)
	switch {
	case refused(err, "store_unavailable"):
		d.add("session", verdictProblem, err.Error(), "look at Redis, where the sessions are")
		return nil
	case err != nil:
		return err
	case len(l.Sessions) == 0:
		d.add("session", verdictProblem, "the user has no session: nobody is logged in, and a client with one that has ended is refused with 403", "the user logs in again")
		return nil
	}
	usable := 0
	var details []string
	for _, s := range l.Sessions {
		if !s.Restricted {
			usable++
		}
		since := ""
		if s.Created != nil {
			since = ", since " + timeText(*s.Created)
		}
		details = append(details, fmt.Sprintf("%s, of the client %s%s", printable(s.Hash), oneLine(s.Client), since))
	}
	if usable == 0 {
		d.add("session", verdictProblem, "every session of the user is restricted, or waits for its second factor: such a session gets no socket", "the user completes the login", details...)
		return nil
	}
	d.add("session", verdictOK, "the user has "+counted(len(l.Sessions), "session"), "", details...)
	return nil
}

// userSockets is the answer about the sockets of a user.
type userSockets struct {
	Sockets []struct {
		Connection, Path, Member string
		Since                    time.Time
		Sent                     *time.Time
		Queued                   int
	}
	Unreachable []string
	Ended       []struct {
		Member, Cause string
		Code          int
		Time          time.Time
	}
	Refused []struct {
		Member, Code, Reason, Address string
		Time                          time.Time
	}
}

func (d *doctor) sockets() error {
	q := url.Values{
		"context": {strconv.FormatUint(uint64(d.su.Context), 10)}, "user": {strconv.FormatUint(uint64(d.su.User), 10)},
		"limit": {strconv.Itoa(listPageSize)},
	}
	var l userSockets
	if _, err := d.c.call(d.app, http.MethodGet, "/admin/v1/sockets?"+q.Encode(), nil, &l); err != nil {
		return err
	}
	var details []string
	mail, last := 0, time.Time{}
	for _, s := range l.Sockets {
		details = append(details, fmt.Sprintf("%s on %s, path %s, open for %s, %d queued", oneLine(s.Connection), s.Member, oneLine(s.Path), sinceText(s.Since), s.Queued))
		if strings.HasPrefix(s.Path, mailPath) {
			mail++
		}
		if s.Sent != nil && s.Sent.After(last) {
			last = *s.Sent
		}
	}
	for _, e := range l.Ended {
		code := ""
		if e.Code != 0 {
			code = " " + strconv.Itoa(e.Code)
		}
		details = append(details, fmt.Sprintf("the last one that ended on %s: %s ago, %s%s", e.Member, sinceText(e.Time), e.Cause, code))
	}
	for _, r := range l.Refused {
		why := r.Code
		if r.Reason != "" {
			why += ", " + r.Reason
		}
		from := ""
		if r.Address != "" {
			from = " from " + r.Address
		}
		details = append(details, fmt.Sprintf("a handshake%s was refused on %s: %s ago, %s", from, r.Member, sinceText(r.Time), why))
	}
	for _, m := range l.Unreachable {
		details = append(details, "member "+m+" did not answer: its sockets are not known")
	}
	switch {
	case len(l.Sockets) > 0:
		d.add("sockets", verdictOK, counted(len(l.Sockets), "socket")+" open", "", details...)
	case len(l.Unreachable) > 0:
		d.add("sockets", verdictUnknown, "no socket is open on the members that answered", "`sluice members`, then ask again", details...)
	default:
		d.add("sockets", verdictProblem, "no socket is open: there is nothing that a push could go to",
			"have the user reload the page; if none comes, look for refused handshakes in this answer and in the server's log, and at the steps above and below", details...)
	}
	d.delivery(len(l.Sockets), mail, last)
	return d.arrival(len(l.Sockets))
}

func (d *doctor) delivery(open, mail int, last time.Time) {
	switch {
	case open == 0:
		d.add("delivery", verdictUnknown, "without a socket nothing is delivered", "")
		d.add("path", verdictUnknown, "without a socket there is no path", "")
		return
	case last.IsZero():
		d.add("delivery", verdictUnknown, "no message has gone to these sockets since they are open",
			fmt.Sprintf("`sluice send test '\"hello\"' %s`, then ask again: if it arrives, nobody sends", d.flags))
	default:
		d.add("delivery", verdictOK, "the last message went out "+sinceText(last)+" ago", "")
	}
	if mail == 0 {
		d.add("path", verdictUnknown, "no socket is below "+mailPath+": messages with that path filter, such as those of new mail, reach none",
			"have the client connect to "+mailPath)
		return
	}
	d.add("path", verdictOK, counted(mail, "socket")+" below "+mailPath+", where messages of new mail go", "")
}
