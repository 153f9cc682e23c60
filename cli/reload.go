package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

func (a *app) reloadCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "reload [--server URL]",
		Short: "Make a running server read its tree now, and tell what changed",
		Long: `Makes a running server read everything again, without any of the holds that
apply to changes it notices itself. Prints each changed property with what came
of it. Ends with 1 where a file did not load.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(a.etc) > 0 {
				return usage("reload asks a running server: name it with --server")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			var r cascade.ReloadResult
			status, err := c.call(a, http.MethodPost, "/admin/v1/config/reload", struct{}{}, &r, http.StatusUnprocessableEntity)
			if err != nil {
				return err
			}
			if a.json() {
				if err := a.printJSON(r); err != nil {
					return err
				}
			} else {
				a.showReload(&r)
			}
			if status == http.StatusUnprocessableEntity {
				return silent
			}
			return nil
		},
	}
}

func (a *app) showReload(r *cascade.ReloadResult) {
	side := func(v *string) string {
		if v == nil {
			return "not defined"
		}
		return oneLine(*v)
	}
	for _, c := range r.Changed {
		a.printf("%s: %s -> %s  %s: %s\n", c.Property, side(c.Old), side(c.New), c.Result, c.Because)
	}
	for _, f := range r.Errors {
		f.Severity = finding.Error
		a.findings([]finding.Finding{f})
	}
	a.printf("generation %d, %d changed, %d errors\n", r.Generation, len(r.Changed), len(r.Errors))
}
