package cli

import (
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

func (a *app) reloadCmd() *cobra.Command {
	cluster, accept := false, false
	cmd := &cobra.Command{
		Use:   "reload [--server URL] [--cluster] [--accept]",
		Short: "Make a running server read its tree now, and tell what changed",
		Long: `Makes a running server read everything again, without any of the holds that
apply to changes it notices itself; with --cluster all its members, each its own
files. Prints each changed property with what came of it. Ends with 1 where a
file did not load, or a member did not answer.

A folder that held files and is empty or missing (a volume that is not mounted?)
keeps their last good contents; --accept takes it as it is.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.reload("reload", cluster, accept) },
	}
	cmd.Flags().BoolVar(&cluster, "cluster", false, "all members of the cluster, not this one alone")
	cmd.Flags().BoolVar(&accept, "accept", false, "take folders that held files and are empty or missing as they are")
	return cmd
}

// reload is the command of that name.
func (a *app) reload(command string, cluster, accept bool) error {
	c, err := a.onlyServer(command)
	if err != nil {
		return err
	}
	path := "/admin/v1/config/reload?accept=" + strconv.FormatBool(accept)
	if cluster {
		return a.reloadCluster(c, path+"&cluster=true")
	}
	var r cascade.ReloadResult
	status, err := c.show(a, http.MethodPost, path, struct{}{}, &r, func() { a.showReload(&r) }, http.StatusUnprocessableEntity)
	if err != nil {
		return err
	}
	if status == http.StatusUnprocessableEntity {
		return silent
	}
	return nil
}

func (a *app) reloadCluster(c *client, path string) error {
	var all struct {
		Members []struct {
			Member, Status, Error string
			cascade.ReloadResult
			Omitted int
		}
	}
	bad := false
	_, err := c.show(a, http.MethodPost, path, struct{}{}, &all, func() {
		for _, m := range all.Members {
			if m.Error != "" {
				a.note("member %s: %s", m.Member, m.Error)
				continue
			}
			a.printf("%s:\n", printable(m.Member))
			if len(m.Errors) > 0 {
				a.note("member %s has files with errors:", m.Member)
			}
			a.showReload(&m.ReloadResult)
			if m.Omitted > 0 {
				a.note("member %s has %d more changes and errors than its answer holds: its log and GET /admin/v1/config have them", m.Member, m.Omitted)
			}
		}
	}, http.StatusUnprocessableEntity)
	if err != nil {
		return err
	}
	for _, m := range all.Members {
		bad = bad || m.Status != "ok"
	}
	if bad {
		return silent
	}
	return nil
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
