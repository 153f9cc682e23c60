package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/exchange"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/node"
)

const (
	// importRecords and importBytes bound what one request writes: each is in
	// the server whole, or not at all.
	importRecords = 20_000
	importBytes   = 6 << 20
	// maxImport bounds a file, and all that is sent: it is in memory until
	// everything has been checked.
	maxImport = 1 << 30
)

func (a *app) importCmd() *cobra.Command {
	var w writeFlags
	format, skip := "yaml", false
	cmd := &cobra.Command{
		Use:   "import FILE... [--format yaml|tsv] [--reason R] [--dry-run]",
		Short: "Take a directory over: contexts, users, tags and overrides",
		Long: `Takes the contexts, users, tags and overrides of files over into a running
server: directory files (yaml), or what the SELECTs of docs/moving.md print on the
databases of the existing system (tsv). - reads stdin.

What is named replaces what the server has of it; what is not named stays. All
files are read and checked before anything is written, and an error in one ends
it there; --skip-errors imports everything else. What was imported before is left
as it is, so that an import that was cut off is simply repeated.

  sluice import directory.yml --dry-run
  sluice import --format tsv contexts.tsv users.tsv --reason "move from the old platform"`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if format != "yaml" && format != "tsv" {
				return usage("--format %s: use yaml or tsv", format)
			}
			c, err := a.onlyServer("import")
			if err != nil {
				return err
			}
			c.http.Timeout = 0 // a request has limits of its own on the server
			im := &importer{a: a, c: c, format: format, files: args, query: w.query(nil)}
			im.query.Set("reason", w.why("import"))
			if err := im.check(skip); err != nil {
				return err
			}
			return im.run(w.dry)
		},
	}
	w.add(cmd, cmd.Name())
	w.addConfirm(cmd)
	cmd.Flags().StringVar(&format, "format", format, "yaml or tsv")
	cmd.Flags().BoolVar(&skip, "skip-errors", false, "import what has no error")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"yaml", "tsv"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// importer is one run of the command.
type importer struct {
	a      *app
	c      *client
	format string
	files  []string
	query  url.Values

	chunks []chunk // nothing is sent before all is read and good
	size   int
	result imported
}

// chunk is what one request writes.
type chunk struct {
	text  *bytes.Buffer
	count int // of records
}

// imported counts what an import is about.
type imported struct {
	Contexts  int    `json:"contexts"`
	Users     int    `json:"users"`
	Overrides int    `json:"overrides"`
	Changed   int    `json:"changed"`
	Unchanged int    `json:"unchanged"` // they were so already
	Revision  uint64 `json:"revision"`
	DryRun    bool   `json:"dryRun"`
}

// add puts a record into a chunk.
func (im *importer) add(count *int, line func(jsonLines) error) error {
	*count++
	if n := len(im.chunks); n == 0 || im.chunks[n-1].count == importRecords || im.chunks[n-1].text.Len() >= importBytes {
		im.chunks = append(im.chunks, chunk{text: new(bytes.Buffer)})
	}
	c := &im.chunks[len(im.chunks)-1]
	c.count++
	before := c.text.Len()
	if err := line(jsonLines{c.text}); err != nil {
		return err
	}
	if im.size += c.text.Len() - before; im.size > maxImport {
		return fmt.Errorf("the import has more than %d bytes: split its files", maxImport)
	}
	return nil
}

// Context implements exchange.Sink.
func (im *importer) Context(c cascade.Context) error {
	return im.add(&im.result.Contexts, func(l jsonLines) error { return l.Context(c) })
}

// User implements exchange.Sink.
func (im *importer) User(u cascade.User) error {
	return im.add(&im.result.Users, func(l jsonLines) error { return l.User(u) })
}

// Override implements exchange.Sink.
func (im *importer) Override(o cascade.Override) error {
	return im.add(&im.result.Overrides, func(l jsonLines) error { return l.Override(o) })
}

// read takes all files up.
func (im *importer) read() (fs []finding.Finding, err error) {
	var inputs []exchange.Input
	for _, name := range im.files {
		in := io.NopCloser(im.a.stdin)
		if name != "-" {
			if in, err = os.Open(name); err != nil {
				return nil, err
			}
			defer in.Close()
		}
		if im.format == "tsv" {
			inputs = append(inputs, exchange.Input{Name: name, R: in})
			continue
		}
		data, err := io.ReadAll(io.LimitReader(in, maxImport))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		more, err := exchange.ReadYAML(name, data, node.Schema(), im)
		if fs = append(fs, more...); err != nil {
			return fs, err
		}
	}
	if im.format == "tsv" {
		return exchange.ReadTSV(node.Schema(), im, inputs...)
	}
	return fs, nil
}

// check reads everything.
func (im *importer) check(skip bool) error {
	fs, err := im.read()
	im.a.findings(fs)
	switch {
	case err != nil:
		return exit(exitFindings, err)
	case finding.HasErrors(fs) && !skip:
		return exit(exitFindings, fmt.Errorf("%s, nothing was imported: correct them, or import everything else with --skip-errors", counted(countErrors(fs), "error")))
	case len(im.chunks) == 0:
		return exit(exitFindings, fmt.Errorf("there is nothing to import in %q", im.files))
	}
	return nil
}

// run sends everything.
func (im *importer) run(dry bool) error {
	r := &im.result
	r.DryRun = dry
	total, sent := r.Contexts+r.Users+r.Overrides, 0
	bar := newBar(im.a.stderr, total)
	for i := range im.chunks {
		if err := im.send(im.chunks[i].text); err != nil {
			bar.end()
			if sent > 0 && !dry {
				im.a.note("%d of %d records are imported: see to the reason and run the same command again, which leaves them as they are", sent, total)
			}
			return err
		}
		sent += im.chunks[i].count
		im.chunks[i].text = nil
		bar.at(sent)
	}
	bar.end()
	if im.a.json() {
		return im.a.printJSON(r)
	}
	verb := "imported"
	if dry {
		verb = "would import"
	}
	im.a.printf("%s %s, %s and %s: %d changed, %d were so already\n", verb,
		counted(r.Contexts, "context"), counted(r.Users, "user"), counted(r.Overrides, "override"), r.Changed, r.Unchanged)
	im.a.tellDry(dry)
	return nil
}

// send writes one chunk.
func (im *importer) send(text io.Reader) error {
	res, err := im.c.open(im.a.ctx, http.MethodPost, "/admin/v1/import?"+im.query.Encode(), text, http.Header{"Content-Type": {"application/x-ndjson"}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return exit(exitUnreachable, err)
	}
	var r imported
	if err := im.c.understand(answer, &r); err != nil {
		return err
	}
	im.result.Changed, im.result.Unchanged, im.result.Revision = im.result.Changed+r.Changed, im.result.Unchanged+r.Unchanged, r.Revision
	return nil
}

// bar shows on a terminal how far something is.
type bar struct {
	w     io.Writer // nil: no terminal
	total int
}

const barWidth = 30

func newBar(w io.Writer, total int) *bar {
	if !onTerminal(w) {
		w = nil
	}
	return &bar{w, total}
}

func (b *bar) at(n int) {
	if b.w == nil {
		return
	}
	full := barWidth * n / b.total
	fmt.Fprintf(b.w, "\r[%-*s] %d of %d", barWidth, string(bytes.Repeat([]byte{'='}, full)), n, b.total)
}

// end leaves an empty line behind.
func (b *bar) end() {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
