package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

// subjectFlags are --context and --user.
type subjectFlags struct{ context, user int64 }

func (s *subjectFlags) add(cmd *cobra.Command) {
	cmd.Flags().Int64VarP(&s.context, "context", "c", 0, "id of the context")
	cmd.Flags().Int64VarP(&s.user, "user", "u", 0, "id of the user; needs --context")
}

func (s *subjectFlags) subject(cmd *cobra.Command) (cascade.Subject, error) {
	if cmd.Flags().Changed("user") && !cmd.Flags().Changed("context") {
		return cascade.Subject{}, usage("--user needs --context: users are numbered within their context")
	}
	for name, id := range map[string]int64{"context": s.context, "user": s.user} {
		if cmd.Flags().Changed(name) && id == 0 {
			return cascade.Subject{}, usage("--%s 0 is not an id: use 1 to %d", name, cascade.MaxID)
		}
	}
	su, err := cascade.NewSubject(s.context, s.user)
	if err != nil {
		return su, usage("%w", err)
	}
	return su, nil
}

// openAll reads the trees of --etc and the directory file, whatever errors
// they have.
func (a *app) openAll(roots []string) (*cascade.Engine, error) {
	opt := cascade.Options{Roots: append([]string(nil), roots...), Schema: Schema(), TolerateBadFiles: true}
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
