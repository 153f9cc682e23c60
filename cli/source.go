package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/node"
)

// openAll reads the trees of --etc and the directory file, whatever errors
// they have.
func (a *app) openAll(roots []string) (*cascade.Engine, error) {
	opt := cascade.Options{Roots: append([]string(nil), roots...), Schema: node.Schema(), TolerateBadFiles: true}
	if a.directory != "" {
		opt.Source = cascade.NewDirectoryFile(a.directory)
	}
	e, err := cascade.Open(opt)
	if err != nil {
		return nil, exit(exitFindings, err)
	}
	return e, nil
}

// open is openAll for commands that answer: without the directory file that
// was asked for, each answer would be one for somebody else.
func (a *app) open(roots []string) (*cascade.Engine, error) {
	e, err := a.openAll(roots)
	if err != nil {
		return nil, err
	}
	if e.Status().Status != "ok" && a.directory != "" {
		for _, f := range e.Snapshot().Files() {
			if f.Path == e.Snapshot().Source() && f.Digest == "" {
				a.findings(f.Errors)
				return nil, exit(exitFindings, fmt.Errorf("%s cannot be used", a.directory))
			}
		}
	}
	return e, nil
}

// offline reports whether the command works on files, and opens them.
func (a *app) offline() (*cascade.Snapshot, error) {
	e, err := a.open(a.etc)
	if err != nil {
		return nil, err
	}
	sn := e.Snapshot()
	if n := countErrors(sn.Findings()); n > 0 {
		a.note("the tree has %s, and answers as a server would: `sluice check` lists them", counted(n, "error"))
	}
	return sn, nil
}

// needEtc is for commands that have no other way.
func (a *app) needEtc() error {
	if len(a.etc) == 0 {
		return usage("name the tree with --etc DIR")
	}
	return nil
}

func countErrors(fs []finding.Finding) (n int) {
	for _, f := range fs {
		if f.Severity == finding.Error {
			n++
		}
	}
	return n
}

// onlyFiles refuses flags that a running server does not take.
func (a *app) onlyFiles() error {
	switch {
	case a.directory != "":
		return usage("--directory belongs to --etc: a running server has its own directory")
	case a.showSecrets:
		return usage("--show-secrets works offline only: add --etc")
	}
	return nil
}

func splitComma(s string) []string {
	var out []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
