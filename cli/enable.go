package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

// enablement is the answer about a subject's Web Sockets.
type enablement struct {
	Enabled  bool
	Account  string
	Override *struct {
		Enabled       bool
		Actor, Reason string
		Time          time.Time
		Expires       *time.Time
		Expired       bool
	}
	Explanation cascade.Explanation
	Local       *struct { // the member that was asked refuses the subject all the same
		Actor, Reason string
		Until         time.Time
	}
	Platform *platformSwitch
}

// platformSwitch is what the platform has, where its database is read.
type platformSwitch struct {
	Enabled, Agrees bool
	Account, Text   string
	Written         *struct {
		Attribute, Table string
		Before, After    *string
		CachedFor        int
		Later            []string
	}
}

// accountOpen is the account of one whom the directory does not refuse.
const accountOpen = "open"

func websocketsPath(su cascade.Subject) string { return ownPath(su) + "/websockets" }

// ownPath is the path of a subject itself.
func ownPath(su cascade.Subject) string {
	p := "/admin/v1/contexts/" + strconv.FormatUint(uint64(su.Context), 10)
	if su.User != 0 {
		p += "/users/" + strconv.FormatUint(uint64(su.User), 10)
	}
	return p
}

func (a *app) enableCmd(on bool) *cobra.Command {
	var (
		su    subjectFlags
		w     writeFlags
		until untilFlags

		force, platform bool
	)
	name, short, does := "disable", "Switch pushes off for a context or a user", "off, and closes their sockets on all members"
	if on {
		name, short, does = "enable", "Switch pushes on for a context or a user", "on"
	}
	cmd := &cobra.Command{
		Use:   name + " USER | --context C [--user U] [--reason R] [--for 2h | --expires T]",
		Short: short,
		Long: fmt.Sprintf(`Switches Web Sockets %s: an override of
com.openexchange.websockets.enabled. What a user has counts before what its
context has. `+"`sluice reset`"+` takes it back. Without --reason the audit log says
"by USER on HOST via sluice %s".

--platform writes the attribute in the platform's own database instead, so that
its middleware agrees once its cache has run out (sluice.platform.write,
docs/platform.md).`, does, name),
		Example: fmt.Sprintf("  sluice %[1]s -c 1337 -u 17 --for 2h --reason \"ticket 4711\"\n  sluice %[1]s someone@example.com --for 2h", name),
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := su.take(cmd, args); err != nil {
				return err
			}
			expires, err := until.expires(cmd)
			if err != nil {
				return err
			}
			body := struct {
				Enabled bool    `json:"enabled"`
				Reason  string  `json:"reason"`
				Expires *string `json:"expires,omitempty"`
				Target  string  `json:"target,omitempty"`
			}{on, w.why(name), expires, ""}
			if platform {
				if expires != nil {
					return usage("--platform: an attribute of the platform does not expire: leave --for and --expires out")
				}
				body.Target = targetPlatform
			}
			return a.writeEnablement(cmd, &su, http.MethodPut, &w, map[string]bool{"force": force}, body)
		},
	}
	su.add(cmd)
	w.add(cmd, cmd.Name())
	until.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also where a final of another scope hides it")
	cmd.Flags().BoolVar(&platform, "platform", false, "in the platform's own database")
	return cmd
}

func (a *app) resetCmd() *cobra.Command {
	var su subjectFlags
	var w writeFlags
	platform := false
	cmd := &cobra.Command{
		Use:   "reset USER | --context C [--user U] [--reason R]",
		Short: "Take back enable and disable: return to what the cascade says",
		Long: `Removes what enable or disable have set for a context or a user, so that what its
context, the context sets or the files say counts again; ends with 1 where
nothing was set. Without --reason the audit log says "by USER on HOST via sluice
reset". --platform removes the attribute in the platform's own database instead.`,
		Example: "  sluice reset -c 1337 -u 17",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := su.take(cmd, args); err != nil {
				return err
			}
			return a.writeEnablement(cmd, &su, http.MethodDelete, &w, map[string]bool{"platform": platform}, nil)
		},
	}
	su.add(cmd)
	w.add(cmd, cmd.Name())
	cmd.Flags().BoolVar(&platform, "platform", false, "in the platform's own database")
	return cmd
}

func (a *app) writeEnablement(cmd *cobra.Command, who *subjectFlags, method string, w *writeFlags, flags map[string]bool, body any) error {
	su, err := who.subject(a, cmd)
	if err != nil {
		return err
	}
	if su.Context == 0 {
		return usage("%s: name whom, with --context C [--user U]", cmd.Name())
	}
	c, err := a.onlyServer(cmd.Name())
	if err != nil {
		return err
	}
	platform := flags["platform"]
	delete(flags, "platform")
	q := w.query(flags)
	if body == nil {
		q.Set("reason", w.why(cmd.Name()))
	}
	if platform {
		q.Set("target", targetPlatform)
	}
	var e enablement
	if _, err := c.show(a, method, websocketsPath(su)+"?"+q.Encode(), body, &e, func() { a.showEnablement(su, &e) }); err != nil {
		return err
	}
	a.tellDry(w.dry)
	return nil
}

// targetPlatform is the target of a switch that is not Sluice's own.
const targetPlatform = "platform"

func (a *app) showEnablement(su cascade.Subject, e *enablement) {
	a.printf("%s\n", printable(e.Explanation.Summary))
	if p := e.Platform; p != nil && p.Written != nil {
		w := p.Written
		text := func(stored *string) string {
			if stored == nil {
				return "not set"
			}
			return oneLine(*stored)
		}
		a.printf("%s\n", printable(fmt.Sprintf("In the platform's table %s: %s, %s -> %s.", w.Table, w.Attribute, text(w.Before), text(w.After))))
		a.note("a user's answers of the platform's middleware may be the old ones for up to %d s, as long as its cache of attributes lives", w.CachedFor)
		if len(w.Later) > 0 {
			a.note("%s could not be told, and reads it again within sluice.platform.refresh", strings.Join(w.Later, ", "))
		}
	}
	if p := e.Platform; p != nil {
		a.printf("%s\n", printable(p.Text))
	}
	// The summary tells of an override that wins.
	if o, origin := e.Override, e.Explanation.Origin; o != nil && (origin == nil || origin.Override == nil) {
		until := ""
		if o.Expires != nil {
			until = " until " + timeText(*o.Expires)
		}
		a.printf("%s\n", printable(fmt.Sprintf("Its own override (%t, by %s on %s%s: %s) does not count.", o.Enabled, o.Actor, timeText(o.Time), until, o.Reason)))
	}
	if e.Account != "" && e.Account != accountOpen {
		a.note("%s gets no pushes all the same: %s", su, accountText(e.Account))
	}
}

// accountText explains why the directory refuses somebody.
func accountText(account string) string {
	switch account {
	case "contextDisabled":
		return "the context is disabled in the directory: `sluice context set C --enabled true`"
	case "contextDeleted":
		return "the context is deleted: `sluice context set C` creates it again"
	case "contextUnknown":
		return "the directory does not know the context and is strict (sluice.directory.strict): `sluice context set C` creates it"
	case "userDisabled":
		return "the user is disabled in the directory: `sluice user set U -c C --enabled true`"
	case "userDeleted":
		return "the user is deleted: `sluice user set U -c C` creates it again"
	case "userUnknown":
		return "the directory does not know the user and is strict (sluice.directory.strict): `sluice user set U -c C` creates it"
	}
	return "its account is " + account
}
