package cli

import (
	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade/finding"
)

func (a *app) checkCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check --etc DIR [--directory FILE]",
		Short: "Report every error and warning of a tree",
		Long: `Reports everything that is wrong with a tree, or probably not meant, as
file:line:col: severity: text [code] on standard error, and the digest of the
tree on standard output. Ends with 1 if there is an error.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.check() },
	}
}

func (a *app) check() error {
	if err := a.needEtc(); err != nil {
		return err
	}
	e, err := a.openAll(a.etc)
	if err != nil {
		return err
	}
	sn := e.Snapshot()
	fs := append(append([]finding.Finding{}, sn.Findings()...), sn.Lint()...)
	finding.Sort(fs)
	errs := countErrors(fs)
	if a.json() {
		if err := a.printJSON(struct {
			Digest   string            `json:"digest"`
			Errors   int               `json:"errors"`
			Warnings int               `json:"warnings"`
			Findings []finding.Finding `json:"findings"`
		}{sn.Digest(), errs, len(fs) - errs, fs}); err != nil {
			return err
		}
	} else {
		a.findings(fs)
		a.printf("%s, %s, %s, digest %s\n", counted(len(sn.Files()), "file"), counted(errs, "error"), counted(len(fs)-errs, "warning"), sn.Digest())
	}
	if errs > 0 {
		return silent
	}
	return nil
}
