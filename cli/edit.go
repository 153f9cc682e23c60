package cli

import (
	"bytes"
	"errors"
	"os"
	"slices"

	"github.com/seed47708276/sluice/cascade"
)

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
	changed := hunks(lines(ed.Before), lines(ed.After))
	// An equal file is left alone: a new inode and time would make every
	// watcher read it again.
	equal := ed.Before != nil && bytes.Equal(ed.Before, ed.After)
	if !dry && !equal {
		if err := ed.Write(); err != nil {
			return exit(exitFindings, err)
		}
	}
	if a.json() {
		line := 0
		if len(changed) > 0 {
			line = changed[0].before
		}
		return a.printJSON(struct {
			File    string `json:"file"`
			Line    int    `json:"line"` // the first that changes; 0 where none does
			Changed bool   `json:"changed"`
			Written bool   `json:"written"`
		}{ed.File, line, !equal, !dry && !equal})
	}
	if equal {
		a.printf("%s: nothing to change\n", ed.File)
		return nil
	}
	a.showEdit(ed, changed, dry, !a.showSecrets && secretEdit(e.Schema(), name, changed))
	return nil
}

// secretEdit reports whether the lines of an edit hold what is masked.
func secretEdit(schema *cascade.Schema, name string, changed []hunk) bool {
	if schema.Secret(name) {
		return true
	}
	masked := func(line string) bool { return schema.Masks(name, line) }
	return slices.ContainsFunc(changed, func(h hunk) bool {
		return slices.ContainsFunc(h.removed, masked) || slices.ContainsFunc(h.added, masked)
	})
}

// showEdit prints the lines that an edit changed, and of a dry run the unified
// diff that it would be.
func (a *app) showEdit(ed *cascade.Edit, changed []hunk, dry, secret bool) {
	if dry && !secret {
		from := ed.File
		if ed.Before == nil {
			from = os.DevNull
		}
		a.printf("--- %s\n+++ %s\n", from, ed.File)
	}
	for _, h := range changed {
		if secret {
			a.printf("%s:%d: lines of a secret changed; --show-secrets shows them\n", ed.File, h.before)
			continue
		}
		if dry {
			a.printf("%s\n", h.header())
		} else {
			a.printf("%s:%d\n", ed.File, h.before)
		}
		for _, l := range h.removed {
			a.printf("-%s\n", printable(l))
		}
		for _, l := range h.added {
			a.printf("+%s\n", printable(l))
		}
	}
}
