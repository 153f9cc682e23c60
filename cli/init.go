package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/etc"
)

func (a *app) initCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write the shipped configuration tree",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0]
			entries, err := os.ReadDir(dir)
			if err != nil && !isNotExist(err) {
				return exit(exitFindings, err)
			}
			if len(entries) > 0 && !force {
				return exit(exitFindings, fmt.Errorf("%s is not empty: --force adds the files that it does not have, and overwrites none", dir))
			}
			written, kept, err := etc.Write(dir)
			if err != nil {
				return exit(exitFindings, err)
			}
			if a.json() {
				return a.printJSON(map[string][]string{"written": written, "kept": kept})
			}
			for _, f := range written {
				a.printf("%s\n", f)
			}
			for _, f := range kept {
				a.note("%s exists and is left as it is", f)
			}
			a.note("next: sluice check --etc %s; sluice serve --etc %s", dir, dir)
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "write into a folder that is not empty")
	return cmd
}
