package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

// maxResponseTimeout of the existing tools' --responsetimeout, in seconds.
const maxResponseTimeout = 3600

// existingFlags are those that the existing system's tools have in common. They
// name an RMI server and a login, and there is neither here.
type existingFlags struct {
	host, port, user, password string
	timeout                    int
}

func (e *existingFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&e.host, "rmi-host", "s", "", "not here: use --server URL")
	f.StringVarP(&e.port, "port", "p", "", "not here: use --server URL")
	f.IntVar(&e.timeout, "responsetimeout", 0, "seconds that the answer may take; 0: as long as that of the other commands")
}

func (e *existingFlags) addLogin(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&e.user, "adminuser", "A", "", "not here: use --token-file")
	f.StringVarP(&e.password, "adminpass", "P", "", "not here: use --token-file")
}

// check refuses what would not be looked at.
func (e *existingFlags) check(cmd *cobra.Command) error {
	f := cmd.Flags()
	switch {
	case f.Changed("rmi-host"), f.Changed("port"):
		return usage("-s and -p name an RMI server, and Sluice has none: name the admin listener with --server http://HOST:PORT")
	case f.Changed("adminuser"), f.Changed("adminpass"):
		return usage("-A and -P are a login of the existing system, which Sluice does not ask: leave them out, a server that wants a token takes --token-file or SLUICE_TOKEN")
	case e.timeout < 0 || e.timeout > maxResponseTimeout:
		return usage("--responsetimeout %d: use 1 to %d seconds, or leave it out", e.timeout, maxResponseTimeout)
	}
	return nil
}

// getUserConfigurationSourceCmd answers as the existing tool of this name, with
// its options and in its words.
func (a *app) getUserConfigurationSourceCmd() *cobra.Command {
	var context, user int64
	var text string
	var capabilities bool
	var old existingFlags
	cmd := &cobra.Command{
		Use:   "getuserconfigurationsource -c CONTEXT -i USER -o TEXT",
		Short: "Like the existing tool of this name: values and scopes of a user",
		Long: `Prints a line "NAME: VALUE; Scope: SCOPE" for each property whose name contains
TEXT, in any case, and that any scope defines for the user. ` + "`sluice get`" + ` and
` + "`sluice explain`" + ` say more, and have -o json.`,
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			if err := old.check(cmd); err != nil {
				return err
			}
			switch {
			case capabilities:
				return usage("-a lists capabilities, which the existing middleware computes and Sluice does not: run its getuserconfigurationsource for them; -o TEXT lists properties here")
			case !f.Changed("context") || !f.Changed("userid"):
				return usage("getuserconfigurationsource: name the context with -c and the user with -i")
			case !f.Changed("output") && !f.Changed("user-configuration"):
				return usage("getuserconfigurationsource: say with -o what the names contain")
			}
			su, err := cascade.NewSubject(context, user)
			if err == nil && (su.Context == 0 || su.User == 0) {
				err = fmt.Errorf("0 is not an id: use 1 to %d", cascade.MaxID)
			}
			if err != nil {
				return usage("getuserconfigurationsource: %w", err)
			}
			a.responseTimeout = time.Duration(old.timeout) * time.Second
			return a.configurationSource(su, text)
		},
	}
	f := cmd.Flags()
	f.Int64VarP(&context, "context", "c", 0, "id of the context")
	f.Int64VarP(&user, "userid", "i", 0, "id of the user")
	// Under the name of the flag that it stands for here: cobra has no other way
	// to give -o another meaning.
	f.StringVarP(&text, "output", "o", "", "text that the names contain, in any case; also --user-configuration")
	f.StringVar(&text, "user-configuration", "", "")
	_ = f.MarkHidden("user-configuration")
	f.BoolVarP(&capabilities, "user-capabilities", "a", false, "not here: the existing middleware computes them")
	old.add(cmd)
	old.addLogin(cmd)
	return cmd
}

func (a *app) configurationSource(su cascade.Subject, text string) error {
	values, _, err := a.values(su, nil, "")
	if err != nil {
		return err
	}
	var names []string
	for name, g := range values {
		// A default is no scope of the existing system.
		if g.Scope != cascade.ScopeDefault && strings.Contains(strings.ToLower(name), strings.ToLower(text)) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		a.note("no scope defines a property for %s whose name contains %q", su, text)
		return nil
	}
	slices.Sort(names)
	for _, name := range names {
		a.printf("%s: %s; Scope: %s\n", printable(name), printable(values[name].Value), values[name].Scope)
	}
	return nil
}

// reloadConfigurationCmd is reload under the name of the existing tool.
func (a *app) reloadConfigurationCmd() *cobra.Command {
	var old existingFlags
	var defaults bool
	var file string
	cmd := &cobra.Command{
		Use:    "reloadconfiguration",
		Short:  "Like the existing tool of this name: make a running server read its tree now",
		Long:   "Does and prints what `sluice reload` does and prints.",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := old.check(cmd); err != nil {
				return err
			}
			if cmd.Flags().Changed("file") {
				return usage("-f names a file with the port of an RMI server, and Sluice has none: name the admin listener with --server http://HOST:PORT")
			}
			a.responseTimeout = time.Duration(old.timeout) * time.Second
			return a.reload("reloadconfiguration", false, false)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&defaults, "default", "d", false, "the server at the default address, which is asked without it too")
	f.StringVarP(&file, "file", "f", "", "not here: use --server URL")
	old.add(cmd)
	return cmd
}
