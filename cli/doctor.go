package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// The verdicts of a step.
const (
	verdictOK      = "ok"
	verdictProblem = "problem"
	verdictUnknown = "unknown" // it cannot be told from here
)

// doctorStep is one answer of doctor. The codes stay the same over versions.
type doctorStep struct {
	Code    string   `json:"code"`
	Verdict string   `json:"verdict"`
	Text    string   `json:"text"`
	Details []string `json:"details,omitempty"`
	Next    string   `json:"next,omitempty"`
}

// doctor asks why a user gets no pushes, on the way that a push takes.
type doctor struct {
	*app
	c       *client
	su      cascade.Subject
	flags   string // that name the user
	session string
	steps   []doctorStep
}

// mailPath is the root of the sockets that mail pushes go to.
const mailPath = "/socket.io/appsuite/"

func (a *app) doctorCmd() *cobra.Command {
	var su subjectFlags
	session := ""
	cmd := &cobra.Command{
		Use:   "doctor USER | --context C --user U [--session ID]",
		Short: "Say why a user gets no pushes",
		Long: `Goes the way of a push to one user: the server, its configuration, the account,
the switch and what sets it, the session, the sockets on all members, the last
delivery, the members, the capability without which the web client does not try,
and what became of the last mail. Each step is ok, a problem, or unknown where it cannot be told from here,
with what to do next. Ends with 1 where there is a problem, with 3 where no
server answers.`,
		Example: "  sluice doctor -c 1337 -u 17\n  sluice doctor someone@example.com",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := su.take(cmd, args); err != nil {
				return err
			}
			who, err := su.subject(a, cmd)
			if err != nil {
				return err
			}
			if who.User == 0 {
				return usage("doctor: name the user, with --context C and --user U, or `sluice doctor someone@example.com`")
			}
			if cmd.Flags().Changed("session") && session == "" {
				return usage("--session is empty: name one, or leave it out")
			}
			c, err := a.onlyServer("doctor")
			if err != nil {
				return err
			}
			d := &doctor{app: a, c: c, su: who, session: session, flags: fmt.Sprintf("-c %d -u %d", who.Context, who.User)}
			return d.run()
		},
	}
	su.add(cmd)
	cmd.Flags().StringVar(&session, "session", "", "id of a session of the user")
	return cmd
}

func (d *doctor) run() error {
	if err := d.examine(); err != nil {
		return err
	}
	bad := 0
	for _, s := range d.steps {
		if s.Verdict == verdictProblem {
			bad++
		}
	}
	verdict := verdictOK
	if bad > 0 {
		verdict = verdictProblem
	}
	if d.json() {
		if err := d.printJSON(struct {
			Context uint32       `json:"context"`
			User    uint32       `json:"user"`
			Verdict string       `json:"verdict"`
			Steps   []doctorStep `json:"steps"`
		}{d.su.Context, d.su.User, verdict, d.steps}); err != nil {
			return err
		}
	} else {
		d.show(bad)
	}
	if bad > 0 {
		return silent
	}
	return nil
}

func (d *doctor) show(bad int) {
	for _, s := range d.steps {
		d.printf("%-8s %-14s %s\n", s.Verdict, s.Code, printable(s.Text))
		for _, line := range s.Details {
			d.printf("%24s%s\n", "", printable(line))
		}
		if s.Next != "" {
			d.printf("%24snext: %s\n", "", printable(s.Next))
		}
	}
	if bad == 0 {
		d.printf("\nno problem found for %s\n", d.su)
		return
	}
	d.printf("\n%s found for %s\n", counted(bad, "problem"), d.su)
}

func (d *doctor) add(code, verdict, text, next string, details ...string) {
	d.steps = append(d.steps, doctorStep{Code: code, Verdict: verdict, Text: text, Next: next, Details: details})
}

func (d *doctor) examine() error {
	o, err := d.c.overview(d.app)
	if err != nil {
		return err
	}
	d.server(o)
	e, err := d.gate()
	if err != nil {
		return err
	}
	if err := d.sessions(); err != nil {
		return err
	}
	if err := d.sockets(); err != nil {
		return err
	}
	d.members(o)
	d.redis(o)
	if err := d.mailPush(); err != nil {
		return err
	}
	d.platform(e)
	d.capability(e)
	return d.lastDelivery()
}

func (d *doctor) server(o *overview) {
	if s := o.ready.Status; s == "ready" || s == "degraded" {
		d.add("server", verdictOK, fmt.Sprintf("%s answers and takes sockets", o.config.Member), "")
	} else {
		d.add("server", verdictProblem, fmt.Sprintf("%s is %s and takes no sockets", o.config.Member, s), "wait, or look at its log")
	}
	if o.config.Status == "ok" {
		d.add("configuration", verdictOK, fmt.Sprintf("%s in force, generation %d", counted(len(o.config.Files), "file"), o.config.Identity.Generation), "")
		return
	}
	var details []string
	if h := o.config.Held; h != nil {
		for _, c := range h.Causes {
			details = append(details, c.String())
		}
		d.add("configuration", verdictProblem, fmt.Sprintf("a change of the files is held, because it would close %s: who is served is as before it", cascade.Closes(h.Sockets, h.Users)),
			fmt.Sprintf("`sluice reload --confirm %s` lets it through, saving the files back drops it", h.Digest), details...)
		return
	}
	for _, c := range o.ready.Checks {
		if c.Status != "ok" {
			details = append(details, c.Name+": "+c.Detail)
		}
	}
	d.add("configuration", verdictProblem, "it is degraded: not everything that the files say is in force",
		"`sluice status` lists what is wrong", details...)
}

// gate asks what the handshake asks: the directory, then the switch.
func (d *doctor) gate() (*enablement, error) {
	var e enablement
	if _, err := d.c.call(d.app, http.MethodGet, websocketsPath(d.su), nil, &e); err != nil {
		return nil, err
	}
	if p := e.Platform; p != nil && p.Account != accountOpen {
		d.add("account", verdictProblem, "the platform's database refuses the user ("+p.Account+")", "see to the context and the user with the platform's own tools")
	} else if p != nil && e.Account == accountOpen {
		d.add("account", verdictOK, "the platform's database has the user, enabled", "")
	} else if e.Account == accountOpen {
		if err := d.account(); err != nil {
			return nil, err
		}
	} else {
		d.add("account", verdictProblem, "the directory refuses the user ("+e.Account+")", d.fill(accountText(e.Account)))
	}
	if l := e.Local; l != nil {
		d.add("gate", verdictProblem, fmt.Sprintf("switched off on this member alone by %s (%s), until the store answers, at most until %s", oneLine(l.Actor), oneLine(l.Reason), timeText(l.Until)),
			"`sluice store` says what is wrong with the store; once it answers, what it says counts")
	} else if e.Enabled {
		d.add("gate", verdictOK, e.Explanation.Summary, "", e.Explanation.Warnings...)
	} else {
		d.add("gate", verdictProblem, e.Explanation.Summary,
			fmt.Sprintf("`sluice enable %s`, or change what sets it: `sluice explain %s %s`", d.flags, websockets.PropEnabled, d.flags), e.Explanation.Warnings...)
	}
	return &e, nil
}

// platform tells what the platform's own database has, beside Sluice: the four
// cases of on and off.
func (d *doctor) platform(e *enablement) {
	p := e.Platform
	if p == nil {
		return
	}
	code, on := "platform", e.Enabled && e.Account == accountOpen
	switch {
	case p.Enabled && on:
		d.add(code, verdictOK, p.Text, "")
	case p.Enabled:
		d.add(code, verdictProblem, p.Text, fmt.Sprintf("`sluice reset %[1]s` has Sluice follow the platform, `sluice disable %[1]s --platform` the platform follow Sluice", d.flags))
	case on:
		d.add(code, verdictProblem, p.Text, fmt.Sprintf("`sluice enable %[1]s --platform` has the platform follow Sluice, `sluice reset %[1]s` Sluice follow the platform", d.flags))
	default:
		d.add(code, verdictProblem, p.Text, fmt.Sprintf("`sluice enable %s --platform` switches it on in both, where no override of Sluice says otherwise", d.flags))
	}
}

// account tells what the directory knows of a user whom it does not refuse.
func (d *doctor) account() error {
	var r directoryRecord
	_, err := d.c.call(d.app, http.MethodGet, ownPath(d.su), nil, &r)
	switch {
	case err == nil:
		d.add("account", verdictOK, "the directory has the user, enabled", "")
		return nil
	case refused(err, "directory_file"):
		d.add("account", verdictOK, "the directory file does not refuse the user", "")
		return nil
	case !refused(err, "not_found"):
		return err
	}
	_, err = d.c.call(d.app, http.MethodGet, ownPath(cascade.Subject{Context: d.su.Context}), nil, &r)
	switch {
	case err == nil:
		d.add("account", verdictUnknown, fmt.Sprintf("the directory knows context %d, but not the user, and does not refuse it for that", d.su.Context),
			"check the id: whoever is not in the directory is let in, unless sluice.directory.strict=true")
	case refused(err, "not_found"):
		d.add("account", verdictUnknown, "the directory knows neither the context nor the user, and does not refuse them for that",
			"check both ids: whoever is not in the directory is let in, unless sluice.directory.strict=true")
	default:
		return err
	}
	return nil
}

// fill puts the user's ids into a command line.
func (d *doctor) fill(text string) string {
	context, user := strconv.FormatUint(uint64(d.su.Context), 10), strconv.FormatUint(uint64(d.su.User), 10)
	return strings.NewReplacer("set U -c C", "set "+user+" -c "+context, "set C", "set "+context).Replace(text)
}

func (d *doctor) members(o *overview) {
	switch l := &o.members; {
	case l.Status == "alone" && len(l.Warnings) == 0:
		d.add("members", verdictOK, "this server is alone: every socket is here", "")
	case l.Status == "degraded":
		d.add("members", verdictProblem, "Redis does not answer: messages for sockets of other members wait", "`sluice status`", l.Warnings...)
	case len(l.Warnings) > 0:
		d.add("members", verdictProblem, "the members are not of one mind: one may let in or reach whom another does not", "`sluice members`", l.Warnings...)
	default:
		d.add("members", verdictOK, fmt.Sprintf("%s, all with the same configuration", counted(len(l.Members), "member")), "")
	}
}

// redis tells what the link's checks have found beside its members.
func (d *doctor) redis(o *overview) {
	for _, c := range o.ready.Checks {
		switch {
		case !strings.HasPrefix(c.Name, "redis"):
		case c.Status == "warning":
			d.add(c.Name, verdictUnknown, c.Detail, "")
		case c.Status != "ok":
			d.add(c.Name, verdictProblem, c.Detail, "")
		}
	}
}

// capability tells what Sluice has no part in: the web client connects only
// where the existing middleware gives it the capability
// (docs/reference/socketio.md#capability).
func (d *doctor) capability(e *enablement) {
	text := "the web client connects only with the capability `websocket`, which the existing middleware computes by its own cascade: Sluice does not change it"
	var details []string
	if o := e.Explanation.Origin; e.Platform == nil && o != nil && o.Override != nil {
		details = append(details, "here an override of Sluice decides, which the middleware does not see: set it there too")
	}
	d.add("capability", verdictUnknown, text,
		fmt.Sprintf("on a node of the middleware: getuserconfigurationsource -a -c %d -i %d, and look for websocket", d.su.Context, d.su.User), details...)
}
