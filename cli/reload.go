package cli

import (
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

func (a *app) reloadCmd() *cobra.Command {
	cluster, accept, digest := false, false, ""
	cmd := &cobra.Command{
		Use:   "reload [--server URL] [--cluster] [--accept] [--confirm DIGEST]",
		Short: "Make a running server read its tree now, and tell what changed",
		Long: `Makes a running server read everything again, without any of the holds that
apply to changes it notices itself; with --cluster all its members, each its own
files. Prints each changed property with what came of it, also those of a change
that the server noticed by itself within the last minute. Ends with 1 where the
tree has an error, or a member did not answer, or where a change is held because
it would close more sockets than sluice.gate.maxClose allows. --confirm lets the
change with this digest through, on every member that has it now or gets it
within 10 minutes; of a change that is another by now nothing is let through.

A folder that held files and is empty or missing (a volume that is not mounted?)
keeps their last good contents; --accept takes it as it is.`,
		Args:    cobra.NoArgs,
		Example: "  sluice reload --confirm 3f1c9a0b77d2",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("confirm") {
				return a.reload("reload", cluster, accept)
			}
			if accept {
				return usage("--accept and --confirm exclude each other: accept the folders, look at what is held then, and confirm that")
			}
			if digest == "" {
				return usage("--confirm is empty: `sluice status` shows the digest of a change that is held")
			}
			return a.confirmHeld(digest, cluster)
		},
	}
	cmd.Flags().StringVar(&digest, "confirm", "", "let the held change with this digest through")
	cmd.Flags().BoolVar(&cluster, "cluster", false, "all members of the cluster, not this one alone")
	cmd.Flags().BoolVar(&accept, "accept", false, "accept that folders which held files are empty or missing")
	return cmd
}

// confirmHeld reads the files first: a change that is another by now is not the one
// that somebody has looked at.
func (a *app) confirmHeld(digest string, cluster bool) error {
	c, err := a.onlyServer("reload")
	if err != nil {
		return err
	}
	path := "/admin/v1/config/reload"
	if cluster {
		path += "?cluster=true"
	}
	if _, err := c.call(a, http.MethodPost, path, struct{}{}, nil, http.StatusUnprocessableEntity); err != nil {
		return err
	}
	var done struct {
		Members []struct{ Member, Status string }
	}
	if _, err := c.show(a, http.MethodPost, "/admin/v1/config/confirm", map[string]string{"digest": digest}, &done, func() {
		for _, m := range done.Members {
			a.printf("%s: %s\n", printable(m.Member), confirmedText[m.Status])
		}
	}); err != nil {
		return err
	}
	for _, m := range done.Members {
		if m.Status == "unreachable" {
			return silent
		}
	}
	return nil
}

// confirmedText says what came of a confirmation on a member.
var confirmedText = map[string]string{
	"confirmed":   "the change counts",
	"noted":       "it does not have the change; it counts there if it comes within 10 minutes",
	"unreachable": "it did not answer: confirm again, or there",
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
	if status == http.StatusUnprocessableEntity || len(r.Errors) > 0 || r.Held != nil {
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
		bad = bad || m.Status != "ok" || len(m.Errors) > 0 || m.Held != nil
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
	show := func(list []cascade.Change) {
		for _, c := range list {
			a.printf("%s: %s -> %s  %s: %s\n", c.Property, side(c.Old), side(c.New), c.Result, c.Because)
		}
	}
	if n := r.Noticed; n != nil {
		a.printf("noticed %s ago, generation %d:\n", time.Since(n.At).Round(time.Second), n.Generation)
		show(n.Changed)
		if n.Omitted > 0 {
			a.printf("and %d more\n", n.Omitted)
		}
		a.printf("read now:\n")
	}
	show(r.Changed)
	for _, f := range r.Errors {
		f.Severity = finding.Error
		a.findings([]finding.Finding{f})
	}
	if r.Held != nil {
		a.showHold(r.Held)
	}
	a.printf("generation %d, %d changed, %s\n", r.Generation, len(r.Changed), counted(len(r.Errors), "error"))
}

// showHold tells of a change that the gate does not follow yet.
func (a *app) showHold(h *cascade.Hold) {
	a.printf("held: change %s would close %s of %s (%d are open, at most %d go unasked)\n", h.Digest, counted(h.Sockets, "socket"), counted(h.Users, "user"), h.Connected, h.Limit)
	for _, c := range h.Causes {
		a.printf("  %s: %s\n", counted(c.Users, "user"), printable(c.String()))
	}
	a.printf("  next: `sluice reload --confirm %s` lets it through; saving the files back drops it\n", h.Digest)
}
