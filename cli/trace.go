package cli

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/httpapi/mailpush"
)

func (a *app) traceCmd() *cobra.Command {
	var su subjectFlags
	id := ""
	cmd := &cobra.Command{
		Use:   "trace USER | --context C [--user U] | --id ID",
		Short: "Tell what became of the last messages for a user",
		Long: `Tells of the last messages for a user, with those for the whole context and for
everybody, or of the message with an id: when, from which member, to how many
sockets, how far it is proved to have come, and what was dropped and why. Each
member remembers the last 16 for a user, an hour at most, without their contents.

queued          it waits for a socket, or was written to it; nobody was asked
at the browser  the client's Web Socket has it
at the page     the page itself has it (clients of Engine.IO 4)

Ends with 1 where nothing is known, or a member did not answer.`,
		Example: "  sluice trace someone@example.com\n  sluice trace --id order-1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := su.take(cmd, args); err != nil {
				return err
			}
			who, err := su.subject(a, cmd)
			if err != nil {
				return err
			}
			switch given := cmd.Flags().Changed("id"); {
			case given && who.Context != 0:
				return usage("trace: a message is named by its id alone: leave out whom it was for")
			case given && id == "":
				return usage("--id is empty: name one, or leave it out")
			case !given && who.Context == 0:
				return usage("trace: name whom, as in `sluice trace someone@example.com`, or a message with --id")
			}
			q := url.Values{}
			if id != "" {
				q.Set("id", id)
			}
			addSubject(q, who)
			c, err := a.onlyServer("trace")
			if err != nil {
				return err
			}
			var l httpapi.Deliveries
			if _, err := c.show(a, http.MethodGet, "/admin/v1/deliveries?"+q.Encode(), nil, &l, func() { a.showDeliveries(&l) }); err != nil {
				return err
			}
			if err := a.missing(l.Unreachable, "what it knows is not in the answer"); err != nil {
				return err
			}
			if len(l.Deliveries) == 0 {
				a.note("nothing is remembered: nothing came within the last hour, or more came since than is kept")
				return silent
			}
			return nil
		},
	}
	su.add(cmd)
	cmd.Flags().StringVar(&id, "id", "", "id of a message, as `sluice send` and the API answer it")
	return cmd
}

func (a *app) showDeliveries(l *httpapi.Deliveries) {
	if len(l.Deliveries) == 0 {
		return
	}
	rows := [][]string{{"TIME", "TOPIC", "ID", "FROM", "SOCKETS", "WHAT BECAME OF IT"}}
	for i := range l.Deliveries {
		d := &l.Deliveries[i]
		rows = append(rows, []string{timeText(d.Time), oneLine(d.Topic), oneLine(d.ID), printable(d.From), strconv.Itoa(d.Sockets), oneLine(fateText(d))})
	}
	a.table("", rows)
}

// fateText is what became of a message, as a part of a sentence.
func fateText(d *httpapi.Delivery) string {
	text := ""
	switch {
	case d.Outcome == "no_socket":
		text = "no socket was open"
	case d.Outcome == "disabled":
		text = "switched off for the user"
	case d.Outcome == "duplicate":
		text = "not sent again: a message with this id was"
	case d.Outcome == "merged":
		text = "one with an equal message that waited"
	case d.Proof == httpapi.ProofNone:
		text = "went to no socket"
	default:
		text = proofText(d)
	}
	switch {
	case d.User != 0:
	case d.Context != 0:
		text = "to the context: " + text
	default:
		text = "to everybody: " + text
	}
	if n := len(d.Merged); n > 0 {
		text += fmt.Sprintf(", with %s merged into it", counted(n, "equal message"))
	}
	if dropped := droppedText(d); dropped != "" {
		text += "; " + dropped
	}
	return text
}

// proofText is the furthest proof, and how many sockets gave it.
func proofText(d *httpapi.Delivery) string {
	var page, browser, asked, silentOnes, unasked int
	for i := range d.Members {
		on := &d.Members[i]
		page, browser, asked = page+on.Page.Sockets, browser+on.Browser.Sockets, asked+on.Asked
		silentOnes, unasked = silentOnes+on.Silent, unasked+on.Unasked
	}
	text := ""
	switch d.Proof {
	case httpapi.ProofPage:
		text = "at the page after " + msText(d.Millis)
		if d.Sockets > 1 {
			text += fmt.Sprintf(" (%d of %s", page, counted(d.Sockets, "socket"))
			if browser > page {
				text += fmt.Sprintf(", %d at the browser", browser-page)
			}
			text += ")"
		}
	case httpapi.ProofBrowser:
		text = "at the browser after " + msText(d.Millis)
		if d.Sockets > 1 {
			text += fmt.Sprintf(" (%d of %s)", browser, counted(d.Sockets, "socket"))
		}
	default:
		if text = "queued"; asked > 0 {
			text += fmt.Sprintf(", none of %s has answered yet", counted(asked, "socket"))
		}
	}
	if silentOnes > 0 {
		text += fmt.Sprintf(", %d did not answer to the end", silentOnes)
	}
	if unasked > 0 {
		text += fmt.Sprintf(", %d could not be asked: too many were", unasked)
	}
	return text
}

// dropReasons are the reasons for which a socket did not get a message, in words.
var dropReasons = map[string]string{
	"path": "of another path", "source": "the one that caused it", "slow": "too slow and closed for it", "left": "closing, or out of the namespace", "muted": "muted, since the user is switched off",
	"conflated": "given up for a newer one", "unsent": "ended before it was written",
}

func droppedText(d *httpapi.Delivery) string {
	sum := map[string]int{}
	for i := range d.Members {
		for why, n := range d.Members[i].Dropped {
			sum[why] += n
		}
	}
	var parts []string
	for why, n := range sum {
		text, known := dropReasons[why]
		if !known {
			text = why
		}
		parts = append(parts, fmt.Sprintf("%s %s", counted(n, "socket"), text))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// msText is a number of ms as people say it.
func msText(ms *float64) string {
	switch {
	case ms == nil:
		return "a time that is not known"
	case *ms >= 10_000:
		return fmt.Sprintf("%.0f s", *ms/1000)
	case *ms >= 10:
		return fmt.Sprintf("%.0f ms", math.Round(*ms))
	}
	return fmt.Sprintf("%.1f ms", *ms)
}

// arrival asks the sockets whether they are there now.
func (d *doctor) arrival(open int) error {
	if open == 0 {
		d.add("arrival", verdictUnknown, "without a socket nobody can be asked", "")
		return nil
	}
	var l httpapi.Deliveries
	if _, err := d.c.call(d.app, http.MethodPost, "/admin/v1/sockets/probe?"+userQuery(d.su).Encode(), nil, &l); err != nil {
		return err
	}
	if len(l.Deliveries) != 1 {
		return exit(exitFindings, fmt.Errorf("the answer of %s is not what this version understands: a probe is one delivery", d.c.where))
	}
	p := &l.Deliveries[0]
	switch p.Proof {
	case httpapi.ProofPage:
		d.add("arrival", verdictOK, "what is sent now is "+proofText(p), "")
	case httpapi.ProofBrowser:
		d.add("arrival", verdictOK, "what is sent now is "+proofText(p), "", "no page has answered: it is busy, or of a client that cannot tell")
	case httpapi.ProofNone:
		d.add("arrival", verdictUnknown, "the sockets have gone meanwhile", "ask again")
	default:
		d.add("arrival", verdictProblem, "no client has answered within 3 s: its machine sleeps or has lost its network, or something between keeps the frames back",
			"reload the page, and ask again")
	}
	return nil
}

// lastDelivery tells what became of the last mail for the user, or of the last
// message where there was none.
func (d *doctor) lastDelivery() error {
	var l httpapi.Deliveries
	if _, err := d.c.call(d.app, http.MethodGet, "/admin/v1/deliveries?"+userQuery(d.su).Encode(), nil, &l); err != nil {
		return err
	}
	var details []string
	for _, m := range l.Unreachable {
		details = append(details, "member "+m+" did not answer: what it knows is not in this")
	}
	what, last := "the last mail", lastOf(l.Deliveries, func(x *httpapi.Delivery) bool { return x.Topic == mailpush.Topic })
	if last == nil {
		what, last = "there was no mail; the last message", lastOf(l.Deliveries, func(x *httpapi.Delivery) bool { return x.User != 0 })
	}
	trace := "`sluice trace " + d.flags + "` has all that is remembered"
	if last == nil {
		d.add("last", verdictUnknown, "no message for the user is remembered of the last hour", "`sluice send test '\"hello\"' "+d.flags+" --confirm`", details...)
		return nil
	}
	text := fmt.Sprintf("%s, %s ago, %s", what, sinceText(last.Time), wasText(last))
	switch {
	case last.Outcome == "disabled" || strings.Contains(droppedText(last), dropReasons["slow"]):
		d.add("last", verdictProblem, text, trace, details...)
	case last.Proof == httpapi.ProofPage || last.Proof == httpapi.ProofBrowser:
		d.add("last", verdictOK, text, "", details...)
	default:
		d.add("last", verdictUnknown, text, trace, details...)
	}
	return nil
}

// lastOf is the newest delivery that fits and is no repetition of another.
func lastOf(list []httpapi.Delivery, fits func(*httpapi.Delivery) bool) *httpapi.Delivery {
	for i := range list {
		if d := &list[i]; fits(d) && d.Outcome != "duplicate" && d.Outcome != "merged" {
			return d
		}
	}
	return nil
}

func wasText(d *httpapi.Delivery) string {
	text := fateText(d)
	switch d.Outcome {
	case "no_socket":
		return "met no open socket"
	case "disabled":
		return "was not sent: " + text
	}
	if d.Proof == httpapi.ProofNone {
		return text
	}
	return "was " + text
}

// confirmed prints each step of a message that its sender follows.
type confirmed struct {
	a    *app
	last string
	now  *httpapi.Delivery
}

func (c *confirmed) take(d *httpapi.Delivery) {
	before := c.now
	if c.now = d; before == nil || before.Proof != d.Proof || d.Settled {
		if text := fateText(d); text != c.last {
			c.last = text
			c.a.printf("%s\n", oneLine(text))
		}
	}
}

// complete reports whether every socket has answered all that it can.
func (c *confirmed) complete() bool {
	if c.now == nil || !c.now.Settled || c.now.Sockets == 0 {
		return false
	}
	for i := range c.now.Members {
		if on := &c.now.Members[i]; on.Silent > 0 || on.Unasked > 0 {
			return false
		}
	}
	return true
}

// confirmWait is how long `send --confirm` waits for the next line: the server
// ends the stream before.
const confirmWait = 30 * time.Second
