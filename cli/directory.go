package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

const (
	nameWidth = 30 // of names and lists in a table
	listWidth = 44
)

// directoryRecord is a context or a user of the directory.
type directoryRecord struct {
	Context     uint32   `json:"context"` // of a user
	ID          uint32   `json:"id"`
	Name        string   `json:"name"`
	Enabled     bool     `json:"enabled"`
	Deleted     bool     `json:"deleted"`
	Tags        []string `json:"tags"`
	Permissions []string `json:"permissions"`
	Logins      []string `json:"logins"` // login mappings of a context
	Login       string   `json:"login"`
	Mail        []string `json:"mail"`
	DisplayName string   `json:"displayName"`
	Account     string   `json:"account"` // of a user that a search found
	Revision    uint64   `json:"revision"`
}

// directoryOf are the commands about contexts, or about users.
type directoryOf struct {
	*app
	noun    string // context or user
	context string // --context of a user
}

func (a *app) contextCmd() *cobra.Command {
	return (&directoryOf{app: a, noun: "context"}).cmd(
		"List, show, change or delete contexts of the directory",
		`The directory of a running server knows contexts by their id, with a name, tags,
and whether they are enabled. A context that it has never heard of is open,
unless sluice.directory.strict is true; one that was deleted is closed until it
is set again.`)
}

func (a *app) userCmd() *cobra.Command {
	return (&directoryOf{app: a, noun: "user"}).cmd(
		"List, show, change or delete users of the directory",
		`The directory of a running server knows the users of a context by their id, with
their permissions, and whether they are enabled. A user that it has never heard
of is open, unless sluice.directory.strict is true; one that was deleted is
closed until it is set again.`)
}

func (d *directoryOf) cmd(short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: d.noun, Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usage("%s: say list, show, set or delete", d.noun) },
	}
	cmd.AddCommand(d.listCmd(), d.showCmd(), d.setCmd(), d.deleteCmd())
	if d.noun == "user" {
		cmd.PersistentFlags().StringVarP(&d.context, "context", "c", "", "the context: its id, name or login mapping")
	}
	return cmd
}

// example is that of a command, for a context or a user.
func (d *directoryOf) example(command, more string) string {
	id := "1337"
	if d.noun == "user" {
		id = "17 -c 1337"
	}
	return strings.TrimRight(fmt.Sprintf("  sluice %s %s %s %s", d.noun, command, id, more), " ")
}

func (d *directoryOf) id() string { return strings.ToUpper(d.noun) }

// inContext is the context of users.
func (d *directoryOf) inContext() (cascade.Subject, error) {
	if d.noun == "context" {
		return cascade.Subject{}, nil
	}
	if d.context == "" {
		return cascade.Subject{}, usage("user: name the context with --context C: users are numbered within it")
	}
	return d.named("context", d.context, 0)
}

// subject is the context or user of an argument. A user that is not named by its
// id needs no context.
func (d *directoryOf) subject(arg string) (cascade.Subject, error) {
	if d.noun == "context" {
		return d.named("context", arg, 0)
	}
	if d.context == "" && !isID(arg) {
		if u, c, ok := strings.Cut(arg, "@"); ok && isID(u) && isID(c) {
			return parseSubject(c, u)
		}
		return d.named("user", arg, 0)
	}
	su, err := d.inContext()
	if err != nil {
		return su, err
	}
	return d.named("user", arg, su.Context)
}

func (d *directoryOf) client(command string) (*client, error) {
	return d.onlyServer(d.noun + " " + command)
}

func (d *directoryOf) listCmd() *cobra.Command {
	search, deleted, limit := "", false, 0
	what := "name, a tag, or id"
	if d.noun == "user" {
		what = "id, or a login, mail address or word of a name that begins so; in all contexts where none is named"
	}
	cmd := &cobra.Command{
		Use:     "list [--search TEXT] [--deleted]",
		Short:   "List the " + d.noun + "s of the directory",
		Long:    "Lists the " + d.noun + "s that the directory knows, by their ids.",
		Example: strings.Replace(d.example("list", "--deleted"), " 17 ", " ", 1),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var su cascade.Subject
			var err error
			everywhere := d.noun == "user" && d.context == "" && search != ""
			if !everywhere {
				su, err = d.inContext()
			}
			if err != nil {
				return err
			}
			if err := checkLimit(limit); err != nil {
				return err
			}
			c, err := d.client("list")
			if err != nil {
				return err
			}
			path, q := "/admin/v1/contexts", url.Values{}
			switch {
			case everywhere && deleted:
				return usage("--deleted needs --context: the names of deleted users are forgotten")
			case everywhere:
				path = "/admin/v1/users"
			case su.Context != 0:
				path = ownPath(su) + "/users"
			}
			if search != "" {
				q.Set("search", search)
			}
			if deleted {
				q.Set("deleted", "true")
			}
			list, next, err := c.pages(d.app, path, d.noun+"s", q, limit)
			if err != nil {
				return err
			}
			if d.json() {
				err = d.printJSON(map[string]any{d.noun + "s": list, "next": next})
			} else {
				err = d.showList(c, list, everywhere)
			}
			if next != "" {
				d.note("there are more than these %d: --search, or raise --limit (0: all)", len(list))
			}
			return err
		},
	}
	if d.noun == "context" {
		cmd.Example = "  sluice context list --search webmail"
	}
	f := cmd.Flags()
	f.StringVar(&search, "search", "", "only those with this "+what)
	f.BoolVar(&deleted, "deleted", false, "those that were deleted, which are closed")
	f.IntVar(&limit, "limit", defaultListed, "at most this many; 0: all")
	return cmd
}

func (d *directoryOf) showList(c *client, list []json.RawMessage, everywhere bool) error {
	if len(list) == 0 {
		d.note("the directory has no %s that fits", d.noun)
		return nil
	}
	rows := [][]string{{"CONTEXT", "NAME", "ENABLED", "REVISION", "TAGS"}}
	if d.noun == "user" {
		rows[0] = []string{"USER", "ENABLED", "REVISION", "PERMISSIONS"}
	}
	named := false // whether the columns of names are worth their place
	if everywhere {
		rows[0] = []string{"USER", "LOGIN", "NAME", "MAIL", "ACCOUNT"}
	}
	for _, raw := range list {
		var r directoryRecord
		if err := c.understand(raw, &r); err != nil {
			return err
		}
		if everywhere {
			rows = append(rows, []string{
				fmt.Sprintf("%d@%d", r.ID, r.Context), clip(printable(r.Login), nameWidth), clip(printable(r.DisplayName), nameWidth),
				clip(printable(strings.Join(r.Mail, ",")), listWidth), r.Account,
			})
			continue
		}
		row := d.row(&r)
		if d.noun == "user" {
			row = append(row, clip(printable(r.Login), nameWidth), clip(printable(r.DisplayName), nameWidth))
			named = named || r.Login != "" || r.DisplayName != ""
		}
		rows = append(rows, row)
	}
	switch {
	case d.noun == "user" && !everywhere && named:
		rows[0] = append(rows[0], "LOGIN", "NAME")
	case d.noun == "user" && !everywhere:
		for i := range rows {
			rows[i] = rows[i][:len(rows[0])]
		}
	}
	d.table("", rows)
	return nil
}

func (d *directoryOf) row(r *directoryRecord) []string {
	enabled := "no"
	switch {
	case r.Deleted:
		enabled = "deleted"
	case r.Enabled:
		enabled = "yes"
	}
	id, revision := strconv.FormatUint(uint64(r.ID), 10), strconv.FormatUint(r.Revision, 10)
	if d.noun == "user" {
		return []string{id, enabled, revision, clip(printable(strings.Join(r.Permissions, ",")), listWidth)}
	}
	return []string{id, clip(printable(r.Name), nameWidth), enabled, revision, clip(printable(strings.Join(r.Tags, ",")), listWidth)}
}

func (d *directoryOf) showCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show " + d.id(),
		Short: "Show what the directory knows of one",
		Long: fmt.Sprintf(`Shows what the directory knows of a %s; ends with 1 where it knows none.
`+"`sluice tags`"+` has all tags that count, `+"`sluice get --all`"+` the values.`, d.noun),
		Example: d.example("show", ""),
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			su, err := d.subject(args[0])
			if err != nil {
				return err
			}
			c, err := d.client("show")
			if err != nil {
				return err
			}
			var r directoryRecord
			_, err = c.show(d.app, http.MethodGet, ownPath(su), nil, &r, func() { d.showRecord(su, &r) })
			return err
		},
	}
}

func (d *directoryOf) showRecord(su cascade.Subject, r *directoryRecord) {
	state := "disabled: none of its users may connect"
	if d.noun == "user" {
		state = "disabled: it may not connect"
	}
	if r.Enabled {
		state = "enabled"
	}
	d.printf("%s, revision %d\n", su, r.Revision)
	rows := [][]string{{"state", state}}
	if d.noun == "user" {
		rows = append(rows, []string{"permissions", printable(strings.Join(r.Permissions, ", "))})
	} else {
		rows = append(rows, []string{"name", printable(r.Name)}, []string{"tags", printable(strings.Join(r.Tags, ", "))})
	}
	for _, row := range [][]string{
		{"logins", strings.Join(r.Logins, ", ")}, {"login", r.Login}, {"mail", strings.Join(r.Mail, ", ")}, {"display name", r.DisplayName},
	} {
		if row[1] != "" {
			rows = append(rows, []string{row[0], printable(row[1])})
		}
	}
	d.table("  ", rows)
}

func (d *directoryOf) deleteCmd() *cobra.Command {
	var w writeFlags
	yes := false
	along := "its users and all their overrides"
	if d.noun == "user" {
		along = "its overrides"
	}
	cmd := &cobra.Command{
		Use:   "delete " + d.id(),
		Short: "Delete one, and what belongs to it",
		Long: fmt.Sprintf(`Deletes a %s and %s: it is closed from then
on, and its sockets are, until it is set again. On a terminal it asks first,
unless --yes is given; a script is not asked. `+"`sluice revert`"+` with the printed
revision brings everything back. Without --reason the audit log says "by USER on
HOST via sluice %s delete".`, d.noun, along, d.noun),
		Example: d.example("delete", "--dry-run"),
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			su, err := d.subject(args[0])
			if err != nil {
				return err
			}
			return d.remove(su, &w, yes)
		},
	}
	w.add(cmd, d.noun+" "+cmd.Name())
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (d *directoryOf) remove(su cascade.Subject, w *writeFlags, yes bool) error {
	c, err := d.client("delete")
	if err != nil {
		return err
	}
	var have directoryRecord
	if _, err := c.call(d.app, http.MethodGet, ownPath(su), nil, &have); err != nil {
		return err
	}
	var gone struct {
		Revision         uint64
		Users, Overrides int
	}
	ask := func(q url.Values, raw *json.RawMessage) error {
		q.Set("reason", w.why(d.noun+" delete"))
		// What was shown is what goes.
		header := http.Header{"If-Match": {`"` + strconv.FormatUint(have.Revision, 10) + `"`}}
		if _, err := c.callIf(d.app, http.MethodDelete, ownPath(su)+"?"+q.Encode(), header, nil, raw); err != nil {
			return err
		}
		return c.understand(*raw, &gone)
	}
	var raw json.RawMessage
	if w.dry || !yes && d.terminal() {
		if err := ask(url.Values{"dryRun": {"true"}}, &raw); err != nil {
			return err
		}
	}
	along := func() string {
		if d.noun == "user" {
			return counted(gone.Overrides, "override")
		}
		return counted(gone.Users, "user") + " and " + counted(gone.Overrides, "override")
	}
	if !w.dry {
		if !yes {
			if err := d.confirm(fmt.Sprintf("%s goes with %s. Delete it?", su, along())); err != nil {
				return err
			}
		}
		if err := ask(url.Values{}, &raw); err != nil {
			return err
		}
	}
	if d.json() {
		err = d.printJSON(raw)
	} else if w.dry {
		d.printf("%s would go, with %s\n", su, along())
	} else {
		d.printf("%s is deleted, with %s: `sluice revert %d` brings it back\n", su, along(), gone.Revision)
	}
	d.tellDry(w.dry)
	return err
}
