package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/remote"
)

func (a *app) checkCmd() *cobra.Command {
	state := ""
	all := false
	cmd := &cobra.Command{
		Use:   "check --etc DIR [--directory FILE] [--state DIR]",
		Short: "Report every error and warning of a tree",
		Long: `Reports everything that is wrong with a tree, or probably not meant, as
file:line:col: severity: text [code] on standard error, and the digest of the
tree on standard output. Ends with 1 if there is an error.

Also warns of secrets that everybody may read, and of loose modes of the state
folder (that of --state, else that of sluice serve), keys and token files.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.check(state, all) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "list every key that is set twice, not the first ten of a folder")
	cmd.Flags().StringVar(&state, "state", "", "state folder whose mode is looked at")
	return cmd
}

func (a *app) check(state string, all bool) error {
	if err := a.needEtc(); err != nil {
		return err
	}
	e, err := a.openAll(a.etc)
	if err != nil {
		return err
	}
	sn := e.Snapshot()
	lint := sn.Lint
	if all {
		lint = sn.LintAll
	}
	fs := slices.Concat(sn.Findings(), lint(), e.LooseSecrets(), looseModes(e, state))
	fs = append(fs, redisFindings(sn)...)
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
		if errs > 0 {
			a.printf("said as of a first start: a server that has read them before keeps the last good form of what is wrong, and `sluice status` tells it\n")
		}
	}
	if errs > 0 {
		return silent
	}
	return nil
}

// propSSL is where the warning of redisFindings points.
const propSSL = "com.openexchange.redis.ssl"

// redisFindings tell of a Redis that others can pass for. What does not fit
// otherwise is a finding of its own.
func redisFindings(sn *cascade.Snapshot) []finding.Finding {
	way, enabled, err := remote.ReadRedis(sn)
	if err != nil || !enabled || way.Warning() == "" {
		return nil
	}
	f := finding.Finding{Severity: finding.Warning, Code: "redis-not-verified", Text: way.Warning()}
	if e := sn.Explain(cascade.Subject{}, propSSL, cascade.ExplainOptions{}); e.Origin != nil {
		f.Path, f.Line = e.Origin.File, e.Origin.Line
	}
	return []finding.Finding{f}
}
