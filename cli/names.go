package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

// subjectFlags are --context and --user: ids, or names that the directory knows.
type subjectFlags struct{ context, user string }

func (s *subjectFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.context, "context", "c", "", "the context: its id, name or login mapping")
	cmd.Flags().StringVarP(&s.user, "user", "u", "", "the user: an id of the context, USER@CONTEXT, a login or a mail address")
}

// checkLimit refuses a --limit that no list has.
func checkLimit(limit int) error {
	if limit < 0 {
		return usage("--limit %d: use 1 or more, or 0 for all", limit)
	}
	return nil
}

// addSubject narrows a query to a context, or to a user of it.
func addSubject(q url.Values, su cascade.Subject) {
	for name, id := range map[string]uint32{"context": su.Context, "user": su.User} {
		if id != 0 {
			q.Set(name, strconv.FormatUint(uint64(id), 10))
		}
	}
}

// take is the argument of commands that are about one user.
func (s *subjectFlags) take(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.Flags().Changed("user") {
		return usage("%s: the user is named twice, by %s and by --user", cmd.Name(), args[0])
	}
	s.user = args[0]
	return nil
}

// subject reads the flags. Names are looked up in the directory that the command
// asks: that of the server, or the file of --directory.
func (s *subjectFlags) subject(a *app, cmd *cobra.Command) (su cascade.Subject, err error) {
	if cmd.Flags().Changed("context") {
		if su, err = a.named("context", s.context, 0); err != nil {
			return su, err
		}
	}
	switch {
	case s.user == "" && !cmd.Flags().Changed("user"):
		return su, nil
	case su.Context != 0:
		return a.named("user", s.user, su.Context)
	case isID(s.user):
		return su, usage("--user needs --context: users are numbered within their context, and %s is an id", s.user)
	}
	if u, c, ok := strings.Cut(s.user, "@"); ok && isID(u) && isID(c) {
		if u == "" || c == "" {
			return su, usage("--user %q is no user: write USER@CONTEXT, as in 17@1337, a login or a mail address", s.user)
		}
		return parseSubject(c, u)
	}
	return a.named("user", s.user, 0)
}

// isID reports whether a text is meant as an id.
func isID(text string) bool { return strings.Trim(text, "+-0123456789") == "" }

func parseSubject(context, user string) (su cascade.Subject, err error) {
	if su.Context, err = cascade.ParseID(context); err != nil {
		return su, usage("--context %w", err)
	}
	if user != "" {
		if su.User, err = cascade.ParseID(user); err != nil {
			return su, usage("--user %w", err)
		}
	}
	return su, nil
}

// named is the one context, or user (of a context where in is not 0), that a text
// means.
func (a *app) named(what, text string, in uint32) (su cascade.Subject, err error) {
	if isID(text) {
		if what == "context" {
			return parseSubject(text, "")
		}
		su.User, err = cascade.ParseID(text)
		if su.Context = in; err != nil {
			err = usage("--user %w", err)
		}
		return su, err
	}
	found, err := a.namesakes(what, text)
	if err != nil {
		return su, err
	}
	var names []string
	n := 0
	for _, f := range found {
		if in == 0 || f.Context == in {
			su = cascade.Subject{Context: f.Context, User: f.ID}
			names, n = append(names, f.text()), n+1
		}
	}
	switch {
	case n == 0:
		return su, exit(exitFindings, fmt.Errorf("no %s has the name %q: `sluice %s list --search` finds it by its beginning, or give the id", what, text, what))
	case n > 1:
		return su, exit(exitFindings, fmt.Errorf("%q may mean %s: give the id", text, strings.Join(names, ", ")))
	}
	return su, nil
}

// namesake is somebody whom a name may mean; ID is 0 for a context.
type namesake struct {
	Context     uint32 `json:"context"`
	ID          uint32 `json:"id"`
	Login       string `json:"login"`
	DisplayName string `json:"displayName"`
}

func (n *namesake) text() string {
	if n.ID == 0 {
		return fmt.Sprintf("context %d", n.Context)
	}
	name := n.Login
	if n.DisplayName != "" {
		name = n.DisplayName
	}
	return printable(fmt.Sprintf("%d@%d (%s)", n.ID, n.Context, name))
}

// maxNamesakes is how many of those whom a name may mean are told.
const maxNamesakes = 10

func (a *app) namesakes(what, text string) (found []namesake, err error) {
	if len(a.etc) > 0 {
		e, err := a.open(a.etc)
		if err != nil {
			return nil, err
		}
		for _, h := range e.People().Exact(text, what == "user", maxNamesakes) {
			found = append(found, namesake{h.Context, h.User, h.Login, h.Name})
		}
		return found, nil
	}
	c, err := a.onlyServer("--" + what)
	if err != nil {
		return nil, err
	}
	var list struct {
		Contexts []struct{ ID uint32 }
		Users    []namesake
	}
	if _, err = c.call(a, http.MethodGet, "/admin/v1/names?"+url.Values{"name": {text}}.Encode(), nil, &list); err != nil || what == "user" {
		return list.Users, err
	}
	for _, x := range list.Contexts {
		found = append(found, namesake{Context: x.ID})
	}
	return found, nil
}
