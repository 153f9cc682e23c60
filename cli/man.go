package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages: of the commands, and of the properties in section 5",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return exit(exitFindings, err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Title: "SLUICE", Section: "1", Source: "Sluice " + root.Version, Manual: "Sluice"}, args[0]); err != nil {
				return err
			}
			all, _ := selected(nil, "")
			return os.WriteFile(filepath.Join(args[0], "sluice-properties.5"), propertiesMan(root.Version, all), 0o644)
		},
	}
}
