package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade/finding"
)

func (a *app) bulkCmd() *cobra.Command {
	var w writeFlags
	force := false
	cmd := &cobra.Command{
		Use:   "bulk FILE --reason R [--dry-run]",
		Short: "Set and remove many overrides at once, all or nothing",
		Long: `Sets and removes the overrides that a YAML or JSON file lists (- reads stdin),
all of them or none: a list, or an object with "reason" and "overrides". Each has
context, user (none: the context's own), property, and value, or remove: true;
beside them reason, expires, final and protected. At most 5000 at a time.
--dry-run shows what would change, and for whom. --force sets also what a final
hides.`,
		Example: `  sluice bulk wave2.yml --reason "roll-out, second wave" --dry-run

  with wave2.yml:
    - {context: 1337, property: com.openexchange.websockets.enabled, value: true}
    - {context: 1338, user: 17, property: com.openexchange.websockets.enabled, remove: true}`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.onlyServer("bulk")
			if err != nil {
				return err
			}
			list, reason, err := a.readOverrides(args[0])
			if err != nil {
				return err
			}
			if strings.TrimSpace(w.reason) != "" {
				reason = w.reason
			}
			if strings.TrimSpace(reason) == "" {
				return usage("bulk: say why, with --reason or in the file")
			}
			var r bulkResult
			q := w.query(map[string]bool{"force": force})
			body := map[string]any{"reason": reason, "overrides": list}
			if _, err := c.show(a, http.MethodPost, "/admin/v1/overrides?"+q.Encode(), body, &r, func() { a.showBulk(&r) }); err != nil {
				return err
			}
			a.tellDry(w.dry)
			return nil
		},
	}
	w.add(cmd, cmd.Name())
	w.addConfirm(cmd)
	cmd.Flags().Lookup("reason").Usage = "why, for those who read the audit log; else that of the file"
	cmd.Flags().BoolVar(&force, "force", false, "also where a final of another scope hides it")
	return cmd
}

type bulkResult struct {
	Revision           uint64
	DryRun             bool
	Changed, Unchanged int
	Changes            []auditChange
	Effect             *effect
}

func (a *app) showBulk(r *bulkResult) {
	if !r.DryRun {
		a.printf("%s changed: `sluice revert %d` takes them back\n", counted(r.Changed, "override"), r.Revision)
		return
	}
	rows := make([][]string, 0, planShown)
	for i := range r.Changes[:min(len(r.Changes), planShown)] {
		rows = append(rows, []string{r.Changes[i].whom(), r.Changes[i].what()})
	}
	a.table("", rows)
	if more := r.Changed - len(rows); more > 0 {
		a.printf("and %d more\n", more)
	}
	if r.Effect != nil {
		a.printf("\n")
		a.showEffect(r.Effect)
	}
}

// readOverrides reads a list of overrides, and the reason beside it.
func (a *app) readOverrides(path string) ([]json.RawMessage, string, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = readLimited(a.stdin, "stdin")
	} else {
		b, err = readBounded(path)
	}
	if err != nil {
		return nil, "", exit(exitFindings, err)
	}
	list, reason, err := parseOverrides(b)
	var bad *overridesError
	switch {
	case errors.As(err, &bad):
		a.findings([]finding.Finding{{Path: path, Line: bad.line, Severity: finding.Error, Code: "bad-overrides", Text: bad.text}})
		return nil, "", silent
	case err != nil:
		return nil, "", exit(exitFindings, fmt.Errorf("%s: %w", path, err))
	case len(list) == 0:
		return nil, "", exit(exitFindings, fmt.Errorf("%s lists no override", path))
	}
	return list, reason, nil
}
