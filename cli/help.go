package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/node"
)

// helpCmd is cobra's, except that a command which does not exist is a mistake
// and not an occasion to print everything.
func helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage("there is no command %q", strings.Join(args, " "))
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

// strictCompletion makes cobra's completion command refuse shells that it does
// not know: installed by a script, its help text would be taken for a script.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	i := slices.IndexFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "completion" })
	c := root.Commands()[i]
	var shells []string
	for _, sub := range c.Commands() {
		shells = append(shells, sub.Name())
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(_ *cobra.Command, args []string) error {
		list := strings.Join(shells, ", ")
		if len(args) == 0 {
			return usage("completion: name a shell: %s", list)
		}
		return usage("completion %s: the shells are %s", args[0], list)
	}
}

// completeProperties offers the names that Sluice declares, with what they
// mean, as the first argument; the rest of a tree is not read for it, because
// completion must answer before the next key is pressed.
func completeProperties(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, d := range node.Schema().All() {
		if strings.HasPrefix(d.Name, prefix) {
			out = append(out, cobra.CompletionWithDesc(d.Name, d.Doc))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
