package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

// registerBatch is how many users one request registers: an end of the command in
// the middle loses nothing but these, which are done all the same.
const registerBatch = 50

// dovecotHome is what a user who never logged in costs Dovecot on disk, in kB, once
// it is registered.
const dovecotHome = 36

func (a *app) mailPushCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mailpush",
		Short: "Register users with Dovecot, so that it notifies of their new mails",
		Long: `Dovecot tells of new mails only for users whose metadata says so. These commands
set it, remove it or show it, through the HTTP API of Dovecot's doveadm that
com.openexchange.dovecot.doveadm.endpoints names. A running server asks Dovecot;
with sluice.mailpush.register=auto it registers by itself whoever opens a socket.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.registrationCmd("register", "Have Dovecot tell of the new mails of a user, or of all"),
		a.registrationCmd("unregister", "Have Dovecot tell of the new mails of a user, or of all, no more"),
		a.registrationCmd("status", "Show what Dovecot has"),
	)
	return cmd
}

// registrations is one run of a command.
type registrations struct {
	*app
	c      *client
	action string
	again  bool
	counts map[string]int
	list   []registration
}

// registration is one of a user, as the server answers it.
type registration struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
	Login   string `json:"login"`
	Result  string `json:"result"`
	Value   string `json:"value,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

func (a *app) registrationCmd(action, short string) *cobra.Command {
	var su subjectFlags
	var all, dry, again bool
	cmd := &cobra.Command{
		Use:   action + " (USER | --context C --user U | --all)",
		Short: short,
		Long: short + `. --all is everybody in the directory with a login or a mail
address; it may be ended at any time, and goes on where it was when it is called
again. Ends with 1 where somebody's could not be done.`,
		Example: "  sluice mailpush " + action + " --user someone@example.com\n  sluice mailpush " + action + " --all",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := su.take(cmd, args); err != nil {
				return err
			}
			who, err := su.subject(a, cmd)
			switch {
			case err != nil:
				return err
			case all == (who.User != 0) || all && who.Context != 0:
				return usage("%s: name the user, or say --all", action)
			}
			c, err := a.onlyServer("mailpush " + action)
			if err != nil {
				return err
			}
			r := &registrations{app: a, c: c, action: action, again: again, counts: map[string]int{}}
			if dry {
				r.action = "status"
			}
			if all {
				err = r.everybody()
			} else {
				r.again = true
				err = r.send([]cascade.Subject{who})
			}
			if err != nil {
				return err
			}
			return r.end(dry)
		},
	}
	su.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "everybody in the directory")
	if action != "status" {
		cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing, and show what Dovecot has now")
	}
	if action == "register" {
		cmd.Flags().BoolVar(&again, "again", false, "with --all: also who was registered not long ago")
	}
	return cmd
}

// pages calls f for all users of the directory, a page at a time.
func (r *registrations) pages(f func([]cascade.Subject) error) error {
	q := url.Values{"search": {""}, "limit": {strconv.Itoa(listPageSize)}}
	for {
		var page struct {
			Users []struct{ Context, ID uint32 }
			Next  string
		}
		if _, err := r.c.call(r.app, http.MethodGet, "/admin/v1/users?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		var users []cascade.Subject
		for _, u := range page.Users {
			if su := (cascade.Subject{Context: u.Context, User: u.ID}); !slices.Contains(users, su) {
				users = append(users, su)
			}
		}
		if err := f(users); err != nil || page.Next == "" {
			return err
		}
		q.Set("cursor", page.Next)
	}
}

// everybody counts before it begins. A user with several names is found by each of
// them, and done once.
func (r *registrations) everybody() error {
	seen := map[cascade.Subject]bool{}
	if err := r.pages(func(users []cascade.Subject) error {
		for _, su := range users {
			seen[su] = true
		}
		return nil
	}); err != nil {
		return err
	}
	if r.action == "register" {
		r.note("%s. Who never logged in gets a home of some %d kB by it: at most %d MB in all. What was done stays done if you end it; sluice.mailpush.register=auto registers on first need instead",
			counted(len(seen), "user"), dovecotHome, (len(seen)*dovecotHome+999)/1000)
	}
	users := make([]cascade.Subject, 0, len(seen))
	for su := range seen {
		users = append(users, su)
	}
	slices.SortFunc(users, func(a, b cascade.Subject) int {
		return cmp.Or(cmp.Compare(a.Context, b.Context), cmp.Compare(a.User, b.User))
	})
	for batch := range slices.Chunk(users, registerBatch) {
		if err := r.send(batch); err != nil {
			return err
		}
	}
	return nil
}

func (r *registrations) send(users []cascade.Subject) error {
	type named struct {
		Context uint32 `json:"context"`
		User    uint32 `json:"user"`
	}
	body := struct {
		Action string  `json:"action"`
		Again  bool    `json:"again"`
		Users  []named `json:"users"`
	}{r.action, r.again, nil}
	for _, su := range users {
		body.Users = append(body.Users, named(su))
	}
	var got struct{ Results []registration }
	if _, err := r.c.call(r.app, http.MethodPost, "/admin/v1/mailpush/registrations", body, &got); err != nil {
		return err
	}
	for _, x := range got.Results {
		r.counts[x.Result]++
		if r.json() {
			r.list = append(r.list, x)
			continue
		}
		// Of many, those that need somebody.
		if good := x.Result == "registered" || x.Result == "unregistered"; good && len(users) > 1 {
			continue
		}
		text := x.Result
		if x.Value != "" {
			text += " (" + x.Value + ")"
		}
		if x.Detail != "" {
			text += ": " + x.Detail
		}
		login := x.Login
		if login == "" {
			login = "-"
		}
		r.printf("%d@%d %s %s\n", x.User, x.Context, oneLine(login), printable(text))
	}
	return nil
}

func (r *registrations) end(dry bool) error {
	bad := 0
	total := 0
	for result, n := range r.counts {
		total += n
		if result != "registered" && result != "unregistered" {
			bad += n
		}
	}
	if r.json() {
		if err := r.printJSON(map[string]any{"counts": r.counts, "results": r.list}); err != nil {
			return err
		}
	} else if total > 1 {
		r.printf("%s: %d registered, %d unregistered, %d not done\n", counted(total, "user"), r.counts["registered"], r.counts["unregistered"], bad)
	}
	r.tellDry(dry)
	if bad > 0 {
		return exit(exitFindings, fmt.Errorf("%s could not be done", counted(bad, "user")))
	}
	return nil
}
