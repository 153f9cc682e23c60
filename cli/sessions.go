package cli

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

func (a *app) sessionsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List or end the sessions of a user",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return usage("sessions: say list or end") },
	}
	cmd.AddCommand(a.sessionsListCmd(), a.sessionsEndCmd())
	return cmd
}

// listedSessions are those of GET /admin/v1/sessions.
type listedSessions struct {
	Sessions []struct {
		Hash, Client, Address string
		Restricted            bool
		Created, Expires      *time.Time
		Sockets               int
	}
}

func sessionsPath(su cascade.Subject) string { return "/admin/v1/sessions?" + userQuery(su).Encode() }

// userQuery names a user.
func userQuery(su cascade.Subject) url.Values {
	return url.Values{"context": {strconv.FormatUint(uint64(su.Context), 10)}, "user": {strconv.FormatUint(uint64(su.User), 10)}}
}

// oneUser is the user that a command of one is about.
func (a *app) oneUser(cmd *cobra.Command, su *subjectFlags, args []string) (who cascade.Subject, err error) {
	if err := su.take(cmd, args); err != nil {
		return who, err
	}
	if who, err = su.subject(a, cmd); err == nil && who.User == 0 {
		err = usage("%s: name the user, with --context C and --user U, or `someone@example.com`", cmd.CommandPath())
	}
	return who, err
}

func (a *app) sessionsListCmd() *cobra.Command {
	var su subjectFlags
	cmd := &cobra.Command{
		Use:   "list USER | --context C --user U",
		Short: "List the sessions of a user",
		Long: `Lists the sessions of a user, the newest first: Sluice's own, or those that App
Suite keeps in Redis. A session's id is known to its browser alone; the hash tells
it from others.`,
		Example: "  sluice sessions list someone@example.com",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			who, err := a.oneUser(cmd, &su, args)
			if err != nil {
				return err
			}
			c, err := a.onlyServer("sessions list")
			if err != nil {
				return err
			}
			var l listedSessions
			_, err = c.show(a, http.MethodGet, sessionsPath(who), nil, &l, func() { a.showSessions(&l) })
			return err
		},
	}
	su.add(cmd)
	return cmd
}

func (a *app) showSessions(l *listedSessions) {
	if len(l.Sessions) == 0 {
		a.note("the user has no session: nobody is logged in")
		return
	}
	when := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return timeText(*t)
	}
	rows := [][]string{{"SESSION", "CLIENT", "SINCE", "UNTIL", "SOCKETS HERE", "ADDRESS", "STATE"}}
	for _, s := range l.Sessions {
		state := "ok"
		if s.Restricted {
			state = "restricted"
		}
		rows = append(rows, []string{printable(s.Hash), oneLine(s.Client), when(s.Created), when(s.Expires), strconv.Itoa(s.Sockets), printable(s.Address), state})
	}
	a.table("", rows)
}

func (a *app) sessionsEndCmd() *cobra.Command {
	var su subjectFlags
	hash := ""
	cmd := &cobra.Command{
		Use:   "end USER | --context C --user U [--session HASH]",
		Short: "End the sessions of a user, and their sockets on all members",
		Long: `Ends the sessions of a user, or the one whose hash ` + "`sluice sessions list`" + ` shows.
Their sockets are closed with 4401, on which clients log out. Those of App Suite
are ended there.`,
		Example: "  sluice sessions end someone@example.com",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			who, err := a.oneUser(cmd, &su, args)
			if err != nil {
				return err
			}
			path := sessionsPath(who)
			if cmd.Flags().Changed("session") {
				if hash == "" {
					return usage("--session is empty: name one, or leave it out")
				}
				path += "&session=" + url.QueryEscape(hash)
			}
			c, err := a.onlyServer("sessions end")
			if err != nil {
				return err
			}
			var r struct{ Ended int }
			_, err = c.show(a, http.MethodDelete, path, nil, &r, func() { a.printf("%s ended\n", counted(r.Ended, "session")) })
			return err
		},
	}
	su.add(cmd)
	cmd.Flags().StringVar(&hash, "session", "", "only the one with this hash")
	return cmd
}
