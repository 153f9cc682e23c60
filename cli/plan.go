package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/node"
)

const (
	maxPlanFiles = 2_000   // as the server takes
	maxPlanBytes = 8 << 20 // of all files together, as JSON less than that
	planShown    = 50      // differences in text
)

// effect is whom a change would concern.
type effect struct {
	Properties []struct {
		Property        string
		Server          bool
		Contexts, Users int
	}
	Differences []cascade.Difference
	Omitted     int
	Sockets     struct {
		Connected, Closed, LetIn int
		Unreachable              []string
	}
	Errors []finding.Finding
}

func (e *effect) none() bool {
	return len(e.Properties) == 0 && e.Sockets.Closed == 0 && e.Sockets.LetIn == 0
}

// planBody is what POST /admin/v1/plan takes.
type planBody struct {
	Files     map[string]*string `json:"files,omitempty"`
	Whole     bool               `json:"whole,omitempty"`
	Overrides []json.RawMessage  `json:"overrides,omitempty"`
}

func (a *app) planCmd() *cobra.Command {
	var files, gone []string
	tree, overrides := "", ""
	cmd := &cobra.Command{
		Use:   "plan (--file PATH=LOCALFILE | --remove PATH | --tree DIR | --overrides FILE)...",
		Short: "Say what files and overrides would change, and for whom, and change nothing",
		Long: `Compares what a running server has in force with what it would have with other
files or more overrides: which properties change for how many contexts and users,
and how many connected users would lose their sockets.

--file puts a file in the place of the one at PATH below the server's root,
--remove leaves one out, --tree compares with a whole tree, --overrides takes what
` + "`sluice bulk`" + ` takes. Ends with 0 where nothing would change, with 1 where
something would, or where a candidate file has errors, which are on stderr.`,
		Example: `  sluice plan --file contextSets/brand.yml=brand.yml
  sluice plan --tree /tmp/etc-next
  sluice plan --overrides wave2.yml`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(files)+len(gone) == 0 && tree == "" && overrides == "" {
				return usage("plan: name what would change, with --file, --remove, --tree or --overrides")
			}
			c, err := a.onlyServer("plan")
			if err != nil {
				return err
			}
			body, err := a.planBody(tree, files, gone)
			if err != nil {
				return err
			}
			if overrides != "" {
				if body.Overrides, _, err = a.readOverrides(overrides); err != nil {
					return err
				}
			}
			var e effect
			if _, err := c.show(a, http.MethodPost, "/admin/v1/plan", body, &e, func() { a.showEffect(&e) }); err != nil {
				return err
			}
			a.findings(e.Errors)
			if !e.none() || len(e.Errors) > 0 {
				return silent
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&files, "file", nil, "PATH=LOCALFILE: a file below the root, and what it would be; repeatable")
	f.StringArrayVar(&gone, "remove", nil, "a file below the root that would be gone; repeatable")
	f.StringVar(&tree, "tree", "", "folder of a whole tree in the place of the server's")
	f.StringVar(&overrides, "overrides", "", "YAML or JSON list of overrides; - reads stdin")
	_ = cmd.MarkFlagDirname("tree")
	return cmd
}

func (a *app) planBody(tree string, files, gone []string) (*planBody, error) {
	body, size := &planBody{Whole: tree != ""}, 0
	if len(files)+len(gone) > 0 || tree != "" {
		body.Files = map[string]*string{}
	}
	add := func(path, local string) error {
		text, err := readCandidate(path, local)
		if err != nil {
			return err
		}
		if size += len(text); size > maxPlanBytes || len(body.Files) == maxPlanFiles {
			return exit(exitFindings, fmt.Errorf("the files are more than %d, or have more than %d MiB: compare less at a time, or two trees with `sluice diff`", maxPlanFiles, maxPlanBytes>>20))
		}
		body.Files[path] = &text
		return nil
	}
	if tree != "" {
		paths, err := a.treeFiles(tree)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			if err := add(p, filepath.Join(tree, filepath.FromSlash(p))); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range files {
		path, local, ok := strings.Cut(f, "=")
		if !ok || path == "" || local == "" {
			return nil, usage("--file %s: write PATH=LOCALFILE, such as contextSets/brand.yml=brand.yml", f)
		}
		if err := add(path, local); err != nil {
			return nil, err
		}
	}
	for _, path := range gone {
		// Of a whole tree what is not sent is not there.
		if body.Files[path] = nil; body.Whole {
			delete(body.Files, path)
		}
	}
	return body, nil
}

// treeFiles lists what a load of a tree reads.
func (a *app) treeFiles(dir string) ([]string, error) {
	e, err := cascade.Open(cascade.Options{Roots: []string{dir}, Schema: node.Schema(), TolerateBadFiles: true})
	if err != nil {
		return nil, exit(exitFindings, err)
	}
	var paths []string
	for _, f := range e.Snapshot().Files() {
		paths = append(paths, f.Path)
	}
	return paths, nil
}

// readCandidate reads a file as text that JSON can carry: one that is no UTF-8
// is read as ISO-8859-1, as a load does (docs/reference/cascade.md#files).
func readCandidate(path, local string) (string, error) {
	b, err := readBounded(local)
	if err != nil {
		return "", exit(exitFindings, err)
	}
	if utf8.Valid(b) {
		return string(b), nil
	}
	if !strings.HasSuffix(path, ".properties") {
		return "", exit(exitFindings, fmt.Errorf("%s is not UTF-8: a load would refuse it", local))
	}
	text := make([]rune, len(b))
	for i, c := range b {
		text[i] = rune(c)
	}
	return string(text), nil
}

func readBounded(local string) ([]byte, error) {
	f, err := os.Open(local)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, local)
}

func readLimited(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPlanBytes+1))
	if err == nil && len(b) > maxPlanBytes {
		err = fmt.Errorf("%s has more than %d MiB: send it in parts", name, maxPlanBytes>>20)
	}
	return b, err
}

func (a *app) showEffect(e *effect) {
	if e.none() {
		a.printf("nothing would change\n")
		return
	}
	if len(e.Properties) > 0 {
		rows := [][]string{{"PROPERTY", "SERVER", "CONTEXTS", "USERS"}}
		for _, p := range e.Properties {
			server := ""
			if p.Server {
				server = "yes"
			}
			rows = append(rows, []string{printable(p.Property), server, strconv.Itoa(p.Contexts), strconv.Itoa(p.Users)})
		}
		a.table("", rows)
		a.printf("\n")
	}
	diffs := e.Differences
	for i := range diffs {
		d := &diffs[i]
		if d.Context != nil {
			d.Subject.Context = *d.Context
		}
		if d.User != nil {
			d.Subject.User = *d.User
		}
	}
	shown := diffs[:min(len(diffs), planShown)]
	a.showDiffs(shown)
	if more := len(diffs) - len(shown) + e.Omitted; more > 0 {
		a.printf("and %s: -o json has the first %d\n", counted(more, "more difference"), len(diffs))
	}
	s := e.Sockets
	a.printf("sockets: of %s %d would be closed; %s of the directory would be let in\n", counted(s.Connected, "connected user"), s.Closed, counted(s.LetIn, "user"))
	for _, m := range s.Unreachable {
		a.note("member %s did not say who is connected there: its users are not counted", m)
	}
}
