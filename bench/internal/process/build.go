package process

import (
	"context"
	"fmt"
	"os/exec"
)

// Run runs a command in a folder to its end.
func Run(ctx context.Context, in, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", cmd, in, err, out)
	}
	return nil
}

// Modules installs what a Node peer's lock file names.
func Modules(ctx context.Context, folder string) error {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: install the packages nodejs and npm", err)
		}
	}
	return Run(ctx, folder, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
}
