package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

func (a *app) setCmd() *cobra.Command {
	var file string
	var dry bool
	cmd := &cobra.Command{
		Use:   "set PROPERTY VALUE --etc DIR [--file F]",
		Short: "Set a property in the line that wins, and change nothing else",
		Long: `Edits the line of the .properties file that wins now; a new property goes to
--file, or to the file of its declaration. Every other byte stays as it is, the
file is replaced at once, and nothing is written that check would refuse.`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.edit(args[0], dry, func(e *cascade.Engine) (*cascade.Edit, error) { return e.PlanSet(args[0], args[1], file) })
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "file for a new property, relative to the root")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show the change, write nothing")
	return cmd
}

func (a *app) unsetCmd() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "unset PROPERTY --etc DIR",
		Short: "Remove a property from the file whose line wins",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.edit(args[0], dry, func(e *cascade.Engine) (*cascade.Edit, error) { return e.PlanUnset(args[0]) })
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show the change, write nothing")
	return cmd
}

func (a *app) edit(name string, dry bool, plan func(*cascade.Engine) (*cascade.Edit, error)) error {
	if err := a.needEtc(); err != nil {
		return err
	}
	e, err := a.open(a.etc)
	if err != nil {
		return err
	}
	ed, err := plan(e)
	var refused *cascade.RefusedError
	if errors.As(err, &refused) {
		a.findings(refused.Findings)
		return exit(exitFindings, errors.New("nothing was written: the edit would add these errors"))
	}
	if err != nil {
		return exit(exitFindings, err)
	}
	if !dry {
		if err := ed.Write(); err != nil {
			return exit(exitFindings, err)
		}
	}
	if a.json() {
		return a.printJSON(struct {
			File    string `json:"file"`
			Changed bool   `json:"changed"`
			Written bool   `json:"written"`
		}{ed.File, string(ed.Before) != string(ed.After), !dry})
	}
	a.showEdit(ed, e.Schema().Secret(name) && !a.showSecrets)
	return nil
}

// showEdit prints the lines that differ: an edit changes one run of lines, or
// with an unset of duplicates a few.
func (a *app) showEdit(ed *cascade.Edit, secret bool) {
	before, after := lines(ed.Before), lines(ed.After)
	if string(ed.Before) == string(ed.After) {
		a.printf("%s: nothing to change\n", ed.File)
		return
	}
	head := 0
	for head < min(len(before), len(after)) && before[head] == after[head] {
		head++
	}
	tail := 0
	for tail < min(len(before), len(after))-head && before[len(before)-1-tail] == after[len(after)-1-tail] {
		tail++
	}
	a.printf("%s:%d\n", ed.File, head+1)
	if secret {
		return
	}
	for _, l := range before[head : len(before)-tail] {
		a.printf("-%s\n", l)
	}
	for _, l := range after[head : len(after)-tail] {
		a.printf("+%s\n", l)
	}
}

func lines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
}
