package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

// maxNamed is how many subjects a line names before it counts the rest.
const maxNamed = 5

func (a *app) diffCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "diff DIR1 DIR2 [--directory FILE]",
		Short: "Show which effective values differ between two trees, and for whom",
		Long: `Compares the values of two trees in the server view and for every context and
user of the directory file. Ends with 1 where they differ.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if cmd.Flags().Changed("server") {
				return usage("diff compares two trees of files, and asks no server")
			}
			if len(a.etc) > 0 {
				return usage("diff takes its two trees as arguments, not as --etc")
			}
			var sns [2]*cascade.Snapshot
			for i, d := range dirs {
				e, err := a.open([]string{d})
				if err != nil {
					return err
				}
				if sns[i] = e.Snapshot(); sns[i].Degraded() {
					a.note("%s has errors, and answers as a server would: `sluice check --etc %s` lists them", d, d)
				}
			}
			diffs := cascade.Diff(sns[0], sns[1], a.showSecrets)
			if a.json() {
				if err := a.printJSON(diffs); err != nil {
					return err
				}
			} else {
				a.showDiffs(diffs)
			}
			if len(diffs) > 0 {
				return silent
			}
			return nil
		},
	}
}

// showDiffs prints a line for each property and change, with whom it concerns.
func (a *app) showDiffs(diffs []cascade.Difference) {
	type change struct{ property, old, new string }
	whom := map[change][]string{}
	var order []change
	for _, d := range diffs {
		c := change{d.Property, shownSide(d.Old, d.OldScope), shownSide(d.New, d.NewScope)}
		if whom[c] == nil {
			order = append(order, c)
		}
		whom[c] = append(whom[c], d.Subject.String())
	}
	for _, c := range order {
		list := whom[c]
		more := ""
		if n := len(list) - maxNamed; n > 0 {
			list, more = list[:maxNamed], fmt.Sprintf(" and %d more", n)
		}
		a.printf("%s: %s -> %s\n    for %s%s\n", printable(c.property), c.old, c.new, strings.Join(list, ", "), more)
	}
}

func shownSide(v *string, scope string) string {
	if v == nil {
		return "not defined"
	}
	return oneLine(*v) + " [" + scope + "]"
}
